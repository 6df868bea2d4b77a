"""The queues: fresh deliveries, delayed retries, and where failures wait for a person."""

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.acknowledged import acknowledge

_MAX_RECEIVES = 5
_VISIBILITY_FACTOR = 6  # AWS's own advice: six times the consumer's timeout
_KEPT = Duration.days(14)


class Queues(Construct):
    """``deliveries``, ``retries``, ``steps`` and ``slow`` redrive to ``dead_letters``.

    ``pulls`` redrives to ``pull_dead_letters``; ``record_dead_letters`` points to stream records that dispatch set
    aside.

    ``campaign_runs``, which EventBridge Scheduler sends to, redrives to ``campaign_dead_letters``;
    ``missed_schedules`` takes lost ticks.

    Retries wait in a queue of their own, so that fresh events go first. So do campaign steps, whose hand-over nobody
    may cut short, and what goes to endpoints that are slow: a batch of either may take as long as they let it.
    Standard queues: senders set ``MessageGroupId`` to the merchant, which makes them fair.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        consumer_timeout: Duration,
        pull_timeout: Duration,
        campaign_timeout: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = self._kept("DeadLetters")
        self.missed_schedules = self._kept("MissedSchedules")
        acknowledge(self.missed_schedules, {"AwsSolutions-SQS3": "The dead letter queue of EventBridge's targets."})
        self.record_dead_letters = self._kept("RecordDeadLetters")
        acknowledge(self.record_dead_letters, {"AwsSolutions-SQS3": "Dispatch itself sends there what it sets aside."})
        self.pull_dead_letters = self._kept("PullDeadLetters")
        self.deliveries = self._worked_off("Deliveries", consumer_timeout, self.dead_letters)
        self.retries = self._worked_off("Retries", consumer_timeout, self.dead_letters)
        self.steps = self._worked_off("Steps", consumer_timeout, self.dead_letters)
        self.slow = self._worked_off("Slow", consumer_timeout, self.dead_letters)
        self.pulls = self._worked_off("Pulls", pull_timeout, self.pull_dead_letters)
        self.campaign_dead_letters = self._kept("CampaignDeadLetters")
        self.campaign_runs = self._worked_off("CampaignRuns", campaign_timeout, self.campaign_dead_letters)

    @property
    def worked_off(self) -> Sequence[tuple[str, sqs.Queue]]:
        """The queues that functions read, by name."""
        return (
            ("deliveries", self.deliveries),
            ("steps", self.steps),
            ("campaign runs", self.campaign_runs),
            ("retries", self.retries),
            ("slow", self.slow),
            ("pulls", self.pulls),
        )

    @property
    def dead(self) -> Sequence[tuple[str, sqs.Queue]]:
        """Where failures wait for a person, by name."""
        return (
            ("dead letters", self.dead_letters),
            ("record dead letters", self.record_dead_letters),
            ("pull dead letters", self.pull_dead_letters),
            ("campaign dead letters", self.campaign_dead_letters),
        )

    def _kept(self, construct_id: str) -> sqs.Queue:
        queue = self._queue(construct_id, retention_period=_KEPT)
        acknowledge(queue, {"Serverless-SQSRedrivePolicy": "The end of the way: from here a person redrives."})
        return queue

    def _worked_off(self, construct_id: str, consumer_timeout: Duration, dead_letters: sqs.Queue) -> sqs.Queue:
        return self._queue(
            construct_id,
            # AWS's default of four days ends within one long week-end of a consumer that does not work.
            retention_period=_KEPT,
            visibility_timeout=Duration.seconds(_VISIBILITY_FACTOR * int(consumer_timeout.to_seconds())),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=_MAX_RECEIVES),
        )

    def _queue(
        self,
        construct_id: str,
        *,
        retention_period: Duration | None = None,
        visibility_timeout: Duration | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            construct_id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=retention_period,
            visibility_timeout=visibility_timeout,
            dead_letter_queue=dead_letter_queue,
        )
