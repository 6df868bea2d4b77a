"""Messages of a batch's records on their way to the delivery queue: in tens, whichever records they are of.

A request to SQS takes ten for the price of one. What cannot be handed over is its record's failure, as if each had been
sent by itself: where it passes, all of that request comes again; where SQS refuses one for good, the others go alone.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from shared.aws.faults import is_temporary
from shared.aws.queues import DeliveryMessage

AT_ONCE = 10
"""Messages that one request takes."""
WAITS_FOR = 1.0
"""Seconds after which a message waits for no other record of its batch."""

type Record = dict[str, Any]
type Failure = tuple[Record, Exception]


class HandingOver:
    """One batch's. ``add`` after each record, ``rest`` after the last; both answer whose messages were not taken."""

    def __init__(
        self, send: Callable[[Sequence[DeliveryMessage]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``send`` enqueues messages, and raises where it cannot."""
        self._send = send
        self._clock = clock
        self._waiting: list[tuple[Record, DeliveryMessage]] = []
        self._since = 0.0

    def add(self, record: Record, messages: Sequence[DeliveryMessage]) -> list[Failure]:
        """What telling this record has made."""
        if messages and not self._waiting:
            self._since = self._clock()
        self._waiting += [(record, own) for own in messages]
        failed: list[Failure] = []
        while len(self._waiting) >= AT_ONCE:
            failed += self._sent()
        if self._waiting and self._clock() - self._since >= WAITS_FOR:
            failed += self._sent()
        return failed

    def rest(self) -> list[Failure]:
        """Whatever still waits."""
        return self._sent()

    def _sent(self) -> list[Failure]:
        going, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        self._since = self._clock()
        if not going:
            return []
        try:
            self._send([message for _, message in going])
        except Exception as cause:  # noqa: BLE001 - each record's own, and sorted there
            several = list(_by_record(going))
            if len(several) == 1 or is_temporary(cause):
                return [(record, cause) for record, _ in several]
            return [failed for record, own in several for failed in self._alone(record, own)]
        return []

    def _alone(self, record: Record, messages: Sequence[DeliveryMessage]) -> list[Failure]:
        try:
            self._send(messages)
        except Exception as cause:  # noqa: BLE001 - as above
            return [(record, cause)]
        return []


def _by_record(going: Sequence[tuple[Record, DeliveryMessage]]) -> Iterator[tuple[Record, list[DeliveryMessage]]]:
    for _, own in groupby(going, key=lambda pair: id(pair[0])):
        pairs = list(own)
        yield pairs[0][0], [message for _, message in pairs]
