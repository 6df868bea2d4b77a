"""What an account lacks is said before a deployment, with what to do: against answers as AWS gives them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.operations import preflight
from infra.operations.preflight import Finding
from infra.parameters import parameter_name, restored_stream_parameter
from infra.stages import Stage, StageMail
from infra.table_schema import INDEXES, Indexes

CERTIFICATE = "arn:aws:acm:ap-south-1:111122223333:certificate/12345678-1234-1234-1234-123456789012"
PRODUCTION = Stage(
    name="production",
    domain_name="hooks.example.com",
    certificate_arn=CERTIFICATE,
    alarm_email="alarms@example.com",
    account_concurrency=1000,
    ingest_concurrency=400,
    keys_replica_region="eu-west-1",
)
DEV = Stage(name="dev", removable=True)
IN_A_YEAR = datetime.now(UTC) + timedelta(days=365)


class Aws:
    """Clients that give the answers they were given, each once and in order."""

    def __init__(self) -> None:
        self._stubbed: dict[str, tuple[Any, Stubber]] = {}
        self.elsewhere: dict[str, Aws] = {}

    def client(self, service: str, region: str | None = None) -> Any:
        if region is not None:
            return self.elsewhere[region].client(service)
        if service not in self._stubbed:
            made = boto3.client(  # type: ignore[call-overload]
                service, region_name="ap-south-1", aws_access_key_id="test", aws_secret_access_key="test"
            )
            stubber = Stubber(made)
            stubber.activate()
            self._stubbed[service] = made, stubber
        return self._stubbed[service][0]

    def answers(self, service: str, operation: str, answer: dict[str, Any], **asked: Any) -> None:
        self.client(service)
        self._stubbed[service][1].add_response(operation, answer, asked or None)

    def refuses(self, service: str, operation: str, code: str) -> None:
        self.client(service)
        self._stubbed[service][1].add_client_error(operation, code)

    def says(self, parameter: str, value: str | None) -> None:
        if value is None:
            self.refuses("ssm", "get_parameter", "ParameterNotFound")
        else:
            self.answers("ssm", "get_parameter", {"Parameter": {"Value": value}}, Name=parameter)


@pytest.fixture
def aws() -> Aws:
    return Aws()


type Check = Callable[[Any, Stage], Iterator[Finding]]


def found(aws: Aws, check: Check, stage: Stage = PRODUCTION) -> list[tuple[str, str]]:
    """Verdicts, and what to do."""
    return [(own.verdict, own.do or own.what) for own in check(aws.client, stage)]


def allows(aws: Aws, executions: int, unreserved: int | None = None) -> None:
    free = executions if unreserved is None else unreserved
    limit = {"ConcurrentExecutions": executions, "UnreservedConcurrentExecutions": free}
    aws.answers("lambda", "get_account_settings", {"AccountLimit": limit})


def test_a_new_account_allows_ten_executions_and_the_quota_is_named(aws: Aws) -> None:
    allows(aws, 10)
    ((verdict, do),) = found(aws, preflight.executions)

    assert verdict == "stop"
    assert "--quota-code L-B99A9384 --desired-value 1000" in do


def test_a_small_stage_may_be_tried_in_a_new_account(aws: Aws) -> None:
    allows(aws, 10)

    assert [verdict for verdict, _ in found(aws, preflight.executions, DEV)] == ["note"]


def test_an_account_with_a_thousand_is_enough(aws: Aws) -> None:
    allows(aws, 1000)

    assert [verdict for verdict, _ in found(aws, preflight.executions)] == ["ok"]


@pytest.mark.parametrize("setting", ["merchant_api_concurrency", "redirect_concurrency", "callbacks_concurrency"])
def test_the_shares_of_all_who_answer_requests_are_counted(aws: Aws, setting: str) -> None:
    stage = replace(PRODUCTION, **{setting: 600})  # type: ignore[arg-type]  # the three are numbers

    (refusal,) = (own for own in preflight.preflight(aws.client, stage) if "executions are needed" in own.what)
    assert refusal.verdict == "stop"
    assert f"{setting.removesuffix('_concurrency')} 600" in refusal.what


def test_what_others_reserved_is_not_there_for_us(aws: Aws) -> None:
    allows(aws, 1000, 300)
    aws.says(parameter_name("production", "table-name"), None)

    assert "stop" in [verdict for verdict, _ in found(aws, preflight.executions)]


def test_after_a_deployment_our_own_shares_do_not_count_against_us(aws: Aws) -> None:
    allows(aws, 1000, 300)
    aws.says(parameter_name("production", "table-name"), "checkback")

    assert [verdict for verdict, _ in found(aws, preflight.executions)] == ["ok"]


@pytest.mark.parametrize(("rate", "verdict"), [(10_000.0, "ok"), (300.0, "note")])
def test_the_accounts_throttle_is_compared_with_the_stages(aws: Aws, rate: float, verdict: str) -> None:
    aws.answers("apigateway", "get_account", {"throttleSettings": {"rateLimit": rate, "burstLimit": 5000}})

    assert [own for own, _ in found(aws, preflight.throttles)] == [verdict]


@pytest.mark.parametrize(("version", "verdict"), [(None, "stop"), ("5", "stop"), ("6", "ok"), ("28", "ok")])
def test_the_bootstrap_stack_must_be_there_and_new_enough(aws: Aws, version: str | None, verdict: str) -> None:
    aws.says("/cdk-bootstrap/hnb659fds/version", version)

    ((own, do),) = found(aws, preflight.bootstrap)
    assert own == verdict
    assert ("cdk bootstrap" in do) is (verdict == "stop")


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "ok"),
        ({"SubjectAlternativeNames": ["*.example.com"]}, "ok"),
        ({"SubjectAlternativeNames": ["example.com", "*.hooks.example.com"]}, "stop"),
        ({"Status": "PENDING_VALIDATION"}, "stop"),
        ({"NotAfter": datetime.now(UTC) + timedelta(days=9), "RenewalEligibility": "INELIGIBLE"}, "note"),
        ({"NotAfter": datetime.now(UTC) + timedelta(days=9), "RenewalEligibility": "ELIGIBLE"}, "ok"),
    ],
)
def test_the_certificate_is_issued_covers_the_name_and_lasts(aws: Aws, changed: dict[str, Any], verdict: str) -> None:
    certificate = {"Status": "ISSUED", "SubjectAlternativeNames": ["hooks.example.com"], "NotAfter": IN_A_YEAR}
    aws.answers("acm", "describe_certificate", {"Certificate": certificate | changed}, CertificateArn=CERTIFICATE)

    assert [own for own, _ in found(aws, preflight.certificate)] == [verdict]


def test_a_certificate_of_another_region_is_of_no_use(aws: Aws) -> None:
    elsewhere = replace(PRODUCTION, certificate_arn=CERTIFICATE.replace("ap-south-1", "us-east-1"))

    assert [own for own, _ in found(aws, preflight.certificate, elsewhere)] == ["stop"]


def test_a_certificate_that_is_gone_is_said(aws: Aws) -> None:
    aws.refuses("acm", "describe_certificate", "ResourceNotFoundException")

    assert [own for own, _ in found(aws, preflight.certificate)] == ["stop"]


def test_the_sandbox_of_ses_and_missing_identities_are_said(aws: Aws) -> None:
    aws.answers("sesv2", "get_account", {"ProductionAccessEnabled": False, "SendingEnabled": True})
    aws.answers("sesv2", "list_email_identities", {"EmailIdentities": []})

    told = [own.what for own in preflight.mail(aws.client, replace(DEV, stage_mail="shared"))]
    assert told == ["SES is in its sandbox: mail goes to verified addresses alone", "SES has no verified identity"]


def test_who_may_send_is_named(aws: Aws) -> None:
    aws.answers("sesv2", "get_account", {"ProductionAccessEnabled": True, "SendingEnabled": True})
    identities = [
        {"IdentityType": "DOMAIN", "IdentityName": "shop.example", "SendingEnabled": True},
        {"IdentityType": "DOMAIN", "IdentityName": "pending.example", "SendingEnabled": False},
    ]
    aws.answers("sesv2", "list_email_identities", {"EmailIdentities": identities})

    assert found(aws, preflight.mail, replace(DEV, stage_mail="shared")) == [("ok", "SES may send as shop.example")]


def test_a_stage_that_sends_no_mail_needs_no_ses(aws: Aws) -> None:
    assert [own for own, _ in found(aws, preflight.mail)] == ["ok"]


@pytest.mark.parametrize(("mail", "do"), [("tenants", "infra.operations.mail_tenant"), ("shared", "tenants")])
def test_what_the_operator_has_to_know_of_the_stages_mail_is_said(aws: Aws, mail: StageMail, do: str) -> None:
    aws.answers("sesv2", "get_account", {"ProductionAccessEnabled": True, "SendingEnabled": True})
    identity = {"IdentityType": "DOMAIN", "IdentityName": "shop.example", "SendingEnabled": True}
    aws.answers("sesv2", "list_email_identities", {"EmailIdentities": [identity]})

    _, (verdict, said) = found(aws, preflight.mail, replace(PRODUCTION, stage_mail=mail))
    assert verdict == "note"
    assert do in said


GROUP = parameter_name("production", "schedule-group-name")


def test_a_schedule_group_that_was_deleted_is_made_again_and_filled(aws: Aws) -> None:
    aws.says(GROUP, "Schedules-1")
    aws.refuses("scheduler", "get_schedule_group", "ResourceNotFoundException")

    ((verdict, do),) = found(aws, preflight.schedules)
    assert verdict == "stop"
    assert "create-schedule-group --name Schedules-1" in do
    assert "reconcile_schedules --stage production" in do


def test_before_the_first_deployment_nothing_is_missed(aws: Aws) -> None:
    for _ in range(2):
        aws.says(GROUP, None)

    assert [own for own, _ in found(aws, preflight.schedules)] == ["ok"]
    assert [own for own, _ in found(aws, preflight.table)] == ["ok"]


def described(indexes: Indexes, **more: Any) -> dict[str, Any]:
    kinds = {sort: kind for _, sort, kind in indexes.values()} | {own: "S" for own, _, _ in indexes.values()}
    return {
        "Table": {
            "AttributeDefinitions": [{"AttributeName": own, "AttributeType": kind} for own, kind in kinds.items()],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": name,
                    "KeySchema": [
                        {"AttributeName": partition, "KeyType": "HASH"},
                        {"AttributeName": sort, "KeyType": "RANGE"},
                    ],
                }
                for name, (partition, sort, _) in indexes.items()
            ],
            **more,
        }
    }


@pytest.mark.parametrize(
    ("lacking", "verdict"), [((), "ok"), (("cart",), "ok"), (("cart", "list"), "stop")], ids=["none", "one", "two"]
)
def test_a_release_may_be_one_index_away_from_what_is_deployed(
    aws: Aws, lacking: tuple[str, ...], verdict: str
) -> None:
    aws.says(parameter_name("production", "table-name"), "checkback")
    deployed = {name: keys for name, keys in INDEXES.items() if name not in lacking}
    aws.answers("dynamodb", "describe_table", described(deployed), TableName="checkback")

    assert [own for own, _ in found(aws, preflight.table)] == [verdict]


def test_a_table_that_is_gone_leads_to_the_runbook(aws: Aws) -> None:
    aws.says(parameter_name("production", "table-name"), "checkback")
    aws.refuses("dynamodb", "describe_table", "ResourceNotFoundException")

    assert found(aws, preflight.table) == [("stop", "docs/runbook.md, Restore")]


@pytest.mark.parametrize(("said", "verdict"), [("arn:stream/2", "ok"), ("arn:stream/1", "stop"), (None, "stop")])
def test_a_restored_table_must_be_adopted_with_the_stream_it_has_now(aws: Aws, said: str | None, verdict: str) -> None:
    stream = "arn:aws:dynamodb:ap-south-1:111122223333:table/restored/stream/2"
    aws.answers("dynamodb", "describe_table", described(INDEXES, LatestStreamArn=stream), TableName="restored")
    parameter = restored_stream_parameter("production", "restored")
    aws.says(parameter, None if said is None else stream.replace("stream/2", said.removeprefix("arn:")))

    ((own, do),) = found(aws, preflight.table, replace(PRODUCTION, restored_table="restored"))
    assert own == verdict
    assert ("adopt_table --stage production --table restored" in do) is (verdict == "stop")


def test_a_look_that_is_refused_is_said_and_the_others_go_on(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CHECKS", (preflight.throttles, preflight.bootstrap))
    aws.refuses("apigateway", "get_account", "AccessDeniedException")
    aws.says("/cdk-bootstrap/hnb659fds/version", "21")

    told = list(preflight.preflight(aws.client, PRODUCTION))

    assert [(own.verdict, own.what) for own in told] == [
        ("note", "throttles could not be looked at: AccessDeniedException"),
        ("ok", "bootstrap version 21"),
    ]


def test_what_cdk_json_lacks_is_said_before_the_account_is_looked_at(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "CHECKS", ())

    (told,) = preflight.preflight(aws.client, replace(PRODUCTION, alarm_email=None))
    assert (told.verdict, "alarm_email" in told.what) == ("stop", True)


FRONTED = replace(
    PRODUCTION,
    front_certificate_arn=CERTIFICATE.replace("ap-south-1", "us-east-1"),
    origin_domain_name="origin.hooks.example.com",
)


def issued(aws: Aws, *names: str) -> None:
    aws.answers(
        "acm",
        "describe_certificate",
        {"Certificate": {"Status": "ISSUED", "SubjectAlternativeNames": list(names), "NotAfter": IN_A_YEAR}},
    )


def test_a_stage_without_a_front_needs_nothing_elsewhere(aws: Aws) -> None:
    assert found(aws, preflight.front) == []


@pytest.mark.parametrize(
    ("bootstrapped", "names", "key", "verdicts"),
    [
        ("6", ("*.example.com",), "k", ["ok", "ok"]),
        (None, ("*.example.com",), "k", ["stop", "ok"]),
        ("6", ("other.example.com",), "k", ["ok", "stop"]),
        ("6", ("hooks.example.com",), None, ["ok", "ok", "note"]),
    ],
)
def test_what_a_front_needs_is_looked_for_in_its_own_region(
    aws: Aws, bootstrapped: str | None, names: tuple[str, ...], key: str | None, verdicts: list[str]
) -> None:
    there = aws.elsewhere["us-east-1"] = Aws()
    there.says("/cdk-bootstrap/hnb659fds/version", bootstrapped)
    issued(there, *names)
    there.says("/checkback/production/front-key", key)

    assert [verdict for verdict, _ in found(aws, preflight.front, FRONTED)] == verdicts


def test_the_apis_own_certificate_covers_the_name_behind_the_front(aws: Aws) -> None:
    issued(aws, "hooks.example.com")

    assert [verdict for verdict, _ in found(aws, preflight.certificate, FRONTED)] == ["stop"]


TOPIC = "arn:aws:sns:ap-south-1:111122223333:ours"


def topic_lets(aws: Aws, *services: str, **attributes: str) -> None:
    """The operator's own topic, whose policy lets these services publish."""
    statements = [
        {"Effect": "Allow", "Principal": {"Service": own}, "Action": "sns:Publish", "Resource": TOPIC}
        for own in services
    ]
    known = {"Policy": json.dumps({"Statement": statements}), **attributes}
    aws.answers("sns", "get_topic_attributes", {"Attributes": known}, TopicArn=TOPIC)


@pytest.mark.parametrize(
    ("budget", "let_in", "verdict"),
    [
        (50, ("cloudwatch.amazonaws.com", "budgets.amazonaws.com"), "ok"),
        (0, ("cloudwatch.amazonaws.com",), "ok"),
        (50, ("cloudwatch.amazonaws.com",), "stop"),
        (50, ("budgets.amazonaws.com",), "stop"),
        (0, (), "stop"),
    ],
)
def test_a_topic_of_the_operators_own_has_to_take_what_it_is_told(
    aws: Aws, budget: int, let_in: tuple[str, ...], verdict: str
) -> None:
    topic_lets(aws, *let_in)
    aws.answers("sts", "get_caller_identity", {"Account": "111122223333"})
    stage = replace(PRODUCTION, alarm_email=None, alarm_topic_arn=TOPIC, monthly_budget_usd=budget)

    assert [own for own, _ in found(aws, preflight.alarm_topic, stage)] == [verdict]


@pytest.mark.parametrize(("budget", "verdict"), [(50, "stop"), (0, "ok")])
def test_a_budget_tells_no_topic_of_another_account(aws: Aws, budget: int, verdict: str) -> None:
    topic_lets(aws, "cloudwatch.amazonaws.com", "budgets.amazonaws.com")
    aws.answers("sts", "get_caller_identity", {"Account": "444455556666"})
    stage = replace(PRODUCTION, alarm_email=None, alarm_topic_arn=TOPIC, monthly_budget_usd=budget)

    assert [own for own, _ in found(aws, preflight.alarm_topic, stage)] == [verdict]


def test_a_topic_encrypted_by_awss_own_key_lets_no_service_in(aws: Aws) -> None:
    topic_lets(aws, "cloudwatch.amazonaws.com", KmsMasterKeyId="alias/aws/sns")
    stage = replace(PRODUCTION, alarm_email=None, alarm_topic_arn=TOPIC)

    assert [own for own, _ in found(aws, preflight.alarm_topic, stage)] == ["stop"]


def test_a_stage_with_its_own_topic_asks_nobody(aws: Aws) -> None:
    assert found(aws, preflight.alarm_topic) == []
