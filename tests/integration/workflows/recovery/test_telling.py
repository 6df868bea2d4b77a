"""The parts of telling, each alone: what an image tells, who hears of it, episode and plan, calling off, fan-out."""

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.announcement import EventType
from shared.domain.checkout import Status
from shared.domain.episode import EpisodeStatus
from shared.domain.ids import EpisodeId, MerchantId
from shared.domain.recovery_link import ShopperLinks
from shared.domain.transitions import Mark
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.deliveries import DeliveryStatus
from shared.store.episodes import EpisodeStore
from shared.store.events import EventRecord, EventStore
from shared.store.orders import OrderRecord
from shared.store.shoppers import ShopperStore
from shared.store.wire import from_stream
from shared.workflows.delivering.fan_out import FanOut
from shared.workflows.recovery.abandonment import Abandonments, Announced, BoughtElsewhere, LeftEarlier
from shared.workflows.recovery.audience import Audience, Audiences
from shared.workflows.recovery.episode_plan import EpisodePlanner
from shared.workflows.recovery.event_making import EventMaker
from shared.workflows.recovery.known_shopper import KnownShoppers, last_purchase
from shared.workflows.recovery.outbox import MalformedRecord, Transition, told_by
from shared.workflows.recovery.supersede import Superseder
from tests.integration.conftest import DUE_SHARDS
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.unit.domain.sessions import after


def transition(shop: Shop, mark: Mark | None = None) -> Transition:
    """What the last marked record tells of a checkout; ``mark`` in place of its own."""
    tells = [told_by(from_stream(own["dynamodb"]["NewImage"])) for own in shop.stream()]
    found = [own for own in tells if isinstance(own, Transition)][-1]
    return found if mark is None else replace(found, mark=mark)


def audiences(shop: Shop) -> Audiences:
    table = shop.table
    return Audiences(MerchantStore(table), EndpointStore(table), CampaignStore(table), EventStore(table))


def audience(shop: Shop) -> Audience:
    asked = audiences(shop)
    found = asked.of(MERCHANT)
    assert found is not None
    return asked.with_campaigns(found)


def planner(shop: Shop) -> EpisodePlanner:
    table = shop.table
    return EpisodePlanner(
        EpisodeStore(table, DUE_SHARDS),
        shop.stores.checkouts,
        ShopperStore(table),
        CampaignStore(table),
        ActivityStore(table),
    )


def known(shop: Shop) -> KnownShoppers:
    return KnownShoppers(shop.stores.checkouts, ShopperStore(shop.table), shop.stores.hasher)


def maker(shop: Shop) -> EventMaker:
    links = ShopperLinks(
        "https://hooks.example.com", shop.stores.keys.recovery_codes(), shop.stores.keys.unsubscribe_codes()
    )
    return EventMaker(shop.table, EventStore(shop.table), shop.stores.checkouts, known(shop), links)


def made(shop: Shop, own: Transition) -> EventRecord:
    to = audience(shop)
    return maker(shop).made(own, to, {each.id: each for each in to.endpoints}, None, shop.now)


class TestWhatAnImageTells:
    def test_the_checkout_as_it_stood_at_its_transition(self, shop: Shop) -> None:
        shop.abandon()
        own = transition(shop)
        assert (own.mark, own.event_type, own.at) == (Mark.ABANDONED, EventType.ABANDONED, after(minutes=31))
        assert (own.checkout.digest, own.checkout.version) == (shop.digest(), 2)

    def test_a_reopening_is_an_update_at_the_moment_of_the_write(self, shop: Shop) -> None:
        shop.abandon()
        shop.wait(minutes=2)
        shop.webhook(session_state="PAYMENT_LOADED")
        own = transition(shop)
        assert (own.mark, own.event_type, own.at) == (Mark.REOPENED, EventType.UPDATED, after(minutes=33))

    def test_an_order(self, shop: Shop) -> None:
        shop.webhook(session_state="COMPLETED")
        tells = [told_by(from_stream(own["dynamodb"]["NewImage"])) for own in shop.stream()]
        (order,) = [own for own in tells if isinstance(own, OrderRecord)]
        assert order.checkout_digest == shop.digest()

    @pytest.mark.parametrize("image", [{}, {"te": "abandoned", "tr": 1}, {"te": "ordered"}, {"te": 7}])
    def test_anything_else_is_malformed(self, image: dict[str, Any]) -> None:
        with pytest.raises(MalformedRecord):
            told_by(image)


class TestWhoHears:
    def test_whoever_subscribed_to_the_type(self, shop: Shop) -> None:
        told = shop.endpoint("checkout.abandoned")
        shop.wait(seconds=1)
        shop.endpoint("checkout.recovered")
        shop.abandon()
        assert set(audiences(shop).hearers(transition(shop), audience(shop), shop.now)) == {told.id}

    def test_what_calls_off_goes_to_whoever_received_the_abandonment(self, shop: Shop) -> None:
        told = shop.endpoint("checkout.abandoned")
        shop.abandon()
        shop.settle()
        shop.webhook(session_state="PAYMENT_LOADED")
        assert set(audiences(shop).hearers(transition(shop), audience(shop), shop.now)) == {told.id}

    def test_an_endpoint_registered_since_hears_from_the_next_batch_on(self, shop: Shop) -> None:
        asked = audiences(shop)
        assert asked.of(MERCHANT) == Audience(shop.merchant)
        endpoint = shop.endpoint()
        assert asked.of(MERCHANT) == Audience(shop.merchant)
        asked.begin()
        assert [own.id for own in (asked.of(MERCHANT) or Audience(shop.merchant)).endpoints] == [endpoint.id]

    def test_a_merchant_that_is_gone_has_no_audience(self, shop: Shop) -> None:
        assert audiences(shop).of(MerchantId("mer_gone")) is None


class TestEpisodeAndPlan:
    def test_an_anonymous_checkout_opens_none(self, shop: Shop) -> None:
        shop.abandon()
        assert planner(shop).planned(shop.checkout(), {}, audience(shop), shop.now) == (None, [])

    def test_a_retry_plans_the_same_episode(self, shop: Shop) -> None:
        shop.abandon()
        records = known(shop).personal(shop.checkout(), shop.now)
        first, writes = planner(shop).planned(shop.checkout(), records, audience(shop), shop.now)
        again, _ = planner(shop).planned(shop.checkout(), records, audience(shop), shop.now)
        assert first == again
        assert first is not None
        assert first.checkouts == (shop.digest(),)
        assert len(writes) == 1

    def test_it_waits_while_its_shopper_is_back(self, shop: Shop) -> None:
        shop.abandon()
        shop.settle()
        planner(shop).pause(shop.checkout(), shop.merchant.settings, shop.now)
        planner(shop).pause(shop.checkout(), shop.merchant.settings, shop.now)
        waiting = EpisodeStore(shop.table).get(EpisodeId(shop.checkout().episode_id or ""))
        assert waiting is not None
        assert (waiting.status, waiting.version) == (EpisodeStatus.PAUSED, 2)

    def test_it_does_not_wait_for_an_older_checkout_of_its_shopper(self, shop: Shop) -> None:
        shop.abandon("older")
        shop.settle()
        shop.abandon("newer")
        shop.settle()
        planner(shop).pause(shop.checkout("older"), shop.merchant.settings, shop.now)
        own = planner(shop).of(shop.checkout("newer"))
        assert own is not None
        assert own.status is EpisodeStatus.ACTIVE


class TestTheShopper:
    def test_an_identifier_of_everybody_is_left_out_where_it_would_decide(self, shop: Shop) -> None:
        shop.webhook(session="bought", session_state="COMPLETED")
        shop.webhook()
        assert last_purchase(known(shop).personal(shop.checkout(), shop.now)) is not None
        for number in range(21):
            shop.webhook(session=f"session-{number}")
        assert last_purchase(known(shop).personal(shop.checkout(), shop.now)) is None


class TestTheTransaction:
    def announce(self, shop: Shop, own: Transition) -> Announced | BoughtElsewhere | LeftEarlier | None:
        parts = Abandonments(shop.table, shop.stores.checkouts, known(shop), planner(shop), maker(shop))
        to = audience(shop)
        return parts.announce(own, to, {each.id: each for each in to.endpoints}, shop.now)

    def test_told_twice_it_is_the_same_event(self, shop: Shop) -> None:
        shop.endpoint()
        shop.abandon()
        own = transition(shop)
        first = self.announce(shop, own)
        shop.wait(minutes=5)
        again = self.announce(shop, own)
        assert isinstance(first, Announced)
        assert isinstance(again, Announced)
        assert first.event == again.event
        assert len(shop.events()) == 1

    def test_not_told_where_the_checkout_moved_on(self, shop: Shop) -> None:
        shop.abandon()
        own = transition(shop)
        shop.webhook(session_state="PAYMENT_LOADED")
        assert self.announce(shop, own) is None
        assert shop.events() == []

    def test_not_told_where_the_shopper_bought_elsewhere(self, shop: Shop) -> None:
        shop.abandon()
        own = transition(shop)
        shop.webhook(session="other-device", session_state="COMPLETED")
        assert self.announce(shop, own) == BoughtElsewhere(shop.now)
        assert shop.events() == []


class TestCallingOff:
    def test_an_order_settles_what_its_shopper_began_before_and_nobody_elses(self, shop: Shop) -> None:
        shop.webhook(session="left")
        shop.webhook(session="of-somebody-else", user=stranger(1))
        shop.wait(minutes=1)
        shop.webhook(session="bought", session_state="COMPLETED")
        tells = [told_by(from_stream(own["dynamodb"]["NewImage"])) for own in shop.stream()]
        (order,) = [own for own in tells if isinstance(own, OrderRecord)]
        superseder = Superseder(shop.stores.checkouts)
        assert superseder.settle_others(order, shop.merchant.settings, shop.now) == 1
        assert superseder.settle_others(order, shop.merchant.settings, shop.now) == 0
        assert [shop.checkout(own).status for own in ("left", "of-somebody-else")] == [Status.SUPERSEDED, Status.OPEN]

    def test_what_was_read_before_it_changed_is_settled_as_it_stands_now(self, shop: Shop) -> None:
        shop.webhook()
        before = shop.checkout()
        shop.wait(minutes=1)
        shop.webhook(session_state="PAYMENT_LOADED")
        assert Superseder(shop.stores.checkouts).settle(before, shop.now, shop.merchant.settings, shop.now)
        assert (shop.checkout().status, shop.checkout().text("stage")) == (Status.SUPERSEDED, "payment_loaded")

    def test_only_an_abandoned_checkout_gives_way(self, shop: Shop) -> None:
        shop.webhook()
        Superseder(shop.stores.checkouts).give_way(shop.digest(), shop.merchant.settings, shop.now)
        assert shop.checkout().status is Status.OPEN
        shop.wait(minutes=31)
        shop.sweep()
        Superseder(shop.stores.checkouts).give_way(shop.digest(), shop.merchant.settings, shop.now)
        assert (shop.checkout().status, shop.checkout().reason) == (Status.SUPERSEDED, None)


class TestEventAndFanOut:
    def test_an_event_is_put_once_and_its_first_bytes_go_out(self, shop: Shop) -> None:
        shop.endpoint()
        shop.abandon()
        own = transition(shop, Mark.EXPIRED)
        first = made(shop, own)
        assert maker(shop).put(first, shop.now) == first
        shop.wait(hours=80)
        later = made(shop, own)
        assert later.body != first.body, "the gate refuses by now"
        assert maker(shop).put(later, shop.now) == first

    def test_one_delivery_for_each_endpoint_that_the_event_names(self, shop: Shop) -> None:
        named = shop.endpoint()
        shop.abandon()
        event = made(shop, transition(shop))
        shop.wait(seconds=1)
        since = shop.endpoint()
        fan_out = FanOut(shop.stores.deliveries, shop.stores.queues)
        fan_out.deliver(event, [named, since])
        fan_out.deliver(event, [named, since])
        fan_out.hand_over(fan_out.gathered())
        (delivery,) = shop.deliveries()
        assert (delivery.endpoint_id, delivery.status) == (named.id, DeliveryStatus.PENDING)
        assert len(set(shop.queued())) == 1

    def test_an_endpoint_whose_own_format_could_not_be_made_has_a_failed_delivery(self, shop: Shop) -> None:
        endpoint = shop.endpoint(payload="provider")
        shop.abandon()
        fan_out = FanOut(shop.stores.deliveries, shop.stores.queues)
        fan_out.deliver(made(shop, transition(shop)), [endpoint])
        assert fan_out.gathered() == []
        (delivery,) = shop.deliveries()
        assert (delivery.status, delivery.reason) == (DeliveryStatus.FAILED, "provider_payload_unavailable")
        assert shop.queued() == []
