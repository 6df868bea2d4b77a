"""One low-level client per service and process, with timeouts and bounded retries.

Made by botocore, as boto3's own are: importing boto3 for it is 43 modules more, and a fifth of a cold start.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore
from botocore.config import Config
from botocore.session import Session, get_session

from shared.aws.deadline import watch
from shared.aws.throttles import count_throttles
from shared.aws.whole_answers import demand_whole_answers

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_events import EventBridgeClient
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


@cache
def session() -> Session:
    """What all clients share: credentials, and the models of services once read."""
    return get_session()


CHECKS_ROWS = False
"""Whether botocore compares each value of a row with DynamoDB's model before it is sent: a quarter of a call. Stores
send what ``store.wire`` typed, and DynamoDB checks it again; tests switch it on."""


def _config(kind: str | None = None) -> Config:
    patience = PATIENCE[kind or os.environ.get("PATIENCE_WITH_AWS", "long")]
    return Config(
        # Spelling out for AWS what runs here, at every call anew, is a fifteenth of it.
        user_agent=f"checkback botocore/{botocore.__version__}",
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=32,
    )


def _made(service: str, config: Config | None = None) -> Any:
    client = session().create_client(service, config=config or _config())
    watch(client)
    demand_whole_answers(client)
    return client


@cache
def dynamodb() -> "DynamoDBClient":
    """The DynamoDB client."""
    client: DynamoDBClient = _made("dynamodb", _config().merge(Config(parameter_validation=CHECKS_ROWS)))
    count_throttles(client)
    return client


@cache
def sqs() -> "SQSClient":
    """The SQS client."""
    client: SQSClient = _made("sqs")
    return client


@cache
def s3() -> "S3Client":
    """The S3 client. Path style: bucket names are generated and the local engine has no wildcard host."""
    client: S3Client = _made("s3", _config().merge(Config(s3={"addressing_style": "path"})))
    return client


@cache
def events() -> "EventBridgeClient":
    """The EventBridge client: of the stage's own bus."""
    client: EventBridgeClient = _made("events")
    return client


@cache
def kms() -> "KMSClient":
    """The KMS client."""
    client: KMSClient = _made("kms")
    return client


@cache
def secretsmanager() -> "SecretsManagerClient":
    """The Secrets Manager client."""
    client: SecretsManagerClient = _made("secretsmanager")
    return client


@cache
def scheduler() -> "EventBridgeSchedulerClient":
    """The EventBridge Scheduler client."""
    client: EventBridgeSchedulerClient = _made("scheduler")
    return client


@cache
def cloudwatch() -> Any:
    """The CloudWatch client, for an operator who looks: whatever it says, it says soon or not at all."""
    return _made("cloudwatch", _config("short"))


def reconnect() -> None:
    """Close the connections of every client that was made; whoever holds one goes on with new ones."""
    for client in (dynamodb, sqs, s3, kms, secretsmanager, scheduler, cloudwatch):
        if client.cache_info().currsize:
            client().close()
