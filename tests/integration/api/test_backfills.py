"""``POST /v1/sources/{id}/backfill`` and ``GET /v1/jobs/{id}``."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.aws.pull_queue import PullQueue
from shared.aws.queues import QueueUnavailable
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.conftest import Stage


@pytest.fixture
def shopify(merchant: Api) -> dict[str, Any]:
    credentials = {"secret": "the-apps-secret", "api": {"shop": "a-shop.myshopify.com", "access_token": "shpat_token"}}
    source: dict[str, Any] = merchant("POST", "/v1/sources", {"provider": "shopify", "credentials": credentials}).json
    return source


def test_a_job_is_accepted_enqueued_and_shown(stage: Stage, merchant: Api, shopify: dict[str, Any]) -> None:
    since = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0).isoformat().replace("+00:00", "Z")
    answer = merchant("POST", f"/v1/sources/{shopify['id']}/backfill", {"since": since})

    assert answer.status == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json['id']}"
    assert answer.json["status"] == "queued"
    assert answer.json["since"] == since
    assert merchant("GET", f"/v1/jobs/{answer.json['id']}").json == answer.json
    (message,) = onlookers_client("sqs").receive_message(QueueUrl=stage.pulls_url)["Messages"]
    assert json.loads(message["Body"])["job_id"] == answer.json["id"]


def jobs() -> list[dict[str, Any]]:
    rows = onlookers_client("dynamodb").scan(TableName="checkback")["Items"]
    return [dict(row) for row in rows if row["pk"]["S"].startswith("J#")]


def test_a_job_whose_first_message_is_not_taken_does_not_wait_for_ever(
    merchant: Api, shopify: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object, **__: object) -> None:
        raise QueueUnavailable("throttled")

    with monkeypatch.context() as unlucky:
        unlucky.setattr(PullQueue, "send", unavailable)
        assert merchant("POST", f"/v1/sources/{shopify['id']}/backfill").status == 503
    assert jobs() == []
    assert merchant("POST", f"/v1/sources/{shopify['id']}/backfill").status == 202
    assert len(jobs()) == 1


def test_without_a_body_it_reaches_back_to_the_recovery_horizon(merchant: Api, shopify: dict[str, Any]) -> None:
    answer = merchant("POST", f"/v1/sources/{shopify['id']}/backfill")

    since = datetime.fromisoformat(answer.json["since"])
    assert timedelta(days=6, hours=23) < datetime.now(UTC) - since < timedelta(days=7, hours=1)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"since": "2099-01-01T00:00:00Z"}, "/since"),
        ({"since": "yesterday"}, "/since"),
        ({"customer_id": "77"}, "/customer_id"),
        ({"until": "2026-01-01T00:00:00Z"}, "/until"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_place(
    merchant: Api, shopify: dict[str, Any], body: dict[str, str], pointer: str
) -> None:
    answer = merchant("POST", f"/v1/sources/{shopify['id']}/backfill", body)

    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == pointer


def test_a_provider_without_a_list_and_missing_credentials_are_conflicts(merchant: Api) -> None:
    for provider, credentials in (
        ("flexype", {"secret": "the-shared-secret"}),
        ("emporix", {"secret": "the-secret-key"}),
    ):
        source = merchant("POST", "/v1/sources", {"provider": provider, "credentials": credentials}).json
        assert merchant("POST", f"/v1/sources/{source['id']}/backfill").status == 409


def test_other_merchants_see_neither_source_nor_job(operator: Api, merchant: Api, shopify: dict[str, Any]) -> None:
    job = merchant("POST", f"/v1/sources/{shopify['id']}/backfill").json
    other = operator.as_(new_merchant(operator)["token"])

    assert other("POST", f"/v1/sources/{shopify['id']}/backfill").status == 404
    assert other("GET", f"/v1/jobs/{job['id']}").status == 404
    assert merchant("GET", "/v1/jobs/job_none").status == 404
