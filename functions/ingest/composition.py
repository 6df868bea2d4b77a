"""What ingest is made of, built once per process; the table's client is warmed at init, the rest at first need."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.store.configuration import SourceStore
from shared.store.episodes import EpisodeStore
from shared.store.quarantine import QuarantineStore
from shared.store.shoppers import ShopperStore
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.purchase import Purchases
from shared.workflows.intake.receive import Receiver
from shared.workflows.intake.sources import SourceDirectory


@cache
def receiver() -> Receiver:
    """The receiver of this process."""
    stores = Stores(Environment.read())
    purchases = Purchases(
        stores.table, stores.checkouts, ShopperStore(stores.table), EpisodeStore(stores.table), stores.hasher
    )
    return Receiver(
        SourceDirectory(SourceStore(stores.table), now),
        stores.cipher,
        Merger(stores.checkouts, purchases),
        QuarantineStore(stores.table),
        lambda: stores.bucket,
        lambda: stores.pulls,
    )
