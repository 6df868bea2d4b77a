"""What the dispatch function is made of, built once per process."""

from functools import cache

from functions.dispatch.poison import PoisonKeeper
from functions.dispatch.unfinished import Unfinished
from shared.aws import clients
from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.events import EventStore
from shared.store.orders import OrderStore
from shared.store.shoppers import ShopperStore
from shared.store.tellings import Tellings
from shared.workflows.campaigns.episode_coupons import fact_recorder_over
from shared.workflows.delivering.fan_out import FanOut
from shared.workflows.recovery.abandonment import Abandonments
from shared.workflows.recovery.announce import Announcer
from shared.workflows.recovery.audience import Audiences
from shared.workflows.recovery.episode_plan import EpisodePlanner
from shared.workflows.recovery.event_making import EventMaker
from shared.workflows.recovery.known_shopper import KnownShoppers
from shared.workflows.recovery.order_effects import OrderEffects
from shared.workflows.recovery.reverse import Reverser
from shared.workflows.recovery.supersede import Superseder


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def announcer() -> Announcer:
    """The announcer of this process."""
    stores = _stores()
    table, campaigns = stores.table, CampaignStore(stores.table)
    shoppers, events = ShopperStore(table), EventStore(table)
    known = KnownShoppers(stores.checkouts, shoppers, stores.hasher)
    planner = EpisodePlanner(
        EpisodeStore(table, stores.environment.due_shards),
        stores.checkouts,
        shoppers,
        campaigns,
        ActivityStore(table),
    )
    maker = EventMaker(table, events, stores.checkouts, known, stores.shopper_links)
    return Announcer(
        audiences=Audiences(MerchantStore(table), EndpointStore(table), campaigns, events),
        checkouts=stores.checkouts,
        events=maker,
        abandonments=Abandonments(table, stores.checkouts, known, planner, maker),
        planner=planner,
        effects=OrderEffects(Superseder(stores.checkouts), Reverser(OrderStore(table), stores.checkouts)),
        fan_out=FanOut(stores.deliveries, stores.queues),
        facts=fact_recorder_over(stores),
    )


@cache
def unfinished() -> Unfinished:
    """Counts records that are begun and not ended."""
    return Unfinished(Tellings(_stores().table), now)


@cache
def poison() -> PoisonKeeper:
    """Keeps what cannot be told."""
    stores = _stores()
    dead_letters_url = stores.environment.variable("DEAD_LETTERS_QUEUE_URL")
    return PoisonKeeper(stores.bucket, stores.checkouts, MerchantStore(stores.table), clients.sqs(), dead_letters_url)
