"""How the operator is shown how the stage fares."""

from typing import Literal, TypedDict

from shared.aws.stage_watch import QUEUES, Alarm, Measured, WatchedQueue, WhyNotKnown
from shared.domain.instants import InstantText, to_rfc3339
from shared.workflows.insight.stage_health import Part, StageHealth, Verdict

_RUNBOOK = "docs/runbook.md"


class RingingJson(TypedDict):
    """An alarm that rings."""

    name: str
    """As CloudWatch calls it."""
    since: InstantText | None
    text: str
    """What is wrong."""
    runbook: str | None
    """What to do about it: the section of the runbook."""
    muted: bool
    """Somebody switched its actions off: it calls nobody."""


class AlarmsJson(TypedDict):
    """The stage's alarms."""

    watched: int
    undecided: int
    """CloudWatch has not seen enough to say."""
    ringing: list[RingingJson]
    """The longest first."""


class StageQueueJson(TypedDict):
    """A queue. Counts are approximate, as SQS gives them; null where it did not answer."""

    name: str
    kind: Literal["work", "dead_letters"]
    """Of `dead_letters` each message waits for a person."""
    waiting: int | None
    in_flight: int | None
    delayed: int | None
    oldest_seconds: float | None
    """For how long the oldest message has waited; null where CloudWatch said nothing of it."""
    runbook: str


class SweepHealthJson(TypedDict):
    """The sweep, of the last quarter of an hour; null where none was seen in it."""

    last_at: InstantText | None
    """The minute of the last that came through."""
    lag_seconds: float | None
    """For how long what was due longest had waited, then."""


class TellingHealthJson(TypedDict):
    """How far behind events are."""

    dispatch_lag_seconds: float | None
    """Behind the table's stream; null where nothing was to be told."""
    deliveries_lag_seconds: float | None
    """For how long the oldest fresh delivery has waited."""
    told_late: int
    """Events that began their way more than ten minutes late, in the last quarter of an hour."""


class NotKnownJson(TypedDict):
    """A part that did not answer."""

    part: Part
    queue: str | None
    reason: WhyNotKnown


class StageHealthJson(TypedDict):
    """How the stage fares at one moment. What is among `unknown` is null; the rest is true all the same."""

    stage: str
    at: InstantText
    function_version: str
    """The version that answers, as `infra.operations.releases list` has it; `$LATEST` where there are none."""
    status: Verdict
    """Whether an alarm rings; `unknown` where the alarms are not known."""
    alarms: AlarmsJson | None
    queues: list[StageQueueJson]
    sweep: SweepHealthJson | None
    telling: TellingHealthJson | None
    unknown: list[NotKnownJson]


def stage_health_json(health: StageHealth, stage: str, function_version: str) -> StageHealthJson:
    """What the operator is shown."""
    measured = health.measured
    return {
        "stage": stage,
        "at": to_rfc3339(health.at),
        "function_version": function_version,
        "status": health.verdict,
        "alarms": None if health.alarms is None else _alarms(health, health.alarms),
        "queues": [_queue(own, health) for own in QUEUES],
        "sweep": None if measured is None else _sweep(measured),
        "telling": None if measured is None else _telling(measured),
        "unknown": [{"part": own.part, "queue": own.queue, "reason": own.reason} for own in health.not_known],
    }


def _alarms(health: StageHealth, alarms: list[Alarm]) -> AlarmsJson:
    return {
        "watched": len(alarms),
        "undecided": sum(own.state == "INSUFFICIENT_DATA" for own in alarms),
        "ringing": [
            {
                "name": own.name,
                "since": None if own.since is None else to_rfc3339(own.since),
                "text": own.text,
                "runbook": f"{_RUNBOOK}#{own.section}" if own.section else None,
                "muted": own.muted,
            }
            for own in health.ringing
        ],
    }


def _queue(queue: WatchedQueue, health: StageHealth) -> StageQueueJson:
    depth = health.depths.get(queue)
    return {
        "name": queue.name,
        "kind": "dead_letters" if queue.dead else "work",
        "waiting": None if depth is None else depth.waiting,
        "in_flight": None if depth is None else depth.in_flight,
        "delayed": None if depth is None else depth.delayed,
        "oldest_seconds": None if health.measured is None else health.measured.ages[queue.name],
        "runbook": f"{_RUNBOOK}#{queue.section}",
    }


def _sweep(measured: Measured) -> SweepHealthJson:
    done = measured.sweep_done
    return {
        "last_at": None if done is None else to_rfc3339(done),
        "lag_seconds": measured.sweep_lag,
    }


def _telling(measured: Measured) -> TellingHealthJson:
    return {
        "dispatch_lag_seconds": measured.dispatch_lag,
        "deliveries_lag_seconds": measured.ages[QUEUES[0].name],
        "told_late": measured.told_late,
    }
