"""The stack as the CDK CLI deployed it: reachable where it says, complete, and with the settings the engine drops."""

import time
from typing import Any

import boto3
import httpx
import pytest

from infra.functions import FUNCTION_NAMES
from infra.local.shop import FlexyPeSession, Shop, engine_arguments

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
        FunctionName=stack["functions"]["sweep"], Payload=b'{"asked": "by hand"}'
    )

    assert "FunctionError" not in answer, answer["Payload"].read()


def test_above_its_rate_a_source_alone_is_told_when_to_come_again(shop: Shop) -> None:
    source = shop.source(settings={"webhooks_per_minute": 3})
    session = FlexyPeSession(shop, source, "7790000429")

    answers = [session.post("ADDRESS_LOADED") for _ in range(5)]

    assert [own.status_code for own in answers][:3] == [200] * 3
    refused = answers[-1]
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    other = FlexyPeSession(shop, shop.source(), "7790000430")
    assert other.post("ADDRESS_LOADED").status_code == 200
    shop.call("PATCH", f"/v1/sources/{source['id']}", json={"settings": {"webhooks_per_minute": 30}})
    deadline = time.monotonic() + 20
    while (status := session.post("ADDRESS_LOADED").status_code) == 429:
        assert time.monotonic() < deadline, "processes remember a source for five seconds"
        time.sleep(0.3)
    assert status == 200
