"""How soon an endpoint answers, as the API shows it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final, Literal, TypedDict
from zoneinfo import ZoneInfo

from shared.domain.instants import InstantText, to_rfc3339
from shared.workflows.insight.endpoint_latency import Answered, Counted, spread

Period = Literal["P1D", "P7D", "P30D"]
LASTS: Final[Mapping[Period, timedelta]] = {
    "P1D": timedelta(days=1),
    "P7D": timedelta(days=7),
    "P30D": timedelta(days=30),
}
_DEFINITIONS: Final = {
    "attempts": "of the deliveries made in the period, the newest 12 of each; by when the attempt began",
    "delivered": "attempts that were answered well",
    "p50_ms": "half of the attempts that were answered were so within it; p95_ms: 95 of 100; by nearest rank",
    "share": "of the deliveries since `from`, the part that was looked at: whole shards, divided by a hash",
    "from": "later than asked for where a single shard holds more deliveries than are looked at",
}


class SpreadJson(TypedDict):
    """Attempts and how long they took, in milliseconds."""

    attempts: int
    delivered: int
    p50_ms: int | None
    p95_ms: int | None
    slowest_ms: int | None


class LatencyRowJson(SpreadJson):
    """One hour, or one day, on the merchant's clock."""

    start: InstantText


LatencyReportJson = TypedDict(
    "LatencyReportJson",
    {
        "endpoint_id": str,
        "period": Period,
        "from": InstantText,
        "to": InstantText,
        "share": float,
        "deliveries": int,
        "total": SpreadJson,
        "data": list[LatencyRowJson],
        "definitions": dict[str, str],
    },
)
"""How soon an endpoint answers."""


def latency_json(counted: Counted, endpoint_id: str, period: Period, zone: str) -> LatencyReportJson:
    """The report; hours or days without an attempt are rows too."""
    by_start: dict[datetime, list[Answered]] = {own: [] for own in _starts(counted, period, zone)}
    for attempt in counted.attempts:
        start = _start(attempt.at, period, zone)
        if start in by_start:
            by_start[start].append(attempt)
    return {
        "endpoint_id": endpoint_id,
        "period": period,
        "from": to_rfc3339(counted.since),
        "to": to_rfc3339(counted.until),
        "share": counted.share,
        "deliveries": counted.deliveries,
        "total": _spread(counted.attempts),
        "data": [{"start": to_rfc3339(start), **_spread(own)} for start, own in by_start.items()],
        "definitions": _DEFINITIONS,
    }


def _spread(attempts: Sequence[Answered]) -> SpreadJson:
    own = spread(attempts)
    return {
        "attempts": own.attempts,
        "delivered": own.delivered,
        "p50_ms": own.p50,
        "p95_ms": own.p95,
        "slowest_ms": own.slowest,
    }


def _start(at: datetime, period: Period, zone: str) -> datetime:
    """When the attempt's hour or day began, as an instant."""
    local = at.astimezone(ZoneInfo(zone))
    if period == "P1D":
        # In UTC: an hour that the clock shows twice is two.
        return at - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return _midnight(local.date(), zone)


def _starts(counted: Counted, period: Period, zone: str) -> list[datetime]:
    first, last = (_start(own, period, zone) for own in (counted.since, counted.until))
    if period == "P1D":
        return [first + timedelta(hours=count) for count in range(round((last - first) / timedelta(hours=1)) + 1)]
    days = (last.date() - first.date()).days
    return [_midnight(first.date() + timedelta(days=count), zone) for count in range(days + 1)]


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone))
