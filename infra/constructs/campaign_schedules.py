"""Merchants' own schedules: the group they are made in, the role that starts runs, and the rule that repairs them."""

from aws_cdk import Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.constructs.python_function import PythonFunction

_REPAIR_EVERY = Duration.minutes(5)
_ACTIONS = ("scheduler:CreateSchedule", "scheduler:UpdateSchedule", "scheduler:DeleteSchedule")


class CampaignSchedules(Construct):
    """One EventBridge Scheduler entry per scheduled campaign, made by functions, sends to ``runs`` each time.

    The group belongs to the stack: with it go all its schedules.
    """

    def __init__(self, scope: Construct, construct_id: str, *, runs: sqs.Queue) -> None:
        super().__init__(scope, construct_id)
        self._runs = runs
        self.group = scheduler.CfnScheduleGroup(self, "Group")
        stack = Stack.of(self)
        self._schedules_arn = stack.format_arn(
            service="scheduler", resource="schedule", resource_name=f"{self.group.ref}/*"
        )
        self.role = iam.Role(
            self,
            "Role",
            description="EventBridge Scheduler starts runs of campaigns",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": stack.account, "aws:SourceArn": self.group.attr_arn}},
            ),
        )
        self.role.add_to_policy(iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[runs.queue_arn]))

    def let_manage(self, function: PythonFunction) -> None:
        """Lets the function make, change and remove schedules of the group, with this role and no other."""
        function.allow(_ACTIONS, [self._schedules_arn])
        function.function.add_to_role_policy(
            iam.PolicyStatement(
                actions=["iam:PassRole"],
                resources=[self.role.role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
            )
        )
        function.tell(
            SCHEDULE_GROUP=self.group.ref,
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
