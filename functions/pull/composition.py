"""What the pull function is made of, built once per process."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.delivery.send_pool import SendPool
from shared.store.api_limits import ApiLimits
from shared.store.configuration import SourceStore
from shared.store.jobs import JobStore
from shared.workflows.intake.listed import ListedCheckouts
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.provider_api import ApiClient
from shared.workflows.intake.pull import Puller
from shared.workflows.intake.purchase import purchases_over
from shared.workflows.intake.source_apis import SourceApis
from shared.workflows.intake.sources import SourceDirectory


@cache
def puller() -> Puller:
    """The puller of this process."""
    stores = Stores(Environment.read())
    table = stores.table
    purchases = purchases_over(stores)
    pool = SendPool(allow_loopback=stores.environment.local, own=stores.environment.own_address)
    merger = Merger(stores.checkouts, purchases)
    return Puller(
        apis=SourceApis(
            SourceDirectory(SourceStore(table), now), stores.cipher, ApiClient(pool.send_all, ApiLimits(table), now)
        ),
        merger=merger,
        listed=ListedCheckouts(merger, purchases, stores.checkouts),
        jobs=JobStore(table),
        queue=stores.pulls,
        now=now,
    )
