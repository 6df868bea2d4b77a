"""The stack as the CDK CLI deployed it: reachable where it says, complete, and with the settings the engine drops."""

from typing import Any

import boto3
import httpx
import pytest

from infra.functions import FUNCTION_NAMES
from infra.local.shop import engine_arguments

pytestmark = pytest.mark.e2e


def test_the_description_is_complete(stack: dict[str, Any]) -> None:
    assert stack["api_url"].startswith(stack["engine_url"] + "/_aws/execute-api/")
    assert stack["api_url"].endswith("/$default")
    assert set(stack["functions"]) == set(FUNCTION_NAMES)
    assert set(stack["queues"]) >= {"deliveries", "dead_letters"}
    assert len(stack["admin_key"]) == 48
    assert stack["admin_key"].isalnum()


def test_the_api_answers_its_paths_and_no_others(stack: dict[str, Any]) -> None:
    assert httpx.get(stack["api_url"] + "/healthz", timeout=30).status_code == 200
    assert httpx.get(stack["api_url"] + "/nowhere").status_code == 404


def test_items_expire(stack: dict[str, Any]) -> None:
    described = boto3.client("dynamodb", **engine_arguments(stack)).describe_time_to_live(TableName=stack["table"])

    assert described["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}


def test_functions_know_the_public_address(stack: dict[str, Any]) -> None:
    functions = boto3.client("lambda", **engine_arguments(stack))
    for name in stack["functions"].values():
        environment = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        assert environment["PUBLIC_URL"] == stack["api_url"]


def test_the_sweep_can_be_asked_to_do_all_that_is_due(stack: dict[str, Any]) -> None:
    answer = boto3.client("lambda", **engine_arguments(stack)).invoke(
        FunctionName=stack["functions"]["sweep"], Payload=b"{}"
    )

    assert "FunctionError" not in answer, answer["Payload"].read()
