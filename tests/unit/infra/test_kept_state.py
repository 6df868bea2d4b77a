"""What must survive keeps its name in the template, and the service stack finds it without holding it fast.

CloudFormation replaces what has another logical id: a new, empty table. ``stateful_resources.json`` and
``index_history.json`` are what was deployed; whoever changes them says that a stage's data goes another way.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from infra.parameters import restored_stream_parameter
from infra.stages import UnusableStageError
from infra.table_schema import INDEXES, Indexes, index_changes
from tests.unit.infra.conftest import StackTemplate, Synthesise, Templates, as_list

HERE = Path(__file__).parent
DOMAIN = {
    "domain_name": "hooks.example.com",
    "certificate_arn": "arn:aws:acm:ap-south-1:111122223333:certificate/abc",
}
STATEFUL = {
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::SecretsManager::Secret",
    "AWS::S3::Bucket",
    "AWS::Scheduler::ScheduleGroup",
    "AWS::ApiGatewayV2::DomainName",
}
IDENTITY = {
    "AWS::DynamoDB::Table": ["TableName", "KeySchema"],
    "AWS::SecretsManager::Secret": ["Name", "GenerateSecretString"],
    "AWS::KMS::Key": ["KeySpec", "KeyUsage", "MultiRegion"],
    "AWS::S3::Bucket": ["BucketName"],
    "AWS::Scheduler::ScheduleGroup": ["Name"],
    "AWS::ApiGatewayV2::DomainName": ["DomainName"],
}
"""Properties whose change makes a new resource, or a new secret value."""


@pytest.fixture
def with_domain(synthesise: Synthesise) -> Templates:
    return synthesise("production", **DOMAIN)


def identities(state: StackTemplate) -> dict[str, Any]:
    return {
        name: {
            "type": item["Type"],
            "is": {own: item["Properties"].get(own) for own in IDENTITY[item["Type"]]},
        }
        for name, item in state.json["Resources"].items()
        if item["Type"] in STATEFUL
    }


def test_what_was_deployed_keeps_its_name_and_what_makes_it_itself(with_domain: Templates) -> None:
    assert identities(with_domain.state) == json.loads((HERE / "stateful_resources.json").read_text())


def test_the_keys_secret_is_generated_as_ever_since_an_edit_makes_another(with_domain: Templates) -> None:
    """Stated beside the file, too: whoever writes the file anew must not take this along."""
    (keys,) = (
        item["Properties"]
        for item in with_domain.state.resources("SecretsManager::Secret").values()
        if item["Properties"]["GenerateSecretString"]["PasswordLength"] == 64
    )

    assert keys["GenerateSecretString"] == {
        "ExcludeCharacters": "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        "GenerateStringKey": "key",
        "PasswordLength": 64,
        "SecretStringTemplate": '{"version": "1"}',
    }


def test_everything_stateful_is_kept_in_production(with_domain: Templates) -> None:
    resources = with_domain.state.json["Resources"].values()
    stateful = [item for item in resources if item["Type"] in STATEFUL]

    assert {item["Type"] for item in stateful} == STATEFUL
    assert {(item["DeletionPolicy"], item["UpdateReplacePolicy"]) for item in stateful} == {("Retain", "Retain")}


def test_the_service_stack_holds_nothing_that_must_survive_it(with_domain: Templates) -> None:
    assert not STATEFUL & {item["Type"] for item in with_domain.service.json["Resources"].values()}


@pytest.mark.parametrize("stage", ["local", "dev", "production"])
def test_neither_stack_holds_the_other_fast(synthesise: Synthesise, stage: str) -> None:
    templates = synthesise(stage)

    assert "Fn::ImportValue" not in json.dumps(templates.service.json)
    assert not [own for own in templates.state.json.get("Outputs", {}).values() if "Export" in own]
    published = {item["Properties"]["Name"] for item in templates.state.resources("SSM::Parameter").values()}
    read = {
        own["Default"]
        for own in templates.service.json["Parameters"].values()
        if own["Type"] == "AWS::SSM::Parameter::Value<String>" and own["Default"].startswith("/checkback/")
    }
    assert read == published
    assert all(own.startswith(f"/checkback/{stage}/") for own in read)


def test_a_restored_table_is_put_in_by_one_setting(synthesise: Synthesise) -> None:
    before = synthesise("production")
    after = synthesise("production", restored_table="checkback-restored")
    variables = [
        item["Properties"]["Environment"]["Variables"]["TABLE_NAME"]
        for item in after.service.resources("Lambda::Function").values()
        if "Environment" in item["Properties"]
    ]
    granted = [
        json.dumps(resource)
        for policy in after.service.resources("IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if any(action.startswith("dynamodb:") for action in as_list(statement["Action"]))
        for resource in as_list(statement["Resource"])
        if resource != "*"
    ]
    (stream,) = (
        own for name, own in after.service.json["Parameters"].items() if name.startswith("StateTableStreamArn")
    )

    assert set(variables) == {"checkback-restored"}
    assert granted
    assert all("checkback-restored" in own or "StateTableStreamArn" in own for own in granted)
    assert stream["Default"] == restored_stream_parameter("production", "checkback-restored")
    assert after.state.json == before.state.json, "the old table stays as it is"
    (new,) = after.service.json["Parameters"].keys() - before.service.json["Parameters"].keys()
    assert "TableStreamArn" in new, "a deployment keeps what it gave a parameter before, whatever its default is now"


def test_the_public_name_outlives_the_api_it_leads_to(with_domain: Templates) -> None:
    mapping = with_domain.service.only("ApiGatewayV2::ApiMapping")["Properties"]
    api = with_domain.service.only("ApiGatewayV2::Api")["Properties"]
    redirect = with_domain.service.function("redirect")["Properties"]["Environment"]["Variables"]

    assert (mapping["DomainName"], mapping["Stage"]) == ("hooks.example.com", "$default")
    assert api["DisableExecuteApiEndpoint"] is True, "one way in"
    assert redirect["PUBLIC_URL"] == "https://hooks.example.com"
    assert {"DomainTarget", "DomainTargetHostedZoneId"} <= set(with_domain.state.json["Outputs"])


def test_schedules_are_made_in_the_group_that_stays(with_domain: Templates) -> None:
    """Deleting the group deletes every merchant's schedules."""
    name = with_domain.service.function("campaign")["Properties"]["Environment"]["Variables"]["SCHEDULE_GROUP"]

    assert name["Ref"].startswith("StateScheduleGroupName")


def test_the_keys_cannot_be_deleted_and_have_a_copy_elsewhere(synthesise: Synthesise) -> None:
    state = synthesise("production", keys_replica_region="eu-west-1").state
    (keys,) = (
        item["Properties"]
        for name, item in state.resources("SecretsManager::Secret").items()
        if name.startswith("Keys")
    )
    (policy,) = state.resources("SecretsManager::ResourcePolicy").values()
    (denied,) = policy["Properties"]["ResourcePolicy"]["Statement"]

    assert keys["ReplicaRegions"] == [{"Region": "eu-west-1"}]
    assert (denied["Effect"], denied["Action"]) == ("Deny", "secretsmanager:DeleteSecret")
    assert policy["Properties"]["SecretId"]["Ref"].startswith("Keys")


def test_no_release_changes_more_than_one_index() -> None:
    """The file has one entry per release that changed them; they are deployed one after the other."""
    history: list[Indexes] = [
        {name: tuple(keys) for name, keys in release.items()}
        for release in json.loads((HERE / "index_history.json").read_text())
    ]

    assert history[-1] == INDEXES
    for before, after in pairwise(history):
        assert len(index_changes(before, after)) <= 1


def test_an_index_with_other_keys_counts_twice_since_it_is_removed_and_made() -> None:
    due: Indexes = {"due": ("dq", "da", "N")}

    assert index_changes(due, due) == []
    assert index_changes(due, {**due, "list": ("lp", "ls", "S")}) == ["make list"]
    assert index_changes({**due, "list": ("lp", "ls", "S")}, due) == ["remove list"]
    assert index_changes(due, {"due": ("dq", "db", "N")}) == ["remove due", "make due"]
    assert index_changes(due, {**due, "a": ("x", "y", "S"), "b": ("x", "y", "S")}) == ["make a", "make b"]


def test_a_stage_that_is_kept_is_not_synthesised_without_a_name_of_its_own(synthesise: Synthesise) -> None:
    with pytest.raises(UnusableStageError, match="domain_name and certificate_arn: without a name of your own"):
        synthesise("production", accept_disposable_urls=False)


def test_the_alarms_may_ring_at_a_topic_of_the_operators(synthesise: Synthesise) -> None:
    topic = "arn:aws:sns:ap-south-1:111122223333:on-call"
    service = synthesise("production", alarm_topic_arn=topic, alarm_email=None).service
    rung = {
        action
        for kind in ("CloudWatch::Alarm", "CloudWatch::CompositeAlarm")
        for item in service.resources(kind).values()
        for action in item["Properties"].get("AlarmActions", [])
    }

    assert rung == {topic}
    assert not service.resources("SNS::Topic")
