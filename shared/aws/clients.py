"""One low-level client per service and process, with timeouts and bounded retries."""

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from shared.aws.deadline import watch
from shared.aws.throttles import count_throttles
from shared.aws.whole_answers import demand_whole_answers

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_kms import KMSClient
    from types_boto3_s3 import S3Client
    from types_boto3_scheduler import EventBridgeSchedulerClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is waited for, in seconds, and how often it is tried in all."""

    connect: float
    read: float
    attempts: int


PATIENCE = {"long": Patience(connect=2, read=5, attempts=5), "short": Patience(connect=1, read=1, attempts=2)}
"""By the function's variable ``PATIENCE_WITH_AWS``: short where somebody waits for the answer and will ask again."""


def _config() -> Config:
    patience = PATIENCE[os.environ.get("PATIENCE_WITH_AWS", "long")]
    return Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=32,
    )


def _watched[Client](client: Client) -> Client:
    watch(client)
    demand_whole_answers(client)
    return client


@cache
def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    client = _watched(boto3.client("dynamodb", config=_config()))
    count_throttles(client)
    return client


@cache
def sqs() -> "SQSClient":
    """The SQS client."""
    return _watched(boto3.client("sqs", config=_config()))


@cache
def s3() -> "S3Client":
    """The S3 client. Path style: bucket names are generated and the local engine has no wildcard host."""
    return _watched(boto3.client("s3", config=_config().merge(Config(s3={"addressing_style": "path"}))))


@cache
def kms() -> "KMSClient":
    """The KMS client."""
    return _watched(boto3.client("kms", config=_config()))


@cache
def secretsmanager() -> "SecretsManagerClient":
    """The Secrets Manager client."""
    return _watched(boto3.client("secretsmanager", config=_config()))


@cache
def scheduler() -> "EventBridgeSchedulerClient":
    """The EventBridge Scheduler client."""
    return _watched(boto3.client("scheduler", config=_config()))


def reconnect() -> None:
    """Close the connections of every client that was made; whoever holds one goes on with new ones."""
    for client in (dynamodb, sqs, s3, kms, secretsmanager, scheduler):
        if client.cache_info().currsize:
            client().close()
