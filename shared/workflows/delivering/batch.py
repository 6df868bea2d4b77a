"""A batch of messages: attempts that go out at once, each of which stands alone.

Whatever happens to one message, a vendor that hangs, a store that is throttled, a defect of ours, costs no other
message of the batch anything: it is given back to its queue by itself.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from traceback import format_tb

from shared.aws.faults import AWS_ERRORS, is_temporary
from shared.delivery.exchange import OutboundRequest, SendResult
from shared.destinations.liquid import on_behalf_of
from shared.domain.ids import MerchantId
from shared.domain.merchant import Endpoint
from shared.workflows.delivering.endpoint_health import EndpointHealth
from shared.workflows.delivering.together import Joint, SendAll, sent_together

TEMPORARY = AWS_ERRORS
"""What gives a message back without being a defect of its handling; after five tries it is a dead letter."""
RECORDING = timedelta(seconds=10)
"""Kept of a function's time for writing down what came of an attempt."""
LEAST = timedelta(seconds=1)
"""Nobody is asked for anything with less time than this for the answer."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one message; ``retry_message`` when the queue must give it back, and ``error`` why."""

    outcome: str
    retry_message: bool = False
    error: Exception | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An attempt that is ready to go out, and what to do with its result.

    ``endpoint``: whose health the attempt tells of; None where nobody watches it. ``joint``: that it may go out in
    one request with others to the same endpoint.
    """

    request: OutboundRequest
    conclude: Callable[[SendResult], Handled]
    endpoint: Endpoint | None = None
    first: "First | None" = None
    joint: Joint | None = None


@dataclass(frozen=True, slots=True)
class Unwritten:
    """An attempt whose request is still to be written, from a merchant's template: that may take a moment.

    ``merchant_id``: whose template it is.
    """

    write: "Callable[[], Handled | Prepared]"
    merchant_id: MerchantId


@dataclass(frozen=True, slots=True)
class First:
    """What a vendor must be told before the attempt's own request; ``refused`` is the outcome where that fails."""

    request: OutboundRequest
    refused: Callable[[SendResult], Handled | None]


type Begun = Handled | Prepared | Unwritten
"""How far a message has come before anything is sent."""


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """The time a function has left; ``milliseconds`` asks Lambda."""

    milliseconds: Callable[[], int]

    def after(self, span: timedelta) -> timedelta:
        """What is left beside a span that is needed; negative where there is less than that."""
        return timedelta(milliseconds=self.milliseconds()) - span

    def fits(self, span: timedelta) -> bool:
        """Whether an attempt that may take this long can still be made, and recorded."""
        return self.after(span + RECORDING) >= timedelta(0)


def log_failure(error: Exception) -> None:
    """Tell whoever reads the log; what the error says is left out: it may quote a person."""
    name = type(error).__name__
    if is_temporary(error):
        _logger.warning("a temporary failure: %s", name)
    else:
        _logger.error("a defect: %s\n%s", name, "".join(format_tb(error.__traceback__)))


def given_back(error: Exception) -> Handled:
    """One message whose handling failed."""
    log_failure(error)
    return Handled(f"given_back:{type(error).__name__}", retry_message=True, error=error)


def alone[**P, T](act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Handled:
    """What an act on one message comes to: whatever it raises is that message's alone."""
    try:
        return act(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the other messages of the batch go on
        return given_back(error)


def read_together[T, K, V](
    read: Callable[[Sequence[T]], dict[K, V]], wanted: Mapping[int, T]
) -> tuple[dict[K, V], dict[int, Exception]]:
    """One read for all messages, by their positions; where it fails, one for each, at the same time.

    Answers what was found, and what befell those whose own read failed as well.
    """
    if not wanted:
        return {}, {}
    try:
        return read(list(wanted.values())), {}
    except Exception as error:  # noqa: BLE001 - each is asked for by itself
        if len(wanted) == 1:
            return {}, dict.fromkeys(wanted, error)
    found: dict[K, V] = {}
    failed: dict[int, Exception] = {}
    with ThreadPoolExecutor(len(wanted)) as threads:
        reads = {position: threads.submit(read, [message]) for position, message in wanted.items()}
    for position, own in reads.items():
        try:
            found |= own.result()
        except Exception as error:  # noqa: BLE001 - this message's alone
            failed[position] = error
    return found, failed


def send_prepared(
    prepared: Sequence[Begun],
    send_all: SendAll,
    health: EndpointHealth | None = None,
    time: TimeLeft | None = None,
) -> list[Handled]:
    """Make every attempt of a batch at once; one result per message, in order.

    ``health`` watches the attempts while they are out and learns from them. Where a vendor must be told something
    first, or a template is still to be rendered, only the attempt that goes there waits for it; and no vendor is told
    anything for longer than leaves ``time`` for the attempt itself.
    """
    handled = {at: own for at, own in enumerate(prepared) if isinstance(own, Handled)}
    ready = {at: own for at, own in enumerate(prepared) if isinstance(own, Prepared)}
    unwritten = {at: own for at, own in enumerate(prepared) if isinstance(own, Unwritten)}
    at_once = {at: own for at, own in ready.items() if own.first is None}
    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(max(len(prepared) - len(at_once), 1)) as threads:
        waiting = {
            at: threads.submit(alone, _told_and_sent, own, send_all, health, time)
            for at, own in ready.items()
            if own.first is not None
        }
        for at, own in in_turn(unwritten):
            written = writer.submit(alone, _written, own)
            waiting[at] = threads.submit(alone, _sent_once_written, written, send_all, health, time)
        handled |= dict(zip(at_once, _sent(list(at_once.values()), send_all, health, time), strict=True))
        handled |= {at: own.result() for at, own in waiting.items()}
    if health is not None:
        health.settle()
    return [handled[at] for at in range(len(prepared))]


def in_turn(unwritten: Mapping[int, Unwritten]) -> list[tuple[int, Unwritten]]:
    """The order in which templates are rendered, one after another: each merchant's first before anybody's second."""
    before: Counter[MerchantId] = Counter()
    turns = []
    for at, own in unwritten.items():
        turns.append((before[own.merchant_id], at, own))
        before[own.merchant_id] += 1
    return [(at, own) for _, at, own in sorted(turns, key=lambda turn: turn[:2])]


def _written(own: Unwritten) -> Handled | Prepared:
    with on_behalf_of(own.merchant_id):
        return own.write()


def _sent_once_written(
    written: "Future[Handled | Prepared]", send_all: SendAll, health: EndpointHealth | None, time: TimeLeft | None
) -> Handled:
    """Wait for the request's turn to be written, then make the attempt."""
    own = written.result()
    return own if isinstance(own, Handled) else _told_and_sent(own, send_all, health, time)


def _told_and_sent(own: Prepared, send_all: SendAll, health: EndpointHealth | None, time: TimeLeft | None) -> Handled:
    """Tell the vendor what it must hear first, then make the attempt; one that was refused that is over."""
    if own.first is not None:
        telling = own.first.request
        if time is not None:
            telling = replace(telling, timeout=min(telling.timeout, time.after(own.request.timeout + RECORDING)))
        if telling.timeout < LEAST:
            return Handled("no_time", retry_message=True)
        refused = own.first.refused(send_all([telling])[0])
        if refused is not None:
            return refused
    return own.conclude(watched(own.request, own.endpoint, send_all, health))


def watched(
    request: OutboundRequest, endpoint: Endpoint | None, send_all: SendAll, health: EndpointHealth | None
) -> SendResult:
    """One request sent by itself, its endpoint's health watched meanwhile."""
    if health is None or endpoint is None:
        return send_all([request])[0]
    with health.watching([endpoint]):
        return send_all([request])[0]


def _sent(
    ready: Sequence[Prepared], send_all: SendAll, health: EndpointHealth | None, time: TimeLeft | None
) -> list[Handled]:
    """All of these at once, then what came of each."""
    if not ready:
        return []
    try:
        results = _results(ready, send_all, health, time)
    except Exception as error:  # noqa: BLE001 - the pool is stuck: every attempt is repeated, nothing else is lost
        return [given_back(error) for _ in ready]
    return [alone(own.conclude, result) for own, result in zip(ready, results, strict=True)]


def _results(
    ready: Sequence[Prepared], send_all: SendAll, health: EndpointHealth | None, time: TimeLeft | None
) -> list[SendResult]:
    requests, joints = [own.request for own in ready], [own.joint for own in ready]
    left = None if time is None else partial(time.after, RECORDING)
    if health is None:
        return sent_together(requests, joints, send_all, left=left)
    with health.watching([own.endpoint for own in ready]) as answered:
        return sent_together(requests, joints, send_all, answered, left)
