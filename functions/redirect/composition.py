"""What the redirect function is made of, once per process."""

from functools import cache

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.domain.checkout import Checkout
from shared.domain.ids import EpisodeId
from shared.providers import registry
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from shared.store.coupons import CouponStore
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.store.link_limits import LinkLimits
from shared.store.shoppers import ShopperStore
from shared.workflows.campaigns.episode_coupons import EpisodeCoupons
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.campaigns.unsubscribe import Unsubscribes
from shared.workflows.insight.follow_link import Links, ProviderLinks
from shared.workflows.recovery.facts import FactRecorder


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def links() -> Links:
    """Recovery links."""
    stores = _stores()
    table, activities = stores.table, ActivityStore(stores.table)
    episodes = EpisodeStore(table)
    recorder = FactRecorder(FactStore(table), episodes, activities, now)
    codes_of = EpisodeCoupons(CampaignStore(table), CouponStore(table))

    def code_of(checkout: Checkout, step: int) -> str | None:
        episode = episodes.get(EpisodeId(checkout.episode_id)) if checkout.episode_id else None
        return None if episode is None else codes_of(episode).get(step)

    return Links(
        stores.keys.recovery_codes(),
        stores.checkouts,
        MerchantStore(table),
        activities,
        LinkLimits(table),
        recorder.clicked,
        code_of,
        lambda name: ProviderLinks(registry.checkout_hosts(name), registry.coupon_link(name)),
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


def prepare() -> None:
    """Do ahead what the first shopper would wait for: make both, open the stage's keys, connect."""
    links()
    unsubscribes()
    _stores().connect()
