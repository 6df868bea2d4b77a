"""How soon an endpoint answers: from all attempts of a period, or from a sample that says so."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from functions.merchant_api import services
from shared.domain.ids import EndpointId, EventId, MerchantId, delivery_id
from shared.domain.instants import to_rfc3339
from shared.store import keys
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.workflows.insight.endpoint_latency import endpoint_latency
from tests.integration.api.conftest import Api, new_merchant


@pytest.fixture
def endpoint(merchant: Api) -> str:
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"})
    return str(made.json["id"])


def sent(endpoint_id: str, at: datetime, name: str, *took: int | None) -> None:
    """A delivery with an attempt for each time; None: it was not answered."""
    attempts: list[dict[str, Any]] = [
        {
            "at": to_rfc3339(at + timedelta(minutes=number)),
            "status_code": None if own is None else 200,
            "latency_ms": 15_000 if own is None else own,
            "response_body": None,
            "outcome": "retry" if own is None else "delivered",
            "reason": None,
            "next_attempt_at": None,
        }
        for number, own in enumerate(took)
    ]
    record = DeliveryRecord(
        id=delivery_id(at, EventId(name), EndpointId(endpoint_id)),
        endpoint_id=EndpointId(endpoint_id),
        merchant_id=MerchantId("mer_1"),
        event_id=EventId(name),
        event_type="checkout.abandoned",
        checkout_digest="c",
        event_version=1,
        status=DeliveryStatus.DELIVERED,
        created_at=at,
        attempt_count=len(attempts),
        attempts=tuple(attempts),
    )
    services.services().deliveries.create(record)


def report(merchant: Api, endpoint: str, period: str) -> Any:
    answer = merchant("GET", f"/v1/metrics/endpoints/{endpoint}", query={"period": period})
    assert answer.status == 200, answer.text
    return answer.json


def test_every_attempt_of_the_period_counts_and_no_other(merchant: Api, endpoint: str) -> None:
    now = services.services().now()
    for number in range(1, 101):
        sent(endpoint, now - timedelta(days=3, seconds=number), f"old {number}", number)
    sent(endpoint, now - timedelta(hours=2), "new", None, 4_000)
    sent(endpoint, now - timedelta(days=8), "before", 9_999)

    day, week = report(merchant, endpoint, "P1D"), report(merchant, endpoint, "P7D")

    assert (day["share"], day["deliveries"]) == (1, 1)
    assert day["total"] == {"attempts": 2, "delivered": 1, "p50_ms": 4000, "p95_ms": 4000, "slowest_ms": 4000}
    assert (week["total"]["attempts"], week["total"]["delivered"]) == (102, 101)
    assert (week["total"]["p50_ms"], week["total"]["p95_ms"], week["total"]["slowest_ms"]) == (51, 96, 4000)
    assert sum(own["attempts"] for own in week["data"]) == 102
    assert len(week["data"]) == 8
    assert len(day["data"]) in {25, 26}
    assert {own["start"][-6:] for own in day["data"]} == {"30:00Z"}  # India's hours
    assert report(merchant, endpoint, "P30D")["total"]["slowest_ms"] == 9_999


def test_of_many_whole_shards_are_looked_at_and_the_answer_says_which_part(merchant: Api, endpoint: str) -> None:
    now, store = services.services().now(), services.services().deliveries
    sent_to = dict.fromkeys(keys.deliveries(EndpointId(endpoint)), 0)
    for number in count():
        at, name = now - timedelta(minutes=number), f"event {number}"
        shard, _ = keys.delivery(delivery_id(at, EventId(name), EndpointId(endpoint)), EndpointId(endpoint))
        if sent_to[shard] < 20:  # each is as full as it would be on average
            sent(endpoint, at, name, 100 + number)
            sent_to[shard] += 1
        if sum(sent_to.values()) == 160:
            break

    some = endpoint_latency(store, EndpointId(endpoint), now - timedelta(days=1), now, most=60)
    least = endpoint_latency(store, EndpointId(endpoint), now - timedelta(days=1), now, most=5)
    all_of_them = endpoint_latency(store, EndpointId(endpoint), now - timedelta(days=1), now)

    assert (all_of_them.share, all_of_them.deliveries) == (1, 160)
    assert (some.share, some.deliveries) == (3 / 8, 60)
    assert some.since == now - timedelta(days=1)
    # One shard alone is more than that: its newest, since when it is said.
    assert (least.share, least.deliveries) == (1 / 8, 5)
    assert least.since == min(own.at for own in least.attempts) > now - timedelta(days=1)


def test_an_endpoint_that_was_sent_nothing_has_hours_without_attempts(merchant: Api, endpoint: str) -> None:
    found = report(merchant, endpoint, "P1D")

    assert found["total"] == {"attempts": 0, "delivered": 0, "p50_ms": None, "p95_ms": None, "slowest_ms": None}
    assert {own["attempts"] for own in found["data"]} == {0}


def test_an_endpoint_of_somebody_else_and_a_period_that_there_is_not(
    operator: Api, merchant: Api, endpoint: str
) -> None:
    other = operator.as_(new_merchant(operator)["token"])

    assert other("GET", f"/v1/metrics/endpoints/{endpoint}").status == 404
    assert merchant("GET", f"/v1/metrics/endpoints/{endpoint}", query={"period": "P2D"}).status == 422
