"""An operator's command that breaks off: the shell is closed, or the connection lost, at one of its calls to AWS."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

MOMENTS = pytest.mark.parametrize("moment", ["before-call", "after-call"], ids=["fails", "succeeds unseen"])


class BrokenOff(Exception):
    """The command did not get further."""


@contextmanager
def broken_off(number: int, moment: str, *clients: Any) -> Iterator[None]:
    """What runs inside ends at its ``number``-th call through ``clients``, before it or after AWS has done it."""
    calls = iter(range(1, number + 1))

    def cut(**_: Any) -> None:
        if next(calls, None) == number:
            raise BrokenOff

    for client in clients:
        client.meta.events.register(moment, cut)
    with suppress(BrokenOff):
        yield
    for client in clients:
        client.meta.events.unregister(moment, cut)
