"""``/v1/quarantine``: exact bytes, replay after a mapping change, deletion."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from functions.ingest.composition import receiver, stores
from functions.ingest.handler import handler as ingest
from functions.merchant_api import services
from shared.domain.ids import digest_of
from tests.integration.api.conftest import Api, new_merchant

SECRET = "the-secret-of-a-custom-shop"
BODY = (
    '{"basket": {"nr": "B-77", "sum": "49.90", "note": "für später"},\n  "mail": "asha@example.com", "kind": "left"}\n'
).encode()
REQUEST = "JKJaXmPLvHcESHA="
MAPPING = {
    "external_id": "basket.nr",
    "totals.total": "basket.sum",
    "customer.email": "mail",
    "status": "kind == 'left' && 'abandoned' || 'open'",
}


@pytest.fixture
def source(merchant: Api) -> dict[str, Any]:
    stores.cache_clear()
    receiver.cache_clear()
    body = {
        "provider": "custom",
        "credentials": {"secret": SECRET},
        "settings": {"signature": {"header": "x-acme-signature"}, "mapping": {"external_id": "order.number"}},
    }
    made = merchant("POST", "/v1/sources", body)
    assert made.status == 201, made.text
    source: dict[str, Any] = made.json
    return source


def post(source: dict[str, Any], body: bytes = BODY) -> dict[str, Any]:
    headers = {
        "content-type": "application/json",
        "x-acme-signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "x-acme-topic": "basket",
        "x-acme-copy-of-the-secret": SECRET,
        "authorization": "Basic c2VjcmV0",
    }
    event = {
        "requestContext": {"requestId": REQUEST},
        "pathParameters": {"source_id": source["id"]},
        "headers": headers,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    answer = ingest(event, None)
    assert answer["statusCode"] == 200
    parsed: dict[str, Any] = json.loads(answer["body"])
    return parsed


def test_the_exact_bytes_are_shown(merchant: Api, source: dict[str, Any]) -> None:
    quarantined = post(source)
    assert quarantined["status"] == "quarantined"

    shown = merchant("GET", f"/v1/quarantine/{quarantined['quarantine_id']}").json
    assert base64.b64decode(shown["body_base64"]) == BODY
    assert shown["headers"] == {"content-type": "application/json", "x-acme-topic": "basket"}
    assert [own["id"] for own in merchant("GET", "/v1/quarantine").json["data"]] == [quarantined["quarantine_id"]]


def test_a_replay_after_a_mapping_change_makes_the_checkout_of_that_day_and_repeats_nothing(
    merchant: Api, source: dict[str, Any]
) -> None:
    quarantine_id = post(source)["quarantine_id"]
    received_at = merchant("GET", f"/v1/quarantine/{quarantine_id}").json["received_at"]
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": MAPPING}})

    replayed = merchant("POST", f"/v1/quarantine/{quarantine_id}/replay")
    assert (replayed.status, replayed.json["status"]) == (200, "accepted")
    checkout = merchant("GET", f"/v1/checkouts/{replayed.json['checkout_id']}").json
    assert (checkout["external_id"], checkout["status"]) == ("B-77", "abandoned")
    assert checkout["totals"]["total"]["amount"] == "49.90"
    assert checkout["created_at"] == received_at
    assert services.services().checkouts.cause_of(str(digest_of(checkout["id"]))) == REQUEST, (
        "still that webhook's doing"
    )
    shown = merchant("GET", f"/v1/quarantine/{quarantine_id}").json
    assert shown["replay_status"] == "accepted"

    again = merchant("POST", f"/v1/quarantine/{quarantine_id}/replay").json
    assert (again["status"], again["checkout_id"]) == ("duplicate", checkout["id"])
    assert merchant("GET", f"/v1/checkouts/{checkout['id']}").json == checkout


def test_an_order_that_names_its_cart_alone_completes_the_checkout_when_it_is_understood(
    merchant: Api, source: dict[str, Any]
) -> None:
    begun = {"external_id": "basket.nr", "totals.total": "basket.sum", "cart_id": "cart"}
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": begun}})
    stores.cache_clear()
    receiver.cache_clear()
    checkout_id = post(source, b'{"basket": {"nr": "B-77", "sum": "49.90"}, "cart": "c-1"}')["checkout_id"]
    quarantine_id = post(source, b'{"kind": "paid", "cart": "c-1", "paid_as": "1001"}')["quarantine_id"]
    bought = begun | {"order.id": "paid_as", "status": "kind == 'paid' && 'completed' || 'open'"}
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": bought}})

    assert merchant("POST", f"/v1/quarantine/{quarantine_id}/replay").json["checkout_id"] == checkout_id
    assert merchant("GET", f"/v1/checkouts/{checkout_id}").json["status"] == "completed"


def test_a_body_replayed_again_does_not_undo_what_arrived_since(merchant: Api, source: dict[str, Any]) -> None:
    quarantine_id = post(source)["quarantine_id"]
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": MAPPING}})
    checkout_id = merchant("POST", f"/v1/quarantine/{quarantine_id}/replay").json["checkout_id"]
    stores.cache_clear()
    receiver.cache_clear()
    assert post(source, BODY.replace(b"49.90", b"30.00"))["status"] == "accepted"
    newer = merchant("GET", f"/v1/checkouts/{checkout_id}").json
    assert newer["totals"]["total"]["amount"] == "30.00"

    assert merchant("POST", f"/v1/quarantine/{quarantine_id}/replay").status == 200
    assert merchant("GET", f"/v1/checkouts/{checkout_id}").json == newer


def test_a_body_that_costs_its_mapping_too_much_is_set_aside_at_once(merchant: Api, source: dict[str, Any]) -> None:
    mapping = {"external_id": "ref", "note": "rows[][].to_string(@) | [0]"}
    merchant("PATCH", f"/v1/sources/{source['id']}", {"settings": {"mapping": mapping}})
    stores.cache_clear()
    receiver.cache_clear()
    cheap = post(source, json.dumps({"ref": "B-1", "rows": [[1], [2]]}).encode())
    assert cheap["status"] == "accepted"

    spent = []
    for size in (40, 41, 42):
        began = time.process_time()
        dear = post(source, json.dumps({"ref": "B-1", "rows": [[list(range(size))] * 40] * 40}).encode())
        spent.append(time.process_time() - began)
        assert (dear["status"], dear["reason"]) == ("quarantined", "mapping_limit")
        assert merchant("GET", f"/v1/quarantine/{dear['quarantine_id']}").json["reason"] == "mapping_limit"
    assert min(spent) < 1, "the quickest of three: the machine may be doing something else"


def test_what_is_still_not_understood_stays_and_says_why(merchant: Api, source: dict[str, Any]) -> None:
    quarantine_id = post(source)["quarantine_id"]
    replayed = merchant("POST", f"/v1/quarantine/{quarantine_id}/replay")

    assert (replayed.status, replayed.json["status"]) == (200, "quarantined")
    assert replayed.json["quarantine_id"] == quarantine_id
    assert replayed.json["reason"]
    assert merchant("GET", f"/v1/quarantine/{quarantine_id}").status == 200


def test_headers_are_kept_for_a_replay_but_none_that_proves_the_sender(
    merchant: Api, source: dict[str, Any], rows: Any
) -> None:
    from shared.domain.ids import QuarantineId
    from shared.store.quarantine import QuarantineStore

    row = QuarantineStore(rows).get(QuarantineId(post(source)["quarantine_id"]))

    assert row is not None
    assert dict(row.headers) == {"content-type": "application/json", "x-acme-topic": "basket"}


def test_nobody_else_may_replay_and_a_deleted_body_is_gone(
    operator: Api, merchant: Api, source: dict[str, Any]
) -> None:
    quarantine_id = post(source)["quarantine_id"]
    other = operator.as_(new_merchant(operator)["token"])

    assert other("POST", f"/v1/quarantine/{quarantine_id}/replay").status == 404
    assert merchant("DELETE", f"/v1/quarantine/{quarantine_id}").status == 204
    assert merchant("POST", f"/v1/quarantine/{quarantine_id}/replay").status == 404


def test_a_body_whose_source_is_gone_cannot_be_replayed(merchant: Api, source: dict[str, Any]) -> None:
    quarantine_id = post(source)["quarantine_id"]
    merchant("DELETE", f"/v1/sources/{source['id']}")

    assert merchant("POST", f"/v1/quarantine/{quarantine_id}/replay").status == 409


def test_another_mapping_is_tried_on_the_kept_body_and_nothing_is_stored(
    merchant: Api, source: dict[str, Any], operator: Api
) -> None:
    quarantine_id = post(source)["quarantine_id"]
    path = f"/v1/quarantine/{quarantine_id}/preview"

    as_it_is = merchant("POST", path)
    assert (as_it_is.status, as_it_is.json["type"]) == (422, "urn:checkback:problem:not-understood")
    (checkout,) = merchant("POST", path, {"mapping": MAPPING}).json["data"]
    assert (checkout["external_id"], checkout["status"]) == ("B-77", "abandoned")
    assert checkout["totals"]["total"] == {"amount": "49.90", "currency": "INR"}

    wrong = merchant("POST", path, {"mapping": {"external_id": "basket.["}})
    assert (wrong.status, wrong.json["errors"][0]["pointer"]) == (422, "/mapping/external_id")
    assert merchant("GET", f"/v1/sources/{source['id']}").json["settings"]["mapping"] == {"external_id": "order.number"}
    assert merchant("GET", f"/v1/quarantine/{quarantine_id}").json["replay_status"] is None
    assert merchant("GET", "/v1/checkouts").json["data"] == []
    other = operator.as_(new_merchant(operator)["token"])
    assert other("POST", path, {"mapping": MAPPING}).status == 404
    merchant("DELETE", f"/v1/sources/{source['id']}")
    assert merchant("POST", path, {"mapping": MAPPING}).status == 409


def test_a_body_that_is_no_json_means_nothing_by_any_mapping(merchant: Api, source: dict[str, Any]) -> None:
    quarantine_id = post(source, b'["a list", 1e999]')["quarantine_id"]

    tried = merchant("POST", f"/v1/quarantine/{quarantine_id}/preview", {"mapping": MAPPING})

    assert tried.status == 422
    assert tried.json["type"].endswith("not-understood")
