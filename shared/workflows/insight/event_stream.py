"""A merchant's events one after another, for who cannot take webhooks: the same envelopes, byte for byte.

At least once, the events of a checkout in order. What was erased is not there any more.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from shared.domain.event_cursor import MOST_GIVEN, SETTLED_AFTER_MS, EventCursor, mark_of, step
from shared.domain.ids import MerchantId
from shared.store.event_places import FIRST, EventPlaces, Placed, first_place
from shared.store.events import EventStore
from shared.store.waiting_places import WaitingPlaces

MOST_BYTES = 4 * 1024 * 1024
"""Of envelopes in one answer: a function's answer is 6 MB at most, escaped."""
_LOOK_AGAIN_S = 1.0
_MOST_TURNS = 5
_MORE_PLACES = 500
_MOST_PLACES = 5_000
"""Looked at for one answer where others crowd the wanted: the unsettled ones of a merchant with 55 events a second.

About 100 read units; a waiting reader looks the less often, the more there is to look at.
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """Envelopes in order, and where to go on, of ``looked_at`` places. ``waited``: False if no place to wait in."""

    bodies: list[bytes]
    cursor: EventCursor
    waited: bool = True
    looked_at: int = 0


@dataclass(frozen=True, slots=True)
class _Taken:
    """One step's events, the cursor behind them, and whether there are no more."""

    given: list[Placed]
    cursor: EventCursor
    last: bool
    looked_at: int


class EventStream:
    """Reads events behind a cursor."""

    def __init__(
        self,
        places: EventPlaces,
        events: EventStore,
        waiting: WaitingPlaces,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sleep`` waits before looking again, ``clock`` measures the wait in seconds."""
        self._places = places
        self._events = events
        self._waiting = waiting
        self._sleep = sleep
        self._clock = clock

    @staticmethod
    def beginning() -> EventCursor:
        """Where the oldest event that is kept comes next."""
        return EventCursor(FIRST)

    def now(self, merchant_id: MerchantId) -> EventCursor:
        """Where only what is told from now on comes next; what is being written just now may come, too."""
        settled = EventCursor(first_place(self._places.now_ms() - SETTLED_AFTER_MS))
        return self._step(merchant_id, settled, frozenset(), MOST_GIVEN).cursor

    def read(
        self, merchant_id: MerchantId, cursor: EventCursor, types: Collection[str], *, limit: int, wait: float
    ) -> Reading:
        """The next events, at most ``limit``; where there is none, looked for again for ``wait`` seconds."""
        found = self._caught_up(merchant_id, cursor, types, limit)
        if found.bodies or wait <= 0:
            return found
        until = self._clock() + wait
        place = self._waiting.take(merchant_id, wait)
        if place is None:
            return Reading([], found.cursor, waited=False)
        try:
            while not found.bodies and (left := until - self._clock()) > 0:
                self._sleep(min(_LOOK_AGAIN_S * max(1, found.looked_at / _MORE_PLACES), left))
                found = self._caught_up(merchant_id, found.cursor, types, limit)
        finally:
            self._waiting.leave(place)
        return found

    def _caught_up(self, merchant_id: MerchantId, cursor: EventCursor, types: Collection[str], limit: int) -> Reading:
        """The next events; past those of other types and those that are gone, as far as a few turns lead."""
        looked_at = 0
        for _ in range(_MOST_TURNS):
            taken = self._step(merchant_id, cursor, types, limit)
            bodies = self._bodies(taken.given)
            if sum(map(len, bodies)) > MOST_BYTES and limit > 1:
                return self._caught_up(merchant_id, cursor, types, min(limit, len(taken.given)) // 2 or 1)
            looked_at += taken.looked_at
            stuck, cursor = taken.cursor == cursor, taken.cursor
            if bodies or taken.last or stuck or looked_at >= _MOST_PLACES:
                break
        return Reading(bodies, cursor, looked_at=looked_at)

    def _step(self, merchant_id: MerchantId, cursor: EventCursor, types: Collection[str], limit: int) -> _Taken:
        def wanted(event: Placed) -> bool:
            return not types or event.event_type in types

        settled = first_place(self._places.now_ms() - SETTLED_AFTER_MS)
        events, whole = self._places.after(merchant_id, cursor.place, limit + len(cursor.given))
        # The cursor cannot pass what has not settled: past the unwanted, the wanted is looked for further on.
        while events and not whole and len(events) < _MOST_PLACES:
            if sum(wanted(own) and mark_of(own) not in cursor.given for own in events) >= limit:
                break
            more, whole = self._places.after(merchant_id, events[-1].place, _MORE_PLACES)
            events += more
        found = step(cursor, events, settled=settled, limit=limit, wanted=wanted, whole=whole)
        return _Taken(found.given, found.cursor, last=whole and len(found.given) < limit, looked_at=len(events))

    def _bodies(self, given: list[Placed]) -> list[bytes]:
        """The envelopes; of an event that was erased or has run out meanwhile there is none."""
        rows = self._events.get_many(own.key for own in given)
        return [rows[own.key].body for own in given if own.key in rows]
