"""Starts the daily walk that writes files of facts, and goes on with it until it is done."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

_EVERY = Duration.minutes(10)
"""A call has 90 seconds; where nothing is left of the day's walk it costs one read."""


class FactFiles(Construct):
    """A rule; what cannot be delivered goes to ``missed``, and the next tick does the same."""

    def __init__(self, scope: Construct, construct_id: str, *, campaign: lambda_.IFunction, missed: sqs.IQueue) -> None:
        super().__init__(scope, construct_id)
        events.Rule(
            self,
            "Tick",
            schedule=events.Schedule.rate(_EVERY),
            targets=[
                targets.LambdaFunction(
                    campaign,
                    event=events.RuleTargetInput.from_object({"facts": True}),
                    dead_letter_queue=missed,
                    max_event_age=_EVERY,
                    retry_attempts=2,
                )
            ],
        )
