"""The table in memory: conditions and updates as DynamoDB has them, and calls that fail when a test says so.

What it holds goes through the real wire types, so that numbers come back as decimals and sets as sets.
"""

import operator
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, override

from botocore.exceptions import ClientError, ReadTimeoutError

from shared.store.cancel_reasons import CancelReason
from shared.store.conditions import Condition, Key
from shared.store.table import ConditionFailed, Page, Table, TransactionCancelled
from shared.store.wire import from_wire, to_wire
from shared.store.writes import Check, Delete, Item, ItemKey, Put, Update, Write

type Fault = Callable[[str, Any, Callable[[], Any]], Any]
"""What stands between a caller and the table: the call's name, what it is about, and the call itself."""

_SORTS = {"due": "da", "list": "ls", "phone": "ca", "email": "ca", "customer": "ca", "cart": "ca"}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def throttled(*_: Any) -> Any:
    """DynamoDB refuses the call; nothing has happened."""
    raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, "PutItem")


def unseen(_: str, __: Any, call: Callable[[], Any]) -> Any:
    """The call takes effect, and its answer is lost."""
    call()
    raise ReadTimeoutError(endpoint_url="https://dynamodb.ap-south-1.amazonaws.com")


def repeated(_: str, __: Any, call: Callable[[], Any]) -> Any:
    """The call takes effect, its answer is lost, and the client makes it again by itself."""
    call()
    return call()


class MemoryTable(Table):
    """Safe to share between threads. ``fault``, where it is set, is in the way of every call; ``calls`` names them."""

    def __init__(self) -> None:
        self.name = "checkback"
        self.fault: Fault | None = None
        self.calls: list[str] = []
        self._items: dict[ItemKey, Item] = {}
        self._lock = threading.RLock()

    def fail(self, number: int, fault: Fault) -> None:
        """Let the call of this number, from now on counted from 1, meet a fault."""
        counted = iter(range(1, 1_000_000))

        def once(name: str, about: Any, call: Callable[[], Any]) -> Any:
            return fault(name, about, call) if next(counted) == number else call()

        self.fault = once

    def _call(self, name: str, about: Any, act: Callable[[], Any]) -> Any:
        def locked() -> Any:
            with self._lock:
                return act()

        self.calls.append(name)
        return locked() if self.fault is None else self.fault(name, about, locked)

    @override
    def get(self, key: ItemKey, *, consistent: bool = True) -> Item | None:
        return self._call("get", key, lambda: self._read(key))  # type: ignore[no-any-return]

    @override
    def batch_get(self, keys: Iterable[ItemKey], *, consistent: bool = True) -> dict[ItemKey, Item]:
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}

        def read() -> dict[ItemKey, Item]:
            found = ((key, self._read(key)) for key in wanted)
            return {key: item for key, item in found if item is not None}

        return self._call("batch_get", wanted, read)  # type: ignore[no-any-return]

    @override
    def rows_of(self, keys: Iterable[ItemKey], *, consistent: bool = True) -> dict[ItemKey, Item]:
        return self.batch_get(keys)

    @override
    def keys_of(
        self, partition: str, limit: int | None = None, prefix: str = "", between: tuple[str, str] | None = None
    ) -> list[ItemKey]:
        def read() -> list[ItemKey]:
            found = sorted(own for own in self._items if own[0] == partition and own[1].startswith(prefix))
            low, high = between or ("", "~~")
            return [own for own in found if low <= own[1] <= high][:limit]

        return self._call("query", partition, read)  # type: ignore[no-any-return]

    @override
    def delete_all(self, keys: Iterable[ItemKey]) -> None:
        doomed = list(keys)
        if doomed:
            self._call("delete_all", doomed, lambda: self._apply([Delete(key) for key in doomed]))

    @override
    def expired(self, item: Item) -> bool:
        return False

    @override
    def update(self, update: Update) -> None:
        self._call("update", update, lambda: self._apply([update]))

    @override
    def put(self, put: Put) -> None:
        self._call("put", put, lambda: self._apply([put]))

    @override
    def delete(self, delete: Delete) -> None:
        self._call("delete", delete, lambda: self._apply([delete]))

    @override
    def transact(self, writes: Sequence[Write]) -> None:
        def write() -> None:
            met = [None if self._allowed(own) else (self._read(_key(own)),) for own in writes]
            if any(own is not None for own in met):
                reasons = [
                    CancelReason("None", None) if own is None else CancelReason("ConditionalCheckFailed", own[0])
                    for own in met
                ]
                raise TransactionCancelled(reasons)
            self._apply(writes)

        self._call("transact", writes, write)

    @override
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
        assert start is None, "no test in memory is as long as a page"

        def read() -> Page:
            sort = "sk" if index is None else _SORTS[index]
            found = [dict(own) for own in self._items.values() if sort in own and _met(condition, own)]
            found.sort(key=lambda own: own[sort], reverse=not forward)
            met = [own for own in found if filter_by is None or _met(filter_by, own)]
            return Page(met[:limit], None)

        return self._call("query", condition, read)  # type: ignore[no-any-return]

    def _read(self, key: ItemKey) -> Item | None:
        stored = self._items.get(key)
        return None if stored is None else dict(stored)

    def _allowed(self, write: Write) -> bool:
        return write.condition is None or _met(write.condition, self._read(_key(write)) or {})

    def _apply(self, writes: Sequence[Write]) -> None:
        for write in writes:
            key = _key(write)
            if not self._allowed(write):
                raise ConditionFailed(self._read(key))
            match write:
                case Put(item):
                    self._items[key] = from_wire(to_wire(item))
                case Delete():
                    self._items.pop(key, None)
                case Update():
                    old = self._read(key) or {"pk": key[0], "sk": key[1]}
                    self._items[key] = from_wire(to_wire(_updated(write, old)))
                case Check():
                    pass


def _key(write: Write) -> ItemKey:
    return (write.item["pk"], write.item["sk"]) if isinstance(write, Put) else write.key


def _updated(update: Update, old: Item) -> Item:
    new = {**old, **update.set}
    new |= {name: value for name, value in update.set_if_absent.items() if name not in old}
    new |= dict.fromkeys(update.set_next, old.get("v", 0) + 1)
    for name, value in update.add.items():
        new[name] = old.get(name, set()) | value if isinstance(value, set | frozenset) else old.get(name, 0) + value
    return {name: value for name, value in new.items() if name not in update.remove}


def _met(condition: Condition, item: Item) -> bool:
    """Whether an item meets a condition, as DynamoDB reads it."""
    kind, values = condition.operator, condition.parts
    if kind == "AND":
        return all(_met(own, item) for own in values)
    if kind == "OR":
        return any(_met(own, item) for own in values)
    if kind == "NOT":
        return not _met(values[0], item)
    if kind == "NONE":
        return not any(own.name in item for own in values)
    assert isinstance(values[0], Key)
    name = values[0].name
    if kind in {"attribute_exists", "attribute_not_exists"}:
        return (name in item) == (kind == "attribute_exists")
    if name not in item:
        return False
    if kind == "BETWEEN":
        return bool(values[1] <= item[name] <= values[2])
    if kind == "begins_with":
        return str(item[name]).startswith(values[1])
    return _COMPARED[kind](item[name], values[1])
