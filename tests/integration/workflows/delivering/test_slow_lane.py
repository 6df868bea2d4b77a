"""An endpoint that is slow goes by a lane of its own, and comes back from it when it answers quickly again."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.delivery.exchange import Answer, DestinationTimeout, OutboundRequest, SendResult
from shared.domain.breaker import QUICK_AGAIN
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus
from shared.store.health import HealthStore
from shared.workflows.delivering.endpoint_events import EndpointEvents
from shared.workflows.delivering.lanes import QUICK
from tests.integration.shop import Shop

FULL = timedelta(seconds=15)


class Street:
    """Endpoints on one stage that take their time: seconds until each answers, by its URL."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.seconds: dict[str, float] = {}
        self.requests: list[OutboundRequest] = []
        self._number = 0

    def endpoint(self, seconds: float, **settings: Any) -> Endpoint:
        self._number += 1
        made = self.shop.endpoint(url=f"https://receiver.example/{self._number}", **settings)
        self.seconds[str(made.url)] = seconds
        return made

    def event(self, endpoint: Endpoint) -> None:
        """An event for the endpoint."""
        self._number += 1
        queues, table = self.shop.stores.queues, self.shop.table
        deliveries = self.shop.stores.deliveries
        EndpointEvents(table, EndpointStore(table), deliveries, queues.fresh, lambda: self.shop.now).test(
            endpoint, str(self._number)
        )

    def send_all(
        self, requests: Sequence[OutboundRequest], answered: Callable[[int], None] | None = None
    ) -> list[SendResult]:
        """Everybody answers as late as they do, or is given up at the request's timeout."""
        self.requests += requests
        return [self._sent(own) for own in requests]

    def _sent(self, request: OutboundRequest) -> SendResult:
        takes, now = timedelta(seconds=self.seconds[request.url]), self.shop.now
        if takes >= request.timeout:
            error = DestinationTimeout("no answer in time")
            return SendResult(now, now, request.timeout // timedelta(milliseconds=1), sent=True, error=error)
        return SendResult(now, now, takes // timedelta(milliseconds=1), sent=True, answer=self.shop.answer(request))

    def longest_wait(self) -> timedelta:
        """How long the batch of these requests may have taken."""
        return max(own.timeout for own in self.requests)


@pytest.fixture
def street(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Street:
    made = Street(shop)
    monkeypatch.setattr(shop, "send_all", made.send_all)
    return made


def test_nobody_is_waited_for_longer_than_two_seconds_beside_others(shop: Shop, street: Street) -> None:
    hanging, quick = street.endpoint(60), street.endpoint(0.01)
    for endpoint in (hanging, quick):
        street.event(endpoint)
    assert shop.deliver() == []
    assert street.longest_wait() == QUICK
    statuses = {own.endpoint_id: (own.status, own.attempt_count) for own in shop.deliveries()}
    assert statuses[quick.id] == (DeliveryStatus.DELIVERED, 1)
    assert statuses[hanging.id] == (DeliveryStatus.PENDING, 0), "what was cut short is no attempt"


def test_what_was_cut_short_is_sent_again_by_the_slow_lane_with_all_its_time(shop: Shop, street: Street) -> None:
    street.event(street.endpoint(10))
    shop.deliver()
    assert shop.retries() == []
    assert shop.deliver(shop.slow()) == []
    assert [own.timeout for own in street.requests] == [QUICK, FULL]
    first, again = street.requests
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
    (own,) = shop.deliveries()
    assert (own.status, own.attempt_count) == (DeliveryStatus.DELIVERED, 1)


def test_the_slow_are_attempted_nowhere_else(shop: Shop, street: Street) -> None:
    endpoint = street.endpoint(10)
    street.event(endpoint)
    shop.deliver()
    shop.deliver(shop.slow())
    street.requests.clear()
    for _ in range(4):
        street.event(endpoint)
    assert shop.deliver() == []
    assert street.requests == []
    assert shop.deliver(shop.slow()) == []
    assert len(street.requests) == 4
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}


def test_who_answers_quickly_again_comes_back(shop: Shop, street: Street) -> None:
    endpoint = street.endpoint(10)
    street.event(endpoint)
    shop.deliver()
    shop.deliver(shop.slow())
    street.seconds[str(endpoint.url)] = 0.01
    for quick in range(QUICK_AGAIN):
        assert HealthStore(shop.table).get(endpoint.id).quick == quick
        street.event(endpoint)
        shop.deliver()
        shop.wait(seconds=1)
        shop.deliver(shop.slow())
    assert HealthStore(shop.table).get(endpoint.id).slow_since is None
    street.requests.clear()
    street.event(endpoint)
    shop.deliver()
    assert [own.timeout for own in street.requests] == [QUICK]
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}


def test_one_slow_answer_in_between_starts_the_count_again(shop: Shop, street: Street) -> None:
    endpoint = street.endpoint(10)
    for seconds in (10, 0.01, 0.01, 3, 0.01, 0.01):
        street.seconds[str(endpoint.url)] = seconds
        street.event(endpoint)
        shop.deliver()
        shop.wait(seconds=1)
        shop.deliver(shop.slow())
    assert HealthStore(shop.table).get(endpoint.id).slow_since is not None


def test_an_endpoint_that_hangs_for_good_uses_up_its_attempts_in_the_slow_lane(shop: Shop, street: Street) -> None:
    street.event(street.endpoint(60, retry_schedule=[1000, 1000]))
    shop.deliver()
    for _ in range(3):
        shop.wait(seconds=40)
        assert shop.retries() == [], "its retries stay in the lane"
        shop.deliver(shop.slow())
    assert [own.timeout for own in street.requests] == [QUICK, FULL, FULL, FULL]
    (own,) = shop.deliveries()
    assert (own.status, own.attempt_count) == (DeliveryStatus.FAILED, 3)


def test_a_place_in_the_rate_goes_along(shop: Shop, street: Street) -> None:
    endpoint = street.endpoint(10, rate_limit={"max": 1, "per": 60_000})
    street.event(endpoint)
    street.event(endpoint)
    shop.deliver()
    shop.wait(seconds=60)
    shop.deliver(shop.retries())
    assert len(street.requests) == 1, "by now it is known to be slow"
    shop.deliver(shop.slow()[-1:])
    assert len(street.requests) == 2, "and the one that waited has its place"


def test_an_endpoint_with_less_time_than_the_lane_gives_it_fails_as_ever(shop: Shop, street: Street) -> None:
    street.event(street.endpoint(60, timeout=1500))
    shop.deliver()
    (own,) = shop.deliveries()
    assert (own.status, own.attempt_count) == (DeliveryStatus.RETRYING, 1)
    assert own.attempts[0]["reason"] == "timeout: no answer in time"


def test_what_cannot_be_moved_comes_back_and_is_moved_then(
    shop: Shop, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    street.event(street.endpoint(10))
    bodies = shop.queued()

    def down(*_: Any) -> None:
        raise QueueUnavailable("down")

    with monkeypatch.context() as fault:
        fault.setattr(DeliveryQueues, "retry", down)
        assert shop.deliver(bodies) == ["m0"]
    assert shop.deliver(bodies) == []
    assert len(street.requests) == 1, "known to be slow from the first time on"
    shop.deliver(shop.slow())
    (own,) = shop.deliveries()
    assert own.status is DeliveryStatus.DELIVERED


def test_moved_twice_is_sent_once_or_with_the_same_id(shop: Shop, street: Street) -> None:
    """The move's answer was lost: both messages arrive."""
    street.event(street.endpoint(10))
    bodies = shop.queued()
    shop.deliver(bodies)
    shop.deliver(bodies)
    moved = shop.slow()
    assert len(moved) == 2
    for body in moved:
        assert shop.deliver([body]) == []
    (own,) = shop.deliveries()
    assert (own.status, own.attempt_count) == (DeliveryStatus.DELIVERED, 1)
    assert len({sent.headers["webhook-id"] for sent in street.requests}) == 1


def test_a_quick_failure_is_no_slowness(shop: Shop, street: Street) -> None:
    endpoint = street.endpoint(0.01)
    shop.answer = lambda _: Answer(500)
    street.event(endpoint)
    shop.deliver()
    assert HealthStore(shop.table).get(endpoint.id).slow_since is None
