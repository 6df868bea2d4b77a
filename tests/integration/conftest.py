"""A stage's AWS resources on moto: the table with its indexes, keys, secrets, queues and the bucket."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from moto import mock_aws

from shared.aws import clients
from shared.destinations import liquid
from shared.destinations.liquid_turns import Turns
from shared.domain.identity import IdentityHasher
from shared.domain.recovery_link import RecoveryCodes
from shared.store.table import Table
from tests.integration import direct_moto, quick_moto
from tests.integration.account import SHARED_CLIENTS, Account
from tests.integration.monitoring import Monitoring
from tests.integration.shop import Shop, open_shop
from tests.unit.destinations.rendering import wait_for_templates
from tests.unit.domain.sessions import NOON

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

REGION = "ap-south-1"
DUE_SHARDS = 2
STAGE_KEY = "k" * 64
ADMIN_KEY = "a" * 48
INDEXES = {"due": ("dq", "da"), "list": ("lp", "ls"), "phone": ("ip", "ca"), "email": ("ie", "ca")} | {
    "customer": ("ic", "ca"),
    "cart": ("ik", "ca"),
}
_NUMBERS = {"da", "ca"}


@dataclass(frozen=True)
class Stage:
    """Names of what a deployed stage has."""

    table_name: str
    bucket: str
    deliveries_url: str
    retries_url: str
    steps_url: str
    slow_url: str
    dead_letters_url: str
    pulls_url: str
    campaign_runs_url: str
    campaign_runs_arn: str
    schedule_group: str
    pull_dead_letters_url: str
    record_dead_letters_url: str
    campaign_dead_letters_url: str
    missed_schedules_url: str
    key_arn: str
    keys_secret_arn: str
    admin_secret_arn: str


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches AWS, whatever the shell holds."""
    no_real_aws(monkeypatch)


def no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a region that lead nowhere."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@contextmanager
def open_account() -> Iterator[tuple[Account, Stage]]:
    """An account with one stage; the root conftest opens it once per process."""
    wait_for_templates()
    quick_moto.install()
    direct_moto.install()
    for cached in SHARED_CLIENTS:
        cached.cache_clear()
    with mock_aws(config={"core": {"mock_credentials": False}}):
        with pytest.MonkeyPatch.context() as monkeypatch:
            no_real_aws(monkeypatch)
            monkeypatch.setattr(clients, "CHECKS_ROWS", True)
            clients.session.cache_clear()
            # Spelling out what runs the client is a tenth of a call.
            clients.session().set_default_client_config(Config(user_agent="tests"))
            boto3.setup_default_session(botocore_session=clients.session())
            staged = _make_stage()
            account = Account()
        yield account, staged
    for cached in SHARED_CLIENTS:
        cached.cache_clear()


@pytest.fixture
def aws(_environment: None, staged_account: tuple[Account, Stage]) -> None:
    """An AWS account with an untouched stage, whatever the tests before did to it."""
    account, _ = staged_account
    account.put_back()
    # Whose templates took too long rests for some seconds of the real clock; the merchant of the next test does not.
    liquid._sandbox._turns = Turns()
    liquid._sandbox._slow.clear()


def create_table(client: "DynamoDBClient", name: str) -> None:
    """The table as the CDK app makes it."""
    attributes = {"pk": "S", "sk": "S"}
    attributes |= {own: "N" if own in _NUMBERS else "S" for pair in INDEXES.values() for own in pair}
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": own, "AttributeType": "N" if kind == "N" else "S"} for own, kind in attributes.items()
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": index,
                "KeySchema": [
                    {"AttributeName": partition, "KeyType": "HASH"},
                    {"AttributeName": sort, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index, (partition, sort) in INDEXES.items()
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def _make_stage() -> Stage:
    """Everything a stage has."""
    create_table(clients.dynamodb(), "checkback")
    boto3.client("s3").create_bucket(
        Bucket="quarantine", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"}
    )
    sqs = boto3.client("sqs")
    names = ("deliveries", "retries", "dead-letters", "pulls", "pull-dead-letters", "steps", "slow")
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in names]
    runs = sqs.create_queue(QueueName="campaign-runs")
    kept = {
        f"{name}_url": sqs.create_queue(QueueName=name.replace("_", "-"))["QueueUrl"]
        for name in ("record_dead_letters", "campaign_dead_letters", "missed_schedules")
    }
    boto3.client("scheduler").create_schedule_group(Name="campaigns")
    secrets = boto3.client("secretsmanager")
    keys = json.dumps({"version": "1", "key": STAGE_KEY})
    return Stage(
        table_name="checkback",
        bucket="quarantine",
        deliveries_url=urls[0],
        retries_url=urls[1],
        steps_url=urls[5],
        slow_url=urls[6],
        dead_letters_url=urls[2],
        pulls_url=urls[3],
        campaign_runs_url=runs["QueueUrl"],
        campaign_runs_arn="arn:aws:sqs:ap-south-1:123456789012:campaign-runs",
        schedule_group="campaigns",
        pull_dead_letters_url=urls[4],
        **kept,
        key_arn=boto3.client("kms").create_key()["KeyMetadata"]["Arn"],
        keys_secret_arn=secrets.create_secret(Name="keys", SecretString=keys)["ARN"],
        admin_secret_arn=secrets.create_secret(Name="admin", SecretString=ADMIN_KEY)["ARN"],
    )


def environment_of(stage: Stage) -> dict[str, str]:
    """What functions are deployed with."""
    return {
        "STAGE": "dev",
        "TABLE_NAME": stage.table_name,
        "PUBLIC_URL": "https://hooks.example.com",
        "KEYS_SECRET_ARN": stage.keys_secret_arn,
        "CREDENTIALS_KEY_ARN": stage.key_arn,
        "QUARANTINE_BUCKET": stage.bucket,
        "DELIVERIES_QUEUE_URL": stage.deliveries_url,
        "RETRIES_QUEUE_URL": stage.retries_url,
        "STEPS_QUEUE_URL": stage.steps_url,
        "SLOW_QUEUE_URL": stage.slow_url,
        "DEAD_LETTERS_QUEUE_URL": stage.record_dead_letters_url,
        "PULLS_QUEUE_URL": stage.pulls_url,
        "PULLS_DEAD_LETTERS_QUEUE_URL": stage.pull_dead_letters_url,
        "DUE_SHARDS": str(DUE_SHARDS),
    }


@pytest.fixture
def stage(aws: None, staged_account: tuple[Account, Stage]) -> Stage:
    """Everything a stage has, empty."""
    return staged_account[1]


@pytest.fixture
def table(stage: Stage) -> Table:
    """The table, with waits cut out. Its clock stops at the tests' noon: no row of theirs expires with the years."""
    return Table(
        *(clients.dynamodb(), stage.table_name),
        sleep=lambda _: None,
        clock=lambda: min(time.time(), NOON.timestamp()),
    )


@pytest.fixture
def hasher() -> IdentityHasher:
    """Identity hashes of this stage."""
    return IdentityHasher(b"i" * 32)


@pytest.fixture
def codes() -> RecoveryCodes:
    """Recovery codes of this stage."""
    return RecoveryCodes({1: b"r" * 32})


@pytest.fixture
def shop(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A merchant with one source on this stage, played through the handlers; what would be sent lands in ``sent``."""
    environment = environment_of(stage)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for opened in open_shop(environment):
        monkeypatch.setattr("functions.deliver.composition.SendPool", _standing_in(opened))
        yield opened


def _standing_in(shop: Shop) -> Callable[..., Shop]:
    """What makes the shop in place of the guarded client."""
    return lambda **_: shop


@pytest.fixture
def monitoring(aws: None) -> Iterator[Monitoring]:
    """CloudWatch, as far as a test says."""
    made, events = Monitoring(), clients.cloudwatch().meta.events
    events.register("provide-client-params.cloudwatch", made.note)
    events.register("before-call.cloudwatch", made.answer)
    yield made
    events.unregister("provide-client-params.cloudwatch", made.note)
    events.unregister("before-call.cloudwatch", made.answer)
