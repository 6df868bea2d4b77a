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
from infra.constructs.acknowledged import acknowledge
from infra.stages import Stage

_TARGETS_PER_RULE = 5  # EventBridge's quota
_WORTH = Duration.minutes(2)  # the next minute's tick does the same work: an old one is worth little


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
        # Lambda itself repeats what a rule invoked, whatever the rule says; the next minute's sweep does the same work.
        sweep.configure_async_invoke(retry_attempts=0, max_event_age=_WORTH)
        acknowledge(
            sweep,
            {"Serverless-LambdaAsyncFailureDestination": "What a sweep did not do is due still in the next minute."},
        )
        for number, inputs in enumerate(batched(_inputs(stage), _TARGETS_PER_RULE, strict=False)):
            rule = events.Rule(self, f"EveryMinute{number}", schedule=events.Schedule.rate(Duration.minutes(1)))
            for given in inputs:
                rule.add_target(
                    targets.LambdaFunction(
                        sweep,
                        event=events.RuleTargetInput.from_object(given),
                        dead_letter_queue=missed,
                        max_event_age=_WORTH,
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
