"""A provider's new version of its payloads: kept until somebody read it, but a purchase stops messages at once."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from functions.ingest.composition import receiver, stores
from functions.ingest.handler import handler as ingest
from tests.integration.api.conftest import Api

SECRET = "the-client-secret-of-an-app"
EVENTS = Path(__file__).parents[3] / "events" / "shopify"
NEW = "2027-01"


@pytest.fixture
def source(merchant: Api) -> dict[str, Any]:
    stores.cache_clear()
    receiver.cache_clear()
    made = merchant("POST", "/v1/sources", {"provider": "shopify", "credentials": {"secret": SECRET}})
    assert made.status == 201, made.text
    found: dict[str, Any] = made.json
    return found


def post(source: dict[str, Any], sample: str, topic: str, version: str, **changed: Any) -> dict[str, Any]:
    body = json.dumps(json.loads((EVENTS / f"{sample}.json").read_text()) | changed).encode()
    headers = {
        "content-type": "application/json",
        "x-shopify-hmac-sha256": base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode(),
        "x-shopify-topic": topic,
        "x-shopify-api-version": version,
        "x-shopify-webhook-id": f"{sample}-{version}",
    }
    event = {
        "requestContext": {"requestId": "JKJaXmPLvHcESHA="},
        "pathParameters": {"source_id": source["id"]},
        "headers": headers,
        "body": body.decode(),
    }
    answer = ingest(event, None)
    assert answer["statusCode"] == 200
    parsed: dict[str, Any] = json.loads(answer["body"])
    return parsed


def checkouts(merchant: Api) -> list[tuple[str, str]]:
    return [(own["external_id"], own["status"]) for own in merchant("GET", "/v1/checkouts").json["data"]]


def test_a_checkout_of_a_new_version_is_kept_with_its_own_reason_and_read_once_the_version_is_accepted(
    merchant: Api, source: dict[str, Any]
) -> None:
    kept = post(source, "checkouts-create", "checkouts/create", NEW)
    assert (kept["status"], kept["reason"]) == ("quarantined", f"new_version: {NEW}")
    assert checkouts(merchant) == []
    path = f"/v1/quarantine/{kept['quarantine_id']}"
    assert merchant("GET", path).json["reason"] == f"new_version: {NEW}"
    assert merchant("POST", f"{path}/replay").json["status"] == "quarantined"

    accepted = merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"accept_versions": [NEW]}})
    assert accepted.json["settings"]["accept_versions"] == [NEW]
    stores.cache_clear()
    receiver.cache_clear()
    assert merchant("POST", f"{path}/replay").json["status"] == "accepted"
    assert [status for _, status in checkouts(merchant)] == ["open"]
    assert post(source, "checkouts-create", "checkouts/create", NEW, note="another")["status"] == "duplicate"


def test_a_purchase_of_a_new_version_ends_its_checkout_at_once_and_is_kept_for_all_else(
    merchant: Api, source: dict[str, Any]
) -> None:
    post(source, "checkouts-create", "checkouts/create", "2026-04")
    ((token, status),) = checkouts(merchant)
    assert status == "open"
    kept = post(source, "orders-create", "orders/create", NEW, checkout_token=token)
    assert kept["reason"] == f"new_version: {NEW}"
    assert checkouts(merchant) == [(token, "completed")]

    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"accept_versions": [NEW]}})
    stores.cache_clear()
    receiver.cache_clear()
    replayed = merchant("POST", f"/v1/quarantine/{kept['quarantine_id']}/replay").json
    assert replayed["status"] == "duplicate"
    assert checkouts(merchant) == [(token, "completed")]


def test_a_purchase_of_a_new_version_that_nobody_can_read_is_kept_and_says_both(
    merchant: Api, source: dict[str, Any]
) -> None:
    kept = post(source, "orders-create", "orders/create", NEW, id=None, admin_graphql_api_id=None)
    assert kept["reason"] == f"new_version: {NEW}: the order has no id"


def test_what_would_be_ignored_is_kept_too_where_nobody_read_the_version(merchant: Api, source: dict[str, Any]) -> None:
    assert post(source, "carts-update", "carts/update", NEW)["status"] == "quarantined"
    assert post(source, "carts-update", "carts/update", "2026-04")["status"] == "ignored"


def test_only_a_provider_that_tells_versions_has_some_to_accept(merchant: Api, source: dict[str, Any]) -> None:
    refused = merchant("POST", "/v1/sources", {"provider": "woocommerce", "settings": {"accept_versions": ["9"]}})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/settings/accept_versions")
    wrong = merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"accept_versions": ["2027 01"]}})
    assert wrong.status == 422
    known = {own["provider"]: own["versions"] for own in merchant("GET", "/v1/providers").json["data"]}
    assert known["shopify"] == {"told_in": "X-Shopify-API-Version", "known": ["2026-04", "2026-07", "2026-10"]}
    assert known["custom"] is None
