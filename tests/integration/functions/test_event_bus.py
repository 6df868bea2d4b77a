"""Every event on the stage's own bus, from the table's stream: once written, whoever wrote it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from functions.dispatch import event_bus
from shared.aws import clients
from shared.aws.event_bus import BusEvent, BusUnavailable, Refused
from shared.domain.ids import new_ulid
from shared.store.configuration import EndpointStore
from shared.workflows.delivering.endpoint_events import EndpointEvents
from tests.integration.account import onlookers_client
from tests.integration.shop import Shop

PHONE = "7777788888"


class Heard:
    """What stands in for the bus."""

    def __init__(self) -> None:
        self.events: list[BusEvent] = []
        self.refuses: set[str] = set()
        self.fails = False

    def put(self, events: Sequence[BusEvent]) -> list[Refused]:
        if self.fails:
            raise BusUnavailable("none are on the bus")
        self.events += [own for own in events if own.type not in self.refuses]
        return [Refused(own, "ValidationException") for own in events if own.type in self.refuses]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    found = Heard()
    monkeypatch.setattr(event_bus, "bus", lambda: found)
    return found


def feed(shop: Shop) -> None:
    """The stream from its beginning."""
    assert event_bus.handler({"Records": shop.written()}, None) == {"batchItemFailures": []}


def settled(shop: Shop) -> None:
    """An abandonment, its purchase, a tested endpoint: each an event."""
    endpoint = shop.endpoint("checkout.abandoned")
    shop.abandon()
    shop.settle()
    shop.webhook(session_state="COMPLETED")
    shop.settle()
    stores = shop.stores
    EndpointEvents(
        shop.table, EndpointStore(shop.table), stores.deliveries, stores.queues.fresh, lambda: shop.now
    ).test(endpoint, new_ulid(shop.now))


def test_every_event_that_was_written_is_put_whoever_hears_of_it(shop: Shop, heard: Heard) -> None:
    settled(shop)
    feed(shop)
    assert [own.type for own in heard.events] == ["checkout.abandoned", "checkout.recovered", "endpoint.test"]
    assert [own.id for own in heard.events][:2] == [own.id for own in shop.events()]
    assert len({own.id for own in heard.events}) == 3


def test_who_the_shopper_is_is_told_where_the_stage_says_so_alone(
    shop: Shop, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(shop)
    feed(shop)
    cut = heard.events[0]
    assert PHONE not in cut.detail
    assert json.loads(cut.detail)["id"] == cut.id
    monkeypatch.setenv("EVENT_BUS_PERSONAL_DATA", "on")
    heard.events.clear()
    feed(shop)
    assert heard.events[0].detail.encode() == shop.events()[0].body
    assert PHONE in heard.events[0].detail


def test_what_changes_later_is_no_event(shop: Shop, heard: Heard) -> None:
    settled(shop)
    for record in (records := shop.written()):
        record["eventName"] = "MODIFY"
    event_bus.handler({"Records": records}, None)
    assert heard.events == []


def test_an_event_that_nobody_can_read_or_no_bus_takes_holds_up_no_other(shop: Shop, heard: Heard) -> None:
    settled(shop)
    records = shop.written()
    (broken,) = (own for own in records if own["dynamodb"]["NewImage"].get("ty") == {"S": "checkout.recovered"})
    broken["dynamodb"]["NewImage"]["body"] = {"B": "bm90IGFuIGV2ZW50"}
    heard.refuses = {"checkout.abandoned"}
    assert event_bus.handler({"Records": records}, None) == {"batchItemFailures": []}
    assert [own.type for own in heard.events] == ["endpoint.test"]


def test_a_bus_that_takes_none_for_now_lets_all_come_again(shop: Shop, heard: Heard) -> None:
    settled(shop)
    heard.fails = True
    with pytest.raises(BusUnavailable):
        feed(shop)
    heard.fails = False
    feed(shop)
    assert len(heard.events) == 3


def test_the_function_calls_the_bus_that_it_was_told_of(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own client, on an account that has this bus alone."""
    name = "checkback-dev-events"
    monkeypatch.setenv("EVENT_BUS_NAME", name)
    for cached in (event_bus.bus, clients.events):
        cached.cache_clear()
    onlookers_client("events").create_event_bus(Name=name)
    asked: list[dict[str, Any]] = []
    clients.events().meta.events.register(
        "provide-client-params.events.PutEvents", lambda params, **_: asked.append(params)
    )
    try:
        settled(shop)
        feed(shop)
    finally:
        onlookers_client("events").delete_event_bus(Name=name)
        for cached in (event_bus.bus, clients.events):
            cached.cache_clear()
    (request,) = asked
    assert [own["EventBusName"] for own in request["Entries"]] == [name] * 3
    assert [own["Source"] for own in request["Entries"]] == ["checkback"] * 3
    assert {own["DetailType"] for own in request["Entries"]} >= {"checkout.abandoned", "checkout.recovered"}


@pytest.mark.parametrize("record", [{}, {"eventName": "INSERT"}, {"eventName": "INSERT", "dynamodb": {"Keys": {}}}])
def test_a_record_that_is_none_is_passed_over(heard: Heard, record: dict[str, Any]) -> None:
    assert event_bus.handler({"Records": [record]}, None) == {"batchItemFailures": []}
    assert heard.events == []
