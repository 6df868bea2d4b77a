"""A POST that is repeated under its Idempotency-Key is done once."""

from datetime import timedelta

import time_machine

from functions.merchant_api import services
from shared.api.idempotency import fingerprint
from shared.store.configuration import IdempotencyStore
from tests.integration.api.conftest import Api, new_merchant

KEY = {"idempotency-key": "order-1"}
BODY = {"provider": "flexype"}


def test_the_first_answer_is_given_again_with_its_secret(merchant: Api) -> None:
    first = merchant("POST", "/v1/sources", BODY, headers=KEY)
    again = merchant("POST", "/v1/sources", BODY, headers=KEY)

    assert first.status == again.status == 201
    assert again.json == first.json
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(merchant("GET", "/v1/sources").json["data"]) == 1


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
    assert first.json["id"] != second.json["id"]


def test_a_request_that_still_runs_is_a_conflict_until_its_claim_expires(merchant: Api) -> None:
    own = services.services()
    merchant_id = merchant("GET", "/v1/merchant").json["id"]
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        request = fingerprint("POST", "/v1/tokens", "", b"")
        IdempotencyStore(own.table).claim(merchant_id, "order-1", request, own.now(), 60)

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

    assert first.json["id"] != second.json["id"]


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
