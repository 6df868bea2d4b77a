"""``GET /v1/events``: what webhooks carry, one after another, for who cannot take webhooks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
import time_machine

from functions.merchant_api import services
from shared.domain.announcement import EventType, Messaging, envelope
from shared.domain.event_cursor import SETTLED_AFTER_MS
from shared.domain.ids import EventId, MerchantId, SourceId, checkout_digest, event_id
from shared.domain.settings import Settings
from shared.store import keys
from shared.store.events import EventRecord, EventStore
from shared.workflows.insight import event_stream
from tests.integration.api.conftest import Api, new_merchant
from tests.unit.domain.sessions import NOON, begun

FOR_A_WEEK = timedelta(days=7)


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def merchant_id(merchant: Api) -> MerchantId:
    return MerchantId(merchant("GET", "/v1/merchant").json["id"])


def told(merchant_id: MerchantId, checkout: str, version: int, kind: str = "checkout.abandoned") -> EventRecord:
    """An event of the merchant's that is written now."""
    own, digest = services.services(), checkout_digest(merchant_id, SourceId("src_1"), checkout)
    identity = event_id(own.now(), digest, version, kind)
    at_hand = replace(begun(), merchant_id=merchant_id, version=version, leaves={"name": f"Zoë's {checkout}"})
    body = envelope(
        identity,
        EventType(kind),
        own.now(),
        at_hand,
        recovery_url=None,
        episode=None,
        messaging=Messaging(may_send=True, reason=None),
        settings=Settings(),
    )
    event = EventRecord(
        id=identity,
        type=kind,
        at=own.now(),
        merchant_id=merchant_id,
        checkout_digest=digest,
        version=version,
        body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        endpoint_ids=(),
        do_not_send_after=None,
        expires_at=own.now() + FOR_A_WEEK,
    )
    own.table.put(EventStore(own.table).new(event))
    return event


def ids(answer: Any) -> list[EventId]:
    assert answer.status == 200, answer.text
    return [own["id"] for own in answer.json["data"]]


def test_a_merchant_without_endpoints_reads_the_envelopes_byte_for_byte(merchant: Api, merchant_id: MerchantId) -> None:
    events = [told(merchant_id, "one", 1), told(merchant_id, "one", 2, "checkout.recovered")]

    page = merchant("GET", "/v1/events")

    assert all(own.body.decode() in page.text for own in events)
    assert ids(page) == [own.id for own in events]
    again = merchant("GET", "/v1/events", query={"after": page.json["next_cursor"]})
    assert ids(again) == []
    assert again.json["next_cursor"]


def test_types_choose_and_now_begins_behind_what_was(merchant: Api, merchant_id: MerchantId) -> None:
    told(merchant_id, "one", 1)
    recovered = told(merchant_id, "one", 2, "checkout.recovered")

    assert ids(merchant("GET", "/v1/events", query={"types": "checkout.recovered,checkout.expired"})) == [recovered.id]
    start = merchant("GET", "/v1/events", query={"after": "now"})
    assert ids(start) == []
    late = told(merchant_id, "two", 1)
    assert ids(merchant("GET", "/v1/events", query={"after": start.json["next_cursor"]})) == [late.id]


def test_a_rare_type_does_not_wait_behind_a_crowd_of_others(
    merchant: Api, merchant_id: MerchantId, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_MORE_PLACES", 7)
    for number in range(40):
        told(merchant_id, f"crowd {number}", 1)
    rare = told(merchant_id, "rare", 1, "checkout.recovered")
    told(merchant_id, "crowd behind", 1)
    query = {"types": "checkout.recovered", "limit": "2"}

    first = merchant("GET", "/v1/events", query=query)
    assert ids(first) == [rare.id]
    again = merchant("GET", "/v1/events", query=query | {"after": first.json["next_cursor"]})
    assert ids(again) == []
    clock.shift(100)
    late = told(merchant_id, "late", 1, "checkout.recovered")
    assert ids(merchant("GET", "/v1/events", query=query | {"after": again.json["next_cursor"]})) == [late.id]


def test_a_step_looks_at_so_many_places_and_a_waiting_reader_the_less_often(
    merchant: Api, merchant_id: MerchantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_MORE_PLACES", 4)
    monkeypatch.setattr(event_stream, "_MOST_PLACES", 20)
    for number in range(40):
        told(merchant_id, f"crowd {number}", 1)
    stream, slept, looks = services.services().event_stream, [0.0], [0]
    after = stream._places.after

    def counted(*named: Any) -> Any:
        looks[0] += 1
        return after(*named)

    monkeypatch.setattr(stream, "_sleep", slept.append)
    monkeypatch.setattr(stream, "_clock", lambda: sum(slept))
    monkeypatch.setattr(stream._places, "after", counted)

    query = {"types": "checkout.recovered", "limit": "1", "wait": "10"}
    assert ids(merchant("GET", "/v1/events", query=query)) == []

    assert slept[1] >= 5, "five times four places, a second each"
    assert len(slept) == 3
    assert looks[0] <= 3 * 6


@pytest.mark.parametrize(
    "query", [{"types": "checkout.sold"}, {"after": "MTIz"}, {"after": "ü"}, {"wait": "11"}, {"limit": "0"}]
)
def test_what_is_no_reading_is_refused_by_name(merchant: Api, query: dict[str, str]) -> None:
    refused = merchant("GET", "/v1/events", query=query)

    assert refused.status == 422
    assert [own["parameter"] for own in refused.json["errors"]] == list(query)


def test_another_merchants_events_are_never_among_them(operator: Api, merchant: Api, merchant_id: MerchantId) -> None:
    told(merchant_id, "one", 1)
    cursor = merchant("GET", "/v1/events").json["next_cursor"]
    stranger = operator.as_(new_merchant(operator)["token"])

    assert ids(stranger("GET", "/v1/events")) == []
    told(MerchantId(stranger("GET", "/v1/merchant").json["id"]), "theirs", 1)
    refused = stranger("GET", "/v1/events", query={"after": cursor})
    assert (refused.status, refused.json["errors"]) == (
        422,
        [{"parameter": "after", "detail": "not a cursor of this list"}],
    )


def test_an_erased_event_does_not_come_back_and_holds_up_no_other(merchant: Api, merchant_id: MerchantId) -> None:
    gone, kept = told(merchant_id, "one", 1), told(merchant_id, "two", 1)
    services.services().table.delete_all([keys.event(gone.checkout_digest, 1)])

    assert ids(merchant("GET", "/v1/events")) == [kept.id]


def test_a_thousand_events_of_late_writers_are_read_with_a_restart_in_between(
    merchant: Api, merchant_id: MerchantId, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty writers, each stamping its event at one time and showing it up to a minute later than others."""
    written: dict[str, str] = {}
    cursor: str | None = None
    read: list[tuple[str, int]] = []
    table = services.services().table
    for turn in range(50):
        clock.move_to(NOON + timedelta(seconds=20 * turn))
        stamped = table.now_ms()
        for writer in range(20):
            # Its place is of an earlier instant than the one at which it shows.
            with monkeypatch.context() as skewed:
                skewed.setattr(table, "now_ms", partial(int, stamped - writer * 3_000))
                event = told(merchant_id, f"{writer}", turn + 1)
            written[event.id] = event.checkout_digest
        if turn % 2 == 0 or turn == 49:
            pages = count()
            while True:
                query = {"limit": "7" if next(pages) % 2 else "200"} | ({"after": cursor} if cursor else {})
                page = merchant("GET", "/v1/events", query=query)
                read += [(own["id"], own["sequence"]) for own in page.json["data"]]
                assert len(page.json["next_cursor"]) < 8_000
                cursor = page.json["next_cursor"]
                if not page.json["data"]:
                    break
        if turn == 25:
            services.services.cache_clear()
            table = services.services().table

    clock.shift(SETTLED_AFTER_MS / 1000 + 1)
    rest = merchant("GET", "/v1/events", query={"after": cursor or "", "limit": "200"})
    read += [(own["id"], own["sequence"]) for own in rest.json["data"]]
    assert {own for own, _ in read} == written.keys()
    assert len(written) == 1_000
    for digest in set(written.values()):
        order = [sequence for own, sequence in read if written[own] == digest]
        assert list(dict.fromkeys(order)) == sorted(set(order))
    assert len(read) < 1_100


def test_a_waiting_reader_is_answered_when_something_happens(
    merchant: Api, merchant_id: MerchantId, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.shift(seconds)
        if len(slept) == 3:
            told(merchant_id, "one", 1)

    stream = services.services().event_stream
    monkeypatch.setattr(stream, "_sleep", sleep)
    monkeypatch.setattr(stream, "_clock", lambda: sum(slept))

    assert len(ids(merchant("GET", "/v1/events", query={"wait": "10"}))) == 1
    assert len(slept) == 3


def test_no_merchant_holds_more_than_its_places_and_they_fall_back(
    merchant: Api, merchant_id: MerchantId, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = services.services().event_stream
    monkeypatch.setattr(stream, "_sleep", pytest.fail)
    taken = [stream._waiting.take(merchant_id, 10) for _ in range(5)]
    assert taken[-1] is None

    refused = merchant("GET", "/v1/events", query={"wait": "10"})
    assert ids(refused) == []
    assert refused.headers["retry-after"] == "10"

    clock.shift(10)
    assert stream._waiting.take(merchant_id, 10) is not None
