"""One dashboard per stage: what comes in, what goes out, what waits, and what has no room any more.

At most 50 metrics, which CloudWatch shows without a charge. Its picture, ``docs/dashboard.svg``, is drawn from these
widgets by ``make dashboard``.
"""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.constructs.alarms import Alarms
from infra.constructs.queues import Queues
from infra.constructs.stage_metrics import Metrics
from infra.functions import FunctionName
from infra.stages import Stage

_WORKING: tuple[FunctionName, ...] = ("ingest", "sweep", "dispatch", "deliver")
_WIDTH, _HEIGHT = 12, 6  # of 24 columns: two beside each other


class Dashboard(Construct):
    """Left what users feel, right why; from the top in the order in which a person would look."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, alarms: Alarms, queues: Queues) -> None:
        super().__init__(scope, construct_id)
        metrics = alarms.metrics
        shown = [own for own in (alarms.page, *alarms.alarms.values()) if own is not None]
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Dashboard",
            period_override=cloudwatch.PeriodOverride.INHERIT,
            default_interval=Duration.hours(3),
            widgets=[
                [cloudwatch.AlarmStatusWidget(title=f"Checkback {stage.name}", alarms=shown, width=24, height=4)],
                *([_graph(title, unit, own) for title, unit, own in row] for row in _rows(metrics, queues)),
            ],
        )


type _Graph = tuple[str, str, Sequence[cloudwatch.IMetric]]


def _rows(metrics: Metrics, queues: Queues) -> Sequence[Sequence[_Graph]]:
    """Title, unit and metrics of each graph, in pairs."""
    return (
        (
            (
                "Requests",
                "requests a minute",
                (_named("all", metrics.api("Count")), _named("5xx", metrics.api("5xx"))),
            ),
            (
                "Webhooks not taken as they were meant",
                "webhooks in five minutes",
                (
                    _named("not stored (503)", metrics.own("NotStored", "ingest")),
                    _named("quarantined", metrics.own("Quarantined", "ingest")),
                    _named("senders above their rate", metrics.own("AboveRate", "ingest")),
                ),
            ),
        ),
        (
            (
                "How long providers wait",
                "ms",
                (
                    _named("half", metrics.webhook_latency("p50")),
                    _named("99 of 100", metrics.webhook_latency("p99")),
                ),
            ),
            (
                "Behind",
                "seconds",
                (
                    _named("sweep", metrics.own("SweepLag", "sweep", statistic="Maximum")),
                    _in_seconds("dispatch", metrics.function("dispatch", "IteratorAge", statistic="Maximum")),
                ),
            ),
        ),
        (
            (
                "Age of queues",
                "seconds",
                tuple(_named(name, metrics.age(queue)) for name, queue in queues.worked_off),
            ),
            (
                "Told late, set aside, given up",
                "in five minutes",
                (
                    _named("told late", metrics.own("ToldLate", "deliver")),
                    _named("set aside", metrics.own("SetAside")),
                    _named("endpoints switched off", metrics.own("EndpointDisabled", "deliver")),
                    *(_named(name, metrics.waiting(queue)) for name, queue in queues.dead),
                ),
            ),
        ),
        (
            ("Concurrent executions of the account", "per cent of its quota", (metrics.concurrency(),)),
            (
                "Work",
                "invocations in five minutes",
                tuple(_named(name, metrics.function(name, "Invocations")) for name in _WORKING),
            ),
        ),
    )


def _named(label: str, metric: cloudwatch.Metric) -> cloudwatch.Metric:
    return metric.with_(label=label)


def _in_seconds(label: str, metric: cloudwatch.Metric) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(expression="ms / 1000", using_metrics={"ms": metric}, label=label)


def _graph(title: str, unit: str, metrics: Sequence[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        left_y_axis=cloudwatch.YAxisProps(label=unit, min=0, show_units=False),
        width=_WIDTH,
        height=_HEIGHT,
    )
