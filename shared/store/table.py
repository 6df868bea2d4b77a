"""The one DynamoDB table: plain values in and out, failed conditions as exceptions, bounded retries.

botocore retries throttling and broken connections by itself, but not a single write that meets a running
transaction (TransactionConflictException) nor a transaction cancelled only for conflicts: this module does.
"""

import base64
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

type Item = dict[str, Any]
type ItemKey = tuple[str, str]

_CONFLICT_ROUNDS = 6
_CONFLICT_WAIT = 0.02
_BATCH_GET = 100
_BATCH_WRITE = 25
_BATCH_ROUNDS = 8
TOO_LARGE = "ItemTooLarge"
_NEVER_TAKEN = frozenset({"ValidationError", "ItemCollectionSizeLimitExceeded"})

_serialise = TypeSerializer().serialize
_deserialise = TypeDeserializer().deserialize


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
class CancelReason:
    """Why one write of a transaction was refused: ``code`` as DynamoDB names it, and the item it met."""

    code: str
    old: Item | None
    too_large: bool = False

    @property
    def failed_condition(self) -> bool:
        """Whether this write's own condition failed."""
        return self.code == "ConditionalCheckFailed"


@dataclass(frozen=True, slots=True)
class Update:
    """One UpdateItem. ``set_next`` names attributes that take the version after this write (``v`` + 1)."""

    key: ItemKey
    set: Mapping[str, Any] = field(default_factory=dict)
    set_if_absent: Mapping[str, Any] = field(default_factory=dict)
    set_next: Sequence[str] = ()
    remove: Sequence[str] = ()
    add: Mapping[str, Any] = field(default_factory=dict)
    condition: ConditionBase | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """One PutItem; ``item`` holds ``pk`` and ``sk``."""

    item: Item
    condition: ConditionBase | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """One DeleteItem."""

    key: ItemKey
    condition: ConditionBase | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on an item that the transaction does not write."""

    key: ItemKey
    condition: ConditionBase


type Write = Update | Put | Delete | Check


@dataclass(frozen=True, slots=True)
class Page:
    """Items of one query page; ``next_key`` continues it, None at the end."""

    items: list[Item]
    next_key: Item | None


class Table:
    """The table ``name`` behind a low-level client. Safe to share between threads."""

    def __init__(self, client: "DynamoDBClient", name: str, sleep: Callable[[float], None] = time.sleep) -> None:
        """``sleep`` waits between rounds; tests replace it."""
        self._client = client
        self.name = name
        self._sleep = sleep

    def get(self, key: ItemKey, *, consistent: bool = True) -> Item | None:
        """The item, or None."""
        answer = self._client.get_item(TableName=self.name, Key=_key(key), ConsistentRead=consistent)
        return from_wire(answer["Item"]) if "Item" in answer else None

    def batch_get(self, keys: Iterable[ItemKey], *, consistent: bool = True) -> dict[ItemKey, Item]:
        """The items that exist, by key, in calls of at most 100. Raises StoreUnavailable when some stay unread."""
        wanted = list(dict.fromkeys(keys))
        found: dict[ItemKey, Item] = {}
        for start in range(0, len(wanted), _BATCH_GET):
            pending: Any = {
                self.name: {
                    "Keys": [_key(key) for key in wanted[start : start + _BATCH_GET]],
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
        arguments = _update_arguments(update)
        self._write(lambda: self._client.update_item(TableName=self.name, **arguments, **_OLD_ON_FAILURE))

    def put(self, put: Put) -> None:
        """Write one whole item. Raises as ``update``."""
        arguments = {"Item": to_wire(put.item), **_condition_arguments(put.condition)}
        self._write(lambda: self._client.put_item(TableName=self.name, **arguments, **_OLD_ON_FAILURE))

    def delete(self, delete: Delete) -> None:
        """Delete one item; its absence is no error. Raises as ``update``."""
        arguments = {"Key": _key(delete.key), **_condition_arguments(delete.condition)}
        self._write(lambda: self._client.delete_item(TableName=self.name, **arguments, **_OLD_ON_FAILURE))

    def transact(self, writes: Sequence[Write]) -> None:
        """Write all or nothing (at most 100).

        Raises TransactionCancelled where a condition failed, StoreUnavailable after conflicts only, and StoreRefused
        where a write can never be taken (an item too large).
        """
        items = [self._transact_item(write) for write in writes]
        for attempt in range(_CONFLICT_ROUNDS):
            try:
                self._client.transact_write_items(TransactItems=items)
                return
            except self._client.exceptions.TransactionCanceledException as cancelled:
                reasons = _reasons(cancelled.response)
            except self._client.exceptions.TransactionInProgressException:
                reasons = []
            codes = {reason.code for reason in reasons} - {"None"}
            if codes & _NEVER_TAKEN:
                raise StoreRefused(TOO_LARGE if any(own.too_large for own in reasons) else min(codes & _NEVER_TAKEN))
            if codes - {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}:
                raise TransactionCancelled(reasons)
            self._wait(attempt)
        raise StoreUnavailable("transaction kept meeting others")

    def query(
        self,
        condition: ConditionBase,
        *,
        index: str | None = None,
        limit: int | None = None,
        start: Item | None = None,
        forward: bool = True,
        filter_by: ConditionBase | None = None,
        consistent: bool = False,
    ) -> Page:
        """One page of a key condition, on the table or an index; ``start`` is an earlier page's ``next_key``."""
        built = ConditionExpressionBuilder()
        keys = built.build_expression(condition, is_key_condition=True)
        names, values = dict(keys.attribute_name_placeholders), dict(keys.attribute_value_placeholders)
        arguments: dict[str, Any] = {"KeyConditionExpression": keys.condition_expression}
        if filter_by is not None:
            filtered = built.build_expression(filter_by)
            names |= filtered.attribute_name_placeholders
            values |= filtered.attribute_value_placeholders
            arguments["FilterExpression"] = filtered.condition_expression
        arguments |= {
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": to_wire(values),
            "ScanIndexForward": forward,
            "ConsistentRead": consistent,
        }
        optional = {
            "IndexName": index,
            "Limit": limit,
            "ExclusiveStartKey": to_wire(start) if start else None,
        }
        arguments |= {name: value for name, value in optional.items() if value is not None}
        answer = self._client.query(TableName=self.name, **arguments)
        last = answer.get("LastEvaluatedKey")
        return Page([from_wire(raw) for raw in answer["Items"]], from_wire(last) if last else None)

    def query_all(
        self,
        condition: ConditionBase,
        *,
        index: str | None = None,
        filter_by: ConditionBase | None = None,
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

    def delete_all(self, keys: Iterable[ItemKey]) -> None:
        """Delete many items without conditions, 25 a call. Raises StoreUnavailable when some stay."""
        doomed = list(dict.fromkeys(keys))
        for start in range(0, len(doomed), _BATCH_WRITE):
            batch = doomed[start : start + _BATCH_WRITE]
            pending: Any = {self.name: [{"DeleteRequest": {"Key": _key(key)}} for key in batch]}
            for attempt in range(_BATCH_ROUNDS):
                pending = self._client.batch_write_item(RequestItems=pending).get("UnprocessedItems")
                if not pending:
                    break
                self._wait(attempt)
            else:
                raise StoreUnavailable("batch_write left items unprocessed")

    def _write(self, call: Callable[[], object]) -> None:
        for attempt in range(_CONFLICT_ROUNDS):
            try:
                call()
                return
            except self._client.exceptions.ConditionalCheckFailedException as failed:
                old: Any = failed.response.get("Item")
                raise ConditionFailed(from_wire(old) if old else None) from failed
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    raise
            self._wait(attempt)
        raise StoreUnavailable("write kept meeting transactions")

    def _wait(self, attempt: int) -> None:
        self._sleep(random.uniform(0.5, 1.0) * _CONFLICT_WAIT * 2**attempt)  # noqa: S311 - jitter, no secret

    def _transact_item(self, write: Write) -> Any:
        shared = {"TableName": self.name, **_OLD_ON_FAILURE}
        match write:
            case Update():
                return {"Update": {**shared, **_update_arguments(write)}}
            case Put():
                return {"Put": {**shared, "Item": to_wire(write.item), **_condition_arguments(write.condition)}}
            case Delete():
                return {"Delete": {**shared, "Key": _key(write.key), **_condition_arguments(write.condition)}}
            case Check():
                condition = _condition_arguments(write.condition)
                return {"ConditionCheck": {**shared, "Key": _key(write.key), **condition}}


_OLD_ON_FAILURE: Any = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def is_too_large(said: str) -> bool:
    """Whether DynamoDB's message says that an item would grow beyond 400 KB: it has no code for that."""
    return "item size" in said.lower()


def to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as DynamoDB's typed values."""
    return {name: _serialise(value) for name, value in item.items()}


def from_wire(item: Mapping[str, Any]) -> Item:
    """DynamoDB's typed values as plain values: numbers are Decimal, binaries bytes."""
    return {name: _plain(_deserialise(value)) for name, value in item.items()}


def from_stream(image: Mapping[str, Any]) -> Item:
    """An image of a stream event, whose binaries are base64 texts, as plain values."""
    return from_wire({name: _binaries(value) for name, value in image.items()})


def _binaries(value: Mapping[str, Any]) -> dict[str, Any]:
    (kind, inner), *_ = value.items()
    match kind:
        case "B":
            return {kind: base64.b64decode(inner)}
        case "BS":
            return {kind: [base64.b64decode(part) for part in inner]}
        case "M":
            return {kind: {name: _binaries(part) for name, part in inner.items()}}
        case "L":
            return {kind: [_binaries(part) for part in inner]}
        case _:
            return {kind: inner}


def _plain(value: Any) -> Any:
    if isinstance(value, Binary):
        return bytes(value.value)  # type: ignore[attr-defined]  # the stubs lack it
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, set):
        return {_plain(part) for part in value}
    return value


def _key(key: ItemKey) -> Any:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _condition_arguments(condition: ConditionBase | None) -> dict[str, Any]:
    if condition is None:
        return {}
    built = ConditionExpressionBuilder().build_expression(condition)
    arguments: dict[str, Any] = {
        "ConditionExpression": built.condition_expression,
        "ExpressionAttributeNames": dict(built.attribute_name_placeholders),
    }
    if built.attribute_value_placeholders:
        arguments["ExpressionAttributeValues"] = to_wire(built.attribute_value_placeholders)
    return arguments


def _update_arguments(update: Update) -> dict[str, Any]:
    """The update and its condition as one call's arguments; every attribute name goes through a placeholder."""
    names: dict[str, str] = {}
    values: dict[str, Any] = {}

    def name(attribute: str) -> str:
        placeholder = f"#u{len(names)}"
        names[placeholder] = attribute
        return placeholder

    def value(plain: Any) -> str:
        placeholder = f":u{len(values)}"
        values[placeholder] = plain
        return placeholder

    sets = [f"{name(attribute)} = {value(plain)}" for attribute, plain in update.set.items()]
    for attribute, plain in update.set_if_absent.items():
        target = name(attribute)
        sets.append(f"{target} = if_not_exists({target}, {value(plain)})")
    if update.set_next:
        version, none, one = name("v"), value(0), value(1)
        sets += [f"{name(attribute)} = if_not_exists({version}, {none}) + {one}" for attribute in update.set_next]
    clauses = []
    if sets:
        clauses.append("SET " + ", ".join(sets))
    if update.remove:
        clauses.append("REMOVE " + ", ".join(name(attribute) for attribute in update.remove))
    if update.add:
        added = (f"{name(attribute)} {value(plain)}" for attribute, plain in update.add.items())
        clauses.append("ADD " + ", ".join(added))
    condition = _condition_arguments(update.condition)
    names |= condition.get("ExpressionAttributeNames", {})
    arguments: dict[str, Any] = {"Key": _key(update.key), "UpdateExpression": " ".join(clauses)}
    wire_values = to_wire(values) | condition.get("ExpressionAttributeValues", {})
    if names:
        arguments["ExpressionAttributeNames"] = names
    if wire_values:
        arguments["ExpressionAttributeValues"] = wire_values
    if update.condition is not None:
        arguments["ConditionExpression"] = condition["ConditionExpression"]
    return arguments


def _reasons(response: Any) -> list[CancelReason]:
    return [
        CancelReason(
            reason.get("Code", "None"),
            from_wire(reason["Item"]) if reason.get("Item") else None,
            is_too_large(reason.get("Message") or ""),
        )
        for reason in response.get("CancellationReasons", [])
    ]
