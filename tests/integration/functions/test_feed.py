"""The feed of updates: a delivery gets its row with its first attempt, and is as safe as any other before it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.aws.queues import DeliveryMessage
from shared.delivery.exchange import Answer, DestinationTimeout, OutboundRequest, SendResult
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.workflows.privacy.merchant_erasure import Clock, MerchantErasure
from tests.integration.shop import MERCHANT, SESSION, Shop, aws_event, stranger
from tests.integration.workflows.privacy.test_erasure_races import erase

pytestmark = pytest.mark.usefixtures("endpoint")


@pytest.fixture
def endpoint(shop: Shop) -> Endpoint:
    """It hears every update."""
    own = shop.endpoint("checkout.updated", url="https://feed.example/")
    MerchantStore(shop.table).flag(MERCHANT, feed=True, raw=False)
    shop.wait(seconds=6)  # merchants are remembered for five
    return own


def told(shop: Shop, **changed: Any) -> str:
    """A webhook, and the message that leads to its delivery."""
    shop.webhook(**changed)
    shop.settle()
    (body,) = shop.queued()
    return body


def only(shop: Shop) -> DeliveryRecord:
    (delivery,) = shop.deliveries()
    return delivery


def test_an_update_is_one_row_when_it_is_told_and_one_when_it_has_arrived(shop: Shop, endpoint: Endpoint) -> None:
    body = told(shop)
    assert shop.deliveries() == []
    (event,) = shop.events()
    assert shop.deliver([body]) == []
    (request,) = shop.sent
    own = only(shop)
    assert (request.body, request.headers["webhook-id"]) == (event.body, event.id)
    assert (own.status, own.attempt_count, own.attempts[0]["status_code"]) == (DeliveryStatus.DELIVERED, 1, 200)
    assert (own.id, own.endpoint_id, own.merchant_id) == (json.loads(body)["unwritten_id"], endpoint.id, MERCHANT)
    assert (own.event_id, own.event_type, own.created_at) == (event.id, "checkout.updated", event.at)
    assert (own.checkout_digest, own.event_version) == (event.checkout_digest, event.version)
    assert own.correlation_id == event.correlation_id is not None


def test_its_message_holds_ids_alone(shop: Shop) -> None:
    body = json.loads(told(shop))
    of_request = aws_event("webhook")["requestContext"]["requestId"]
    assert body.pop("unwritten_id").startswith("dlv_")
    assert body == {"merchant_id": MERCHANT, "n": 0, "chk": shop.digest(), "ver": 1, "cid": of_request}


def test_a_release_that_looks_for_a_row_first_gives_the_message_back(shop: Shop) -> None:
    """It reads ``delivery_id``, and drops what has no row; what it cannot read it gives back to the queue."""
    assert "delivery_id" not in json.loads(told(shop))


@pytest.mark.parametrize("missing", ["chk", "ver", "unwritten_id"])
def test_a_message_that_names_no_event_is_none(shop: Shop, missing: str) -> None:
    body = {own: value for own, value in json.loads(told(shop)).items() if own != missing}
    with pytest.raises(ValueError, match="not a delivery message"):
        DeliveryMessage.read(json.dumps(body))


def test_a_message_that_comes_twice_is_sent_once(shop: Shop) -> None:
    body = told(shop)
    shop.deliver([body, body])
    shop.deliver([body])
    assert len(shop.sent) == 1


def test_a_refusal_is_tried_again_by_the_schedule(shop: Shop) -> None:
    shop.answer = lambda _: Answer(503)
    shop.deliver([told(shop)])
    assert (only(shop).status, only(shop).attempt_count) == (DeliveryStatus.RETRYING, 1)
    shop.answer = lambda _: Answer(200)
    shop.wait(seconds=6)
    shop.deliver(shop.retries())
    assert (only(shop).status, only(shop).attempt_count) == (DeliveryStatus.DELIVERED, 2)
    assert len({own.body for own in shop.sent}) == 1


def test_an_older_update_than_the_newest_ends_skipped(shop: Shop) -> None:
    first = told(shop)
    second = told(shop, session=SESSION, total_payable=701)
    shop.deliver([second, first])
    assert [own["sequence"] for own in shop.told()] == [2]
    assert [(own.status, own.reason) for own in shop.deliveries()] == [
        (DeliveryStatus.SKIPPED, "outdated"),
        (DeliveryStatus.DELIVERED, None),
    ]


def test_what_waits_is_seen(shop: Shop, endpoint: Endpoint) -> None:
    endpoints = EndpointStore(shop.table)
    stored = endpoints.get(MERCHANT, endpoint.id)
    assert stored is not None
    endpoints.replace(replace(stored.value, settings={"rate_limit": {"max": 1, "per": 1000}}), stored.version)
    bodies = [told(shop, session=f"session-{number}", user=stranger(number)) for number in range(3)]
    shop.deliver(bodies)
    assert sorted(own.status for own in shop.deliveries()) == [
        DeliveryStatus.DELIVERED,
        DeliveryStatus.PENDING,
        DeliveryStatus.PENDING,
    ]
    for _ in range(3):
        shop.wait(seconds=2)
        shop.deliver(shop.retries())
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}
    assert len(shop.sent) == 3


def test_whom_the_quick_lane_does_not_wait_for_is_seen_and_goes_by_the_slow_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = told(shop)
    with monkeypatch.context() as hung:

        def nothing(requests: list[OutboundRequest], _: Any = None) -> list[SendResult]:
            return [SendResult(shop.now, shop.now, 2000, sent=True, error=DestinationTimeout("hung")) for _ in requests]

        hung.setattr(shop, "send_all", nothing)
        shop.deliver([body])
    assert only(shop).status is DeliveryStatus.PENDING
    shop.deliver(shop.slow())
    assert only(shop).status is DeliveryStatus.DELIVERED


def test_where_its_endpoint_was_disabled_meanwhile_it_is_held(shop: Shop, endpoint: Endpoint) -> None:
    body = told(shop)
    EndpointStore(shop.table).disable(MERCHANT, endpoint.id, "asked")
    shop.deliver([body])
    assert (only(shop).status, only(shop).reason) == (DeliveryStatus.HELD, "endpoint_disabled")
    assert shop.sent == []


def test_where_its_endpoint_is_gone_it_says_so(shop: Shop, endpoint: Endpoint) -> None:
    body = told(shop)
    EndpointStore(shop.table).delete(MERCHANT, endpoint.id)
    shop.deliver([body])
    assert (only(shop).status, only(shop).reason) == (DeliveryStatus.SKIPPED, "endpoint_deleted")
    assert shop.sent == []


def test_another_merchants_event_is_nobodys(shop: Shop) -> None:
    body = json.loads(told(shop))
    foreign = DeliveryMessage.read(json.dumps(body | {"merchant_id": "mer_" + "0" * 26}))
    shop.deliver([foreign.text()])
    assert shop.sent == []
    assert [own.status for own in shop.deliveries()] == [DeliveryStatus.SKIPPED]


class TestErased:
    """Nothing of the shopper or of the receiver's answer stays, whenever the erasure comes."""

    def test_before_the_attempt_nothing_is_sent_and_no_row_begun(self, shop: Shop) -> None:
        body = told(shop)
        erase(shop)
        shop.deliver([body])
        assert [own["type"] for own in shop.told()] in ([], ["customer.erased"])
        assert [own for own in shop.deliveries() if own.event_type == "checkout.updated"] == []

    def test_while_it_is_out_the_receivers_words_go(self, shop: Shop) -> None:
        body = told(shop)

        def erased_meanwhile(_: OutboundRequest) -> Answer:
            erase(shop)
            return Answer(200, body=b"thanks, Asha Patel")

        shop.answer = erased_meanwhile
        shop.deliver([body])
        (own,) = [each for each in shop.deliveries() if each.event_type == "checkout.updated"]
        assert own.attempts[0]["response_body"] is None
        assert shop.events()[0].type == "customer.erased" or shop.events() == []

    def test_between_the_answer_and_its_row_too(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        body, record = told(shop), DeliveryStore.record
        shop.answer = lambda _: Answer(200, body=b"thanks, Asha Patel")

        def erased_first(*arguments: Any) -> bool:
            erase(shop)
            return record(*arguments)

        monkeypatch.setattr(DeliveryStore, "record", erased_first)
        shop.deliver([body])
        assert all(
            own["response_body"] is None
            for each in shop.deliveries()
            for own in each.attempts
            if each.event_type == "checkout.updated"
        )

    @pytest.mark.parametrize("last", [True, False], ids=["after all else", "before the events went"])
    def test_of_a_merchant_that_is_erased_meanwhile_no_word_stays(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, last: bool
    ) -> None:
        """The attempt ends when the merchant is gone, or just before its endpoints' deliveries are looked for."""
        body, record = told(shop), DeliveryStore.record
        shop.answer = lambda _: Answer(200, body=b"thanks, Asha Patel")
        own = shop.stores
        erasure = MerchantErasure(
            own.table, own.bucket, lambda *_: None, lambda: shop.now, Clock(lambda: 0.0, lambda _: None)
        )
        original = MerchantErasure._erase_hanging
        written: list[bool] = []

        def recorded(*arguments: Any) -> bool:
            if last:
                erasure.erase(shop.merchant)
                return record(*arguments)

            def in_between(erasing: MerchantErasure, *rest: Any) -> None:
                written.append(record(*arguments))
                original(erasing, *rest)

            monkeypatch.setattr(MerchantErasure, "_erase_hanging", in_between)
            erasure.erase(shop.merchant)
            return written[0]

        monkeypatch.setattr(DeliveryStore, "record", recorded)
        shop.deliver([body])
        assert shop.events() == []
        assert "Asha" not in str(shop.rows())
        assert [each.attempts[0]["response_body"] for each in shop.deliveries()] == ([None] if last else [])
