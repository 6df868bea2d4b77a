"""A right that is missing, and one that nobody needs, are found in the template of the real app."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from infra.functions import FUNCTION_NAMES
from tests.permissions import judging
from tests.permissions.exceptions import UNUSED
from tests.permissions.needs import Need, arn
from tests.permissions.policies import Grant, Policies
from tests.permissions.recording import Recorded
from tests.unit.infra.conftest import Synthesise, synthesise

__all__ = ["synthesise"]

TABLE = arn("dynamodb", "table/TABLE_NAME")


@pytest.fixture
def template(synthesise: Synthesise) -> Any:
    """The service stack of production, to be spoilt."""
    return copy.deepcopy(synthesise("production").service.json)


def needs_of_all(policies: Policies) -> dict[Recorded, str]:
    """A need for everything that is granted."""
    return {
        Recorded(
            function, Need(part.action, part.resource, tuple((key, values[0]) for key, values in part.conditions))
        ): ""
        for function in policies.functions
        for grant in policies.grants(function)
        for part in judging.parts(grant)
    }


def test_a_stage_whose_functions_do_all_they_may_is_right_but_for_what_is_excepted(template: Any) -> None:
    policies = Policies(template)
    verdict = judging.judge(policies, needs_of_all(policies))

    assert (verdict.missing, verdict.unused) == ([], [])
    assert len(verdict.idle_exceptions) == len(UNUSED)


def test_every_function_is_looked_at(template: Any) -> None:
    assert len(Policies(template).functions) == len(FUNCTION_NAMES)


@pytest.mark.parametrize(
    "need",
    [
        Need("dynamodb:Scan", "*"),
        Need("dynamodb:Query", f"{TABLE}/index/list"),
        Need("dynamodb:GetItem", arn("dynamodb", "table/another")),
        Need("sqs:SendMessage", arn("sqs", "DELIVERIES_QUEUE_URL")),
        Need("s3:GetObject", "arn:aws:s3:::QUARANTINE_BUCKET/quarantine/a"),
    ],
)
def test_what_the_sweep_may_not_do_is_missing(template: Any, need: Need) -> None:
    policies = Policies(template)
    needs = needs_of_all(policies) | {Recorded("sweep", need): "a test"}
    (missing,) = judging.judge(policies, needs).missing

    assert missing.startswith(f"sweep: {need.action} on {need.resource}")
    assert "a test" in missing


def test_a_right_nobody_uses_is_told_of_by_name(template: Any) -> None:
    policies = Policies(template)
    needs = needs_of_all(policies)
    del needs[Recorded("ingest", Need("dynamodb:Query", f"{TABLE}/index/cart"))]

    assert judging.judge(policies, needs).unused == [f"ingest: dynamodb:Query on {TABLE}/index/cart"]


def test_so_is_a_prefix_of_a_condition(template: Any) -> None:
    policies = Policies(template)
    bucket = "arn:aws:s3:::QUARANTINE_BUCKET"
    needs = needs_of_all(policies)
    del needs[Recorded("merchant_api", Need("s3:ListBucket", bucket, (("s3:prefix", "poison/*"),)))]
    (unused,) = judging.judge(policies, needs).unused

    assert unused.startswith(f"merchant_api: s3:ListBucket on {bucket}")
    assert "poison" in unused


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "dynamodb:GetRecords", "logs:PutLogEvents"])
def test_what_lambda_itself_does_has_to_be_allowed(template: Any, action: str) -> None:
    for own in template["Resources"].values():
        if own["Type"] == "AWS::IAM::Policy":
            for statement in own["Properties"]["PolicyDocument"]["Statement"]:
                if isinstance(statement["Action"], list):
                    statement["Action"] = [each for each in statement["Action"] if each != action]
    policies = Policies(template)

    assert any(action in own for own in judging.judge(policies, needs_of_all(policies)).missing)


def refused(template: Any, spoil: Callable[[dict[str, Any]], object]) -> None:
    """No statement that cannot be read is passed over."""
    (policy,) = (own for name, own in template["Resources"].items() if name.startswith("SweepRoleDefaultPolicy"))
    spoil(policy["Properties"]["PolicyDocument"]["Statement"][0])
    with pytest.raises(AssertionError):
        Policies(template).grants("sweep")


def test_a_statement_of_another_form_is_not_passed_over(template: Any) -> None:
    refused(copy.deepcopy(template), lambda own: own.update(Effect="Deny"))
    refused(copy.deepcopy(template), lambda own: own.update(NotResource=own.pop("Resource")))
    refused(copy.deepcopy(template), lambda own: own.update(Condition={"Bool": {"aws:SecureTransport": "true"}}))


@pytest.mark.parametrize(
    ("grant", "need", "allowed"),
    [
        (Grant("s3:GetObject", "arn:aws:s3:::b/a/*"), Need("s3:GetObject", "arn:aws:s3:::b/a/c/d"), True),
        (Grant("s3:GetObject", "arn:aws:s3:::b/a/*"), Need("s3:GetObject", "arn:aws:s3:::b/ab"), False),
        (Grant("s3:getobject", "*"), Need("s3:GetObject", "x"), True),
        (Grant("s3:GetObject", "a.c"), Need("s3:GetObject", "abc"), False),
        (Grant("s3:ListBucket", "b", (("s3:prefix", ("a/*",)),)), Need("s3:ListBucket", "b"), False),
        (
            Grant("s3:ListBucket", "b", (("s3:prefix", ("a/*", "c")),)),
            Need("s3:ListBucket", "b", (("s3:prefix", "c"),)),
            True,
        ),
    ],
)
def test_a_grant_allows_as_iam_says(grant: Grant, need: Need, allowed: bool) -> None:
    assert grant.allows(need) is allowed
