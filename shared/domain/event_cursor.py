"""Where a reader of a merchant's events stands, so that one which shows late is not missed.

An event's place is the time at which its writer wrote it. It can show behind others: its write was tried again, two
clocks differ, the index lags. So a reader is never only "past" a place. What is older than ``SETTLED_AFTER_MS`` has
shown, and the cursor is past it; what is younger is read again each time, and the cursor knows which of it were given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared.domain.ids import digest

SETTLED_AFTER_MS: Final = 90_000
"""A writer's function lives 60 s at most, and its write with it; the rest is for the index and for clocks."""
MOST_GIVEN: Final = 512
"""Of unsettled events given: the cursor must fit into a URL (HTTP APIs take 10,240 bytes of request line and headers).

Further ones wait until they have settled: above 5 events a second a reader is up to 90 s behind, and misses none.
"""
MARK_BYTES: Final = 6


class Event(Protocol):
    """What is known of an event before its row is read."""

    @property
    def place(self) -> str:
        """Where it stands; places sort as text."""
        ...

    @property
    def event_id(self) -> str:
        """Its id."""
        ...

    @property
    def key(self) -> tuple[str, str]:
        """Its checkout's partition, and where the event lies in it: later writes of the checkout sort higher."""
        ...


@dataclass(frozen=True, slots=True)
class EventCursor:
    """Everything up to ``place`` was given or did not matter; of what is behind it, ``given`` were (as ``mark_of``)."""

    place: str
    given: frozenset[bytes] = frozenset()


def mark_of(event: Event) -> bytes:
    """Six bytes that tell the event from the others of one window."""
    return digest(event.event_id)[:MARK_BYTES]


@dataclass(frozen=True, slots=True)
class Step[E: Event]:
    """What a reader is given, in order, and where it stands then."""

    given: list[E]
    cursor: EventCursor


def step[E: Event](
    cursor: EventCursor, events: Sequence[E], *, settled: str, limit: int, wanted: Callable[[E], bool], whole: bool
) -> Step[E]:
    """The next of ``events`` (behind the cursor, in order of place) that the reader has not been given.

    ``settled``: before this place no further event will show. ``whole``: ``events`` are all there are. An event of a
    checkout of which a later one was given already is followed by that later one once more: whoever takes the last
    word on a checkout has the right one. It may be one event too many where a single one is followed so.
    """
    for most in range(limit, 0, -1):
        found = _walked(cursor, events, settled, most, wanted, whole=whole)
        if len(found.given) <= limit:
            break
    return found


def _walked[E: Event](
    cursor: EventCursor, events: Sequence[E], settled: str, limit: int, wanted: Callable[[E], bool], *, whole: bool
) -> Step[E]:
    place, marks = cursor.place, set(cursor.given)
    seen: set[bytes] = set()
    fresh: list[E] = []
    earlier: list[E] = []
    newest: dict[str, str] = {}
    passing = True
    """Nothing was left for later so far: what has settled lies behind the reader."""
    for event in events:
        mark, is_settled, (checkout, version) = mark_of(event), event.place < settled, event.key
        if mark in marks:
            earlier.append(event)
        elif wanted(event):
            # One that belongs before an event of this page comes along with it, wherever it stands.
            full = len(fresh) >= limit and version > newest.get(checkout, "")
            if full or (len(marks) >= MOST_GIVEN and not (passing and is_settled)):
                passing = False
                continue
            fresh.append(event)
            newest[checkout] = max(version, newest.get(checkout, ""))
            marks.add(mark)
        seen.add(mark)
        if passing and is_settled:
            place = event.place
            marks.discard(mark)
    if whole and passing:
        marks &= seen  # what was erased is forgotten
    late = {own.key[0]: own.key[1] for own in sorted(fresh, key=lambda own: own.key, reverse=True)}
    again = [own for own in earlier if own.key[1] > late.get(own.key[0], own.key[1])]
    return Step(_in_order([*fresh, *again]), EventCursor(place, frozenset(marks)))


def _in_order[E: Event](events: list[E]) -> list[E]:
    """The same events, those of one checkout among themselves in the order of its writes."""
    of_checkout: dict[str, list[E]] = {}
    for event in events:
        of_checkout.setdefault(event.key[0], []).append(event)
    turns = {key: iter(sorted(own, key=lambda event: event.key[1])) for key, own in of_checkout.items()}
    return [next(turns[event.key[0]]) for event in events]
