"""What follows from a decision that is written already: done now, tried again, and owed until it is done.

Such acts may be repeated. They are kept in the process alone: a worker that dies takes what it owed with it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shared.workflows.delivering.batch import TEMPORARY, log_failure

_TRIES = 3
_WAIT = 0.1
_LATER = 3
"""At how many later batches what is owed is tried again."""
_MOST_OWED = 500

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Owed:
    act: Callable[[], object]
    times: int = 0


class FollowUps:
    """One per process, shared by its threads."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """``sleep`` waits between tries; tests replace it."""
        self._sleep = sleep
        self._lock = threading.Lock()
        self._owed: deque[_Owed] = deque(maxlen=_MOST_OWED)

    def do(self, act: Callable[[], object]) -> bool:
        """Do it, in a few tries. False where it is not done: it stays owed, and ``catch_up`` tries again."""
        for attempt in range(_TRIES):
            failed = _failure(act)
            if failed is None:
                return True
            if not isinstance(failed, TEMPORARY):
                return False
            if attempt < _TRIES - 1:
                self._sleep(_WAIT * 2**attempt)
        self._owe(_Owed(act))
        return False

    def once(self, act: Callable[[], object]) -> bool:
        """Do it in one try, where something more urgent waits; False where it is not done, and to be done later."""
        return not isinstance(_failure(act), TEMPORARY)

    def catch_up(self) -> None:
        """Try what is owed once more; what cannot be done at several batches is given up, and told in the log."""
        with self._lock:
            owed, self._owed = self._owed, deque(maxlen=_MOST_OWED)
        for own in owed:
            if not isinstance(_failure(own.act), TEMPORARY):
                continue
            if own.times + 1 < _LATER:
                self._owe(_Owed(own.act, own.times + 1))
            else:
                _logger.error("given up: what follows from a step's outcome could not be written")

    def _owe(self, owed: _Owed) -> None:
        with self._lock:
            self._owed.append(owed)


def _failure(act: Callable[[], object]) -> Exception | None:
    """What the act raised, told in the log."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - what else follows is done all the same
        log_failure(error)
        return error
    return None
