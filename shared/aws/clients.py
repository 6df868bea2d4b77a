"""One low-level client per service and process, with timeouts and bounded retries."""

from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_scheduler import EventBridgeSchedulerClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient

CONFIG = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "max_attempts": 4},
    max_pool_connections=32,
)


@cache
def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    return boto3.client("dynamodb", config=CONFIG)


@cache
def sqs() -> "SQSClient":
    """The SQS client."""
    return boto3.client("sqs", config=CONFIG)


@cache
def s3() -> "S3Client":
    """The S3 client. Path style: bucket names are generated and the local engine has no wildcard host."""
    return boto3.client("s3", config=CONFIG.merge(Config(s3={"addressing_style": "path"})))


@cache
def kms() -> "KMSClient":
    """The KMS client."""
    return boto3.client("kms", config=CONFIG)


@cache
def secretsmanager() -> "SecretsManagerClient":
    """The Secrets Manager client."""
    return boto3.client("secretsmanager", config=CONFIG)


@cache
def scheduler() -> "EventBridgeSchedulerClient":
    """The EventBridge Scheduler client."""
    return boto3.client("scheduler", config=CONFIG)
