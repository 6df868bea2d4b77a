"""How a stage fares, for its operator: what is known, asked for at once; what does not answer in time is not known."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from shared.aws.deadline import no_call_after
from shared.aws.stage_watch import QUEUES, Alarm, Depth, Measured, StageWatch, WatchedQueue, WhyNotKnown, why_not_known

WAITED_FOR: Final = 4.0
"""Seconds. A page of which half is not known is better than one that does not come."""
_LAST_CALL: Final = 2.0
"""Seconds after which no further call begins."""
Part = Literal["alarms", "queues", "metrics"]
Verdict = Literal["well", "ringing", "unknown"]


@dataclass(frozen=True, slots=True)
class NotKnown:
    """A part that did not answer; ``queue``: which one, of the part ``queues``."""

    part: Part
    reason: WhyNotKnown
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class StageHealth:
    """What is known at one moment; None, or no entry, for what is among ``not_known``."""

    at: datetime
    alarms: list[Alarm] | None
    depths: Mapping[WatchedQueue, Depth]
    measured: Measured | None
    not_known: list[NotKnown]

    @property
    def ringing(self) -> list[Alarm]:
        """The alarms in ALARM, the longest first."""
        ringing = [own for own in self.alarms or () if own.state == "ALARM"]
        return sorted(ringing, key=lambda own: (own.since or self.at, own.name))

    @property
    def verdict(self) -> Verdict:
        """At a glance: whether an alarm rings, as far as alarms are known."""
        if self.alarms is None:
            return "unknown"
        return "ringing" if self.ringing else "well"


def stage_health(watch: StageWatch, now: Callable[[], datetime], patience: float = WAITED_FOR) -> StageHealth:
    """Ask for everything at once; after ``patience`` seconds go on with what was answered."""
    at = now()
    threads = ThreadPoolExecutor(len(QUEUES) + 2)
    try:
        alarms = threads.submit(_in_time, watch.alarms)
        measured = threads.submit(_in_time, lambda: watch.measured(at))
        depths = {queue: threads.submit(_in_time, lambda own=queue: watch.depth(own)) for queue in QUEUES}
        asked: list[Future[Any]] = [alarms, measured, *depths.values()]
        wait(asked, timeout=patience)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    not_known: list[NotKnown] = []
    known_alarms = _known(alarms, not_known, "alarms")
    known_measured = _known(measured, not_known, "metrics")
    known_depths = {queue: _known(own, not_known, "queues", queue.name) for queue, own in depths.items()}
    return StageHealth(
        at=at,
        alarms=known_alarms,
        depths={queue: own for queue, own in known_depths.items() if own is not None},
        measured=known_measured,
        not_known=not_known,
    )


def _in_time[Answer](ask: Callable[[], Answer]) -> Answer:
    with no_call_after(_LAST_CALL):
        return ask()


def _known[Answer](
    asked: Future[Answer], not_known: list[NotKnown], part: Part, queue: str | None = None
) -> Answer | None:
    try:
        return asked.result(timeout=0)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other parts are shown
        not_known.append(NotKnown(part, why_not_known(error), queue))
        return None
