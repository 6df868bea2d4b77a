"""A host whose clock is wrong: a Python that finds this file on its path reads the time of day off by some seconds.

Python imports it before anything else. ``CHAOS_CLOCK`` names a file of JSON, offsets in seconds by Lambda function
(``"*"``: everybody); it is read again whenever it changes, so that a clock jumps while a worker is at work. Durations
are measured by ``time.monotonic`` and stay right, as they do on such a host; so does the time that is left of an
invocation, which the engine takes from ``time.time``: that one is wrong for the functions' code alone.
"""

import datetime
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_FILE = Path(os.environ.get("CHAOS_CLOCK", "/nowhere"))
_FUNCTION = os.environ.get("CHAOS_CLOCK_OF", "")
_OURS = ("shared.", "functions.")
_real = datetime.datetime
_real_time = time.time
_module: Any = datetime
_time_module: Any = time


class _Offset:
    read_from = -1
    seconds = 0.0


def _offset() -> float:
    try:
        changed = _FILE.stat().st_mtime_ns
        if changed != _Offset.read_from:
            told = json.loads(_FILE.read_text())
            _Offset.seconds = told.get("*", 0) + told.get(_FUNCTION, 0)
            _Offset.read_from = changed
    except (OSError, ValueError):  # gone
        pass
    return _Offset.seconds


class _AnyDatetime(type):
    """What C code makes is a plain datetime, and still one of these."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _real)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _real)


class _OffDatetime(_real, metaclass=_AnyDatetime):
    """``datetime`` by the wrong clock. Whatever it makes is a plain datetime."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        return _real.__new__(_real, *arguments, **named)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _real.fromtimestamp(_real_time() + _offset(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return _real.fromtimestamp(_real_time() + _offset(), datetime.UTC).replace(tzinfo=None)


def _off_time() -> float:
    """``time.time`` by the wrong clock, for code of ours: by it a row's time to live ends, a sweep's lease too."""
    asking: str = sys._getframe(1).f_globals.get("__name__", "")
    return _real_time() + _offset() if asking.startswith(_OURS) else _real_time()


if "CHAOS_CLOCK" in os.environ:
    for _name in ("fromtimestamp", "fromisoformat", "strptime", "combine"):
        setattr(_OffDatetime, _name, getattr(_real, _name))
    _module.datetime = _OffDatetime
    _time_module.time = _off_time
