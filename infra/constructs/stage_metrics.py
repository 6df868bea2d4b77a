"""The metrics of a stage that alarms and dashboard look at."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sqs as sqs

from infra.constructs.public_api import SERVICE, WEBHOOK_LATENCY
from infra.constructs.python_function import PythonFunction
from infra.constructs.queues import Queues
from infra.functions import FunctionName
from infra.stages import Stage
from shared.aws.embedded_metrics import NAMESPACE

_MINUTE, _FIVE = Duration.minutes(1), Duration.minutes(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a stage has that can be watched. ``event_bus``: the function that fills the stage's bus, if it has one."""

    api_id: str
    functions: Mapping[FunctionName, PythonFunction]
    queues: Queues
    event_bus: PythonFunction | None = None


class Metrics:
    """The metrics behind alarms and dashboard, of one stage."""

    def __init__(self, stage: Stage, watched: Watched) -> None:
        self._stage = stage
        self._watched = watched

    def own(
        self, name: str, service: str = "checkback", *, period: Duration = _FIVE, statistic: str = "Sum"
    ) -> cloudwatch.Metric:
        """What the functions count themselves (``shared/aws/embedded_metrics.py``)."""
        return cloudwatch.Metric(
            namespace=NAMESPACE,
            metric_name=name,
            dimensions_map={"service": service, "stage": self._stage.name},
            period=period,
            statistic=statistic,
        )

    def api(self, name: str, *, period: Duration = _MINUTE, statistic: str = "Sum") -> cloudwatch.Metric:
        """The HTTP API's own. ``5xx`` holds what functions answer so, and what API Gateway answers in their place."""
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=name,
            dimensions_map={"ApiId": self._watched.api_id},
            period=period,
            statistic=statistic,
        )

    def webhook_latency(self, statistic: str) -> cloudwatch.Metric:
        """Milliseconds for which providers waited, out of the API's access log."""
        return self.own(WEBHOOK_LATENCY, SERVICE, statistic=statistic)

    def function(
        self, function: FunctionName, name: str, *, period: Duration = _FIVE, statistic: str = "Sum"
    ) -> cloudwatch.Metric:
        """Lambda's own of one function, all versions together."""
        return self._watched.functions[function].function.metric(name, period=period, statistic=statistic)

    @staticmethod
    def age(queue: sqs.Queue) -> cloudwatch.Metric:
        """Seconds for which the oldest message of a queue has waited."""
        return queue.metric_approximate_age_of_oldest_message(period=_FIVE, statistic="Maximum")

    @staticmethod
    def waiting(queue: sqs.Queue) -> cloudwatch.Metric:
        """How many messages of a queue are there to be received."""
        return queue.metric_approximate_number_of_messages_visible(period=_FIVE, statistic="Maximum")

    @staticmethod
    def mail(name: str) -> cloudwatch.Metric:
        """SES's view of the account's reputation, a share of 1."""
        return cloudwatch.Metric(namespace="AWS/SES", metric_name=name, period=Duration.hours(1), statistic="Maximum")

    @staticmethod
    def concurrency() -> cloudwatch.MathExpression:
        """Per cent of the account's concurrent executions that are in use, by whomever."""
        used = cloudwatch.Metric(
            namespace="AWS/Usage",
            metric_name="ResourceCount",
            dimensions_map={
                "Service": "Lambda",
                "Resource": "ConcurrentExecutions",
                "Type": "Resource",
                "Class": "None",
            },
            period=_MINUTE,
            statistic="Maximum",
        )
        return cloudwatch.MathExpression(
            expression="100 * used / SERVICE_QUOTA(used)", using_metrics={"used": used}, period=_MINUTE, label="%"
        )

    def quarantined_share(self) -> cloudwatch.MathExpression:
        """Per cent of ingest's requests that were quarantined, where they were five or more in a period."""
        return cloudwatch.MathExpression(
            expression="IF(odd >= 5, 100 * odd / all, 0)",
            using_metrics={"odd": self.own("Quarantined", "ingest"), "all": self.function("ingest", "Invocations")},
            period=_FIVE,
            label="%",
        )

    def given_up(self, mapping_id: str) -> cloudwatch.Metric:
        """What the stream's mapping left in the bucket."""
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name="OnFailureDestinationDeliveredEventCount",
            dimensions_map={"EventSourceMappingUUID": mapping_id},
            period=_FIVE,
            statistic="Sum",
        )
