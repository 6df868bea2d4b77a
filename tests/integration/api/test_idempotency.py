"""A POST that is repeated under its Idempotency-Key is done once."""

import hashlib
import hmac
import importlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from functions.merchant_api import services
from shared.api.idempotency import Answer, Repeat
from shared.api.problems import Problem
from tests.integration.api.conftest import Api, new_merchant
from tests.patience import PATIENCE

KEY = {"idempotency-key": "order-1"}
BODY = {"provider": "flexype"}
PHONE = "+917777788888"


def dies(_: object) -> Answer:
    """A process that ends in the middle of a request."""
    raise SystemExit


def remembered() -> list[dict[str, object]]:
    """Every row about an Idempotency-Key."""
    rows = services.services().table._client.scan(TableName="checkback")["Items"]
    return [dict(row) for row in rows if row["pk"]["S"].startswith("X#")]


def test_the_first_answer_is_given_again_with_its_secret(merchant: Api) -> None:
    first = merchant("POST", "/v1/sources", BODY, headers=KEY)
    again = merchant("POST", "/v1/sources", BODY, headers=KEY)

    assert first.status == again.status == 201
    assert again.json == first.json
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(merchant("GET", "/v1/sources").json["data"]) == 1


def test_an_answer_that_was_kept_before_claims_had_instants_is_given_again(merchant: Api) -> None:
    first = merchant("POST", "/v1/sources", BODY, headers=KEY)
    (row,) = remembered()
    older: Any = {name: own for name, own in row.items() if name not in {"at", "by", "until"}}
    services.services().table._client.put_item(TableName="checkback", Item=older)

    assert merchant("POST", "/v1/sources", BODY, headers=KEY).json == first.json


def test_the_kept_answer_is_encrypted(merchant: Api) -> None:
    secret = merchant("POST", "/v1/sources", BODY, headers=KEY).json["credentials"]["secret"]

    stored = str(services.services().table._client.scan(TableName="checkback")["Items"])

    assert secret not in stored


def test_another_request_under_the_key_is_a_conflict(merchant: Api) -> None:
    merchant("POST", "/v1/sources", BODY, headers=KEY)

    assert merchant("POST", "/v1/sources", BODY | {"name": "other"}, headers=KEY).status == 409
    assert merchant("POST", "/v1/tokens", headers=KEY).status == 409


def test_keys_of_two_merchants_do_not_meet(operator: Api, merchant: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])

    first = merchant("POST", "/v1/sources", BODY, headers=KEY)
    second = other("POST", "/v1/sources", BODY, headers=KEY)

    assert second.status == 201
    assert first.json["id"] != second.json["id"], second.text


def test_a_request_that_still_runs_is_a_conflict_until_its_claim_expires(merchant: Api) -> None:
    own = services.services()
    merchant_id = merchant("GET", "/v1/merchant").json["id"]
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        request = own.idempotency.fingerprint("POST", "/v1/tokens", "", b"")
        with pytest.raises(SystemExit):
            own.idempotency.once(merchant_id, "order-1", request, dies)

        running = merchant("POST", "/v1/tokens", headers=KEY)
        clock.shift(timedelta(seconds=61))
        after = merchant("POST", "/v1/tokens", headers=KEY)

    assert running.status == 409
    assert running.headers["retry-after"]
    assert after.status == 201


def test_a_refused_request_may_be_corrected_under_its_key(merchant: Api) -> None:
    assert merchant("POST", "/v1/sources", {"provider": "nobody"}, headers=KEY).status == 422
    assert merchant("POST", "/v1/sources", BODY, headers=KEY).status == 201


def test_after_a_day_the_key_is_forgotten(merchant: Api) -> None:
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        first = merchant("POST", "/v1/tokens", headers=KEY)
        clock.shift(timedelta(days=1, seconds=1))
        second = merchant("POST", "/v1/tokens", headers=KEY)

    assert first.json["id"] != second.json["id"], second.text


def test_an_answer_too_large_to_encrypt_is_repeated_by_its_id(merchant: Api) -> None:
    noise = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(6_000))
    body = {"kind": "webhook", "url": "https://bsp.example.com/", "settings": {"payload": {"liquid": noise}}}
    first = merchant("POST", "/v1/endpoints", body, headers=KEY)
    again = merchant("POST", "/v1/endpoints", body, headers=KEY)

    assert first.status == again.status == 201, first.text[:500]
    assert again.json == {"id": first.json["id"]}
    assert len(merchant("GET", "/v1/endpoints").json["data"]) == 1


def test_a_key_must_be_printable(merchant: Api) -> None:
    for key in ("", "two words", "x" * 256, "caf\u00e9"):
        refused = merchant("POST", "/v1/tokens", headers={"idempotency-key": key})
        assert refused.status == 422, key
        assert refused.json["errors"][0]["parameter"] == "Idempotency-Key"


NOT_ANSWERED = {
    "/v1/customers/export": Repeat.DONE_AGAIN,
    "/v1/customers/erase": Repeat.DONE_AGAIN,
    "/v1/endpoints/{endpoint_id}/preview": Repeat.DONE_AGAIN,
    "/v1/campaigns/preview": Repeat.DONE_AGAIN,
    "/v1/campaigns/{campaign_id}/preview": Repeat.DONE_AGAIN,
    "/v1/quarantine/{quarantine_id}/preview": Repeat.DONE_AGAIN,
    "/v1/checkouts/{checkout_id}/discard": Repeat.DONE_AGAIN,
    "/v1/checkouts/{checkout_id}/complete": Repeat.DONE_AGAIN,
    "/v1/deliveries/{delivery_id}/retry": Repeat.NAMED,
}
"""Operations whose answers hold contact data, or a place in work that goes on."""
ANSWERED = {
    "/v1/campaigns",
    "/v1/campaigns/{campaign_id}/pause",
    "/v1/campaigns/{campaign_id}/resume",
    "/v1/coupon-pools",
    "/v1/coupon-pools/{pool_id}/codes",
    "/v1/endpoints",
    "/v1/endpoints/{endpoint_id}/disable",
    "/v1/endpoints/{endpoint_id}/enable",
    "/v1/endpoints/{endpoint_id}/recover",
    "/v1/endpoints/{endpoint_id}/rotate-secret",
    "/v1/endpoints/{endpoint_id}/test",
    "/v1/merchants",
    "/v1/merchants/{merchant_id}/tokens",
    "/v1/portal-links",
    "/v1/quarantine/{quarantine_id}/replay",
    "/v1/sources",
    "/v1/sources/{source_id}/backfill",
    "/v1/sources/{source_id}/rotate-token",
    "/v1/sources/{source_id}/sample",
    "/v1/suppressions",
    "/v1/tokens",
}
"""Operations whose answers hold ids, hashes and the merchant's own settings. A new POST must be put on one list."""
WITHOUT_KEYS = {"/v1/sources/{source_id}/preview"}


def test_every_operation_says_what_its_repeat_does(operator: Api) -> None:
    resolver = importlib.import_module("functions.merchant_api.handler")._pipeline._resolver
    paths = operator.as_(None)("GET", "/openapi.json").json["paths"]
    posts = {path for path, operations in paths.items() if "post" in operations}

    said = {path: resolver.repeat_at("post", path) for path in posts}

    assert posts == NOT_ANSWERED.keys() | ANSWERED | WITHOUT_KEYS
    assert {path: said[path] for path in NOT_ANSWERED} == NOT_ANSWERED
    assert all(said[path] is Repeat.ANSWERED for path in ANSWERED)


def test_keys_and_requests_are_kept_as_keyed_hashes_alone(merchant: Api) -> None:
    merchant_id = merchant("GET", "/v1/merchant").json["id"]
    named = {"idempotency-key": f"never-again:{PHONE}"}
    assert merchant("POST", "/v1/suppressions", {"phone": PHONE}, headers=named).status == 201

    (row,) = remembered()

    assert PHONE not in str(row)
    body = b'{"phone": "%s"}' % PHONE.encode()
    tried = [b"POST\n/v1/suppressions\n\n" + body, named["idempotency-key"].encode()]
    tried.append(f"{merchant_id}\n{named['idempotency-key']}".encode())
    for guess in tried:
        assert hashlib.sha256(guess).hexdigest()[:20] not in str(row)
        assert hmac.new(b"", guess, hashlib.sha256).hexdigest()[:20] not in str(row)


def test_a_key_serves_again_whatever_process_answers(merchant: Api) -> None:
    first = merchant("POST", "/v1/tokens", headers=KEY)
    services.services.cache_clear()

    assert merchant("POST", "/v1/tokens", headers=KEY).json == first.json


def test_nothing_is_left_of_an_erased_merchants_keys(operator: Api, merchant: Api) -> None:
    created = new_merchant(operator)
    other = operator.as_(new_merchant(operator)["token"])
    erased = created["id"]
    body = {"name": "Tea", "store_domains": ["tea.example"], "country": "IN", "currency": "INR", "timezone": "UTC"}
    mine = operator("POST", "/v1/merchants", body, headers={"idempotency-key": "new-shop"})
    operator("POST", f"/v1/merchants/{erased}/tokens", headers={"idempotency-key": "more"})
    operator("POST", f"/v1/merchants/{mine.json['id']}/tokens", headers={"idempotency-key": "others"})
    operator.as_(created["token"])("POST", "/v1/suppressions", {"phone": PHONE}, headers=KEY)
    other("POST", "/v1/tokens", headers=KEY)
    assert len(remembered()) == 5

    assert operator("DELETE", f"/v1/merchants/{erased}").status == 204
    assert len(remembered()) == 3
    assert operator("DELETE", f"/v1/merchants/{mine.json['id']}").status == 204

    (left,) = remembered()
    assert other("GET", "/v1/merchant").json["id"] in str(left)
    again = operator("POST", "/v1/merchants", body, headers={"idempotency-key": "new-shop"})
    assert again.json["id"] != mine.json["id"]


def test_an_answer_that_comes_after_the_erasure_of_its_merchant_brings_no_row_back(merchant: Api) -> None:
    own = services.services()
    merchant_id = merchant("GET", "/v1/merchant").json["id"]

    def slow(_: object) -> Answer:
        own.idempotency._store.forget(merchant_id)
        return Answer(200, '{"id": "tok_1"}')

    own.idempotency.once(merchant_id, "slow", own.idempotency.fingerprint("POST", "/v1/tokens", "", b""), slow)

    assert remembered() == []


def test_keys_of_the_operator_and_of_a_merchant_do_not_meet(operator: Api, merchant: Api) -> None:
    own = merchant("GET", "/v1/merchant").json["id"]

    first = operator("POST", f"/v1/merchants/{own}/tokens", headers=KEY)
    second = merchant("POST", "/v1/tokens", headers=KEY)
    forbidden = merchant("POST", f"/v1/merchants/{own}/tokens", headers=KEY)

    assert (first.status, second.status, forbidden.status) == (201, 201, 403)
    assert first.json["token"] != second.json["token"]
    assert "idempotency-replayed" not in second.headers


@pytest.mark.parametrize("turn", range(5))
def test_of_two_requests_at_the_same_instant_one_is_done(
    merchant: Api, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """Two processes whose claims reach the table together, in whatever order it takes them."""
    own = services.services()
    own.data_keys.newest_version()  # the stage's first key is no part of the race
    owner, key = merchant("GET", "/v1/merchant").json["id"], f"order-{turn}"
    request = own.idempotency.fingerprint("POST", "/v1/tokens", "", b"")
    together, one_at_a_time, both_answered = threading.Barrier(2), threading.Lock(), threading.Barrier(2)
    call = own.table._client.put_item
    done: list[int] = []

    def claimed(**given: Any) -> Any:
        together.wait(PATIENCE)
        with one_at_a_time:  # as DynamoDB takes the writes of one row, and moto may not
            return call(**given)

    def process(number: int) -> Answer | Problem:
        def run(_: object) -> Answer:
            done.append(number)
            both_answered.wait(PATIENCE)
            return Answer(201, json.dumps({"id": f"tok_{number}"}))

        try:
            return own.idempotency.once(owner, key, request, run)
        except Problem as refused:
            both_answered.wait(PATIENCE)
            again: Problem = refused
            return again

    with monkeypatch.context() as patched:
        patched.setattr(own.table._client, "put_item", claimed)
        with ThreadPoolExecutor(2) as processes:
            answers = list(processes.map(process, range(2)))

    (winner,) = done
    first, refused = answers[winner], answers[1 - winner]
    assert isinstance(first, Answer)
    assert isinstance(refused, Problem)
    assert (refused.status, refused.headers) == (409, {"Retry-After": "2"})
    again = own.idempotency.once(owner, key, request, dies)
    assert (again.status, again.body) == (201, first.body)
