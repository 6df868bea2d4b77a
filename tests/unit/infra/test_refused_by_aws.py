"""What AWS refuses, cuts or forgets and the local engine takes: held still in the templates.

Beside these: TRIM_HORIZON, bisecting, record age, destinations and chains in ``test_service_stack.py``, index changes,
secrets' templates and logical ids in ``test_kept_state.py``.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra.functions import FUNCTION_NAMES, FunctionName
from infra.stages import LONGEST_FRAME_ANCESTORS, LONGEST_NAME
from tests.unit.infra.conftest import WITH_EVERYTHING, StackTemplate, Synthesise, Templates, as_list

REFERENCE = 150
"""Characters that a reference may become: an ARN with a generated name."""
ACCOUNT, REGION, SUFFIX, PARTITION = "1" * 12, "ap-southeast-1", "amazonaws.com.cn", "aws-us-gov"
"""The longest of each."""
LONGEST: Mapping[str, object] = {
    "domain_name": f"{'hooks.' * 10}example.com",
    "origin_domain_name": f"{'origin.' * 9}example.com",
    "console_frame_ancestors": f"https://{'a.' * ((LONGEST_FRAME_ANCESTORS - 19) // 2)}example.com",
    "webhooks_per_minute_of_source": 1_000_000,
    "webhooks_per_minute_of_merchant": 1_000_000,
}
"""Settings that stand in a function's environment; names of the API of 70 characters, of the 253 that DNS allows."""
ROOM = 512
"""For what a release brings, or longer names of the API."""


@pytest.fixture(params=["dev", "production"])
def templates(request: pytest.FixtureRequest, synthesise: Synthesise) -> Templates:
    return synthesise(request.param)


@pytest.fixture
def service(templates: Templates) -> StackTemplate:
    return templates.service


def written_out(value: Any) -> int:
    """The length of a text, where a reference counts as ``REFERENCE``."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict) and "Fn::Join" in value:
        return sum(written_out(part) for part in value["Fn::Join"][1])
    return REFERENCE


def in_full(service: StackTemplate, value: Any) -> str:
    """A value as long as it may become: names by AWS's own limits for what CloudFormation names."""
    match value:
        case str():
            return value.replace("production", "p" * LONGEST_NAME)
        case {"Fn::Join": [str(between), [*parts]]}:
            return str(between.join(in_full(service, part) for part in parts))
        case {"Ref": "AWS::AccountId"}:
            return ACCOUNT
        case {"Ref": str(name)}:
            return _referred(service, name)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return _attribute(service.json["Resources"][name]["Type"], attribute)
    raise NotImplementedError(value)


def _referred(service: StackTemplate, name: str) -> str:
    if name in service.json["Parameters"]:
        (own,) = (length for said, length in PARAMETERS.items() if name.startswith(f"State{said}"))
        return "x" * own
    of_kind = {
        "AWS::SQS::Queue": f"https://sqs.{REGION}.{SUFFIX}/{ACCOUNT}/{'q' * 80}",
        "AWS::Lambda::Function": "f" * 64,
        "AWS::ApiGatewayV2::Api": "a" * 10,
        "AWS::SES::ConfigurationSet": "c" * 64,
    }
    return of_kind[service.json["Resources"][name]["Type"]]


def _attribute(kind: str, attribute: str) -> str:
    return {
        ("AWS::SQS::Queue", "Arn"): f"arn:{PARTITION}:sqs:{REGION}:{ACCOUNT}:{'q' * 80}",
        ("AWS::SQS::Queue", "QueueName"): "q" * 80,
        ("AWS::IAM::Role", "Arn"): f"arn:{PARTITION}:iam::{ACCOUNT}:role/{'r' * 64}",
        ("AWS::ApiGatewayV2::Api", "ApiEndpoint"): f"https://{'a' * 10}.execute-api.{REGION}.{SUFFIX}",
    }[kind, attribute]


_OF_SECRET = len(f"arn:{PARTITION}:secretsmanager:{REGION}:{ACCOUNT}:secret:") + 64
PARAMETERS: Mapping[str, int] = {
    "TableName": 120,
    "CredentialsKeyArn": len(f"arn:{PARTITION}:kms:{REGION}:{ACCOUNT}:key/") + 36,
    "AdminKeySecretArn": _OF_SECRET,
    "KeysSecretArn": _OF_SECRET,
    "QuarantineBucketName": 63,
    "FactsBucketName": 63,
    "ScheduleGroupName": 64,
    "EventBusName": len("checkback--events") + LONGEST_NAME,
}
"""How long each may be that the state stack publishes; of a table, which may have 255, what its stack's name makes."""


def measured(service: StackTemplate, name: FunctionName) -> int:
    """As Lambda measures a function's variables when it refuses them: by the length of their JSON."""
    variables = service.function(name)["Properties"]["Environment"]["Variables"]
    return len(json.dumps({own: in_full(service, value) for own, value in variables.items()}, separators=(",", ":")))


def mappings(service: StackTemplate) -> list[dict[str, Any]]:
    return [item["Properties"] for item in service.resources("Lambda::EventSourceMapping").values()]


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_functions_environment_fits_into_4_kb_whatever_the_stage_and_its_region_are_called(
    synthesise: Synthesise, name: FunctionName
) -> None:
    """Everything is switched on, and names that CloudFormation makes are as long as they may be."""
    service = synthesise("production", **{**WITH_EVERYTHING, **LONGEST}).service

    assert measured(service, name) < 4096 - ROOM


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_roles_inline_policies_fit_into_10_240_characters(service: StackTemplate, name: FunctionName) -> None:
    texts = [
        *(json.dumps({**own, "Resource": ""}) for own in service.statements(name)),
        *("x" * written_out(arn) for own in service.statements(name) for arn in as_list(own["Resource"])),
    ]

    assert sum(map(len, texts)) < 10_240


def test_whoever_is_asked_over_http_ends_before_the_api_stops_waiting(service: StackTemplate) -> None:
    asked = [item["Properties"]["IntegrationUri"] for item in service.resources("ApiGatewayV2::Integration").values()]
    timeouts = [
        service.function(name)["Properties"]["Timeout"]
        for name in ("ingest", "merchant_api", "redirect", "reading", "console")
    ]

    assert len(asked) == 6
    assert max([*timeouts, service.function("callbacks")["Properties"]["Timeout"]]) < 30


def test_the_stage_promises_no_more_than_the_accounts_throttle(service: StackTemplate) -> None:
    throttle = service.only("ApiGatewayV2::Stage")["Properties"]["DefaultRouteSettings"]

    assert throttle["ThrottlingRateLimit"] <= 10_000
    assert throttle["ThrottlingBurstLimit"] <= 5_000


def test_no_more_than_two_read_the_tables_stream(service: StackTemplate) -> None:
    readers = [own for own in mappings(service) if "Stream" in json.dumps(own["EventSourceArn"])]

    assert 1 <= len(readers) <= 2
    for reader in readers:
        assert 60 <= reader["MaximumRecordAgeInSeconds"] <= 604_800
        assert reader["BatchSize"] <= 10_000


def test_a_queues_batch_of_more_than_ten_would_need_a_window(service: StackTemplate) -> None:
    from_queues = [own for own in mappings(service) if "Stream" not in json.dumps(own["EventSourceArn"])]

    assert len(from_queues) == 6
    for mapping in from_queues:
        assert mapping["BatchSize"] <= 10 or mapping["MaximumBatchingWindowInSeconds"] >= 1
        assert 2 <= mapping["ScalingConfig"]["MaximumConcurrency"] <= 1000


def test_queues_wait_no_longer_than_sqs_can(service: StackTemplate) -> None:
    for queue in service.resources("SQS::Queue").values():
        properties = queue["Properties"]
        assert properties.get("DelaySeconds", 0) <= 900
        assert properties.get("VisibilityTimeout", 30) <= 12 * 3600
        assert properties.get("MessageRetentionPeriod", 345_600) <= 14 * 86_400


def test_event_bridge_may_leave_what_it_could_not_start(service: StackTemplate) -> None:
    """Without the queue's own leave a lost tick is lost without a trace, whatever the target says."""
    left_in = {
        target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]
        for rule in service.resources("Events::Rule").values()
        for target in rule["Properties"]["Targets"]
    }
    allowed = {
        queue["Ref"]
        for policy in service.resources("SQS::QueuePolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and statement["Principal"] == {"Service": "events.amazonaws.com"}
        for queue in policy["Properties"]["Queues"]
    }

    assert left_in
    assert left_in <= allowed


def test_every_group_of_logs_ends_some_day(templates: Templates) -> None:
    for stack in (templates.state, templates.service):
        for group in stack.resources("Logs::LogGroup").values():
            assert group["Properties"]["RetentionInDays"] <= 365


def test_the_templates_fit_into_cloudformations_limits(templates: Templates) -> None:
    for stack in (templates.state, templates.service):
        assert len(json.dumps(stack.json)) < 1_000_000
        assert len(stack.json["Resources"]) < 500
        assert len(stack.json.get("Outputs", {})) < 200
