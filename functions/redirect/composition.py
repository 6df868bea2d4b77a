"""What the redirect function is made of, once per process."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.store.activities import ActivityStore
from shared.store.configuration import MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.store.link_limits import LinkLimits
from shared.store.shoppers import ShopperStore
from shared.workflows.facts import FactRecorder
from shared.workflows.follow_link import Links
from shared.workflows.suppress import Suppressions
from shared.workflows.unsubscribe import Unsubscribes


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def links() -> Links:
    """Recovery links."""
    stores = _stores()
    table, activities = stores.table, ActivityStore(stores.table)
    recorder = FactRecorder(FactStore(table), EpisodeStore(table), activities, now)
    return Links(
        stores.keys.recovery_codes(),
        stores.checkouts,
        MerchantStore(table),
        activities,
        LinkLimits(table),
        recorder.clicked,
    )


@cache
def unsubscribes() -> Unsubscribes:
    """Unsubscribe links."""
    stores = _stores()
    table = stores.table
    return Unsubscribes(
        stores.keys.unsubscribe_codes(),
        stores.checkouts,
        MerchantStore(table),
        ActivityStore(table),
        LinkLimits(table),
        stores.hasher,
        Suppressions(table, ShopperStore(table), EpisodeStore(table), now),
    )
