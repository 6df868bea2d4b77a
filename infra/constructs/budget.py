"""Tells of the account's cost before the bill does."""

from aws_cdk import Stack
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.stages import Stage


class MonthlyBudget(Construct):
    """Told when a month is forecast to cost more than ``monthly_budget_usd``, and when it has cost four fifths.

    Of the whole account: a filter by tag counts nothing until somebody activates the tag for billing. Budgets are
    made out in the account's currency of billing, and told of a few times a day. A forecast needs five weeks of an
    account's use: before that the bill alone speaks.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, topic: sns.ITopic) -> None:
        """``topic`` is the alarms'; an ``alarm_topic_arn`` of the operator's own must let AWS Budgets publish."""
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        topic.grant_publish(
            iam.ServicePrincipal(
                "budgets.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {"aws:SourceArn": f"arn:{stack.partition}:budgets::{stack.account}:*"},
                },
            )
        )
        told = [
            budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn),
        ]
        self.budget = budgets.CfnBudget(
            self,
            "Monthly",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=stage.monthly_budget_usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=per_cent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=told,
                )
                for kind, per_cent in (("FORECASTED", 100), ("ACTUAL", 80))
            ],
        )
