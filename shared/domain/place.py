"""Where an event stands among the events of its checkout: which of two decides what both say."""

from dataclasses import dataclass
from datetime import datetime, timedelta

REORDERING_WINDOW = timedelta(minutes=2)
"""Within this time of a higher rank, a lower one is a late webhook; after it, a shopper who went back."""

UNORDERED = "-"
"""Before the place of an event without an order key: any event with one is newer, among themselves their time says."""
AFTERWARDS = ","
"""Before the place of an event that happened after the purchase: whatever was said before it is worth more."""

_WORTHS = ("", AFTERWARDS, UNORDERED)
_KEYED = len(_WORTHS)


@dataclass(frozen=True, slots=True)
class Place:
    """An event's order key (or, after one of the two marks, its own time) and when it first arrived.

    ``value`` is empty for what a row of an older version took from an event without a key: nobody knows its time, and
    only what has a key replaces it.
    """

    value: str
    at: datetime

    def precedes(self, other: "Place") -> bool:
        """Whether this is older than ``other``.

        The provider's own clock or sequence decides where both have one. Otherwise what arrived earlier is older, but
        for ranks within the reordering window, of which the higher is the newer.
        """
        worth, others = _worth(self.value), _worth(other.value)
        if worth != others:
            return worth < others if self.value else others == _KEYED
        if worth != _KEYED:
            return self.value < other.value
        earlier_by = other.at - self.at
        if share_a_scale(self.value, other.value):
            ranks = _scale(self.value) == 0
            ranked = self.value != other.value and abs(earlier_by) <= REORDERING_WINDOW
            if ranked or not ranks:
                return self.value < other.value
        return earlier_by > timedelta(0)


def _worth(value: str) -> int:
    """How much what stands there is worth, before any time is compared."""
    mark = value[:1]
    return _WORTHS.index(mark) if mark in _WORTHS else _KEYED


def share_a_scale(one: str, other: str) -> bool:
    """Whether two key values measure the same thing: both a time, both a sequence or both a rank.

    A mapping that is mended, or a shop that moves to another payload version, changes it while checkouts are open. Told
    by the length of the first part, which every scale pads to its own; ranks have one part only.
    """
    return _scale(one) == _scale(other)


def _scale(value: str) -> int:
    first, dot, _ = value.partition(".")
    return len(first) if dot else 0
