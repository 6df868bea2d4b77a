"""A stage behind a front: what does not come by it is refused by every function that answers, and leaves nothing."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

import functions.callbacks.handler as callbacks
import functions.ingest.handler as ingest
import functions.merchant_api.handler as merchant_api
import functions.redirect.handler as redirect
from infra.operations.front_key import write_front_key
from shared.aws import front
from shared.aws.front import FRONT_HEADER, behind_front
from shared.aws.stage_keys import StageKeys
from shared.delivery.own_address import OwnAddress
from tests.integration.conftest import STAGE_KEY, Stage
from tests.integration.shop import Shop, aws_event

OLD = json.dumps({"version": "1", "key": STAGE_KEY})
NEW = json.dumps({"version": "2", "key": "n" * 64, "older": {"1": STAGE_KEY}})


@pytest.fixture
def fronted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("FRONT_ONLY", "on")
    front._keys.cache_clear()
    return shop


def shown(secret: str = OLD) -> str:
    """What the front shows, by the stage's keys."""
    return StageKeys(secret).front_keys()[0]


def webhook(**headers: str) -> dict[str, Any]:
    event: dict[str, Any] = aws_event("webhook")
    event["headers"] |= headers
    return event


@pytest.mark.parametrize(
    "headers", [{}, {FRONT_HEADER: ""}, {FRONT_HEADER: "guessed"}, {FRONT_HEADER: "\u00e9\ud800"}], ids=str
)
def test_a_webhook_past_the_front_is_refused_before_anything_is_read(
    fronted: Shop, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "receiver", lambda: pytest.fail("nothing is looked up"))

    assert ingest.handler(webhook(**headers), None)["statusCode"] == 403


@pytest.mark.parametrize("handler", [ingest.handler, callbacks.handler, redirect.handler, merchant_api.handler])
def test_no_function_that_answers_takes_a_request_past_the_front(
    fronted: Shop, handler: Callable[[dict[str, Any], Any], dict[str, Any]]
) -> None:
    answer = handler(webhook(), None)

    assert answer["statusCode"] == 403
    assert answer["headers"]["content-type"] == "application/problem+json"


def seeing() -> tuple[Callable[[dict[str, Any], object], dict[str, Any]], list[dict[str, Any]]]:
    """A handler behind the front, and the events that came through to it."""
    seen: list[dict[str, Any]] = []

    @behind_front
    def handler(event: dict[str, Any], _: object) -> dict[str, Any]:
        seen.append(event)
        return {"statusCode": 200}

    return handler, seen


def test_a_webhook_by_the_front_is_taken_as_it_came_and_no_function_sees_what_the_front_shows(fronted: Shop) -> None:
    handler, seen = seeing()
    plain = webhook()
    assert handler(webhook(**{FRONT_HEADER.title(): shown()}), None) == {"statusCode": 200}
    assert seen == [plain], "body, query and signature headers are the client's"


def test_it_is_no_secret_of_the_functions_where_everybody_may_come(shop: Shop) -> None:
    """Until the name leads to the front both ways are open; the header goes no further all the same."""
    handler, seen = seeing()
    handler(webhook(), None)
    handler(webhook(**{FRONT_HEADER: "anything"}), None)
    assert seen == [webhook(), webhook()]


def test_a_rotation_of_the_stages_keys_shuts_nobody_out(fronted: Shop, stage: Stage) -> None:
    """The front shows the old key's value until the next deployment."""
    boto3.client("secretsmanager").put_secret_value(SecretId=stage.keys_secret_arn, SecretString=NEW)
    passed = behind_front(lambda event, _: {"statusCode": 200, "headers": event["headers"]})

    for value in (shown(), shown(NEW)):
        assert passed(webhook(**{FRONT_HEADER: value}), None)["statusCode"] == 200
    assert shown() != shown(NEW)


def test_where_the_keys_cannot_be_read_the_front_is_told_to_come_again(
    fronted: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ConnectTimeoutError

    def fails(*_: object) -> Any:
        raise ConnectTimeoutError(endpoint_url="https://secretsmanager")

    monkeypatch.setattr(StageKeys, "fetch", fails)
    answer = ingest.handler(webhook(**{FRONT_HEADER: shown()}), None)

    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "1")


def test_the_front_is_told_what_the_functions_expect(stage: Stage) -> None:
    ssm, there = boto3.client("ssm"), boto3.client("ssm", region_name="us-east-1")
    ssm.put_parameter(Name="/checkback/production/keys-secret-arn", Value=stage.keys_secret_arn, Type="String")

    for _ in range(2):
        write_front_key(ssm, boto3.client("secretsmanager"), there, "production")
    assert there.get_parameter(Name="/checkback/production/front-key")["Parameter"]["Value"] == shown()


def test_the_name_behind_the_front_is_our_own_address() -> None:
    own = OwnAddress.of("https://hooks.example.com", "", local=False, origin="Origin.example.com")

    assert own.includes("origin.example.com", 443, "/hooks/src_1", loopback=False)
    assert not own.includes("", 443, "/", loopback=False)
    assert not OwnAddress.of("https://hooks.example.com", "", local=False).includes("", 443, "/", loopback=False)
