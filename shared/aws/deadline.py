"""One deadline for all calls to AWS that a request makes.

A provider waits for a few seconds (Shopify: five), then it sends again. What we do for it after it has given up is
wasted, and holds a place that other webhooks need. So a call is made only while there is time for it, however often one
was already tried again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from botocore.exceptions import BotoCoreError

_last_start: ContextVar[float | None] = ContextVar("last_start", default=None)
clock = time.monotonic


class DeadlinePassed(BotoCoreError):
    """No call may begin any more: a temporary failure of ours."""

    fmt = "There is no time left for another call to AWS"


@contextmanager
def no_call_after(seconds: float) -> Iterator[None]:
    """Inside, no attempt of any call begins after ``seconds``; one that has begun goes on to its own timeout.

    What would begin later raises DeadlinePassed. Holds for this thread, not for threads it starts.
    """
    token = _last_start.set(clock() + seconds)
    try:
        yield
    finally:
        _last_start.reset(token)


def sleep(seconds: float) -> None:
    """Wait between two calls. Raises DeadlinePassed at once where the second could not begin any more."""
    _check(after=seconds)
    time.sleep(seconds)


def watch(client: Any) -> None:
    """Hold a client to the deadline of whatever request it is used for."""
    events = client.meta.events
    events.register_first("request-created", _may_begin)
    events.register_first("needs-retry", _may_be_repeated)


def _may_begin(**_: Any) -> None:
    """Before every attempt."""
    _check()


def _may_be_repeated(caught_exception: Exception | None = None, **_: Any) -> None:
    """Before the library waits to try again what had no answer."""
    if caught_exception is not None:
        _check()


def _check(after: float = 0) -> None:
    last_start = _last_start.get()
    if last_start is not None and clock() + after > last_start:
        raise DeadlinePassed
