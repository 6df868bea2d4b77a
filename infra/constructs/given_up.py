"""Where a stream mapping leaves batches it gives up: whole, in a bucket; a queue would hold only pointers."""

import jsii
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from infra.constructs.acknowledged import acknowledge

GIVEN_UP = "aws/lambda/"
"""Lambda's own choice: ``aws/lambda/<mapping>/<shard>/<year>/<month>/<day>/<time>-<random>``.

AWS Lambda Developer Guide, "Retain discarded records for a DynamoDB event source".
"""


@jsii.implements(lambda_.IEventSourceDlq)
class WholeBatches:
    """The bucket as a mapping's destination. CDK's own would let the function read and write all of it."""

    def __init__(self, bucket: s3.IBucket) -> None:
        self._bucket = bucket

    def bind(
        self,
        _target: lambda_.IEventSourceMapping,
        target_handler: lambda_.IFunction,
    ) -> lambda_.DlqDestinationConfig:
        """Lambda writes with the function's own role, and asks for the right to list as well."""
        for action, resource in (
            ("s3:PutObject", self._bucket.arn_for_objects(f"{GIVEN_UP}*")),
            ("s3:ListBucket", self._bucket.bucket_arn),
        ):
            target_handler.add_to_role_policy(iam.PolicyStatement(actions=[action], resources=[resource]))
        acknowledge(
            target_handler.role or target_handler,
            {f"AwsSolutions-IAM5[Resource::*/{GIVEN_UP}*]": "Lambda names the objects it leaves there."},
        )
        return lambda_.DlqDestinationConfig(destination=self._bucket.bucket_arn)
