"""Breaker, rate limit and auto-disable in the deliver function: state shared through the table, no attempt burned."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.delivery.exchange import Answer, OutboundRequest
from shared.domain.breaker import TRIP_AFTER, BreakerState
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus
from shared.store.health import HealthStore
from tests.integration.shop import MERCHANT, Shop, stranger


def always(status: int) -> Any:
    return lambda _: Answer(status)


def health(shop: Shop, endpoint: Endpoint) -> Any:
    return HealthStore(shop.table).get(endpoint.id)


def abandon(shop: Shop, count: int, first: int = 0) -> None:
    """So many checkouts are abandoned."""
    for number in range(first, first + count):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()


def in_batches(shop: Shop, bodies: list[str]) -> None:
    for start in range(0, len(bodies), 10):
        shop.deliver(bodies[start : start + 10])


@pytest.fixture
def counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every write of the table, by the kind of its row."""
    written: list[str] = []

    def note(original: Any) -> Any:
        def noted(self: Any, write: Any) -> None:
            key = write.key[0] if hasattr(write, "key") else write.item["pk"]
            written.append(key[:2])
            original(self, write)

        return noted

    monkeypatch.setattr(type(shop.table), "update", note(type(shop.table).update))
    monkeypatch.setattr(type(shop.table), "put", note(type(shop.table).put))
    return written


def test_a_healthy_endpoint_costs_no_write_of_its_own(shop: Shop, counted: list[str]) -> None:
    shop.endpoint()
    abandon(shop, 3)
    counted.clear()
    shop.deliver()
    assert counted == ["T#"] * 3


def test_failures_open_the_breaker_and_the_rest_waits_without_an_attempt(shop: Shop) -> None:
    endpoint = shop.endpoint()
    abandon(shop, TRIP_AFTER + 3)
    shop.answer = always(500)
    bodies = shop.queued()
    shop.deliver(bodies[:TRIP_AFTER])
    assert health(shop, endpoint).state(shop.now) is BreakerState.OPEN
    shop.deliver(bodies[TRIP_AFTER:])
    assert len(shop.sent) == TRIP_AFTER
    waiting = [own for own in shop.deliveries() if own.attempt_count == 0]
    assert [own.status for own in waiting] == [DeliveryStatus.PENDING] * 3
    shop.wait(seconds=4)
    assert shop.retries() == [], "they wait for the breaker"
    shop.wait(seconds=40)
    assert len(shop.retries()) == TRIP_AFTER + 3


@pytest.mark.long
def test_a_half_open_breaker_lets_one_attempt_through_and_its_success_the_others(shop: Shop) -> None:
    endpoint = shop.endpoint()
    abandon(shop, TRIP_AFTER + 3)
    shop.answer = always(500)
    bodies = shop.queued()
    shop.deliver(bodies[:TRIP_AFTER])
    shop.retries()
    shop.wait(seconds=40)
    shop.sent.clear()
    shop.answer = always(200)
    shop.deliver(bodies[TRIP_AFTER:])
    assert len(shop.sent) == 1, "the probe"
    assert health(shop, endpoint).state(shop.now) is BreakerState.CLOSED
    shop.wait(seconds=20)
    shop.deliver(shop.retries())
    done = [own for own in shop.deliveries() if own.status is DeliveryStatus.DELIVERED]
    assert len(done) == TRIP_AFTER + 3


def test_a_probe_that_fails_opens_the_breaker_again_for_longer(shop: Shop) -> None:
    endpoint = shop.endpoint()
    abandon(shop, TRIP_AFTER + 1)
    shop.answer = always(503)
    bodies = shop.queued()
    shop.deliver(bodies[:TRIP_AFTER])
    shop.wait(seconds=40)
    shop.deliver(bodies[TRIP_AFTER:])
    after = health(shop, endpoint)
    assert after.trips == 2
    assert after.open_until - shop.now == timedelta(minutes=1)


def test_two_workers_do_not_probe_at_once(shop: Shop) -> None:
    endpoint = shop.endpoint()
    abandon(shop, TRIP_AFTER + 2)
    shop.answer = always(500)
    bodies = shop.queued()
    shop.deliver(bodies[:TRIP_AFTER])
    shop.wait(seconds=40)
    shop.sent.clear()

    def while_it_is_out(_: OutboundRequest) -> Answer:
        if len(shop.sent) == 1:
            shop.deliver([bodies[-1]])
        return Answer(200)

    shop.answer = while_it_is_out
    shop.deliver([bodies[-2]])
    assert len(shop.sent) == 1
    assert health(shop, endpoint).state(shop.now) is BreakerState.CLOSED


@pytest.mark.long
def test_a_rate_limit_is_kept_over_all_batches_of_a_window(shop: Shop, counted: list[str]) -> None:
    shop.endpoint(rate_limit={"max": 4, "per": 3_600_000})
    abandon(shop, 7)
    shop.clock.move_to(shop.now.replace(minute=0, second=1) + timedelta(hours=1))
    bodies = shop.queued()
    counted.clear()
    shop.deliver(bodies[:3])
    assert counted.count("B#") == 1
    shop.deliver(bodies[3:])
    assert len(shop.sent) == 4
    waiting = [own for own in shop.deliveries() if own.attempt_count == 0]
    assert [own.status for own in waiting] == [DeliveryStatus.PENDING] * 3
    for own in waiting:
        assert own.next_attempt_at is not None, "the due index wakes what a queue cannot hold so long"
        assert own.next_attempt_at >= shop.now.replace(minute=0, second=0) + timedelta(hours=1)
    shop.wait(hours=1, minutes=45)
    shop.sweep()
    shop.deliver(shop.retries())
    assert len(shop.sent) == 7


def test_a_short_rate_window_waits_in_the_queue(shop: Shop) -> None:
    shop.endpoint(rate_limit={"max": 1, "per": 1000})
    abandon(shop, 3)
    shop.deliver()
    assert len(shop.sent) == 1
    for _ in range(4):
        shop.wait(seconds=3)
        shop.deliver(shop.retries())
    assert len(shop.sent) == 3
    assert {own.attempt_count for own in shop.deliveries()} == {1}


@pytest.mark.long
def test_five_days_of_failures_disable_an_endpoint_and_tell_the_others(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = shop.endpoint()
    shop.answer = always(500)
    for day in range(5):
        abandon(shop, 2, first=10 * day)
        shop.deliver()
        shop.retries()
        shop.wait(hours=24)
    watcher = shop.endpoint("endpoint.disabled")
    abandon(shop, 1, first=90)
    capsys.readouterr()
    shop.deliver()
    found = EndpointStore(shop.table).get(MERCHANT, endpoint.id)
    assert found is not None
    assert (found.value.status, found.value.disabled_reason) == ("disabled", "failing")
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "EndpointDisabled" in line]
    assert metrics[0]["EndpointDisabled"] == [1.0]
    shop.sent.clear()
    shop.answer = always(200)
    shop.wait(seconds=1)
    shop.deliver(shop.retries())
    (told,) = [json.loads(own.body) for own in shop.sent if own.url == watcher.url]
    assert told["type"] == "endpoint.disabled"
    assert told["data"]["endpoint"]["id"] == endpoint.id
    assert told["data"]["endpoint"]["disabled_reason"] == "failing"


@pytest.mark.long
def test_a_success_within_the_five_days_starts_them_again(shop: Shop) -> None:
    endpoint = shop.endpoint()
    for day in range(8):
        shop.answer = always(200 if day == 4 else 500)
        abandon(shop, 2, first=10 * day)
        shop.deliver()
        shop.retries()
        shop.wait(hours=24)
    found = EndpointStore(shop.table).get(MERCHANT, endpoint.id)
    assert found is not None
    assert found.value.active


def test_gone_tells_the_others_too_and_later_events_are_held(shop: Shop) -> None:
    endpoint = shop.endpoint()
    watcher = shop.endpoint("endpoint.disabled")
    abandon(shop, 1)
    shop.answer = always(410)
    shop.deliver()
    shop.answer = always(200)
    shop.wait(seconds=1)
    shop.deliver(shop.retries())
    assert [json.loads(own.body)["type"] for own in shop.sent if own.url == watcher.url][-1:] == ["endpoint.disabled"]
    abandon(shop, 1, first=5)
    shop.deliver()
    held = [own for own in shop.deliveries() if own.endpoint_id == endpoint.id and own.event_version > 1]
    assert held[-1].status is DeliveryStatus.HELD
