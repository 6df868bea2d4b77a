"""CloudWatch as it documents itself: metrics out of log lines, and the state of alarms over metrics.

Amazon CloudWatch User Guide, "Configuring how CloudWatch alarms treat missing data", "Evaluating an alarm" and
"Embedded metric format specification". More periods are read than an alarm evaluates; real values among them come
before missing ones. How many more is not said; the guide's own tables show two.
"""

import ast
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any

BEYOND = 2
"""Periods that are read beside those that are evaluated."""
_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
}


@dataclass(frozen=True, slots=True)
class Series:
    """A metric: namespace, name and every one of its dimensions, as the template writes them."""

    namespace: str
    name: str
    dimensions: str

    @classmethod
    def of(cls, namespace: str, name: str, dimensions: Mapping[str, Any]) -> "Series":
        """``dimensions``: name to value, a text or a reference."""
        return cls(namespace, name, json.dumps(dimensions, sort_keys=True))


@dataclass(slots=True)
class CloudWatch:
    """Values by metric; ``quotas`` by metric for ``SERVICE_QUOTA``."""

    values: dict[Series, list[tuple[datetime, float]]] = field(default_factory=dict)
    quotas: dict[Series, float] = field(default_factory=dict)

    def put(self, series: Series, at: datetime, value: float) -> None:
        """One value."""
        self.values.setdefault(series, []).append((at, value))

    def read_log(self, lines: Iterable[str]) -> None:
        """Take the metrics out of a function's log; a line that is no embedded metric is none."""
        for line in lines:
            try:
                plain = json.loads(line)
            except ValueError:
                continue
            if isinstance(plain, dict) and "_aws" in plain:
                self._embedded(plain)

    def _embedded(self, plain: Mapping[str, Any]) -> None:
        at = datetime.fromtimestamp(plain["_aws"]["Timestamp"] / 1000, UTC)
        for directive in plain["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: plain[name] for name in names}
                for metric in directive["Metrics"]:
                    series = Series.of(directive["Namespace"], metric["Name"], dimensions)
                    given = plain[metric["Name"]]
                    for value in given if isinstance(given, list) else [given]:
                        self.put(series, at, value)

    def statistic(self, series: Series, name: str, start: datetime, end: datetime) -> float | None:
        """A period's statistic; None where there is no value in it."""
        found = sorted(value for at, value in self.values.get(series, ()) if start <= at < end)
        if not found:
            return None
        match name:
            case "Sum":
                return sum(found)
            case "Maximum":
                return found[-1]
            case "Average":
                return sum(found) / len(found)
            case "SampleCount":
                return len(found)
            case _ if name.startswith("p"):
                return found[max(ceil(len(found) * float(name[1:]) / 100) - 1, 0)]
            case _:
                raise NotImplementedError(name)


def is_in_alarm(alarm: Mapping[str, Any], watched: CloudWatch, now: datetime) -> bool:
    """Whether an ``AWS::CloudWatch::Alarm`` (its properties) is in ALARM at ``now``."""
    periods, needed = alarm["EvaluationPeriods"], alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    period = timedelta(seconds=_period(alarm))
    whole = datetime.fromtimestamp(now.timestamp() // period.total_seconds() * period.total_seconds(), UTC)
    read = [_value(alarm, watched, whole - period * (at + 1), whole - period * at) for at in range(periods + BEYOND)]
    real = [own for own in read if own is not None][:periods]  # the newest first
    breaching = sum(own > alarm["Threshold"] for own in real)
    if alarm["TreatMissingData"] == "breaching":
        breaching += periods - len(real)
    else:
        assert alarm["TreatMissingData"] == "notBreaching"
    return breaching >= int(needed)


def names_of_rule(composite: Mapping[str, Any]) -> Iterator[str]:
    """The logical ids of the alarms that an ``AWS::CloudWatch::CompositeAlarm`` (its properties) joins by OR."""
    for part in composite["AlarmRule"]["Fn::Join"][1]:
        if isinstance(part, str):
            assert set(part.replace("ALARM", "").replace("OR", "")) <= set('(") '), part
        else:
            yield part["Fn::GetAtt"][0]


def _period(alarm: Mapping[str, Any]) -> int:
    if "Metrics" not in alarm:
        return int(alarm["Period"])
    (period,) = {own["MetricStat"]["Period"] for own in alarm["Metrics"] if "MetricStat" in own}
    return int(period)


def series_of(metric: Mapping[str, Any]) -> Series:
    """The metric that an alarm, or a part of its expression, names."""
    dimensions = {own["Name"]: own["Value"] for own in metric.get("Dimensions", ())}
    return Series.of(metric["Namespace"], metric["MetricName"], dimensions)


def _value(alarm: Mapping[str, Any], watched: CloudWatch, start: datetime, end: datetime) -> float | None:
    if "Metrics" not in alarm:
        statistic = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        return watched.statistic(series_of(alarm), statistic, start, end)
    (expression,) = (own for own in alarm["Metrics"] if own.get("ReturnData", True))
    parts = {own["Id"]: own["MetricStat"] for own in alarm["Metrics"] if "MetricStat" in own}
    values = {name: watched.statistic(series_of(own["Metric"]), own["Stat"], start, end) for name, own in parts.items()}
    if None in values.values():
        return None
    quotas = {name: watched.quotas.get(series_of(own["Metric"]), 0.0) for name, own in parts.items()}
    return computed(expression["Expression"], {name: own or 0.0 for name, own in values.items()}, quotas)


def computed(expression: str, values: Mapping[str, float], quotas: Mapping[str, float]) -> float:
    """Metric math over one period's statistics."""
    text = expression.replace("IF(", "WHERE(")  # a keyword of Python's
    return _computed(ast.parse(text, mode="eval").body, values, quotas)


def _computed(node: ast.expr, values: Mapping[str, float], quotas: Mapping[str, float]) -> float:
    """Metric math, as far as alarms here use it."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_computed(left, values, quotas), _computed(right, values, quotas))
        case ast.Compare(left=left, ops=[ast.GtE()], comparators=[right]):
            return float(_computed(left, values, quotas) >= _computed(right, values, quotas))
        case ast.Call(func=ast.Name(id="WHERE"), args=[condition, one, other]):
            return _computed(one if _computed(condition, values, quotas) else other, values, quotas)
        case ast.Call(func=ast.Name(id="SERVICE_QUOTA"), args=[ast.Name(id=name)]):
            return quotas[name]
        case _:
            raise NotImplementedError(ast.dump(node))
