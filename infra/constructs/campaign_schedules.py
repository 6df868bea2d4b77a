"""Merchants' own schedules: who may make them in their group, the role that starts runs, and the rule that repairs."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.python_function import PythonFunction

_REPAIR_EVERY = Duration.minutes(5)
_ACTIONS = ("scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule")


class CampaignSchedules(Construct):
    """One EventBridge Scheduler entry per scheduled campaign, made by functions, sends to ``runs`` each time.

    ``group`` is the name of the group they are made in. It is kept when this goes, with all its schedules; they then
    name a queue and a role that are gone, until ``infra.operations.reconcile_schedules``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, group: str, runs: sqs.Queue) -> None:
        super().__init__(scope, construct_id)
        self._runs = runs
        self._group = group
        stack = Stack.of(self)
        self._schedules_arn = stack.format_arn(service="scheduler", resource="schedule", resource_name=f"{group}/*")
        group_arn = stack.format_arn(service="scheduler", resource="schedule-group", resource_name=group)
        self.role = iam.Role(
            self,
            "Role",
            description="EventBridge Scheduler starts runs of campaigns",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": stack.account, "aws:SourceArn": group_arn}},
            ),
        )
        self.role.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[runs.queue_arn]))

    def let_manage(self, function: PythonFunction) -> None:
        """Lets the function make, change and remove schedules of the group, with this role and no other."""
        function.allow(_ACTIONS, [self._schedules_arn], because="Schedules of the stage's own group: campaigns' ids.")
        function.function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
            )
        )
        function.tell(
            SCHEDULE_GROUP=self._group,
            SCHEDULER_ROLE_ARN=self.role.role_arn,
            CAMPAIGN_RUNS_QUEUE_ARN=self._runs.queue_arn,
        )

    def repair_with(self, function: lambda_.IFunction, missed: sqs.IQueue) -> None:
        """Every few minutes: schedules that a crash or a throttled call left behind."""
        events.Rule(
            self,
            "Repair",
            schedule=events.Schedule.rate(_REPAIR_EVERY),
            targets=[
                targets.LambdaFunction(
                    function,
                    event=events.RuleTargetInput.from_object({"repair": True}),
                    dead_letter_queue=missed,
                    max_event_age=_REPAIR_EVERY,
                    retry_attempts=2,
                )
            ],
        )
