"""How the stage fares by AWS's own account: alarms and metrics of CloudWatch, depths of queues.

For an operator who looks, and for nobody's work: so the calls are short, and what does not answer is not known.
Prices (us-east-1): ``GetMetricData`` 0.01 USD per 1,000 metrics asked for, the others are API requests.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from shared.aws.deadline import DeadlinePassed
from shared.aws.embedded_metrics import NAMESPACE
from shared.aws.environment import Environment, MissingVariable
from shared.aws.faults import code_of

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

WhyNotKnown = Literal["throttled", "not_allowed", "timed_out", "unavailable"]
LOOKED_BACK: Final = timedelta(minutes=15)
"""Metrics of queues and functions come by the minute, and up to some minutes late."""
_RUNBOOK: Final = "docs/runbook.md#"
_MOST_PAGES: Final = 3
"""Of a hundred alarms each; a stage has about thirty."""
_MINUTE: Final = 60
_THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "RequestThrottled", "LimitExceededException", "RequestLimitExceeded"}
)
_FORBIDDEN: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


@dataclass(frozen=True, slots=True)
class WatchedQueue:
    """A queue of the stage: the variable that holds its URL where it is used, and its alarm's section of the runbook.

    ``dead``: what is in it waits for a person.
    """

    name: str
    variable: str
    section: str
    dead: bool = False


QUEUES: Final = (
    WatchedQueue("deliveries", "DELIVERIES_QUEUE_URL", "deliveriesold"),
    WatchedQueue("steps", "STEPS_QUEUE_URL", "stepsold"),
    WatchedQueue("campaign runs", "CAMPAIGN_RUNS_QUEUE_URL", "campaignrunsold"),
    WatchedQueue("retries", "RETRIES_QUEUE_URL", "retriesold"),
    WatchedQueue("slow", "SLOW_QUEUE_URL", "slowold"),
    WatchedQueue("pulls", "PULLS_QUEUE_URL", "pullsold"),
    WatchedQueue("dead letters", "DELIVERY_DEAD_LETTERS_QUEUE_URL", "deadletters", dead=True),
    WatchedQueue("record dead letters", "DEAD_LETTERS_QUEUE_URL", "recorddeadletters", dead=True),
    WatchedQueue("pull dead letters", "PULLS_DEAD_LETTERS_QUEUE_URL", "pulldeadletters", dead=True),
    WatchedQueue("campaign dead letters", "CAMPAIGN_DEAD_LETTERS_QUEUE_URL", "campaigndeadletters", dead=True),
    WatchedQueue("missed schedules", "MISSED_SCHEDULES_QUEUE_URL", "missedschedules", dead=True),
)
"""As ``infra/constructs/queues.py`` makes them."""
WATCHED_QUEUES: Final = "WATCHED_QUEUES"
"""The variable with the names of the queues that its function only looks at: ``STEPS=…`` for ``STEPS_QUEUE_URL``, with
spaces in between. Eight URLs more would hardly fit into the 4 KB that a function's variables may have.
"""
_URL: Final = "_QUEUE_URL"
ALARM_PREFIX: Final = "ALARM_PREFIX"
"""The variable with what the names of this stage's alarms begin with, and nobody else's."""


def told_of(names: Mapping[str, str]) -> str:
    """What ``WATCHED_QUEUES`` holds; ``names`` by the variable of the queue's URL."""
    return " ".join(f"{variable.removesuffix(_URL)}={name}" for variable, name in names.items())


def url_of(variable: str, environment: Environment) -> str:
    """A queue's URL: told, or by its name beside a queue whose URL is told. Raises MissingVariable."""
    if url := environment.variables.get(variable):
        return url
    told = environment.variable(WATCHED_QUEUES).split()
    names = {f"{kind}{_URL}": name for kind, _, name in (own.partition("=") for own in told)}
    if not names.get(variable):
        msg = f"environment variable {WATCHED_QUEUES} does not name {variable.removesuffix(_URL)}"
        raise MissingVariable(msg)
    beside, _, _ = environment.variable(QUEUES[0].variable).rpartition("/")
    return f"{beside}/{names[variable]}"


class MetricsIncomplete(Exception):
    """CloudWatch answered, but not with all that was asked."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm. ``state`` is CloudWatch's own word: OK, ALARM, INSUFFICIENT_DATA; ``since`` when it came to be so.

    ``muted``: somebody switched its actions off. ``section``: of the runbook.
    """

    name: str
    state: str
    since: datetime | None
    text: str
    section: str
    muted: bool


@dataclass(frozen=True, slots=True)
class Depth:
    """About how many messages a queue holds: to be taken, taken and not ended, put off."""

    waiting: int
    in_flight: int
    delayed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The newest values of a quarter of an hour; None where there was none.

    ``ages``: seconds for which the oldest message of a queue has waited, by the queue's name. ``sweep_done``: the
    minute of the last sweep that came through, with its ``sweep_lag`` in seconds. ``dispatch_lag``: seconds behind the
    table's stream. ``told_late``: events of the whole time.
    """

    ages: Mapping[str, float | None]
    sweep_done: datetime | None
    sweep_lag: float | None
    dispatch_lag: float | None
    told_late: int


@dataclass(frozen=True, slots=True)
class _Metric:
    """One metric, as ``GetMetricData`` is asked for it."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    statistic: str


type _Points = Sequence[tuple[datetime, float]]
"""The newest first."""


class StageWatch:
    """Asks CloudWatch and SQS about one stage."""

    def __init__(self, cloudwatch: Callable[[], Any], sqs: "Callable[[], SQSClient]", environment: Environment) -> None:
        """``cloudwatch`` and ``sqs`` give the clients when they are first needed."""
        self._cloudwatch = cloudwatch
        self._sqs = sqs
        self._environment = environment

    def alarms(self) -> list[Alarm]:
        """Every alarm of the stage. Raises what botocore raises."""
        prefix = self._environment.variable(ALARM_PREFIX)
        found: list[Alarm] = []
        asked: dict[str, Any] = {
            "AlarmNamePrefix": prefix,
            # Without a word on types CloudWatch leaves out the one that calls somebody.
            "AlarmTypes": ["CompositeAlarm", "MetricAlarm"],
            "MaxRecords": 100,
        }
        for _ in range(_MOST_PAGES):
            page = self._cloudwatch().describe_alarms(**asked)
            found += [_alarm(own) for kind in ("CompositeAlarms", "MetricAlarms") for own in page.get(kind, ())]
            if not page.get("NextToken"):
                break
            asked["NextToken"] = page["NextToken"]
        return found

    def depth(self, queue: WatchedQueue) -> Depth:
        """How full a queue is. Raises what botocore raises."""
        names = ("", "NotVisible", "Delayed")
        attributes = self._sqs().get_queue_attributes(
            QueueUrl=url_of(queue.variable, self._environment),
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )["Attributes"]
        given: Mapping[str, str] = {str(name): own for name, own in attributes.items()}
        return Depth(*(int(given[f"ApproximateNumberOfMessages{own}"]) for own in names))

    def measured(self, now: datetime) -> Measured:
        """Ages, the sweep, how far behind the stage tells. Raises what botocore raises, and MetricsIncomplete."""
        metrics = dict(self._metrics())
        points = self._points(metrics, now)
        done = points["sweep lag"]
        return Measured(
            ages={queue.name: _newest(points[queue.variable]) for queue in QUEUES},
            sweep_done=done[0][0] if done else None,
            sweep_lag=_newest(done),
            dispatch_lag=None if (lag := _newest(points["dispatch"])) is None else lag / 1000,
            told_late=round(sum(value for _, value in points["told late"])),
        )

    def _metrics(self) -> Iterator[tuple[str, _Metric]]:
        variable, stage = self._environment.variable, self._environment.stage
        for queue in QUEUES:
            name = url_of(queue.variable, self._environment).rpartition("/")[2]
            yield queue.variable, _Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", {"QueueName": name}, "Maximum")
        own = {"stage": stage}
        yield "sweep lag", _Metric(NAMESPACE, "SweepLag", {"service": "sweep"} | own, "Maximum")
        dispatch = {"FunctionName": variable("DISPATCH_FUNCTION")}
        yield "dispatch", _Metric("AWS/Lambda", "IteratorAge", dispatch, "Maximum")
        yield "told late", _Metric(NAMESPACE, "ToldLate", {"service": "deliver"} | own, "Sum")

    def _points(self, metrics: Mapping[str, _Metric], now: datetime) -> dict[str, _Points]:
        names = list(metrics)
        answer = self._cloudwatch().get_metric_data(
            MetricDataQueries=[_query(f"m{at}", metrics[name]) for at, name in enumerate(names)],
            StartTime=now - LOOKED_BACK,
            EndTime=now,
            ScanBy="TimestampDescending",
        )
        found = {own["Id"]: own for own in answer["MetricDataResults"]}
        if any(found.get(f"m{at}", {}).get("StatusCode") != "Complete" for at in range(len(names))):
            raise MetricsIncomplete
        return {
            name: list(zip(found[f"m{at}"]["Timestamps"], found[f"m{at}"]["Values"], strict=True))
            for at, name in enumerate(names)
        }


def why_not_known(error: BaseException) -> WhyNotKnown:
    """Why a part of it is not known, in one word."""
    if isinstance(error, TimeoutError | ConnectTimeoutError | ReadTimeoutError | DeadlinePassed):
        return "timed_out"
    code = code_of(error)
    if code in _THROTTLED:
        return "throttled"
    return "not_allowed" if code in _FORBIDDEN else "unavailable"


def _alarm(told: Mapping[str, Any]) -> Alarm:
    """CloudWatch's alarm; its description is ours: a text, the stage, the section of the runbook."""
    text, _, section = str(told.get("AlarmDescription", "")).rpartition(_RUNBOOK)
    return Alarm(
        name=told["AlarmName"],
        state=told["StateValue"],
        since=told.get("StateTransitionedTimestamp") or told.get("StateUpdatedTimestamp"),
        text=text.strip(),
        section=section,
        muted=not told.get("ActionsEnabled", True),
    )


def _query(of_id: str, metric: _Metric) -> dict[str, Any]:
    named = {
        "Namespace": metric.namespace,
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions.items()],
    }
    return {"Id": of_id, "MetricStat": {"Metric": named, "Period": _MINUTE, "Stat": metric.statistic}}


def _newest(points: _Points) -> float | None:
    return points[0][1] if points else None
