"""Alarms, each with a text for the person it wakes.

Each watches one metric: the local engine deploys no other kind.
"""

from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.python_function import PythonFunction
from infra.constructs.queues import Queues
from infra.functions import FunctionName
from infra.stages import Stage

_PERIOD = Duration.minutes(5)
_STREAM_LAG = Duration.minutes(5)
_QUEUE_LAG = Duration.minutes(5)


class Alarms(Construct):
    """``topic`` receives every alarm; the stage's ``alarm_email`` is subscribed to it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        functions: Mapping[FunctionName, PythonFunction],
        queues: Queues,
    ) -> None:
        super().__init__(scope, construct_id)
        self._stage = stage
        self.topic = sns.Topic(self, "Topic", display_name=f"Checkback alarms ({stage.name})", enforce_ssl=True)
        # Refusing unencrypted requests replaces the topic's default policy, and with it CloudWatch's right to publish.
        self.topic.grant_publish(
            iam.ServicePrincipal(
                "cloudwatch.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
        if stage.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        self._of_queue("DeadLetters", queues.dead_letters, "Deliveries or stream records failed for good")
        self._of_queue("PullDeadLetters", queues.pull_dead_letters, "Providers could not be asked for contents")
        self._of_queue("CampaignDeadLetters", queues.campaign_dead_letters, "Runs of campaigns failed for good")
        self._of_queue("MissedSchedules", queues.missed_schedules, "EventBridge could not start the sweep")
        for name, fresh, what in (
            ("DeliveriesAge", queues.deliveries, "Fresh events"),
            ("StepsAge", queues.steps, "Campaign steps"),
        ):
            self._above(
                name,
                fresh.metric_approximate_age_of_oldest_message(period=_PERIOD, statistic="Maximum"),
                _QUEUE_LAG.to_seconds(),
                f"{what} wait for five minutes in their queue: there are too few workers, or something holds them.",
            )
        for function in functions.values():
            self._of_function(function)
        self._above(
            "DispatchLag",
            functions["dispatch"].function.metric("IteratorAge", period=_PERIOD, statistic="Maximum"),
            _STREAM_LAG.to_milliseconds(),
            "Dispatch is five minutes behind the table's stream: events and purchases arrive late. "
            "The stream keeps 24 hours.",
        )
        self._of_our_count(
            "Quarantined",
            "ingest",
            "Authentic webhooks were not understood; their bodies are kept: GET /v1/quarantine, then replay.",
        )
        self._of_our_count(
            "AboveRate",
            "ingest",
            "Webhooks above the rate of their source or merchant were refused with 429 and not kept: ingest's log says "
            "whose. A provider that does not repeat them has lost them.",
        )
        self._of_our_count(
            "SetAside",
            "checkback",
            "A row, a record or a report could not be worked with and was set aside; the rest went on. "
            "The functions' logs say which: 'set aside'.",
        )

    def of_stream(self, mapping_id: str) -> None:
        """Watch what a stream mapping gave up."""
        given_up = cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name="OnFailureDestinationDeliveredEventCount",
            dimensions_map={"EventSourceMappingUUID": mapping_id},
            period=_PERIOD,
            statistic="Sum",
        )
        self._above(
            "StreamGivenUp",
            given_up,
            0,
            "For 23 hours dispatch could not end some of the table's stream; the records lie whole in the quarantine "
            "bucket under aws/lambda/ and can be replayed: see docs/operations.md.",
        )

    def _of_our_count(self, name: str, service: str, text: str) -> None:
        """Watch what the functions count themselves, by stage: an embedded metric of namespace Checkback."""
        counted = cloudwatch.Metric(
            namespace="Checkback",
            metric_name=name,
            dimensions_map={"service": service, "stage": self._stage.name},
            period=_PERIOD,
            statistic="Sum",
        )
        self._above(name, counted, 0, text)

    def _of_queue(self, construct_id: str, queue: sqs.Queue, what: str) -> None:
        metric = queue.metric_approximate_number_of_messages_visible(period=_PERIOD, statistic="Maximum")
        self._above(construct_id, metric, 0, f"{what}; they wait up to 14 days for a redrive.")

    def _of_function(self, function: PythonFunction) -> None:
        errors = function.function.metric_errors(period=_PERIOD)
        self._above(f"{function.node.id}Errors", errors, 0, f"The function {function.name} failed: see its log group.")
        throttles = function.function.metric_throttles(period=_PERIOD)
        self._above(
            f"{function.node.id}Throttles",
            throttles,
            0,
            f"The function {function.name} was throttled: the account's or its own concurrency is used up.",
        )
        dropped = function.function.metric("RecursiveInvocationsDropped", period=_PERIOD, statistic="Sum")
        self._above(
            f"{function.node.id}RecursionDropped",
            dropped,
            0,
            f"Lambda took messages of the function {function.name} for an endless loop and dropped invocations: "
            "what they held waits in a dead letter queue.",
        )

    def _above(self, construct_id: str, metric: cloudwatch.Metric, threshold: float, text: str) -> None:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=1,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            alarm_description=text,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
