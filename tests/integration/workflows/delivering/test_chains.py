"""How often a delivery's message is handled, and how long a chain of messages gets, while a delivery has to wait.

Lambda cuts a chain of messages that goes through one function about 16 times. What the deliver function sends goes on
with a chain; what the sweep sends begins a new one.
"""

import heapq
import itertools
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import pytest

from shared.aws.queues import DeliveryMessage, DeliveryQueues, read_message
from shared.delivery.exchange import Answer
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus
from shared.workflows.delivering.endpoint_events import EndpointEvents
from tests.integration.shop import Shop

pytestmark = pytest.mark.long

CUT_BY_LAMBDA = 16
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class Stage:
    """A shop whose queues are worked off and whose due deliveries are swept, while every message is counted.

    Its queues are one in memory, whose delays come in whole seconds, as SQS has them.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.handled = Counter[str]()
        self.chains = Counter[str]()
        self.longest = Counter[str]()
        self.arrivals: list[datetime] = []
        self.batch = 10
        self.waiting: list[tuple[datetime, int, str, bool]] = []
        self._number = itertools.count()
        self._sweeping = False
        self._swept_at = shop.now

    def send(self, messages: Sequence[tuple[Any, timedelta]]) -> None:
        """What the functions enqueue lands here."""
        for message, delay in messages:
            at = self.shop.now + -(-delay // SECOND) * SECOND
            heapq.heappush(self.waiting, (at, next(self._number), message.text(), self._sweeping))

    def enqueue(self, endpoint: Endpoint, count: int) -> None:
        """So many events for the endpoint, all at once."""
        queues, table = self.shop.stores.queues, self.shop.table
        events = EndpointEvents(
            table, EndpointStore(table), self.shop.stores.deliveries, queues.fresh, lambda: self.shop.now
        )
        for _ in range(count):
            events.test(endpoint, str(next(self._number)))

    def work(self) -> None:
        """Deliver all that is visible, batch by batch."""
        bodies: list[str] = []
        while self.waiting and self.waiting[0][0] <= self.shop.now:
            _, _, body, begins = heapq.heappop(self.waiting)
            subject = str(read_message(body).delivery_id)  # type: ignore[union-attr]  # no steps here
            self.handled[subject] += 1
            self.chains[subject] = 1 if begins else self.chains[subject] + 1
            self.longest[subject] = max(self.longest[subject], self.chains[subject])
            bodies.append(body)
        for batch in itertools.batched(bodies, self.batch, strict=False):
            before = len(self.shop.sent)
            assert self.shop.deliver(batch) == []
            self.arrivals += [self.shop.now] * (len(self.shop.sent) - before)

    def play(self, span: timedelta, sweep_every: timedelta = MINUTE) -> None:
        """Let the stage work for so long, from one message or sweep to the next."""
        end = self.shop.now + span
        while self.shop.now < end:
            self.work()
            if self.shop.now >= self._swept_at + sweep_every:
                self._sweeping, self._swept_at = True, self.shop.now
                for shard in range(self.shop.stores.environment.due_shards):
                    self.shop.sweep(kind="R", shard=shard)
                self._sweeping = False
                continue
            following = [self._swept_at + sweep_every, end, *(own[0] for own in self.waiting[:1])]
            self.shop.clock.move_to(min(following))

    def statuses(self) -> Counter[DeliveryStatus]:
        """How the deliveries stand."""
        return Counter(own.status for own in self.shop.deliveries())


@pytest.fixture
def stage(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Stage:
    random.seed(7)  # jitter draws from it: what is counted here is counted on the same draws every time
    staged = Stage(shop)
    monkeypatch.setattr(DeliveryQueues, "_send", lambda _, __, messages: staged.send(messages))
    return staged


def always(status: int) -> Callable[[object], Answer]:
    return lambda _: Answer(status)


def busiest(arrivals: list[datetime], span: timedelta) -> int:
    """The most arrivals in any window of ``span``."""
    ordered = sorted(arrivals)
    return max(bisect_left(ordered, first + span) - bisect_left(ordered, first) for first in ordered)


def test_a_rate_limited_backlog_is_handled_twice_per_delivery_and_keeps_the_rate(stage: Stage) -> None:
    stage.enqueue(stage.shop.endpoint(rate_limit={"max": 10, "per": 1000}), 100)
    stage.play(12 * SECOND)

    assert stage.statuses() == {DeliveryStatus.DELIVERED: 100}
    assert max(stage.handled.values()) <= 2
    assert stage.arrivals[-1] - stage.arrivals[0] == 9 * SECOND, "and reaches it"
    assert busiest(stage.arrivals, SECOND) == 10


@pytest.mark.long
def test_a_rate_limited_backlog_of_2000_takes_three_handlings_at_most(stage: Stage) -> None:
    stage.enqueue(stage.shop.endpoint(rate_limit={"max": 10, "per": 1000}), 2_000)
    stage.play(5 * MINUTE)

    assert stage.statuses() == {DeliveryStatus.DELIVERED: 2_000}
    assert max(stage.handled.values()) <= 3
    assert max(stage.longest.values()) <= 3
    assert stage.arrivals[-1] - stage.arrivals[0] <= 205 * SECOND, "and nearly reaches the rate"
    assert busiest(stage.arrivals, SECOND) == 10


def test_a_backlog_of_hours_waits_in_the_due_index_and_comes_exactly_at_its_place(stage: Stage) -> None:
    stage.enqueue(stage.shop.endpoint(rate_limit={"max": 4, "per": 600_000}), 32)
    stage.play(2.5 * HOUR, sweep_every=2 * MINUTE)

    assert stage.statuses() == {DeliveryStatus.DELIVERED: 32}
    assert median(stage.handled.values()) <= 3
    assert max(stage.longest.values()) <= 3
    assert busiest(stage.arrivals, 10 * MINUTE) == 4
    on_time = Counter((own - stage.arrivals[0]) % (10 * MINUTE) for own in stage.arrivals[:24])
    assert on_time == {timedelta(): 24}


def test_workers_that_fall_behind_do_not_send_all_they_missed_at_once(stage: Stage) -> None:
    stage.enqueue(stage.shop.endpoint(rate_limit={"max": 10, "per": 1000}), 60)
    stage.work()
    stage.shop.wait(seconds=60)
    stage.play(30 * SECOND)

    assert stage.statuses() == {DeliveryStatus.DELIVERED: 60}
    assert max(stage.handled.values()) <= 3
    assert busiest(stage.arrivals, SECOND) == 10


def test_workers_that_are_always_behind_still_send(stage: Stage) -> None:
    stage.enqueue(stage.shop.endpoint(rate_limit={"max": 10, "per": 1000}), 60)
    for _ in range(4):
        stage.work()
        stage.shop.wait(seconds=60)

    assert stage.statuses() == {DeliveryStatus.DELIVERED: 60}
    assert max(stage.handled.values()) <= 3


def test_an_outage_of_hours_makes_no_chain_that_is_cut_and_few_handlings(stage: Stage) -> None:
    shop = stage.shop
    stage.enqueue(shop.endpoint(), 8)
    shop.answer = always(503)
    stage.play(3 * HOUR, sweep_every=3 * MINUTE)
    assert stage.statuses() == {DeliveryStatus.RETRYING: 8}
    assert max(stage.longest.values()) < CUT_BY_LAMBDA
    assert median(stage.handled.values()) / 3 <= 8, "an hour: about one for each opening of the breaker"

    shop.answer = always(200)
    stage.play(6 * HOUR, sweep_every=15 * MINUTE)
    assert stage.statuses() == {DeliveryStatus.DELIVERED: 8}
    assert max(stage.longest.values()) < CUT_BY_LAMBDA


def test_after_an_outage_the_waiting_come_back_over_minutes(stage: Stage) -> None:
    shop = stage.shop
    endpoint = shop.endpoint()
    shop.answer = always(503)
    stage.enqueue(endpoint, 6)
    stage.play(50 * MINUTE, sweep_every=3 * MINUTE)
    stage.enqueue(endpoint, 60)
    stage.work()
    shop.answer = always(200)
    stage.arrivals.clear()
    stage.play(25 * MINUTE)

    assert len(stage.arrivals) >= 60
    assert busiest(stage.arrivals, 30 * SECOND) <= 30


def test_a_retry_schedule_of_seconds_ends_its_chain_in_the_due_index(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.domain.breaker.TRIP_AFTER", 1000)
    shop = stage.shop
    stage.enqueue(shop.endpoint(retry_schedule=[1000] * 20), 2)
    shop.answer = always(503)
    stage.play(5 * MINUTE)

    assert stage.statuses() == {DeliveryStatus.FAILED: 2}
    assert {own.attempt_count for own in shop.deliveries()} == {21}
    assert set(stage.longest.values()) == {13}


def test_a_message_that_was_sent_twice_does_not_stay_two(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS took the message and its answer was lost: the sender sends it again."""
    monkeypatch.setattr("shared.domain.breaker.TRIP_AFTER", 1000)
    shop = stage.shop
    shop.answer, stage.batch = always(503), 1
    stage.enqueue(shop.endpoint(retry_schedule=[60_000] * 12), 1)
    (first,) = stage.waiting
    for seconds in (1, 2):
        heapq.heappush(stage.waiting, (shop.now + seconds * SECOND, seconds, *first[2:]))
    stage.play(9 * MINUTE)

    (own,) = shop.deliveries()
    assert own.attempt_count == len(shop.sent) > 7
    assert stage.handled[own.id] <= own.attempt_count + 5


def test_what_a_message_carries_survives_the_queue() -> None:
    message = DeliveryMessage(
        *("dlv_" + "0" * 26 + "1" * 26, "mer_1", 3),  # type: ignore[arg-type]
        hops=2,
        place=datetime.fromisoformat("2026-11-21T10:00:00.123+00:00"),
        echo=True,
    )
    assert read_message(message.text()) == message
    plain = DeliveryMessage(message.delivery_id, message.merchant_id)
    assert "hops" not in plain.text()
