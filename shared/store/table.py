"""The one DynamoDB table: plain values in and out, failed conditions as exceptions, bounded retries.

botocore retries throttling and broken connections by itself, but not a single write that meets a running
transaction (TransactionConflictException) nor a transaction cancelled only for conflicts: this module does.

A row past its TTL is gone for every read and write here (``expiry``); only ``keys_of`` and ``rows_of`` still see it.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.store import expiry
from shared.store.cancel_reasons import TOO_LARGE, CancelReason, reasons_of
from shared.store.conditions import Attr, Condition, Key
from shared.store.wire import (
    condition_arguments,
    from_wire,
    key_to_wire,
    query_arguments,
    to_wire,
    update_arguments,
)
from shared.store.writes import Check, Delete, Item, ItemKey, Put, Update, Write

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_logger = logging.getLogger(__name__)

_CONFLICT_ROUNDS = 6
_CONFLICT_WAIT = 0.02
_BATCH_GET = 100
_BATCH_WRITE = 25
_BATCH_ROUNDS = 8
_NEVER_TAKEN = frozenset({"ValidationError", "ItemCollectionSizeLimitExceeded"})


class ConditionFailed(Exception):
    """A conditional write lost; ``old`` is the item it met, None where there is none."""

    def __init__(self, old: Item | None) -> None:
        """Keep the item that was there."""
        super().__init__("condition failed")
        self.old = old


class TransactionCancelled(Exception):
    """A transaction lost; ``reasons`` has one entry per write, in order."""

    def __init__(self, reasons: "Sequence[CancelReason]") -> None:
        """Keep the reasons."""
        super().__init__(", ".join(reason.code for reason in reasons))
        self.reasons = reasons


class StoreUnavailable(Exception):
    """The table could not take the write within the bounded retries: a temporary failure of ours."""


class StoreRefused(Exception):
    """The table will never take a transaction's write as it is; ``code`` says why, as DynamoDB names it."""

    def __init__(self, code: str) -> None:
        """Keep the code; what DynamoDB writes beside it may quote values."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Page:
    """Items of one query page; ``next_key`` continues it, None at the end."""

    items: list[Item]
    next_key: Item | None


def _logged(key: ItemKey, error: Exception) -> None:
    _logger.error("a row cannot be read: %s at %s %s", type(error).__name__, *key)


class Table:
    """The table ``name`` behind a low-level client. Safe to share between threads."""

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        unreadable: Callable[[ItemKey, Exception], None] = _logged,
    ) -> None:
        """``sleep`` waits between rounds, ``clock`` gives Unix time in seconds; tests replace both.

        ``unreadable`` is told of each row that a list goes on without.
        """
        self._client = client
        self.name = name
        self._sleep = sleep
        self._clock = clock
        self._unreadable = unreadable

    def get(self, key: ItemKey, *, consistent: bool = True) -> Item | None:
        """The item, or None."""
        answer = self._client.get_item(TableName=self.name, Key=key_to_wire(key), ConsistentRead=consistent)
        return self._living(from_wire(answer["Item"])) if "Item" in answer else None

    def batch_get(self, keys: Iterable[ItemKey], *, consistent: bool = True) -> dict[ItemKey, Item]:
        """The items that exist, by key, in calls of at most 100. Raises StoreUnavailable when some stay unread."""
        now = self._now()
        found = self.rows_of(keys, consistent=consistent)
        return {key: item for key, item in found.items() if not expiry.expired(item, now)}

    def rows_of(self, keys: Iterable[ItemKey], *, consistent: bool = True) -> dict[ItemKey, Item]:
        """As ``batch_get``, and rows past their TTL too: for erasures, which must not leave them to it."""
        wanted = list(dict.fromkeys(keys))
        found: dict[ItemKey, Item] = {}
        for start in range(0, len(wanted), _BATCH_GET):
            pending: Any = {
                self.name: {
                    "Keys": [key_to_wire(key) for key in wanted[start : start + _BATCH_GET]],
                    "ConsistentRead": consistent,
                }
            }
            for attempt in range(_BATCH_ROUNDS):
                answer = self._client.batch_get_item(RequestItems=pending)
                for raw in answer["Responses"].get(self.name, []):
                    item = from_wire(raw)
                    found[item["pk"], item["sk"]] = item
                pending = answer.get("UnprocessedKeys")
                if not pending:
                    break
                self._wait(attempt)
            else:
                raise StoreUnavailable("batch_get left keys unprocessed")
        return found

    def update(self, update: Update) -> None:
        """Write one item. Raises ConditionFailed with the item met, StoreUnavailable after repeated conflicts."""
        for _ in range(_CONFLICT_ROUNDS):
            try:
                self._update(self._guarded(update))
                return
            except ConditionFailed as failed:
                if failed.old is None or self._living(failed.old) is not None:
                    raise
                if not expiry.holds_for_nothing(update.condition):
                    raise ConditionFailed(None) from failed
                remains = failed.old
            try:
                self._put(_in_place_of(remains, update))
                return
            except ConditionFailed:
                continue  # somebody else wrote over the expired row, or DynamoDB took it away
        raise StoreUnavailable("the expired row kept changing")

    def add(self, update: Update) -> Item:
        """Count up: the row after it, in the same call. Raises as ``update``.

        A row past its TTL counts on: for rows that nobody counts in any more when their time is over.
        """
        key, arguments = key_to_wire(update.key), update_arguments(update)
        answer = self._write(
            lambda: self._client.update_item(TableName=self.name, Key=key, ReturnValues="ALL_NEW", **arguments)
        )
        return from_wire(answer["Attributes"])

    def put(self, put: Put) -> None:
        """Write one whole item. Raises as ``update``."""
        try:
            self._put(self._guarded(put))
        except ConditionFailed as failed:
            raise ConditionFailed(failed.old and self._living(failed.old)) from failed

    def delete(self, delete: Delete) -> None:
        """Delete one item; its absence is no error. Raises as ``update``."""
        key, arguments = key_to_wire(delete.key), condition_arguments(self._guarded(delete).condition)
        try:
            self._write(lambda: self._client.delete_item(TableName=self.name, Key=key, **arguments, **_OLD_ON_FAILURE))
        except ConditionFailed as failed:
            raise ConditionFailed(failed.old and self._living(failed.old)) from failed

    def transact(self, writes: Sequence[Write]) -> None:
        """Write all or nothing (at most 100).

        Raises TransactionCancelled where a condition failed, StoreUnavailable after conflicts only, and StoreRefused
        where a write can never be taken (an item too large).
        """
        remains: dict[int, Item] = {}
        """Expired rows that updates met: they are written over."""
        for attempt in range(_CONFLICT_ROUNDS):
            items = [
                self._transact_item(_in_place_of(remains[at], write) if at in remains else self._guarded(write))
                for at, write in enumerate(writes)
            ]
            try:
                self._client.transact_write_items(TransactItems=items)
                return
            except self._client.exceptions.TransactionCanceledException as cancelled:
                reasons = reasons_of(cancelled.response)
            except self._client.exceptions.TransactionInProgressException:
                reasons = []
            codes = {reason.code for reason in reasons}
            if codes & _NEVER_TAKEN:
                raise StoreRefused(TOO_LARGE if any(own.too_large for own in reasons) else min(codes & _NEVER_TAKEN))
            remains = self._expired_ones(writes, reasons)
            reasons = [replace(own, old=own.old and self._living(own.old)) for own in reasons]
            failed = {at for at, reason in enumerate(reasons) if reason.code not in _FOR_NOW}
            if failed - remains.keys():
                raise TransactionCancelled(reasons)
            self._wait(attempt)
        raise StoreUnavailable("transaction kept meeting others")

    def query(
        self,
        condition: Condition,
        *,
        index: str | None = None,
        limit: int | None = None,
        start: Item | None = None,
        forward: bool = True,
        filter_by: Condition | None = None,
        consistent: bool = False,
    ) -> Page:
        """One page of a key condition, on the table or an index; ``start`` is an earlier page's ``next_key``.

        ``limit`` counts items that are there: those left out make no page short.
        """
        found: list[Item] = []
        now = self._now()
        while True:
            arguments = query_arguments(condition, filter_by)
            optional = {
                "IndexName": index,
                "Limit": None if limit is None else limit - len(found),
                "ExclusiveStartKey": to_wire(start) if start else None,
            }
            arguments |= {name: value for name, value in optional.items() if value is not None}
            answer = self._client.query(
                TableName=self.name, ScanIndexForward=forward, ConsistentRead=consistent, **arguments
            )
            found += [item for item in map(from_wire, answer["Items"]) if not expiry.expired(item, now)]
            last = answer.get("LastEvaluatedKey")
            start = from_wire(last) if last else None
            if start is None or limit is None or len(found) >= limit or filter_by is not None:
                return Page(found, start)

    def query_all(
        self,
        condition: Condition,
        *,
        index: str | None = None,
        filter_by: Condition | None = None,
        consistent: bool = False,
    ) -> Iterable[Item]:
        """Every item of a key condition, page by page."""
        start: Item | None = None
        while True:
            page = self.query(condition, index=index, start=start, filter_by=filter_by, consistent=consistent)
            yield from page.items
            start = page.next_key
            if start is None:
                return

    def keys_of(
        self, partition: str, limit: int | None = None, prefix: str = "", between: tuple[str, str] | None = None
    ) -> list[ItemKey]:
        """Keys in a partition, all or the first: rows past their TTL and unreadable ones too, for erasures."""
        condition: Condition = Key("pk").eq(partition)
        if prefix or between:
            condition &= Key("sk").between(*between) if between else Key("sk").begins_with(prefix)
        arguments = query_arguments(condition)
        found: list[ItemKey] = []
        while limit is None or len(found) < limit:
            if limit is not None:
                arguments["Limit"] = limit - len(found)
            answer = self._client.query(
                TableName=self.name, ProjectionExpression="pk, sk", ConsistentRead=True, **arguments
            )
            found += [(item["pk"]["S"], item["sk"]["S"]) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                break
            arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return found

    def readable[T](self, items: Iterable[Item], read: Callable[[Item], T]) -> Iterator[T]:
        """What the rows say, without those that cannot be read: one such row must not hold up its list or its shard.

        It stays as it is, and ``unreadable`` is told. Whoever decides about one shopper by a row reads it strictly.
        """
        for item in items:
            try:
                yield read(item)
            except Exception as error:  # noqa: BLE001 - reading a row calls nobody: whatever it is, it is the row's
                self._unreadable((item["pk"], item["sk"]), error)

    def delete_all(self, keys: Iterable[ItemKey]) -> None:
        """Delete many items without conditions, 25 a call. Raises StoreUnavailable when some stay."""
        doomed = list(dict.fromkeys(keys))
        for start in range(0, len(doomed), _BATCH_WRITE):
            batch = doomed[start : start + _BATCH_WRITE]
            pending: Any = {self.name: [{"DeleteRequest": {"Key": key_to_wire(key)}} for key in batch]}
            for attempt in range(_BATCH_ROUNDS):
                pending = self._client.batch_write_item(RequestItems=pending).get("UnprocessedItems")
                if not pending:
                    break
                self._wait(attempt)
            else:
                raise StoreUnavailable("batch_write left items unprocessed")

    def _update(self, update: Update) -> None:
        key, arguments = key_to_wire(update.key), update_arguments(update)
        self._write(lambda: self._client.update_item(TableName=self.name, Key=key, **arguments, **_OLD_ON_FAILURE))

    def _put(self, put: Put) -> None:
        item, arguments = to_wire(put.item), condition_arguments(put.condition)
        self._write(lambda: self._client.put_item(TableName=self.name, Item=item, **arguments, **_OLD_ON_FAILURE))

    def _write[Answer](self, call: Callable[[], Answer]) -> Answer:
        for attempt in range(_CONFLICT_ROUNDS):
            try:
                return call()
            except self._client.exceptions.ConditionalCheckFailedException as failed:
                old: Any = failed.response.get("Item")
                raise ConditionFailed(from_wire(old) if old else None) from failed
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    raise
            self._wait(attempt)
        raise StoreUnavailable("write kept meeting transactions")

    def expired(self, item: Item) -> bool:
        """Whether the item, as ``rows_of`` gives it, is past its TTL."""
        return expiry.expired(item, self._now())

    def _living(self, item: Item) -> Item | None:
        return None if self.expired(item) else item

    def now_ms(self) -> int:
        """The instant on the clock by which rows expire, in epoch milliseconds."""
        return int(self._clock() * 1000)

    def _now(self) -> int:
        return int(self._clock())

    def _wait(self, attempt: int) -> None:
        self._sleep(random.uniform(0.5, 1.0) * _CONFLICT_WAIT * 2**attempt)  # noqa: S311 - jitter, no secret

    def _guarded[W: Write](self, write: W) -> W:
        """The write, to which an expired row is none."""
        guard = expiry.changing if isinstance(write, Update) else expiry.replacing
        condition: Any = guard(write.condition, self._now())
        return replace(write, condition=condition)

    def _expired_ones(self, writes: Sequence[Write], reasons: Sequence[CancelReason]) -> dict[int, Item]:
        """What refused updates met, where it is expired and they would have held over nothing."""
        return {
            at: reason.old
            for at, (write, reason) in enumerate(zip(writes, reasons, strict=False))
            if isinstance(write, Update)
            and reason.failed_condition
            and reason.old is not None
            and self._living(reason.old) is None
            and expiry.holds_for_nothing(write.condition)
        }

    def _transact_item(self, write: Write) -> Any:
        shared = {"TableName": self.name, **_OLD_ON_FAILURE}
        condition = condition_arguments(write.condition)
        match write:
            case Update():
                return {"Update": {**shared, "Key": key_to_wire(write.key), **update_arguments(write)}}
            case Put():
                return {"Put": {**shared, "Item": to_wire(write.item), **condition}}
            case Delete():
                return {"Delete": {**shared, "Key": key_to_wire(write.key), **condition}}
            case Check():
                return {"ConditionCheck": {**shared, "Key": key_to_wire(write.key), **condition}}


def _in_place_of(remains: Item, write: Write) -> Put:
    """What an update makes of nothing, in place of an expired row that still stands as it was met."""
    assert isinstance(write, Update)  # noqa: S101 - only updates are kept apart
    return Put(write.made(), Attr(expiry.TTL).eq(remains[expiry.TTL]))


_FOR_NOW = frozenset({"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
"""Codes of writes that would be taken another time."""
_OLD_ON_FAILURE: Any = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
