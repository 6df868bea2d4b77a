"""How a delivery waits for its next message: by its queue's delay, or by a due row that the sweep finds.

A message that waits in its queue comes back to the function that sent it. Such a chain is exact to the second, but
must not go round for hours: Lambda would take it for an endless loop. So a wait of minutes is a due row, and every
chain ends in one after ``MOST_HOPS`` messages; the message that the sweep sends begins a new one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.aws.queues import LONGEST_DELAY, DeliveryMessage, DeliveryQueues
from shared.domain.breaker import Wait
from shared.store.deliveries import DeliveryRecord, DeliveryStore, Recorded
from shared.workflows.delivering.attempts import message_of

MOST_HOPS = 12
"""Messages of one chain. Lambda's own detection begins at about 16."""
_ROUGH = timedelta(minutes=1)
"""The sweep's precision: a wait that needs no better, and is not shorter, is a due row."""
_LEAST_APART = timedelta(minutes=2)
_MISSED = 2
"""Hops after which a place that is past is used nevertheless."""


class Waiting:
    """Puts deliveries off, and enqueues the attempts that follow others."""

    def __init__(self, deliveries: DeliveryStore, queues: DeliveryQueues, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._deliveries = deliveries
        self._queues = queues
        self._now = now

    def put_off(self, record: DeliveryRecord, message: DeliveryMessage, wait: Wait) -> None:
        """The same attempt later, none used up. Raises what store and queue raise."""
        if self._by_queue(record, message, wait):
            record = self._written(record)
            self._send(record, record.attempt_count, wait.until, message, place=wait.until if wait.reserved else None)
            return
        later = Recorded(
            record.status, record.reason, next_attempt_at=wait.until, by_sweep=True, reserved=wait.reserved
        )
        self._deliveries.record(record, later)

    def move_aside(self, several: Sequence[tuple[DeliveryRecord, DeliveryMessage]]) -> None:
        """These attempts by the slow lane, none used up. Raises what the queue raises."""
        moved = []
        for record, message in several:
            attempts = self._written(record).attempt_count
            moved.append(replace(message, hops=message.hops + 1, slow=True, attempt_count=attempts, update=None))
        self._queues.retry([(message, timedelta()) for message in moved])

    def by_sweep(self, message: DeliveryMessage, at: datetime) -> bool:
        """Whether the attempt after this message's is left to the due index."""
        return at - self._now() > LONGEST_DELAY or message.hops >= MOST_HOPS

    def follow(self, record: DeliveryRecord, message: DeliveryMessage, at: datetime) -> None:
        """Enqueue the attempt that follows the message's own. Raises what the queue raises."""
        self._send(record, message.attempt_count + 1, at, message)

    def follow_again(self, record: DeliveryRecord, message: DeliveryMessage, at: datetime) -> None:
        """As ``follow``, where the following attempt may be on its way already. Raises what store and queue raise.

        An echo is sent, in case it is not. An echo leads to no echo but to a due row, which the attempt removes: else
        one message sent twice would be two at every later attempt.
        """
        if not message.echo:
            self._send(record, message.attempt_count + 1, at, message, echo=True)
            return
        net = Recorded(record.status, record.reason, next_attempt_at=at + _ROUGH, by_sweep=True)
        self._deliveries.record(record, net)

    def _written(self, record: DeliveryRecord) -> DeliveryRecord:
        """The delivery with a row: what waits is seen."""
        if record.unwritten:
            record = replace(record, unwritten=False)
            self._deliveries.create(record)
        return record

    def _by_queue(self, record: DeliveryRecord, message: DeliveryMessage, wait: Wait) -> bool:
        span = wait.until - self._now()
        # A delivery that the sweep is about to wake anyway would come twice.
        alone = record.due_at is None or wait.until + _LEAST_APART < record.due_at
        return alone and message.hops < MOST_HOPS and span <= (LONGEST_DELAY if wait.reserved else _ROUGH)

    def _send(
        self,
        record: DeliveryRecord,
        attempt_count: int,
        at: datetime,
        before: DeliveryMessage,
        *,
        place: datetime | None = None,
        echo: bool = False,
    ) -> None:
        message = replace(
            message_of(record),
            attempt_count=attempt_count,
            hops=before.hops + 1,
            place=place,
            echo=echo,
            slow=before.slow,
        )
        self._queues.retry([(message, min(max(at - self._now(), timedelta(0)), LONGEST_DELAY))])


def place_of(message: DeliveryMessage, now: datetime) -> datetime | None:
    """The place that a message brings back.

    One that was missed is given up for another, but once: where our workers are behind, their pace is the limit, and
    places that are asked for and missed again would only be lost.
    """
    if message.place is None:
        return None
    return message.place if message.hops < _MISSED else max(message.place, now)


def woken(record: DeliveryRecord, now: datetime) -> tuple[DeliveryMessage, timedelta]:
    """What the sweep sends for a delivery that is due, and after what delay: exactly at its place where it has one."""
    message = replace(message_of(record), place=record.place)
    if record.place is None or record.place + _ROUGH < now:
        return message, timedelta()
    return replace(message, hops=_MISSED), min(max(record.place - now, timedelta()), LONGEST_DELAY)
