"""Writes that DynamoDB never takes, told from those that may go through later."""

import base64
import random

import pytest
from botocore.exceptions import ClientError

from shared.aws.faults import code_of, is_temporary
from shared.store.table import StoreRefused, Table, TransactionCancelled
from shared.store.writes import Put, Update

NOISE = base64.b64encode(random.Random(1).randbytes(300 * 1024)).decode()


def test_a_row_that_would_grow_beyond_400_kb_is_refused_for_good(table: Table) -> None:
    table.put(Put({"pk": "C#1", "sk": "C", "a": NOISE[: 300 * 1024]}))
    with pytest.raises(ClientError) as refused:
        table.update(Update(("C#1", "C"), set={"b": NOISE[: 150 * 1024]}))
    assert (code_of(refused.value), is_temporary(refused.value)) == ("ItemTooLarge", False)


def refusing(table: Table, monkeypatch: pytest.MonkeyPatch, *reasons: dict[str, str]) -> None:
    """Let DynamoDB cancel every transaction for these reasons, one for each write."""

    def cancelled(**_: object) -> None:
        client = table._client
        answer = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": list(reasons)}
        raise client.exceptions.TransactionCanceledException(answer, "TransactWriteItems")  # type: ignore[arg-type]

    monkeypatch.setattr(table._client, "transact_write_items", cancelled)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ({"Code": "ValidationError", "Message": "Item size has exceeded the maximum allowed size"}, "ItemTooLarge"),
        ({"Code": "ValidationError", "Message": "One or more parameter values were invalid"}, "ValidationError"),
        ({"Code": "ItemCollectionSizeLimitExceeded"}, "ItemCollectionSizeLimitExceeded"),
    ],
)
def test_a_transaction_that_holds_a_write_nobody_takes_is_refused_for_good(
    table: Table, monkeypatch: pytest.MonkeyPatch, reason: dict[str, str], word: str
) -> None:
    refusing(table, monkeypatch, {"Code": "ConditionalCheckFailed"}, reason)
    with pytest.raises(StoreRefused) as refused:
        table.transact([Put({"pk": "C#1", "sk": "C"}), Put({"pk": "C#2", "sk": "C"})])
    assert refused.value.code == word


def test_a_failed_condition_is_told_with_its_place(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(table, monkeypatch, {"Code": "None"}, {"Code": "ConditionalCheckFailed"})
    with pytest.raises(TransactionCancelled) as cancelled:
        table.transact([Put({"pk": "C#1", "sk": "C"}), Put({"pk": "C#2", "sk": "C"})])
    assert [own.failed_condition for own in cancelled.value.reasons] == [False, True]
