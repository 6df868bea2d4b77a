"""What lets a function show the operator how the stage fares: alarms, metrics, how full queues are."""

from infra.constructs.python_function import PythonFunction
from infra.constructs.queues import Queues
from shared.aws.stage_watch import ALARM_PREFIX, WATCHED_QUEUES, told_of

_AS_A_WHOLE = (
    "GetMetricData knows no resource; DescribeAlarms shows composite alarms only to whom it is allowed of all"
    " (API reference, DescribeAlarms). Both read figures, and the code asks for this stage's alone."
)


def let_tell_of_the_stage(
    function: PythonFunction, dispatch: PythonFunction, queues: Queues, alarm_prefix: str
) -> None:
    """Rights and names for ``shared/aws/stage_watch.py``; ``function`` knows the queues that it sends to already."""
    known = (queues.deliveries, queues.retries, queues.pulls)
    more = {
        "STEPS_QUEUE_URL": queues.steps,
        "SLOW_QUEUE_URL": queues.slow,
        "CAMPAIGN_RUNS_QUEUE_URL": queues.campaign_runs,
        "DELIVERY_DEAD_LETTERS_QUEUE_URL": queues.dead_letters,
        "DEAD_LETTERS_QUEUE_URL": queues.record_dead_letters,
        "PULLS_DEAD_LETTERS_QUEUE_URL": queues.pull_dead_letters,
        "CAMPAIGN_DEAD_LETTERS_QUEUE_URL": queues.campaign_dead_letters,
        "MISSED_SCHEDULES_QUEUE_URL": queues.missed_schedules,
    }
    function.allow(["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData"], ["*"], because=_AS_A_WHOLE)
    function.allow(["sqs:GetQueueAttributes"], [own.queue_arn for own in (*known, *more.values())])
    function.tell(
        DISPATCH_FUNCTION=dispatch.function.function_name,
        **{
            ALARM_PREFIX: alarm_prefix,
            WATCHED_QUEUES: told_of({variable: queue.queue_name for variable, queue in more.items()}),
        },
    )
