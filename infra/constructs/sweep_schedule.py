"""Starts the sweep every minute: once for all, or once for each kind and shard where there is much to do."""

from collections.abc import Iterator, Mapping
from itertools import batched

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.concurrency import SWEEP_KINDS
from infra.stages import Stage

_TARGETS_PER_RULE = 5  # EventBridge's quota


class SweepSchedule(Construct):
    """EventBridge rules, as many as their targets need; what cannot be delivered goes to ``missed``."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: Stage,
        sweep: lambda_.IFunction,
        missed: sqs.IQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        for number, inputs in enumerate(batched(_inputs(stage), _TARGETS_PER_RULE, strict=False)):
            rule = events.Rule(self, f"EveryMinute{number}", schedule=events.Schedule.rate(Duration.minutes(1)))
            for given in inputs:
                rule.add_target(
                    targets.LambdaFunction(
                        sweep,
                        event=events.RuleTargetInput.from_object(given),
                        dead_letter_queue=missed,
                        # The next minute's tick does the same work: an old one is worth little.
                        max_event_age=Duration.minutes(2),
                        retry_attempts=2,
                    )
                )


def _inputs(stage: Stage) -> Iterator[Mapping[str, object]]:
    if not stage.sweep_by_shard:
        yield {}
        return
    for kind in SWEEP_KINDS:
        for shard in range(stage.due_shards):
            yield {"kind": kind, "shard": shard}
