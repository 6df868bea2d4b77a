"""AWS around the functions of a shop: whatever fails comes again, as each of its services would bring it.

A provider repeats a webhook that was not answered with 200; the schedule calls the sweep each minute, whatever became
of the last; a stream brings a failed batch again at once; a queue shows an unacknowledged message again after its
visibility timeout, five times at most.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.sqs.models import sqs_backends

from tests.integration.conftest import REGION
from tests.integration.faults.aws_calls import WorkerKilled
from tests.integration.shop import Shop, forget_compositions

_DELIVERIES = ("DELIVERIES_QUEUE_URL", "RETRIES_QUEUE_URL", "STEPS_QUEUE_URL", "SLOW_QUEUE_URL")
MOST_RECEIVES = 5
_MOST_BATCHES = 20


@dataclass
class _Message:
    body: str
    received: int = 0
    shown_at: float = 0.0


@dataclass
class _Source:
    """What brings the messages of queues, named by their variables, to one function."""

    names: tuple[str, ...]
    visibility_seconds: int
    call: Callable[[list[str]], list[str]]
    held: list[_Message] = field(default_factory=list)


@dataclass
class Aws:
    """One stage's event sources. ``dead`` holds what no repeat could help."""

    shop: Shop
    dead: list[str] = field(default_factory=list)
    _stream: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Six times the consumer's timeout, as the queues of the stage have it."""
        self._deliveries = _Source(_DELIVERIES, 360, self.shop.deliver)
        self._pulls = _Source(("PULLS_QUEUE_URL",), 720, self.shop.pull)

    def begin(self) -> None:
        """Nothing is on its way but what the stage itself holds."""
        self.dead, self._stream = [], []
        for source in (self._deliveries, self._pulls):
            source.held.clear()

    def waiting(self) -> int:
        """Messages that a queue holds for a function, seen or not."""
        sources = (self._deliveries, self._pulls)
        queues = [self._moto(name) for source in sources for name in source.names]
        return sum(len(own.held) for own in sources) + sum(len(own._messages) for own in queues)

    def set_aside(self) -> set[str]:
        """What dead letter queues hold: once or more."""
        names = ("DEAD_LETTERS_QUEUE_URL", "PULLS_DEAD_LETTERS_QUEUE_URL")
        return {message.body for name in names for message in self._moto(name)._messages}

    def posts(self, event: dict[str, Any]) -> list[int]:
        """A provider posts until it is told 200; the statuses it saw."""
        statuses: list[int] = []
        for _ in range(5):
            answered = self._called(lambda: self.shop.posted(event))
            statuses.append(answered[0] if answered else 500)
            if statuses[-1] == 200:
                return statuses
            self.shop.wait(seconds=1)
        raise AssertionError(f"the provider gave up after {statuses}")

    def sweeps(self) -> None:
        """The minute's schedule."""
        self._called(self.shop.sweep)

    def streams(self) -> None:
        """The stream brings what is new, and a failed batch again."""
        for _ in range(_MOST_BATCHES):
            self._stream = self._stream or self.shop.stream()
            if not self._stream:
                return
            if self._called(lambda: self.shop.dispatch(self._stream)) is not None:
                self._stream = []
        self.dead += [f"stream: {own['eventID']}" for own in self._stream]

    def delivers(self) -> None:
        """The queues show what may be seen now, in batches of ten."""
        self._shows(self._deliveries)

    def pulls(self) -> None:
        """So does the queue of what must be asked from providers."""
        self._shows(self._pulls)

    def passes(self, minutes: int) -> None:
        """Time goes by and everything runs as it is scheduled."""
        for _ in range(minutes):
            self.shop.wait(minutes=1)
            self.sweeps()
            self.pulls()
            self.streams()
            self.delivers()
            self.streams()

    def _shows(self, source: _Source) -> None:
        for name in source.names:
            source.held += [_Message(body) for body in self._fresh(name)]
        now = self.shop.now.timestamp()
        shown = [own for own in source.held if own.shown_at <= now]
        for start in range(0, len(shown), 10):
            self._worked_off(source, shown[start : start + 10], now)

    def _worked_off(self, source: _Source, batch: list[_Message], now: float) -> None:
        for own in batch:
            own.received += 1
            own.shown_at = now + source.visibility_seconds
        back = self._called(lambda: source.call([own.body for own in batch]))
        failed = batch if back is None else [batch[int(own[1:])] for own in back]
        for own in batch:
            if not any(own is other for other in failed):
                source.held.remove(own)
            elif own.received >= MOST_RECEIVES:
                source.held.remove(own)
                self.dead.append(own.body)

    def _fresh(self, name: str) -> list[str]:
        """Taken from moto itself: what a mapping receives is no call of ours."""
        queue = self._moto(name)
        visible = [own for own in queue._messages if own.visible and not own.delayed]
        queue._messages = [own for own in queue._messages if not any(own is other for other in visible)]
        return [own.body for own in visible]

    def _moto(self, name: str) -> Any:
        return sqs_backends[ACCOUNT_ID][REGION].get_queue(self.shop.environment[name].rpartition("/")[2])

    def _called[T](self, call: Callable[[], T]) -> T | None:
        """What a function returned; None where it raised, and its process is another one from then on."""
        try:
            return call()
        except WorkerKilled:
            forget_compositions()
            return None
        except Exception:  # noqa: BLE001 - Lambda's own net: a raise is a failed invocation, whatever it is
            return None


def posted(**payload: Any) -> dict[str, Any]:
    """FlexyPe's sample webhook as API Gateway hands it over, with parts of it changed."""
    from tests.integration.shop import aws_event

    event: dict[str, Any] = aws_event("webhook")
    event["body"] = json.dumps({**json.loads(event["body"]), **payload})
    return event
