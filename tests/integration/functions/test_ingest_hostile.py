"""Whoever posts whatever to a hook: an answer below 500, nothing stored of a stranger, and no cost to other sources."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.model import OperationModel
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.composition import receiver, stores
from functions.ingest.handler import handler
from shared.aws import clients
from shared.domain.ids import SourceId, new_ulid
from shared.domain.merchant import Source, SourceCredentials
from shared.providers import registry
from shared.providers.flexype import FlexyPe
from shared.store.configuration import SourceStore
from shared.workflows.intake import sources
from tests.integration.api.strictness import as_strict_as_aws
from tests.integration.api.test_hostile_requests import bodies, checked, fuzzed, queries, raw_event, text
from tests.integration.shop import SECRET, SOURCE, Shop, aws_event
from tests.unit.domain.sessions import MERCHANT, NOON, after

pytestmark = pytest.mark.long

PROOFS = (
    *("x-flexype-authorization", "x-webhook-signature", "x-webhook-timestamp", "x-webhook-topic", "authorization"),
    *("x-shopify-hmac-sha256", "x-shopify-topic", "emporix-event-signature", "svix-id", "svix-timestamp"),
    *("svix-signature", "webhook-id", "webhook-timestamp", "webhook-signature", "x-razorpay-signature"),
    *("stripe-signature", "x-wc-webhook-signature", "x-wc-webhook-topic", "x-shopflo-signature", "x-webhook-attempt"),
    *("content-type", "user-agent", "x-event-id", "x-webhook-version", "X-Odd", ""),
)
FORGED = st.sampled_from(
    ["v1,AAAA", "t=1,v1=ab", "sha256=zz", "1795262400", "9" * 16, "\u0661\u0662", "=", "AAAA", "ff"]
)
headers = st.dictionaries(st.sampled_from(PROOFS), FORGED | text, max_size=6)
names = st.none() | st.sampled_from(["cart.updated", "completed", "a" * 101, "\n", "%2F", "\u202e"]) | text


@pytest.fixture
def hooks(shop: Shop) -> Iterator[dict[str, SourceId]]:
    """A source of every provider, over a table as strict as AWS'."""
    made = {}
    for number, provider in enumerate(registry.names()):
        source_id = SourceId(f"src_{new_ulid(after(seconds=number))}")
        credentials = SourceCredentials((SECRET,), url_token="a-token-of-the-url")
        sealed = shop.stores.cipher.seal_source(source_id, MERCHANT, credentials)
        SourceStore(shop.table).create(Source(source_id, MERCHANT, provider, NOON, sealed=sealed))
        made[provider] = source_id
    clients.dynamodb.cache_clear()
    as_strict_as_aws(clients.dynamodb())
    stores.cache_clear()
    receiver.cache_clear()
    yield made
    clients.dynamodb.cache_clear()


def kept() -> list[str]:
    return [own["Key"] for own in boto3.client("s3").list_objects_v2(Bucket="quarantine").get("Contents", [])]


def post(source_id: str, name: str | None = None, **event: Any) -> dict[str, Any]:
    path = f"/hooks/{source_id}" + ("" if name is None else f"/{name}")
    raw = raw_event("POST", path, event.get("query", {}), event.get("headers", {}), event.get("body"))
    raw["pathParameters"] = {"source_id": source_id} | ({} if name is None else {"event": name})
    return handler(raw, None)


def test_no_stranger_gets_more_than_a_refusal(shop: Shop, hooks: dict[str, SourceId]) -> None:
    ids = st.sampled_from([*hooks.values(), SOURCE, "src_" + "0" * 26, "src_" + "0" * 2_100, ""]) | text

    @fuzzed(600)
    @given(ids, names, queries, headers, bodies)
    def survives(source_id: str, name: str | None, query: dict[str, str], sent: dict[str, str], body: Any) -> None:
        answer = post(source_id, name, query=query, headers=sent, body=body)
        assert checked(answer, (source_id, name, query, sent, body)) in {400, 401, 404}

    survives()
    assert shop.rows() == []
    assert kept() == []


def test_no_authentic_body_gets_lost_whatever_comes_with_it(shop: Shop, hooks: dict[str, SourceId]) -> None:
    sample = json.loads(aws_event("webhook")["body"])

    @fuzzed(300)
    @given(names, queries, headers, st.sampled_from(["stage", "note", "body"]), text)
    def survives(name: str | None, query: dict[str, str], sent: dict[str, str], place: str, odd: str) -> None:
        body = {**sample, "session_state": odd} if place == "stage" else {**sample, "checkout_url": odd, "note": odd}
        given_body = (odd, False) if place == "body" else (json.dumps(body), False)
        sent = {name: own for name, own in sent.items() if name} | {"x-flexype-authorization": SECRET}
        status = checked(post(SOURCE, name, query=query, headers=sent, body=given_body), (name, sent, odd))
        assert status in {200, 400, 404}

    survives()


@pytest.mark.parametrize(
    "named", ["", "src_", "src_" + "0" * 2_100, "ep_" + "0" * 26, "src_01kahj0000000000000000s0rc", SOURCE + "\n", "\0"]
)
def test_what_is_no_id_is_looked_up_nowhere(shop: Shop, named: str) -> None:
    calls = noted_reads()
    assert shop.webhook(source_id=named)[0] == 404
    assert calls == []


@pytest.mark.parametrize("name", ["a" * 101, "cart\nupdated", "\u202e", "\x7f"])
def test_what_no_vendor_calls_an_event_is_no_address(shop: Shop, name: str) -> None:
    event = aws_event("webhook")
    event["pathParameters"] = {"source_id": SOURCE, "event": name}
    assert shop.posted(event)[0] == 404
    assert shop.rows() == []


def test_an_absent_source_is_looked_up_once_a_minute(shop: Shop) -> None:
    shop.webhook()
    absent = f"src_{new_ulid(NOON)}"
    calls = noted_reads()
    for _ in range(6):
        assert shop.webhook(source_id=absent)[0] == 404
        shop.wait(seconds=9)
    assert calls == ["GetItem"]
    shop.wait(seconds=7)
    assert shop.webhook(source_id=absent)[0] == 404
    assert calls == ["GetItem"] * 2


def test_ids_of_nothing_push_no_source_out_of_memory(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_REMEMBERED", 20)
    shop.webhook()
    for number in range(100):
        assert shop.webhook(source_id=f"src_{new_ulid(after(seconds=number))}")[0] == 404
    calls = noted_reads()
    assert shop.webhook()[0] == 200
    assert calls == []
    assert len(receiver()._sources._unknown) == 20


def test_a_proof_that_a_module_stumbles_over_is_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise IndexError("a signature nobody thought of")

    monkeypatch.setattr(FlexyPe, "authenticate", stumble)
    assert shop.webhook()[0] == 401
    assert shop.rows() == []


def noted_reads() -> list[str]:
    """Every read of the table from now on."""
    calls: list[str] = []

    def note(model: OperationModel, **_: object) -> None:
        if model.name in {"GetItem", "BatchGetItem", "Query"}:
            calls.append(model.name)

    clients.dynamodb().meta.events.register("before-call.dynamodb", note)
    return calls
