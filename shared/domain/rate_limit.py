"""A merchant's rate limit on an endpoint: so many sends in any window of time, wherever the window begins.

A send that finds no room is not turned away to ask again: it is given its place, the earliest instant at which it
keeps the limit, behind every place given before. What is remembered are the places of the last window, as lots of
sends with the same instant.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

MOST_LOTS = 32
"""Lots remembered per endpoint. Where more would be needed, the closest become one, at the later instant: the limit is
kept, and reached a little less than fully (by about 3 % of the window)."""
_LEAST_GRACE = timedelta(seconds=5)
_CLOCKS_DIFFER_BY = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class Lot:
    """So many places at one instant."""

    at: datetime
    count: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``most`` sends in any window of ``per``."""

    most: int
    per: timedelta

    def reserve(
        self,
        taken: Sequence[Lot],
        wanted: int,
        now: datetime,
        latest: datetime,
        missed: Sequence[datetime] = (),
    ) -> tuple[list[datetime], tuple[Lot, ...]]:
        """Up to ``wanted`` places from ``now`` to ``latest``, in order, and the lots to remember afterwards.

        ``taken``: the lots remembered before, oldest first. ``missed``: places that were given and not used. Fewer
        places than wanted where the others would lie beyond ``latest``.
        """
        lots = _given_back(taken, missed)
        places: list[datetime] = []
        at = max([now, *(own.at for own in lots[-1:])])
        while len(places) < wanted:
            window = [own for own in lots if own.at > at - self.per]
            room = self.most - sum(own.count for own in window)
            if room <= 0:
                at = window[0].at + self.per
                continue
            if at > latest:
                break
            count = min(room, wanted - len(places))
            places += [at] * count
            if lots and lots[-1].at == at:
                count += lots.pop().count
            lots.append(Lot(at, count))
        return places, _coarsened([own for own in lots if own.at > lots[-1].at - self.per])

    def take(self, taken: Sequence[Lot], now: datetime) -> tuple[Lot, ...] | None:
        """The lots after one more that does not wait; None where there is no room for it.

        Where another worker's clock was ahead, it stands behind what that one took.
        """
        at = max([now, *(own.at for own in taken[-1:])])
        places, lots = self.reserve(taken, 1, now, at)
        return lots if places else None

    def holds(self, place: datetime, now: datetime) -> bool:
        """Whether a reserved place may still be used. Long afterwards many would be used at once."""
        return now <= place + max(self.per / 4, _LEAST_GRACE)


def is_now(place: datetime, now: datetime) -> bool:
    """Whether a place has come; the worker that gave it may have had a clock a moment ahead."""
    return place <= now + _CLOCKS_DIFFER_BY


def rate_limit_of(settings: Mapping[str, Any]) -> RateLimit | None:
    """The limit in an endpoint's stored settings (``{max, per}``, milliseconds), None where it has none."""
    stored = settings.get("rate_limit")
    if not isinstance(stored, Mapping):
        return None
    return RateLimit(int(stored["max"]), timedelta(milliseconds=int(stored["per"])))


def _given_back(lots: Sequence[Lot], missed: Sequence[datetime]) -> list[Lot]:
    """Without the missed places, as far as their lots still stand alone."""
    unused = Counter(missed)
    return [Lot(own.at, left) for own in lots if (left := own.count - unused[own.at]) > 0]


def _coarsened(lots: list[Lot]) -> tuple[Lot, ...]:
    while len(lots) > MOST_LOTS:
        gaps = [later.at - earlier.at for earlier, later in pairwise(lots)]
        closest = gaps.index(min(gaps))
        earlier, later = lots[closest : closest + 2]
        lots[closest : closest + 2] = [Lot(later.at, earlier.count + later.count)]
    return tuple(lots)
