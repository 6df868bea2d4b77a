"""The last resort: records that were kept in the bucket go through dispatch once more, and repeat nothing."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

import functions.dispatch.handler as dispatch_function
from infra.operations.replay_stream_records import Record, Refused, replay
from shared.store.table import StoreUnavailable, Table
from tests.integration.account import onlookers_client
from tests.integration.shop import MERCHANT, Invocation, Shop, aws_event, stranger

KEY = "aws/lambda/9f1c/shardId-1/2026/11/22/2026-11-22T11.30.00-1"
WAYS = pytest.mark.parametrize("packed", [json.dumps, lambda payload: payload], ids=["as text", "as it is"])


def kept() -> list[str]:
    return [own["Key"] for own in onlookers_client("s3").list_objects_v2(Bucket="quarantine").get("Contents", [])]


def give_up(records: Sequence[Record], packed: Any = json.dumps) -> None:
    """Lambda writes the batch into the bucket, as its Developer Guide shows it.

    "Retain discarded records for a DynamoDB event source"; only there the payload goes along. It is shown as a text.
    """
    batch = aws_event("stream-records-given-up")
    batch["payload"] = packed({"Records": list(records)})
    onlookers_client("s3").put_object(Bucket="quarantine", Key=KEY, Body=json.dumps(batch).encode())


def dispatching(records: Sequence[Record], replayed: bool) -> None:
    """Dispatch is invoked, and what it raises is all that the command hears of."""
    try:
        answer = dispatch_function.handler({"Records": records, "replayed": replayed}, Invocation())
    except ExceptionGroup as failed:
        raise Refused(type(failed).__name__) from failed
    assert answer == {"batchItemFailures": []}


def replayed(*prefixes: str) -> list[tuple[str, int | None]]:
    return list(replay(onlookers_client("s3"), "quarantine", prefixes, dispatching))


@pytest.mark.long
@WAYS
def test_a_batch_that_lambda_gave_up_is_told_after_all_and_once(shop: Shop, packed: Any) -> None:
    shop.endpoint()
    for number in range(7):
        shop.abandon(f"session-{number}", user=stranger(number))
    batch = shop.stream()
    for _ in range(2):
        give_up(batch, packed)
        assert replayed("aws/lambda/") == [(KEY, 7)]
        assert kept() == []
    assert len(shop.deliveries()) == 7


def test_what_fails_again_of_a_batch_lies_under_its_merchant_from_then_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint()
    shop.abandon()
    (record,) = shop.stream()
    record["dynamodb"]["ApproximateCreationDateTime"] = shop.now.timestamp()
    shop.wait(hours=23)
    give_up([record])
    with monkeypatch.context() as patched:
        patched.setattr(Table, "put", _unavailable)
        assert replayed("aws/lambda/") == [(KEY, 1)]
    aside = f"poison/{MERCHANT}/{shop.digest()}/{record['eventID']}.json"
    assert kept() == [aside]
    assert replayed(f"poison/{MERCHANT}/") == [(aside, 1)]
    assert kept() == []
    assert len(shop.deliveries()) == 1


@pytest.mark.parametrize("defect", [False, True], ids=["for now", "for good"])
def test_what_was_set_aside_and_fails_again_stays_where_it_is(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, defect: bool
) -> None:
    shop.endpoint()
    shop.abandon()
    (record,) = shop.stream()
    key = shop.stores.bucket.keep_poison(f"{MERCHANT}/{shop.digest()}/e1.json", json.dumps(record).encode())
    with monkeypatch.context() as patched:
        patched.setattr(Table, "put", _absurd if defect else _unavailable)
        assert replayed("poison/") == [(key, None)]
    assert kept() == [key]
    assert shop.queued("DEAD_LETTERS_QUEUE_URL") == []
    assert replayed("poison/") == [(key, 1)]
    assert len(shop.deliveries()) == 1


def test_what_was_emptied_for_an_erasure_holds_up_nothing_behind_it(shop: Shop) -> None:
    shop.endpoint()
    shop.abandon()
    (record,) = shop.stream()
    emptied = shop.stores.bucket.keep_poison(f"{MERCHANT}/{shop.digest('erased')}/e0.json", b"")
    key = shop.stores.bucket.keep_poison(f"{MERCHANT}/{shop.digest()}/e1.json", json.dumps(record).encode())
    assert set(replayed("poison/")) == {(emptied, 0), (key, 1)}
    assert kept() == []
    assert len(shop.deliveries()) == 1


def _unavailable(*_: object) -> None:
    raise StoreUnavailable("for a day")


def _absurd(*_: object) -> None:
    raise ZeroDivisionError
