"""Events on merchants' own buses: as few requests as go, and what befalls one event is that event's alone."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.delivery.exchange import Answer, OutboundRequest
from shared.destinations import aws_request
from shared.domain.ids import EndpointId, MerchantId, new_ulid
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.store.health import HealthStore
from shared.workflows.delivering.endpoint_events import EndpointEvents
from tests.integration.shop import MERCHANT, Shop

ACCOUNT = "111122223333"
NEIGHBOUR = MerchantId("mer_neighbour")


NOT_LET_IN = "the bus is not there, or its policy does not let Checkback put this event on it"
DENIED = Answer(400, {}, b'{"__type":"AccessDeniedException"}')


def bus_arn(merchant_id: str) -> str:
    return f"arn:aws:events:eu-west-1:{ACCOUNT}:event-bus/checkback-{merchant_id}"


class Buses:
    """A shop whose events go to buses, and EventBridge behind them."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.put: list[str] = []
        """The events that are on a bus, by their ids, each time."""
        self.refused: dict[str, str] = {}
        """Codes by event."""
        self.refuses_requests: Callable[[list[dict[str, str]]], Answer | None] = lambda _: None
        self._number = 0
        shop.answer = self.answer

    def endpoint(self, merchant_id: MerchantId = MERCHANT, **settings: Any) -> Endpoint:
        made = Endpoint(
            EndpointId("ep_" + new_ulid(self.shop.now)),
            merchant_id,
            "eventbridge",
            self.shop.now,
            event_types=("checkout.abandoned",),
            settings={"bus_arn": bus_arn(merchant_id), **settings},
        )
        EndpointStore(self.shop.table).create(made)
        return made

    def event(self, endpoint: Endpoint) -> DeliveryRecord:
        """A test event on its way."""
        self._number += 1
        stores = self.shop.stores
        return EndpointEvents(
            self.shop.table,
            EndpointStore(self.shop.table),
            stores.deliveries,
            stores.queues.fresh,
            lambda: self.shop.now,
        ).test(endpoint, f"{self._number:026d}")

    def answer(self, request: OutboundRequest) -> Answer:
        """As ``PutEvents`` answers."""
        if "x-amz-target" not in request.headers:
            return Answer(200)
        entries = json.loads(request.body)["Entries"]
        refused = self.refuses_requests(entries)
        if refused is not None:
            return refused
        told = [self._entry(json.loads(entry["Detail"])["id"]) for entry in entries]
        failed = sum("ErrorCode" in entry for entry in told)
        return Answer(200, {}, json.dumps({"FailedEntryCount": failed, "Entries": told}).encode())

    def _entry(self, event_id: str) -> dict[str, str]:
        if event_id in self.refused:
            return {"ErrorCode": self.refused[event_id], "ErrorMessage": "said so"}
        self.put.append(event_id)
        return {"EventId": f"aws-{event_id}"}

    def statuses(self) -> dict[str, DeliveryStatus]:
        return {own.event_id: own.status for own in self.shop.deliveries()}

    def sizes(self) -> list[int]:
        """How many events each request held."""
        return [len(json.loads(own.body)["Entries"]) for own in self.shop.sent]


@pytest.fixture
def buses(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buses]:
    monkeypatch.setenv("ACCOUNT_ID", "000011112222")
    aws_request.role.cache_clear()
    yield Buses(shop)
    aws_request.role.cache_clear()


def test_an_abandonment_comes_as_the_webhook_would_have_had_it(buses: Buses) -> None:
    shop = buses.shop
    endpoint = buses.endpoint()
    shop.wait(seconds=1)
    shop.endpoint("checkout.abandoned")
    shop.abandon()
    shop.settle()
    shop.deliver()

    (on_bus,) = (json.loads(own.body)["Entries"] for own in shop.sent if "amazonaws" in own.url)
    (posted,) = (own.body for own in shop.sent if "amazonaws" not in own.url)
    (entry,) = on_bus
    assert entry["Detail"].encode() == posted
    assert (entry["Source"], entry["DetailType"]) == ("checkback", "checkout.abandoned")
    assert entry["EventBusName"] == bus_arn(MERCHANT)
    (own,) = (own for own in shop.deliveries() if own.endpoint_id == endpoint.id)
    (attempt,) = own.attempts
    assert (attempt["status_code"], attempt["latency_ms"], attempt["outcome"]) == (200, 7, "delivered")
    assert json.loads(attempt["response_body"])["Entries"][0]["EventId"].startswith("aws-evt_")


def test_a_batch_is_one_request_a_bus_and_nobody_shares_one(buses: Buses) -> None:
    own, other = buses.endpoint(), buses.endpoint(NEIGHBOUR)
    for _ in range(4):
        buses.event(own)
        buses.event(other)
    buses.shop.deliver()

    assert sorted(buses.sizes()) == [4, 4]
    for request in buses.shop.sent:
        assert len({entry["EventBusName"] for entry in json.loads(request.body)["Entries"]}) == 1
    assert set(buses.statuses().values()) == {DeliveryStatus.DELIVERED}


def test_of_a_partial_failure_only_what_failed_is_put_again(buses: Buses) -> None:
    endpoint = buses.endpoint()
    events = [buses.event(endpoint).event_id for _ in range(5)]
    buses.refused = {events[1]: "InternalFailure", events[3]: "ThrottlingException"}
    assert buses.shop.deliver() == []
    assert buses.sizes() == [5]
    assert {event for event, own in buses.statuses().items() if own is DeliveryStatus.RETRYING} == {*buses.refused}

    buses.refused = {}
    buses.shop.wait(seconds=30)
    buses.shop.deliver(buses.shop.retries())
    assert sorted(buses.put) == sorted(events), "each of them once"
    assert set(buses.statuses().values()) == {DeliveryStatus.DELIVERED}


def test_what_fails_for_good_says_why_and_costs_no_other(buses: Buses) -> None:
    endpoint = buses.endpoint()
    events = [buses.event(endpoint).event_id for _ in range(3)]
    buses.refused = {events[0]: "MalformedDetail"}
    buses.shop.deliver()
    assert buses.statuses() == {
        events[0]: DeliveryStatus.FAILED,
        events[1]: DeliveryStatus.DELIVERED,
        events[2]: DeliveryStatus.DELIVERED,
    }
    reasons = {own.event_id: own.reason for own in buses.shop.deliveries()}
    assert reasons[events[0]] == "EventBridge MalformedDetail: said so"


def test_a_request_refused_for_one_events_sake_is_made_again_event_by_event(buses: Buses) -> None:
    """A policy that names the types it takes refuses a whole request."""
    endpoint = buses.endpoint()
    events = [buses.event(endpoint).event_id for _ in range(3)]

    def refuse(entries: list[dict[str, str]]) -> Answer | None:
        barred = any(json.loads(entry["Detail"])["id"] == events[1] for entry in entries)
        return DENIED if barred else None

    buses.refuses_requests = refuse
    buses.shop.deliver()
    assert buses.sizes() == [3, 1, 1, 1]
    assert buses.statuses() == {
        events[0]: DeliveryStatus.DELIVERED,
        events[1]: DeliveryStatus.FAILED,
        events[2]: DeliveryStatus.DELIVERED,
    }


def test_a_throttled_request_waits_for_the_endpoints_schedule_and_no_longer_request_follows(buses: Buses) -> None:
    endpoint = buses.endpoint(retry_schedule=[60_000])
    for _ in range(3):
        buses.event(endpoint)
    buses.refuses_requests = lambda _: Answer(400, {}, b'{"__type":"ThrottlingException"}')
    buses.shop.deliver()
    assert buses.sizes() == [3]
    assert set(buses.statuses().values()) == {DeliveryStatus.RETRYING}
    assert {own.attempt_count for own in buses.shop.deliveries()} == {1}


def test_a_bus_that_is_gone_opens_its_own_breaker_and_no_other(buses: Buses) -> None:
    gone, whole = buses.endpoint(), buses.endpoint(NEIGHBOUR)
    buses.refuses_requests = lambda entries: (
        Answer(400, {}, b'{"__type":"AccessDeniedException"}')
        if entries[0]["EventBusName"] == bus_arn(MERCHANT)
        else None
    )
    for _ in range(5):
        buses.event(gone)
        buses.event(whole)
    buses.shop.deliver()
    health = HealthStore(buses.shop.table)
    assert health.get(gone.id).open_until is not None
    assert health.get(whole.id).open_until is None
    reasons = {own.reason for own in buses.shop.deliveries() if own.endpoint_id == gone.id}
    assert reasons == {f"EventBridge AccessDeniedException: {NOT_LET_IN}"}


def test_the_same_message_twice_puts_the_event_once(buses: Buses) -> None:
    buses.event(buses.endpoint())
    (body,) = buses.shop.queued()
    buses.shop.deliver([body])
    buses.shop.deliver([body])
    assert len(buses.put) == 1


def test_a_bus_that_is_no_longer_certainly_the_merchants_gets_nothing(buses: Buses) -> None:
    """Stored by whatever way: before anything is signed, whose it is is asked again."""
    endpoint = buses.endpoint(bus_arn=bus_arn(NEIGHBOUR))
    buses.event(endpoint)
    buses.shop.deliver()
    assert buses.shop.sent == []
    (own,) = buses.shop.deliveries()
    assert own.status is DeliveryStatus.FAILED
    assert str(own.reason).startswith("bus_arn: the bus must be named")


def test_no_client_of_eventbridge_is_made(buses: Buses) -> None:
    """Requests are signed by hand: its model is not in the bundle, and other kinds pay nothing."""
    from infra.functions import FUNCTIONS

    assert "events" not in FUNCTIONS["deliver"].services
