"""Daily files of facts: a closed bucket of the state stack on stages that want one; two functions reach it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.stages import UnusableStageError
from tests.unit.infra.conftest import StackTemplate, Synthesise, Templates, as_list


@pytest.fixture
def with_files(synthesise: Synthesise) -> Templates:
    return synthesise("production", facts_bucket=True)


def bucket_of(templates: Templates) -> tuple[str, Mapping[str, Any]]:
    ((name, found),) = (
        (name, own) for name, own in templates.state.resources("S3::Bucket").items() if name.startswith("Facts")
    )
    return name, found


@pytest.mark.parametrize("stage", ["local", "dev", "production"])
def test_a_stage_that_does_not_ask_for_files_has_nothing_of_them(synthesise: Synthesise, stage: str) -> None:
    templates = synthesise(stage)

    assert len(templates.state.resources("S3::Bucket")) == 1
    for own in (templates.state, templates.service):
        assert "facts-bucket-name" not in json.dumps(own.json)
        assert "FACTS_BUCKET" not in json.dumps(own.json)


def test_the_bucket_is_closed_encrypted_and_kept_and_files_go_after_their_days(with_files: Templates) -> None:
    name, bucket = bucket_of(with_files)
    properties = bucket["Properties"]

    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert "BucketName" not in properties
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert [own["ExpirationInDays"] for own in properties["LifecycleConfiguration"]["Rules"]] == [400]
    (policy,) = (
        own["Properties"]["PolicyDocument"]["Statement"]
        for own in with_files.state.resources("S3::BucketPolicy").values()
        if own["Properties"]["Bucket"] == {"Ref": name}
    )
    assert [(own["Effect"], own["Condition"]) for own in policy] == [
        ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    ]


def test_files_that_are_kept_for_good_have_no_lifecycle(synthesise: Synthesise) -> None:
    _, bucket = bucket_of(synthesise("production", facts_bucket=True, facts_days=0))

    assert "LifecycleConfiguration" not in bucket["Properties"]


def rights(service: StackTemplate, name: Any) -> set[str]:
    """What the function may do on the bucket, and below which prefix."""
    found = set()
    for statement in service.statements(name):
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                if "FactsBucketName" in json.dumps(resource).replace("StateFacts", "Facts"):
                    prefixes = statement.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [])
                    below = resource["Fn::Join"][1][-1] if prefixes == [] else prefixes[0]
                    found.add(f"{action} {below}")
    return found


def test_one_function_writes_them_and_who_erases_a_merchant_removes_them(with_files: Templates) -> None:
    from infra.functions import FUNCTION_NAMES

    service = with_files.service
    assert {name: own for name in FUNCTION_NAMES if (own := rights(service, name))} == {
        "campaign": {"s3:PutObject /facts/*", "s3:DeleteObject /facts/*", "s3:ListBucket facts/*"},
        "merchant_api": {"s3:DeleteObject /facts/*", "s3:ListBucket facts/*"},
    }
    for name in FUNCTION_NAMES:
        told = "FACTS_BUCKET" in service.function(name)["Properties"]["Environment"]["Variables"]
        assert told == (name in {"campaign", "merchant_api"})


def test_the_walk_is_begun_and_gone_on_with_every_ten_minutes(with_files: Templates) -> None:
    (rule,) = (
        own["Properties"]
        for own in with_files.service.resources("Events::Rule").values()
        if '{"facts":true}' in json.dumps(own).replace("\\", "")
    )

    assert rule["ScheduleExpression"] == "rate(10 minutes)"
    (target,) = rule["Targets"]
    assert with_files.service.led_to(target["Arn"])["Properties"]["Handler"] == "functions.campaign.handler.handler"
    assert "DeadLetterConfig" in target


@pytest.mark.parametrize("days", [-1, 40_000])
def test_a_time_that_s3_does_not_know_is_refused(synthesise: Synthesise, days: int) -> None:
    with pytest.raises(UnusableStageError, match="facts_days"):
        synthesise("production", facts_bucket=True, facts_days=days)
