"""New versions of what answers requests take over gradually, and go back by themselves when an alarm rings."""

from collections.abc import Iterable, Sequence

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.acknowledged import acknowledge
from infra.constructs.python_function import PythonFunction


class GradualDeployment(Construct):
    """A tenth of the requests for ten minutes, then all of them. Any of ``alarms`` puts the alias back at once.

    An alarm that rings already stops a deployment before it begins; docs/deploy.md says how a mend goes out then.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Iterable[PythonFunction],
        alarms: Sequence[cloudwatch.IAlarm],
    ) -> None:
        super().__init__(scope, construct_id)
        application = codedeploy.LambdaApplication(self, "Application")
        for function in functions:
            alias = function.entry
            if not isinstance(alias, lambda_.Alias):
                msg = f"{function.name} has no alias to move"
                raise TypeError(msg)
            group = codedeploy.LambdaDeploymentGroup(
                self,
                function.node.id,
                application=application,
                alias=alias,
                deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_10_MINUTES,
                alarms=list(alarms),
                auto_rollback=codedeploy.AutoRollbackConfig(
                    failed_deployment=True, stopped_deployment=True, deployment_in_alarm=True
                ),
            )
            acknowledge(
                group,
                {
                    "AwsSolutions-IAM4[Policy::arn:*:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]": (
                        "AWS's own for exactly this, without the right to invoke anything."
                    )
                },
            )
