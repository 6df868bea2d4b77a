"""A restored table comes bare: what it lacks is set, each once, wherever the command broke off before."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from infra.operations.adopt_table import Adoption, NotAdoptable, indexes_of
from infra.parameters import restored_stream_parameter
from infra.stages import Stage
from infra.table_schema import INDEXES
from tests.integration.operations.breaking_off import MOMENTS, broken_off

pytestmark = pytest.mark.long
RESTORED = "checkback-restored"
PRODUCTION = Stage(name="production")
ALL_CALLS = 30
"""More than the command makes."""


@pytest.fixture
def dynamodb(aws: None) -> Iterator[Any]:
    """A client of its own, in an account whose table was restored under another name."""
    client = boto3.client("dynamodb")
    client.restore_table_to_point_in_time(
        SourceTableName="checkback", TargetTableName=RESTORED, UseLatestRestorableTime=True
    )
    client.update_table(TableName=RESTORED, StreamSpecification={"StreamEnabled": False})
    yield client
    client.update_table(TableName=RESTORED, DeletionProtectionEnabled=False)


@pytest.fixture
def ssm(aws: None) -> Any:
    return boto3.client("ssm")


def adopt(dynamodb: Any, ssm: Any, stage: Stage = PRODUCTION) -> list[str]:
    return list(Adoption(dynamodb, ssm, stage=stage, table=RESTORED).run())


def state(dynamodb: Any, ssm: Any) -> dict[str, Any]:
    """All that the command sets, as AWS says it."""
    table = dynamodb.describe_table(TableName=RESTORED)["Table"]
    backups = dynamodb.describe_continuous_backups(TableName=RESTORED)["ContinuousBackupsDescription"]
    tags = dynamodb.list_tags_of_resource(ResourceArn=table["TableArn"])["Tags"]
    parameter = ssm.get_parameter(Name=restored_stream_parameter("production", RESTORED))["Parameter"]["Value"]
    return {
        "ttl": dynamodb.describe_time_to_live(TableName=RESTORED)["TimeToLiveDescription"],
        "images": table["StreamSpecification"]["StreamViewType"],
        "recovery": backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
        "protected": table["DeletionProtectionEnabled"],
        "tags": {own["Key"]: own["Value"] for own in tags},
        "indexes": indexes_of(table),
        "stream found": parameter == table["LatestStreamArn"],
    }


AS_IT_MUST_BE = {
    "ttl": {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"},
    "images": "NEW_AND_OLD_IMAGES",
    "recovery": "ENABLED",
    "protected": True,
    "tags": {"application": "checkback", "stage": "production"},
    "indexes": INDEXES,
    "stream found": True,
}


def test_a_restored_table_becomes_what_the_stage_needs_and_is_found(dynamodb: Any, ssm: Any) -> None:
    done = adopt(dynamodb, ssm)

    assert state(dynamodb, ssm) == AS_IT_MUST_BE
    assert [own.partition(":")[0] for own in done] == [
        "stream", "deletion protection", "point-in-time recovery", "TTL", "tags", "stream's ARN",
    ]  # fmt: skip


def test_a_second_time_changes_nothing(dynamodb: Any, ssm: Any) -> None:
    adopt(dynamodb, ssm)
    writes: list[str] = []
    dynamodb.meta.events.register(
        "before-call.dynamodb", lambda model, **_: writes.append(model.name) if "pdate" in model.name else None
    )

    assert [own.partition(":")[0] for own in adopt(dynamodb, ssm)] == ["stream's ARN"]
    assert writes == []


@MOMENTS
@pytest.mark.parametrize("number", range(1, ALL_CALLS))
def test_wherever_it_broke_off_the_next_run_ends_it(dynamodb: Any, ssm: Any, moment: str, number: int) -> None:
    with broken_off(number, moment, dynamodb, ssm):
        adopt(dynamodb, ssm)

    adopt(dynamodb, ssm)

    assert state(dynamodb, ssm) == AS_IT_MUST_BE


def test_no_more_calls_are_made_than_were_cut_off(dynamodb: Any, ssm: Any) -> None:
    made: list[str] = []
    for client in (dynamodb, ssm):
        client.meta.events.register("before-call", lambda model, **_: made.append(model.name))

    adopt(dynamodb, ssm)

    assert len(made) < ALL_CALLS


def test_a_missing_index_is_made_one_at_a_time_before_anything_may_be_deployed(dynamodb: Any, ssm: Any) -> None:
    for name in ("due", "cart"):
        dynamodb.update_table(TableName=RESTORED, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": name}}])

    for name in ("cart", "due"):
        with pytest.raises(NotAdoptable, match=f"index {name} was missing and is being made"):
            adopt(dynamodb, ssm)
    adopt(dynamodb, ssm)

    assert state(dynamodb, ssm)["indexes"] == INDEXES


def test_a_stage_that_may_be_thrown_away_is_not_protected(dynamodb: Any, ssm: Any) -> None:
    adopt(dynamodb, ssm, Stage(name="dev", removable=True))

    assert not dynamodb.describe_table(TableName=RESTORED)["Table"]["DeletionProtectionEnabled"]


def test_a_table_of_somebody_else_is_refused_untouched(dynamodb: Any, ssm: Any) -> None:
    dynamodb.create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )

    with pytest.raises(NotAdoptable, match="never a table of Checkback"):
        list(Adoption(dynamodb, ssm, stage=PRODUCTION, table="orders").run())

    assert "LatestStreamArn" not in dynamodb.describe_table(TableName="orders")["Table"]
