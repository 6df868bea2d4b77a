"""Whose template is rendered next, where many wait for the one process that renders.

Each owner's first goes before anybody's second, and whoever had a template that took too long goes last. So another's
templates, however many, cost an owner about one that takes too long: the one that is at work already.
"""

import itertools
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

STRIKES: Final = 2
RESTS_SECONDS: Final = 20.0
_MOST_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class _Waiting:
    owner: str | None
    number: int


@dataclass(frozen=True, slots=True)
class _Slowness:
    """How many of an owner's templates took too long, each soon after the one before, and when the last did."""

    times: int
    last: float


class Turns:
    """One turn at a time. ``owner`` None: nobody in particular, first come, first served."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` tells seconds."""
        self._clock = clock
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._had: Counter[str | None] = Counter()
        """Turns since the last time nobody waited."""
        self._slow: OrderedDict[str, _Slowness] = OrderedDict()

    @contextmanager
    def taken(self, owner: str | None) -> Iterator[None]:
        """Wait for the turn and have it."""
        own = _Waiting(owner, next(self._numbers))
        with self._changed:
            self._waiting.append(own)
            self._changed.wait_for(lambda: not self._busy and self._next() is own)
            self._waiting.remove(own)
            self._busy = True
            self._had[owner] += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                if not self._waiting:
                    self._had.clear()
                self._changed.notify_all()

    def took_too_long(self, owner: str | None) -> None:
        """The owner's template did, whose turn it is."""
        if owner is None:
            return
        with self._changed:
            self._slow[owner] = _Slowness(self._strikes(owner) + 1, self._clock())
            self._slow.move_to_end(owner)
            while len(self._slow) > _MOST_REMEMBERED:
                self._slow.popitem(last=False)

    def rests(self, owner: str | None) -> bool:
        """Whether the owner's templates have had their time for now."""
        return self._strikes(owner) >= STRIKES

    def _next(self) -> _Waiting:
        return min(self._waiting, key=lambda own: (self._strikes(own.owner), self._turns_of(own.owner), own.number))

    def _turns_of(self, owner: str | None) -> int:
        return 0 if owner is None else self._had[owner]

    def _strikes(self, owner: str | None) -> int:
        known = None if owner is None else self._slow.get(owner)
        return 0 if known is None or self._clock() - known.last >= RESTS_SECONDS else known.times
