"""Alarms that fire when a user is hurt, and only then; each leads to its section of the runbook.

Whoever is hurt *now* makes one page: the alarms of ``Page`` ring nobody themselves, one composite alarm does, once,
however many of them fire. The others say what must be looked at within the day. Each metric of an alarm costs 0.10 USD
a month: docs/runbook.md, "What watching costs", says what was left out for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.constructs.queues import Queues
from infra.constructs.stage_metrics import Metrics, Watched
from infra.functions import FUNCTIONS
from infra.stages import Stage

RUNBOOK = "docs/runbook.md"
_MINUTE = Duration.minutes(1)
_AN_HOUR_OF_TICKS = 60
"""Of one rule. One that is missed changes nothing: the next does its work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One alarm: it fires where ``metric`` was above ``above`` in ``bad`` of the last ``of`` periods.

    ``page``: somebody is hurt now. ``silence_is_bad``: no value at all counts as one above. ``section`` of the
    runbook, where several alarms share one.
    """

    name: str
    metric: cloudwatch.IMetric
    above: float
    text: str
    bad: int = 1
    of: int = 1
    page: bool = True
    silence_is_bad: bool = False
    section: str | None = None


class Alarms(Construct):
    """``topic`` receives pages and the rest; the stage's ``alarm_email`` is subscribed to it.

    With ``alarm_topic_arn`` it is the operator's own, whose policy must let CloudWatch publish.

    The local engine deploys neither composite alarms nor expressions: there each alarm of one metric rings by itself.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: Stage, watched: Watched, stream_mapping_id: str
    ) -> None:
        super().__init__(scope, construct_id)
        self._stage = stage
        self.topic = _topic(self, stage)
        self.metrics = Metrics(stage, watched)
        watches = [
            *self._of_requests(),
            *self._of_time(watched.queues),
            *self._of_what_is_left(watched.queues),
            *self._of_others(stream_mapping_id),
            *self._of_the_bus(watched),
            *self._of_silence(),
        ]
        if stage.is_local:
            watches = [own for own in watches if isinstance(own.metric, cloudwatch.Metric) and not _of_a_mapping(own)]
        self.alarms = {own.name: self._alarm(own) for own in watches}
        self.page = None if stage.is_local else self._one_page([self.alarms[own.name] for own in watches if own.page])
        for own in watches:
            if self.page is None or not own.page:
                self.alarms[own.name].add_alarm_action(actions.SnsAction(self.topic))

    def _of_requests(self) -> Iterator[Watch]:
        metrics = self.metrics
        yield Watch(
            name="WebhooksNotStored",
            metric=metrics.own("NotStored", "ingest", period=_MINUTE),
            above=0,
            bad=4,
            of=10,
            text="Providers are answered 503: webhooks are not stored, and lost where their provider does not repeat.",
        )
        yield Watch(
            name="ApiErrors",
            metric=metrics.api("5xx"),
            above=0,
            bad=4,
            of=10,
            text="Requests of providers, merchants, vendors or shoppers end with 5xx.",
        )
        if self._stage.front_only:
            yield Watch(
                name="FrontRefused",
                metric=metrics.own("FrontRefused", period=_MINUTE),
                above=0,
                bad=4,
                of=10,
                text="The front shows a key that the functions do not know: every request by it is refused with 403.",
            )
        yield Watch(
            name="WebhooksSlow",
            metric=metrics.webhook_latency("p99"),
            above=3000,
            bad=3,
            of=3,
            text="One webhook in a hundred is answered after three seconds: providers give up after five, and repeat.",
        )
        yield Watch(
            name="TableThrottled",
            metric=metrics.own("Throttled"),
            above=50,
            bad=2,
            of=3,
            text="DynamoDB throttles the table or an index: everything is late, and webhooks may be answered 503.",
        )
        yield Watch(
            name="ConcurrencyNearLimit",
            metric=metrics.concurrency(),
            above=80,
            bad=3,
            of=3,
            text="Four fifths of the account's concurrent executions are in use: beyond them requests are refused.",
        )

    def _of_time(self, queues: Queues) -> Iterator[Watch]:
        metrics = self.metrics
        for name, queue, minutes, page, what in (
            ("DeliveriesOld", queues.deliveries, 5, True, "Fresh events"),
            ("StepsOld", queues.steps, 5, True, "Campaign steps"),
            ("CampaignRunsOld", queues.campaign_runs, 15, True, "Runs of scheduled campaigns"),
            ("RetriesOld", queues.retries, 30, False, "Later attempts"),
            ("PullsOld", queues.pulls, 30, False, "Questions to providers' APIs"),
            ("SlowOld", queues.slow, 60, False, "Attempts at slow endpoints"),
        ):
            yield Watch(
                name=name,
                metric=metrics.age(queue),
                above=minutes * 60,
                page=page,
                text=f"{what} wait for {minutes} minutes in their queue: too few workers, or something holds them.",
            )
        yield Watch(
            name="DispatchLag",
            metric=metrics.function("dispatch", "IteratorAge", statistic="Maximum"),
            above=5 * 60_000,
            text="Dispatch is five minutes behind the table's stream: abandonments and purchases are told late.",
        )
        yield Watch(
            name="SweepLate",
            metric=metrics.own("SweepLag", "sweep", period=_MINUTE, statistic="Maximum"),
            above=5 * 60,
            bad=5,
            of=5,
            silence_is_bad=True,
            text="The sweep does not come, or what is due waits for five minutes: nobody is told of abandonments.",
        )
        yield Watch(
            name="SweepFailing",
            metric=metrics.function("sweep", "Errors"),
            above=0,
            bad=3,
            of=3,
            text="For a quarter of an hour some of what is due could not be moved.",
        )
        yield Watch(
            name="ToldLate",
            metric=metrics.own("ToldLate", "deliver"),
            above=4,
            text="Events began their way to endpoints more than ten minutes after what they tell of, by our own doing.",
        )

    def _of_what_is_left(self, queues: Queues) -> Iterator[Watch]:
        metrics = self.metrics
        for name, queue, above, what in (
            ("DeadLetters", queues.dead_letters, 0, "Deliveries or campaign steps failed for good"),
            ("RecordDeadLetters", queues.record_dead_letters, 0, "Dispatch set stream records aside"),
            ("CampaignDeadLetters", queues.campaign_dead_letters, 0, "Runs of campaigns failed for good"),
            ("PullDeadLetters", queues.pull_dead_letters, 20, "More than twenty questions to providers were given up"),
            (
                "MissedSchedules",
                queues.missed_schedules,
                _AN_HOUR_OF_TICKS,
                "EventBridge did not start the sweep or the repair",
            ),
        ):
            yield Watch(
                name=name,
                metric=metrics.waiting(queue),
                above=above,
                page=False,
                text=f"{what}; they wait up to 14 days for a redrive.",
            )
        # An alarm each: what an expression makes of the two that are silent, AWS does not say. Lambda counts none where
        # the function's RecursiveLoop is "Allow" ("Types of metrics"), so one says that somebody took that off.
        for function in (name for name, spec in FUNCTIONS.items() if spec.chains):
            yield Watch(
                name=f"{function.capitalize()}RecursionDropped",
                metric=metrics.function(function, "RecursiveInvocationsDropped"),
                above=0,
                page=False,
                section="RecursionDropped",
                text=f"Lambda took a chain of messages of {function} for an endless loop and ended it.",
            )
        yield Watch(
            name="SetAside",
            metric=metrics.own("SetAside"),
            above=0,
            page=False,
            text="A row, a record or a report could not be worked with and was set aside; the rest went on.",
        )

    def _of_others(self, stream_mapping_id: str) -> Iterator[Watch]:
        metrics = self.metrics
        yield Watch(
            name="StreamGivenUp",
            metric=metrics.given_up(stream_mapping_id),
            above=0,
            page=False,
            text="For 23 hours dispatch could not end some of the stream; its records lie whole in the bucket.",
        )
        yield Watch(
            name="Quarantined",
            metric=metrics.quarantined_share(),
            above=5,
            bad=2,
            of=3,
            page=False,
            text="More than one authentic webhook in twenty is not understood; their bodies are kept for a replay.",
        )
        yield Watch(
            name="AboveRate",
            metric=metrics.own("AboveRate", "ingest"),
            above=2,
            bad=3,
            of=3,
            page=False,
            text="For a quarter of an hour webhooks above the rate of a source or merchant were refused and not kept.",
        )
        yield Watch(
            name="RepairFailing",
            metric=metrics.function("campaign", "Errors"),
            above=0,
            bad=3,
            of=3,
            page=False,
            text="Merchants' schedules that a crash left behind cannot be repaired: campaigns may not start.",
        )
        for name, metric, above, what in (
            ("MailBounces", "Reputation.BounceRate", 0.05, "One mail in twenty bounces"),
            ("MailComplaints", "Reputation.ComplaintRate", 0.001, "One mail in a thousand is called spam"),
        ):
            yield Watch(
                name=name,
                metric=metrics.mail(metric),
                above=above,
                page=False,
                text=f"{what}: SES reviews such an account, and stops it at twice to five times as many.",
            )

    def _of_the_bus(self, watched: Watched) -> Iterator[Watch]:
        """Where the stage has one: who listens there is told late, or not at all."""
        if watched.event_bus is None:
            return
        yield Watch(
            name="EventBusLag",
            metric=watched.event_bus.function.metric("IteratorAge", period=Duration.minutes(5), statistic="Maximum"),
            above=60 * 60_000,
            page=False,
            section="EventBus",
            text="The stage's bus is an hour behind the table's stream, which keeps a day.",
        )
        yield Watch(
            name="EventsRefused",
            metric=self.metrics.own("EventsRefused", "event_bus"),
            above=0,
            page=False,
            section="EventBus",
            text="EventBridge refused an event for good, or nobody could read it: the stage's bus has not got it.",
        )

    def _of_silence(self) -> Iterator[Watch]:
        """Only the operator knows who never rests. No value is ever above: it is the missing ones that fire."""
        named = self._stage.never_silent_providers or ""
        for provider in filter(None, (own.strip() for own in named.split(","))):
            yield Watch(
                name=f"{provider.capitalize()}Silent",
                metric=self.metrics.own("Heard", f"ingest/{provider}", period=Duration.hours(1)),
                above=float(2**31),
                bad=6,
                of=6,
                page=False,
                silence_is_bad=True,
                section="ProviderSilent",
                text=f"For six hours no webhook of {provider} was taken in: its webhooks may be switched off.",
            )

    def _alarm(self, watch: Watch) -> cloudwatch.Alarm:
        missing = cloudwatch.TreatMissingData
        section = (watch.section or watch.name).lower()
        return cloudwatch.Alarm(
            self,
            watch.name,
            metric=watch.metric,
            threshold=watch.above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=watch.of,
            datapoints_to_alarm=watch.bad,
            treat_missing_data=missing.BREACHING if watch.silence_is_bad else missing.NOT_BREACHING,
            alarm_description=f"{watch.text} Stage {self._stage.name}. {RUNBOOK}#{section}",
        )

    def _one_page(self, hurting: Sequence[cloudwatch.IAlarm]) -> cloudwatch.CompositeAlarm:
        """Rings once for all of them, and again only after all were well."""
        state = cloudwatch.AlarmState.ALARM
        page = cloudwatch.CompositeAlarm(
            self,
            "UserHurt",
            alarm_rule=cloudwatch.AlarmRule.any_of(*(cloudwatch.AlarmRule.from_alarm(own, state) for own in hurting)),
            alarm_description=f"Somebody is hurt now. The alarm's cause is the alarm of stage {self._stage.name} that"
            f" fires. {RUNBOOK}#userhurt",
        )
        page.add_alarm_action(actions.SnsAction(self.topic))
        return page


def _of_a_mapping(watch: Watch) -> bool:
    """The engine knows no metrics of a mapping."""
    return isinstance(watch.metric, cloudwatch.Metric) and watch.name == "StreamGivenUp"


def _topic(scope: Construct, stage: Stage) -> sns.ITopic:
    if stage.alarm_topic_arn is not None:
        return sns.Topic.from_topic_arn(scope, "Topic", stage.alarm_topic_arn)
    topic = sns.Topic(scope, "Topic", display_name=f"Checkback alarms ({stage.name})", enforce_ssl=True)
    # Refusing unencrypted requests replaces the topic's default policy, and with it CloudWatch's right to publish.
    topic.grant_publish(
        iam.ServicePrincipal(
            "cloudwatch.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        )
    )
    if stage.alarm_email:
        topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
    return topic
