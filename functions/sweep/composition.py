"""What the sweep function is made of, built once per process."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.store.configuration import MerchantStore
from shared.store.due import DueStore
from shared.store.episodes import EpisodeStore
from shared.store.resend_jobs import ResendJobStore
from shared.store.shoppers import ShopperStore
from shared.store.sweep_leases import SweepLeases
from shared.workflows.delivering.resend import Resender
from shared.workflows.recovery.merchant_settings import MerchantSettings
from shared.workflows.recovery.sweep import Sweeper
from shared.workflows.recovery.sweep_checkouts import CheckoutSweeper
from shared.workflows.recovery.sweep_episodes import EpisodeSweeper
from shared.workflows.recovery.sweep_retries import RetrySweeper


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


def due_shards() -> int:
    """How many shards the due index has in this stage."""
    return _stores().environment.due_shards


@cache
def sweeper() -> Sweeper:
    """The sweeper of this process."""
    stores = _stores()
    table, shards = stores.table, stores.environment.due_shards
    shoppers, settings = ShopperStore(table), MerchantSettings(MerchantStore(table))
    resender = Resender(ResendJobStore(table, shards), stores.deliveries, stores.queues)
    return Sweeper(
        due=DueStore(table),
        leases=SweepLeases(table),
        settings=settings,
        checkouts=CheckoutSweeper(stores.checkouts, shoppers, stores.hasher, settings.of),
        episodes=EpisodeSweeper(EpisodeStore(table, shards), shoppers, stores.queues, settings.of),
        retries=RetrySweeper(stores.deliveries, stores.queues, resender),
        clock=now,
    )
