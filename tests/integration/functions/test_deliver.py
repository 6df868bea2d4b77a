"""Deliver on SQS batches: the truth at every attempt, one record of each, and a successor that is never lost."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.delivery.exchange import Answer, OutboundRequest
from shared.destinations.webhook import WebhookDestination
from shared.domain.checkout import Status
from shared.domain.ids import event_id
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.store.table import StoreUnavailable
from tests.integration.shop import MERCHANT, Shop, aws_event


def always(status: int, headers: dict[str, str] | None = None) -> Callable[[OutboundRequest], Answer]:
    return lambda _: Answer(status, headers or {})


@pytest.fixture
def endpoint(shop: Shop) -> Endpoint:
    """An endpoint, and an announced abandonment on its way to it."""
    own = shop.endpoint("checkout.abandoned", "checkout.updated")
    shop.abandon()
    shop.settle()
    return own


def only(shop: Shop) -> DeliveryRecord:
    (delivery,) = shop.deliveries()
    return delivery


def test_an_event_reaches_its_endpoint_signed_and_once(shop: Shop, endpoint: Endpoint) -> None:
    (body,) = shop.queued()
    assert shop.deliver([body]) == []
    (request,) = shop.sent
    (event,) = shop.events()
    assert (request.url, request.body) == (endpoint.url, event.body)
    assert request.headers["webhook-id"] == event.id == event_id(event.at, shop.digest(), 2, event.type)
    own = only(shop)
    assert (own.status, own.attempt_count, own.attempts[0]["status_code"]) == (DeliveryStatus.DELIVERED, 1, 200)
    shop.deliver([body])
    assert len(shop.sent) == 1


def test_nothing_personal_is_in_a_queue_message(shop: Shop, endpoint: Endpoint) -> None:
    (body,) = shop.queued()
    of_request = aws_event("webhook")["requestContext"]["requestId"]
    assert json.loads(body) == {"delivery_id": only(shop).id, "merchant_id": MERCHANT, "n": 0, "cid": of_request}


class TestPurchasesOfAnotherSession:
    """What calls the checkout off may stand behind; the shopper has bought all the same."""

    def test_nobody_is_told_of_an_abandonment_after_one(self, shop: Shop, endpoint: Endpoint) -> None:
        assert shop.webhook(session="other-device", session_state="COMPLETED")[0] == 200
        assert shop.checkout().status is Status.ABANDONED
        assert shop.deliver() == []
        assert shop.sent == []
        own = only(shop)
        assert (own.status, own.reason) == (DeliveryStatus.SKIPPED, "purchased")

    def test_nor_tried_again_after_one(self, shop: Shop, endpoint: Endpoint) -> None:
        shop.answer = always(500)
        shop.deliver()
        shop.wait(seconds=10)
        shop.webhook(session="other-device", session_state="COMPLETED")
        shop.deliver(shop.retries())
        assert len(shop.sent) == 1
        assert (only(shop).status, only(shop).reason) == (DeliveryStatus.SKIPPED, "purchased")

    def test_an_older_one_is_not_this_checkouts(self, shop: Shop) -> None:
        shop.endpoint("checkout.abandoned")
        shop.webhook(session="last-week", session_state="COMPLETED")
        shop.settle()
        shop.wait(days=7)
        shop.abandon()
        shop.settle()
        shop.deliver()
        assert [own["type"] for own in shop.told()] == ["checkout.abandoned"]

    @pytest.mark.long
    def test_one_under_a_shops_own_phone_is_nobodys(self, shop: Shop) -> None:
        shop.endpoint("checkout.abandoned")
        for number in range(21):
            shop.webhook(session=f"at-the-counter-{number}")
        shop.abandon()
        shop.settle()
        shop.webhook(session="bought", session_state="COMPLETED")
        for body in shop.queued():
            shop.deliver([body])
        assert DeliveryStatus.SKIPPED not in {own.status for own in shop.deliveries()}
        assert {own["type"] for own in shop.told()} == {"checkout.abandoned"}


def test_a_refusal_is_tried_again_by_the_schedule_with_the_same_bytes(shop: Shop, endpoint: Endpoint) -> None:
    shop.answer = always(500)
    shop.deliver()
    own = only(shop)
    assert (own.status, own.attempt_count) == (DeliveryStatus.RETRYING, 1)
    assert shop.retries() == [], "the delay is the queue's"
    shop.wait(seconds=6)
    (second,) = shop.retries()
    shop.deliver([second])
    assert only(shop).attempt_count == 2
    shop.wait(minutes=6)
    shop.answer = always(204)
    shop.deliver(shop.retries())
    own = only(shop)
    assert (own.status, own.attempt_count) == (DeliveryStatus.DELIVERED, 3)
    assert len({request.body for request in shop.sent}) == 1
    assert len({request.headers["webhook-id"] for request in shop.sent}) == 1
    assert [attempt["outcome"] for attempt in own.attempts] == ["retry", "retry", "delivered"]


def test_a_retry_more_than_fifteen_minutes_ahead_waits_in_the_due_index(shop: Shop, endpoint: Endpoint) -> None:
    shop.answer = always(503, {"retry-after": "3600"})
    shop.deliver()
    own = only(shop)
    assert own.next_attempt_at is not None
    assert own.next_attempt_at - shop.now >= timedelta(hours=1)
    shop.wait(minutes=20)
    assert shop.retries() == []
    assert "retried" not in shop.sweep()
    shop.clock.move_to(own.next_attempt_at)
    assert shop.sweep()["retried"] == 1
    shop.answer = always(200)
    shop.deliver(shop.retries())
    assert only(shop).status is DeliveryStatus.DELIVERED
    assert shop.sweep() == {}


def test_a_schedule_that_is_used_up_fails(shop: Shop) -> None:
    shop.endpoint(retry_schedule=[1000])
    shop.abandon()
    shop.settle()
    shop.answer = always(500)
    shop.deliver()
    shop.wait(seconds=2)
    shop.deliver(shop.retries())
    assert (only(shop).status, only(shop).reason) == (DeliveryStatus.FAILED, "HTTP 500")


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"session_state": "COMPLETED"}, "purchased"), ({"session_state": "PAYMENT_LOADED"}, "shopper_active")],
)
def test_an_abandonment_that_is_true_no_more_is_skipped(
    shop: Shop, endpoint: Endpoint, change: dict[str, Any], reason: str
) -> None:
    bodies = shop.queued()
    shop.webhook(**change)
    shop.deliver(bodies)
    assert shop.sent == []
    assert (only(shop).status, only(shop).reason) == (DeliveryStatus.SKIPPED, reason)


def test_a_purchase_between_two_attempts_stops_the_second(shop: Shop, endpoint: Endpoint) -> None:
    shop.answer = always(500)
    shop.deliver()
    shop.webhook(session_state="COMPLETED")
    shop.wait(seconds=6)
    shop.deliver(shop.retries())
    assert len(shop.sent) == 1
    assert (only(shop).status, only(shop).reason) == (DeliveryStatus.SKIPPED, "purchased")


def test_an_abandonment_too_old_to_act_on_expires(shop: Shop, endpoint: Endpoint) -> None:
    bodies = shop.queued()
    shop.wait(days=3)
    shop.deliver(bodies)
    assert (shop.sent, only(shop).status) == ([], DeliveryStatus.EXPIRED)


def test_a_disabled_endpoint_holds_and_a_deleted_one_skips(shop: Shop, endpoint: Endpoint) -> None:
    bodies = shop.queued()
    EndpointStore(shop.table).disable(MERCHANT, endpoint.id, "asked")
    shop.deliver(bodies)
    assert (only(shop).status, only(shop).reason) == (DeliveryStatus.HELD, "endpoint_disabled")
    shop.abandon("another", user={"phone_no": "8888877777", "dial_code": "91"})
    EndpointStore(shop.table).delete(MERCHANT, endpoint.id)
    shop.deliver(bodies)
    assert shop.sent == []


def test_gone_disables_the_endpoint(shop: Shop, endpoint: Endpoint) -> None:
    shop.answer = always(410)
    shop.deliver()
    stored = EndpointStore(shop.table).get(MERCHANT, endpoint.id)
    assert stored is not None
    assert (stored.value.status, stored.value.disabled_reason) == ("disabled", "gone")
    assert only(shop).status is DeliveryStatus.FAILED


def test_a_message_that_comes_back_after_its_record_enqueues_the_successor(
    shop: Shop, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = shop.queued()
    shop.answer = always(500)

    def lost(*_: object) -> None:
        raise QueueUnavailable("1 messages refused")

    with monkeypatch.context() as patched:
        patched.setattr(DeliveryQueues, "retry", lost)
        assert shop.deliver(bodies) == ["m0"]
    assert only(shop).attempt_count == 1
    assert shop.deliver(bodies) == []
    assert len(shop.sent) == 1, "the attempt was made and recorded: only its successor was missing"
    shop.wait(seconds=6)
    (successor,) = shop.retries()
    assert json.loads(successor)["n"] == 1


def test_a_message_that_comes_back_does_not_hurry_a_retry_hours_ahead(shop: Shop) -> None:
    shop.endpoint(retry_schedule=[2 * 3_600_000])
    shop.abandon()
    shop.settle()
    bodies = shop.queued()
    shop.answer = always(500)
    shop.deliver(bodies)
    shop.deliver(bodies)
    shop.wait(minutes=16)
    assert shop.retries() == []


def test_one_delivery_that_cannot_be_recorded_comes_back_alone(
    shop: Shop, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.abandon("another", user={"phone_no": "8888877777", "dial_code": "91"})
    shop.settle()
    bodies = shop.queued()
    original = DeliveryStore.record
    refused: list[object] = []

    def refusing_once(self: DeliveryStore, delivery: DeliveryRecord, outcome: Any) -> bool:
        if not refused:
            refused.append(delivery)
            raise StoreUnavailable("throttled")
        return original(self, delivery, outcome)

    monkeypatch.setattr(DeliveryStore, "record", refusing_once)
    assert shop.deliver(bodies) == ["m0"]
    assert len(shop.sent) == 2
    assert sorted(own.status for own in shop.deliveries()) == [DeliveryStatus.DELIVERED, DeliveryStatus.PENDING]


def test_an_endpoint_that_allows_no_request_fails_alone(
    shop: Shop, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.abandon("another", user={"phone_no": "8888877777", "dial_code": "91"})
    shop.settle()
    original = WebhookDestination.build
    refused: list[object] = []

    def refusing_once(self: WebhookDestination, *arguments: Any) -> OutboundRequest:
        if not refused:
            refused.append(arguments)
            raise ValueError("no signing secret")
        return original(self, *arguments)

    monkeypatch.setattr(WebhookDestination, "build", refusing_once)
    assert shop.deliver() == []
    assert sorted(own.status for own in shop.deliveries()) == [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED]


def test_an_erased_event_is_skipped(shop: Shop, endpoint: Endpoint) -> None:
    bodies = shop.queued()
    shop.table.delete_all(shop.stores.checkouts.forget(shop.digest()))
    shop.deliver(bodies)
    assert (shop.sent, only(shop).status, only(shop).reason) == ([], DeliveryStatus.SKIPPED, "erased")


def test_two_messages_of_one_delivery_in_a_batch_make_one_attempt(shop: Shop, endpoint: Endpoint) -> None:
    (body,) = shop.queued()
    assert shop.deliver([body, body]) == []
    assert (len(shop.sent), only(shop).attempt_count) == (1, 1)


def test_messages_of_nobody_and_of_another_merchant_are_not_sent(shop: Shop, endpoint: Endpoint) -> None:
    (body,) = shop.queued()
    foreign = json.dumps({**json.loads(body), "merchant_id": "mer_01KAHJ00000000000000000000"})
    unknown = body.replace(only(shop).id[4:30], "01KAHJ00000000000000000000")
    assert shop.deliver([foreign, unknown]) == []
    assert (shop.sent, only(shop).status) == ([], DeliveryStatus.PENDING)


@pytest.mark.parametrize("body", ["", "{}", "[]", "nonsense", '{"delivery_id": "x", "merchant_id": "m", "n": 0}'])
def test_an_unreadable_message_comes_back_alone(shop: Shop, endpoint: Endpoint, body: str) -> None:
    (good,) = shop.queued()
    assert shop.deliver([body, good]) == ["m0"]
    assert only(shop).status is DeliveryStatus.DELIVERED


def test_an_update_older_than_the_newest_is_skipped(shop: Shop, endpoint: Endpoint) -> None:
    shop.deliver()
    shop.webhook(session_state="PAYMENT_LOADED")
    shop.settle()
    reopened = shop.queued()
    shop.wait(minutes=31)
    shop.sweep()
    shop.webhook(session_state="PHONE_ENTERED")
    shop.deliver(reopened)
    updates = [own for own in shop.deliveries() if own.event_type == "checkout.updated"]
    assert [(own.status, own.reason) for own in updates] == [(DeliveryStatus.SKIPPED, "outdated")]
