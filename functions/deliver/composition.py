"""What the deliver function is made of, once per process."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache

from functions.deliver.metrics import count_disabled
from shared.aws.environment import Environment
from shared.aws.queues import DeliveryMessage
from shared.aws.stores import Stores, now
from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.send_pool import SendPool
from shared.domain.merchant import Endpoint
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.coupons import CouponStore
from shared.store.early_reports import EarlyReportStore
from shared.store.episodes import EpisodeStore
from shared.store.health import HealthStore
from shared.store.shoppers import ShopperStore
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.campaigns.coupon_source import CouponSource
from shared.workflows.campaigns.episode_coupons import EpisodeCoupons, fact_recorder_over
from shared.workflows.campaigns.episode_writes import EpisodeWrites
from shared.workflows.campaigns.follow_ups import FollowUps
from shared.workflows.campaigns.send_step import StepSender
from shared.workflows.campaigns.step_case import StepCases
from shared.workflows.campaigns.step_claim import StepClaims
from shared.workflows.campaigns.step_coupon import StepCoupons
from shared.workflows.campaigns.step_exchange import StepExchanges
from shared.workflows.campaigns.step_gate import StepGate
from shared.workflows.campaigns.step_handover import HandOvers
from shared.workflows.campaigns.step_lost import LostSteps
from shared.workflows.campaigns.step_outcome import AnswerEffects, StepOutcomes
from shared.workflows.campaigns.step_record import StepRecord
from shared.workflows.campaigns.step_withheld import WithheldSteps
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.delivering.deliver import Deliverer
from shared.workflows.delivering.endpoint_events import EndpointEvents
from shared.workflows.delivering.endpoint_health import EndpointHealth
from shared.workflows.delivering.truth import DeliveryTruth


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def _endpoint_events() -> EndpointEvents:
    stores = _stores()

    def enqueue(messages: list[DeliveryMessage]) -> None:
        # This function may send to the retry queue alone.
        stores.queues.retry([(message, timedelta(0)) for message in messages])

    return EndpointEvents(stores.table, EndpointStore(stores.table), stores.deliveries, enqueue, now)


def _disable(endpoint: Endpoint, reason: str) -> None:
    if _endpoint_events().disable(endpoint, reason):
        count_disabled(reason)


@cache
def health() -> EndpointHealth:
    """Breakers and rate limits."""
    return EndpointHealth(HealthStore(_stores().table), _disable, now)


@cache
def deliverer() -> Deliverer:
    """Delivers events of the feed."""
    stores = _stores()
    return Deliverer(
        truth=DeliveryTruth(stores.table, stores.checkouts, stores.hasher, now),
        deliveries=stores.deliveries,
        health=health(),
        disable=_disable,
        messages=VendorMessageStore(stores.table),
        queues=stores.queues,
        cipher=stores.cipher,
        now=now,
    )


@cache
def pool() -> SendPool:
    """The guarded client; connections are kept between batches."""
    environment = _stores().environment
    return SendPool(allow_loopback=environment.local, own=environment.own_address)


def _send_all(requests: Sequence[OutboundRequest], answered: Callable[[int], None] | None = None) -> list[SendResult]:
    return pool().send_all(requests, answered)


@cache
def follow_ups() -> FollowUps:
    """What steps left to be done."""
    return FollowUps()


@cache
def _episodes() -> EpisodeStore:
    return EpisodeStore(_stores().table, _stores().environment.due_shards)


@cache
def _step_cases() -> StepCases:
    stores = _stores()
    table = stores.table
    return StepCases(
        episodes=_episodes(),
        campaigns=CampaignStore(table),
        checkouts=stores.checkouts,
        merchants=MerchantStore(table),
        endpoints=EndpointStore(table),
        shoppers=ShopperStore(table),
        hasher=stores.hasher,
        now=now,
    )


@cache
def _episode_writes() -> EpisodeWrites:
    return EpisodeWrites(_episodes(), ShopperStore(_stores().table), follow_ups(), now)


@cache
def _step_record() -> StepRecord:
    stores = _stores()
    activities, early = ActivityStore(stores.table), EarlyReportStore(stores.table)
    return StepRecord(stores.deliveries, early, activities, fact_recorder_over(stores))


@cache
def lost_steps() -> LostSteps:
    """Writes down the ends of steps whose worker vanished."""
    table = _stores().table
    coupons = EpisodeCoupons(CampaignStore(table), CouponStore(table))
    return LostSteps(_step_cases(), _episode_writes(), _step_record(), ShopperStore(table), coupons, now)


@cache
def step_sender() -> StepSender:
    """Sends campaign steps."""
    stores = _stores()
    table = stores.table
    shoppers, endpoints, episodes = ShopperStore(table), EndpointStore(table), _episodes()
    writes, record = _episode_writes(), _step_record()
    coupons = StepCoupons(CouponSource(CouponStore(table), endpoints, stores.cipher, _send_all), now)
    return StepSender(
        cases=_step_cases(),
        gate=StepGate(stores.checkouts, coupons, now),
        coupons=coupons,
        withheld=WithheldSteps(writes, record, follow_ups(), stores.queues, now),
        claims=StepClaims(table, episodes, writes, follow_ups(), health(), now),
        handovers=HandOvers(stores.cipher, stores.shopper_links, now),
        exchanges=StepExchanges(_send_all, health()),
        outcomes=StepOutcomes(episodes, writes, record, _effects(episodes, shoppers), follow_ups(), now),
    )


def _effects(episodes: EpisodeStore, shoppers: ShopperStore) -> AnswerEffects:
    table = _stores().table
    suppressions = Suppressions(table, shoppers, episodes, now)
    return AnswerEffects(shoppers, suppressions, VendorMessageStore(table), _disable)
