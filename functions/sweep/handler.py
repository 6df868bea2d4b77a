"""The sweep function. ``{}`` sweeps every shard of every kind; ``{"kind", "shard"}`` one of them."""

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.domain.ids import MerchantId
from shared.domain.settings import Settings
from shared.store.configuration import MerchantStore
from shared.store.due import DueStore
from shared.store.episodes import EpisodeStore
from shared.store.keys import DUE_KINDS
from shared.store.resend_jobs import ResendJobStore
from shared.store.shoppers import ShopperStore
from shared.workflows.delivering.resend import Resender
from shared.workflows.recovery.sweep import Sweeper
from shared.workflows.recovery.sweep_episodes import EpisodeSweeper

logger = Logger(service="sweep")

SPARE_MS = 15_000
"""A page is not begun with less time left than this: the next minute's sweep goes on."""


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def sweeper() -> Sweeper:
    """The sweeper of this process."""
    stores = _stores()
    merchants, shoppers = MerchantStore(stores.table), ShopperStore(stores.table)

    def settings_of(merchant_id: MerchantId) -> Settings:
        merchant = merchants.get(merchant_id)
        return merchant.value.settings if merchant else Settings()

    episodes = EpisodeStore(stores.table, stores.environment.due_shards)
    return Sweeper(
        DueStore(stores.table),
        stores.checkouts,
        shoppers,
        merchants,
        stores.deliveries,
        stores.queues,
        stores.hasher,
        EpisodeSweeper(episodes, shoppers, stores.queues, settings_of),
        Resender(ResendJobStore(stores.table, stores.environment.due_shards), stores.deliveries, stores.queues),
    )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Sweep and return when everything due is written."""
    shards = range(_stores().environment.due_shards)
    parts = [(kind, shard) for kind in DUE_KINDS for shard in shards]
    if "kind" in event:
        parts = [(str(event["kind"]), int(event["shard"]))]
    swept = sweeper().sweep(parts, now(), lambda: context.get_remaining_time_in_millis() < SPARE_MS)
    logger.info("swept", parts=len(parts), outcomes=swept.counts, unfinished=swept.unfinished)
    return {"outcomes": swept.counts, "unfinished": swept.unfinished}
