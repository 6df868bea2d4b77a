"""What must be kept is kept, and the table is what the data model needs."""

from collections.abc import Callable

import pytest

from tests.unit.infra.conftest import Templates

STAGES = ["local", "dev", "production"]


@pytest.fixture(params=STAGES)
def any_stage(request: pytest.FixtureRequest, synthesise: Callable[[str], Templates]) -> Templates:
    return synthesise(request.param)


def test_the_table_streams_both_images_expires_items_and_can_be_restored(any_stage: Templates) -> None:
    table = any_stage.state.only("DynamoDB::Table")["Properties"]

    assert table["KeySchema"] == [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_every_index_holds_keys_only(any_stage: Templates) -> None:
    table = any_stage.state.only("DynamoDB::Table")["Properties"]
    types = {item["AttributeName"]: item["AttributeType"] for item in table["AttributeDefinitions"]}
    indexes = {
        index["IndexName"]: [(key["AttributeName"], types[key["AttributeName"]]) for key in index["KeySchema"]]
        for index in table["GlobalSecondaryIndexes"]
    }

    assert indexes == {
        "due": [("dq", "S"), ("da", "N")],
        "list": [("lp", "S"), ("ls", "S")],
        "phone": [("ip", "S"), ("ca", "N")],
        "email": [("ie", "S"), ("ca", "N")],
        "customer": [("ic", "S"), ("ca", "N")],
        "cart": [("ik", "S"), ("ca", "N")],
    }
    assert {index["Projection"]["ProjectionType"] for index in table["GlobalSecondaryIndexes"]} == {"KEYS_ONLY"}


def test_production_keeps_everything_whatever_happens_to_the_stack(production: Templates) -> None:
    resources = production.state.json["Resources"]
    kept = {item["Type"] for item in resources.values() if item.get("DeletionPolicy") == "Retain"}

    assert production.state.only("DynamoDB::Table")["Properties"]["DeletionProtectionEnabled"] is True
    assert kept == {
        "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::S3::Bucket",
        "AWS::Scheduler::ScheduleGroup",
    }  # fmt: skip
    assert {item["UpdateReplacePolicy"] for item in resources.values() if item["Type"] in kept} == {"Retain"}


def test_a_removable_stage_leaves_nothing_behind(synthesise: Callable[[str], Templates]) -> None:
    resources = synthesise("dev").state.json["Resources"]

    assert "Retain" not in {item.get("DeletionPolicy") for item in resources.values()}
    assert synthesise("dev").state.only("DynamoDB::Table")["Properties"]["DeletionProtectionEnabled"] is False


def test_the_local_engine_is_given_no_custom_resource(local: Templates) -> None:
    kinds = {item["Type"] for stack in (local.state, local.service) for item in stack.json["Resources"].values()}

    assert not {kind for kind in kinds if kind.startswith("Custom::")}
    assert "AWS::CloudWatch::CompositeAlarm" not in kinds


def test_secrets_are_generated_and_safe_in_a_header(any_stage: Templates) -> None:
    generated = {
        item["Properties"]["GenerateSecretString"]["PasswordLength"]: item["Properties"]["GenerateSecretString"]
        for item in any_stage.state.resources("SecretsManager::Secret").values()
    }

    assert set(generated) == {48, 64}
    assert generated[64]["SecretStringTemplate"] == '{"version": "1"}'
    assert generated[64]["GenerateStringKey"] == "key"
    for generator in generated.values():
        assert not set(generator["ExcludeCharacters"]) ^ set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def test_quarantined_bodies_are_private_encrypted_and_go_after_30_days(any_stage: Templates) -> None:
    bucket = any_stage.state.only("S3::Bucket")["Properties"]
    policy = any_stage.state.only("S3::BucketPolicy")["Properties"]["PolicyDocument"]["Statement"]

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    assert bucket["LifecycleConfiguration"]["Rules"] == [
        {"ExpirationInDays": 30, "Status": "Enabled"},
        {"ExpirationInDays": 7, "Prefix": "aws/lambda/", "Status": "Enabled"},
    ]
    assert any(
        item["Effect"] == "Deny" and item.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for item in policy
    )


def test_the_credentials_key_rotates(any_stage: Templates) -> None:
    assert any_stage.state.only("KMS::Key")["Properties"]["EnableKeyRotation"] is True
