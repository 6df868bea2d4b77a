"""Ingest on sample events: what a provider is answered, and what is stored."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from functions.ingest.handler import handler
from shared.domain.checkout import Status
from shared.domain.ids import checkout_id
from shared.domain.money import Money
from shared.providers.flexype import FlexyPe
from shared.store import keys
from shared.store.configuration import SourceStore
from shared.store.table import StoreUnavailable
from shared.store.writes import Update
from tests.integration.account import onlookers_client
from tests.integration.shop import SOURCE, Shop, aws_event


def kept_bodies() -> dict[str, bytes]:
    s3 = onlookers_client("s3")
    found = s3.list_objects_v2(Bucket="quarantine").get("Contents", [])
    return {own["Key"]: s3.get_object(Bucket="quarantine", Key=own["Key"])["Body"].read() for own in found}


@pytest.mark.parametrize("name", ["webhook", "webhook-base64"])
def test_a_webhook_is_accepted_and_written(shop: Shop, name: str) -> None:
    status, answer = shop.posted(aws_event(name))
    assert (status, answer) == (200, {"status": "accepted", "checkout_id": checkout_id(shop.digest())})
    own = shop.checkout()
    assert (own.status, own.version, own.text("customer.phone")) == (Status.OPEN, 1, "+917777788888")


def test_the_same_body_again_is_a_duplicate_and_changes_nothing(shop: Shop) -> None:
    shop.webhook()
    before = shop.checkout()
    shop.wait(minutes=5)
    status, answer = shop.webhook()
    assert (status, answer["status"], answer["checkout_id"]) == (200, "duplicate", before.id)
    assert shop.checkout() == before


def test_a_browsing_event_is_ignored_and_nothing_is_stored(shop: Shop) -> None:
    status, answer = shop.webhook(body=b'{"event_type": "PRODUCT_VIEWED"}')
    assert (status, answer["status"]) == (200, "ignored")
    assert shop.rows() == []


def test_what_is_not_understood_is_quarantined_byte_for_byte_and_once(shop: Shop) -> None:
    body = b' {"session_state": "TELEPORTED", "note": "\xc3\xa9"}'
    answers = [shop.webhook(body=body) for _ in range(2)]
    assert [own[0] for own in answers] == [200, 200]
    assert answers[0][1] == answers[1][1]
    assert answers[0][1]["status"] == "quarantined"
    (row,) = shop.rows()
    assert row["pk"] == f"Q#{answers[0][1]['quarantine_id']}"
    assert list(kept_bodies().values()) == [body]


def test_a_body_over_256_kib_is_quarantined_whole(shop: Shop) -> None:
    body = json.dumps({"note": "x" * 256 * 1024}).encode()
    status, answer = shop.webhook(body=body)
    assert (status, answer["status"], answer["reason"]) == (200, "quarantined", "body_too_large")
    assert list(kept_bodies().values()) == [body]


def test_a_defect_in_a_providers_module_loses_no_body(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> Any:
        raise KeyError("a field nobody thought of")

    monkeypatch.setattr(FlexyPe, "normalise", stumble)
    status, answer = shop.webhook()
    assert (status, answer["status"], answer["reason"]) == (200, "quarantined", "defect: KeyError")
    assert len(kept_bodies()) == 1


@pytest.mark.parametrize("secret", [None, "wrong", ""])
def test_a_wrong_secret_is_refused_and_nothing_is_stored(shop: Shop, secret: str | None) -> None:
    event = aws_event("webhook")
    event["headers"].pop("x-flexype-authorization")
    if secret is not None:
        event["headers"]["x-flexype-authorization"] = secret
    status, problem = shop.posted(event)
    assert (status, problem["status"], problem["title"]) == (401, 401, "Unauthorized")
    assert shop.rows() == []
    assert kept_bodies() == {}


def test_an_oversized_or_broken_body_without_the_secret_is_refused_too(shop: Shop) -> None:
    for body in (b"x" * 300_000, b"{"):
        event = aws_event("webhook")
        event["headers"]["x-flexype-authorization"] = "wrong"
        event["body"] = body.decode()
        assert shop.posted(event)[0] == 401
    assert kept_bodies() == {}


def test_an_unknown_source_is_not_found(shop: Shop) -> None:
    status, problem = shop.webhook(source_id="src_01KAHJ00000000000000000000")
    assert (status, problem["title"]) == (404, "Not Found")


def test_a_source_that_was_removed_is_refused_within_five_seconds(shop: Shop) -> None:
    assert shop.webhook()[0] == 200
    found = SourceStore(shop.table).get(SOURCE)
    assert found is not None
    SourceStore(shop.table).delete(found.value)
    shop.wait(seconds=5)
    assert shop.webhook()[0] == 404


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"not json"])
def test_what_is_not_json_is_a_problem_and_stored_nowhere(shop: Shop, body: bytes) -> None:
    event = aws_event("webhook")
    status, problem = shop.webhook(body=body)
    assert (status, problem["status"], problem["title"]) == (400, 400, "Bad Request")
    event["body"] = "{"
    assert handler(event, None)["headers"]["content-type"] == "application/problem+json"
    assert shop.rows() == []


def test_a_write_that_fails_is_answered_503_so_that_the_provider_tries_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example")

    shop.webhook(session="another")
    with monkeypatch.context() as patched:
        patched.setattr("shared.store.table.Table.update", broken)
        status, problem = shop.webhook()
    assert (status, problem["title"]) == (503, "Service Unavailable")
    assert shop.stores.checkouts.get(shop.digest()) is None
    assert shop.webhook()[1]["status"] == "accepted"


def too_large(*_: object, **__: object) -> None:
    message = "Item size to update has exceeded the maximum allowed size"
    answer: Any = {"Error": {"Code": "ValidationException", "Message": message}}
    raise ClientError(answer, "UpdateItem")


def test_what_the_table_never_takes_is_quarantined_whole_and_no_failure_of_ours(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever posts more than a row can hold causes no 5xx by it, and nothing is lost."""
    body = json.dumps({**json.loads(aws_event("webhook")["body"]), "note": "of a kind"}).encode()
    with monkeypatch.context() as patched:
        patched.setattr("shared.store.table.Table.update", too_large)
        status, answer = shop.webhook(body=body)
    assert (status, answer["status"], answer["reason"]) == (200, "quarantined", "cannot be stored: ItemTooLarge")
    assert list(kept_bodies().values()) == [body]


def test_a_stored_row_that_nobody_can_read_does_not_send_the_provider_away(shop: Shop) -> None:
    shop.webhook()
    shop.table.update(Update(keys.checkout(shop.digest()), set={"st": "teleported"}))
    status, answer = shop.webhook(session_state="PAYMENT_LOADED")
    assert (status, answer["reason"]) == (200, "cannot be stored: ValueError")


def test_where_not_even_the_quarantine_takes_it_the_provider_must_try_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StoreUnavailable("conflicts")

    monkeypatch.setattr("shared.store.table.Table.update", too_large)
    monkeypatch.setattr("shared.store.table.Table.put", full)
    assert shop.webhook()[0] == 503


@pytest.mark.parametrize("content_type", ["", "\x01json", "text/plain\r\nx-amz-acl: public-read", "é", "x" * 9_000])
def test_a_content_type_that_is_none_keeps_no_body_out_of_the_quarantine(shop: Shop, content_type: str) -> None:
    event = aws_event("webhook")
    event["body"] = '{"session_state": "TELEPORTED"}'
    event["headers"]["content-type"] = content_type
    status, answer = shop.posted(event)
    assert (status, answer["status"]) == (200, "quarantined")
    assert len(kept_bodies()) == 1


def test_webhooks_keep_the_order_in_which_the_gateway_took_them_in_whatever_the_workers_clocks_show(shop: Shop) -> None:
    """The first met a worker whose clock is two seconds ahead, the second one whose clock is right."""
    taken_in = datetime.now(UTC)
    shop.wait(seconds=2)
    shop.posted(cart_of(500), taken_in=taken_in)
    shop.wait(seconds=-1.8)
    shop.posted(cart_of(600), taken_in=taken_in + timedelta(milliseconds=200))
    cart = shop.checkout().cart
    assert cart is not None
    assert cart.total() == Money(60_000, "INR")


def cart_of(total: int) -> dict[str, Any]:
    event: dict[str, Any] = aws_event("webhook")
    event["body"] = json.dumps(json.loads(event["body"]) | {"total_payable": total})
    return event


@pytest.mark.parametrize("seconds", [-31, 31, -(10.0**9), 10.0**9])
def test_a_time_that_the_gateway_cannot_have_taken_it_in_counts_for_nothing(shop: Shop, seconds: float) -> None:
    now = datetime.now(UTC)
    shop.posted(aws_event("webhook"), taken_in=now + timedelta(seconds=seconds))
    assert abs(shop.checkout().updated_at - now) < timedelta(seconds=1)


@pytest.mark.parametrize("told", [None, "now", True, -1, 1.5, 10**30])
def test_what_is_no_time_counts_for_nothing(shop: Shop, told: Any) -> None:
    event = aws_event("webhook")
    event["requestContext"]["timeEpoch"] = told
    assert handler(event, None)["statusCode"] == 200
    assert abs(shop.checkout().updated_at - datetime.now(UTC)) < timedelta(seconds=1)
