"""One exchange with somebody else's server as data: what goes out, what came back, what went wrong.

DeliveryError
+- RefusedDestination     our rules forbid the URL; nothing was dialled
|  +- ForbiddenAddress    the host resolves to an address that is not public
+- InvalidRequest         cannot be written as an HTTP request
+- DestinationUnreachable no connection: name, TCP or TLS; the request was not sent
+- DestinationTimeout     no complete answer head in time
+- BrokenExchange         the connection broke, or the answer is not HTTP
+- UnexpectedFailure      a defect on our side; logged with its stack
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DEFAULT_TIMEOUT = timedelta(seconds=15)
DEFAULT_MAX_ANSWER_BYTES = 64 * 1024


class DeliveryError(Exception):
    """Base of everything that can go wrong on the way out. ``reason`` names no address, header or body."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RefusedDestination(DeliveryError):
    """The destination's URL breaks a rule; it stays refused until somebody changes it."""


class ForbiddenAddress(RefusedDestination):
    """The host's present addresses are not all public. DNS can change, so a later attempt may pass."""


class InvalidRequest(DeliveryError):
    """A header or the method cannot be sent."""


class DestinationUnreachable(DeliveryError):
    """No connection could be made; the other side has certainly not seen the request."""


class DestinationTimeout(DeliveryError):
    """Time ran out; ``SendResult.sent`` tells whether the other side may have the request."""


class BrokenExchange(DeliveryError):
    """The connection broke before an answer, or what came is not HTTP."""


class UnexpectedFailure(DeliveryError):
    """Something nobody foresaw; the cause is attached."""


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One HTTP request. Headers and body stay out of its repr: they hold tokens and personal data.

    ``timeout`` bounds the whole attempt, from name resolution to the last byte read. At most
    ``max_answer_bytes`` of the answer's body are read.
    """

    url: str
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    timeout: timedelta = DEFAULT_TIMEOUT
    max_answer_bytes: int = DEFAULT_MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said: header names in lower case, the body as on the wire (never decompressed).

    ``complete`` is False when the body was cut at the cap, by the deadline or by a broken connection.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    complete: bool = True


@dataclass(frozen=True, slots=True)
class SendResult:
    """One attempt on the wire: either ``answer`` or ``error``.

    ``started_at``/``finished_at`` are aware UTC. ``sent`` is False when the other side has certainly not seen
    the request, which is what a message kind needs to know before it repeats one.
    """

    started_at: datetime
    finished_at: datetime
    latency_ms: int
    sent: bool
    answer: Answer | None = None
    error: DeliveryError | None = None
