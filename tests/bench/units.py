"""What DynamoDB charges for calls: units read off every call and the rows around it, as its guide counts them.

Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats", "Capacity unit consumption for read and write
operations" and "Provisioned throughput considerations for global secondary indexes". That a transaction doubles what a
row costs and not its index entries is no page's word: it was measured on DynamoDB by dynamodb-conformance and dynoxide
(github.com/nubo-db/dynoxide, pull request 188). moto's own figures of capacity follow none of it.
"""

from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType

KILOBYTE = 1024
_OF_A_LIST = 3
type Row = Mapping[str, Any]
"""A row as it goes over the wire: typed values by name."""


def size_of(row: Row) -> int:
    """Bytes of a row: names and values."""
    return sum(len(name.encode()) + _size(value) for name, value in row.items())


def _size(typed: Mapping[str, Any]) -> int:
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return _digits(value)
        case "B":
            return len(value) if isinstance(value, bytes) else len(b64decode(value))
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(own.encode()) for own in value)
        case "NS":
            return sum(map(_digits, value))
        case "BS":
            return sum(map(len, value))
        case "L":
            return _OF_A_LIST + sum(1 + _size(own) for own in value)
        case "M":
            return _OF_A_LIST + sum(1 + len(name.encode()) + _size(own) for name, own in value.items())
        case _:
            raise ValueError(kind)


def _digits(number: str) -> int:
    """One byte for two significant digits and one more; another for a sign."""
    digits = "".join(map(str, Decimal(number).as_tuple().digits)).strip("0") or "0"
    return ceil(len(digits) / 2) + 1 + (Decimal(number) < 0)


@dataclass
class Bill:
    """Units and calls of what was metered."""

    table_writes: float = 0
    index_writes: float = 0
    reads: float = 0
    calls: Counter[str] = field(default_factory=Counter)
    rows: list[str] = field(default_factory=list)
    """What was written, a line each: operation, key, units on the table and on indexes."""

    def counted(self) -> dict[str, Any]:
        """The figures by name, as the ceilings have them."""
        units = {"table": self.table_writes, "indexes": self.index_writes, "reads": self.reads}
        return units | {"calls": dict(sorted(self.calls.items()))}

    @property
    def writes(self) -> float:
        """Write units of the table and its indexes."""
        return self.table_writes + self.index_writes


class Meter:
    """Reads the units of a client's calls off moto's table, whose indexes hold keys alone."""

    def __init__(self, table: Any, indexes: Mapping[str, tuple[str, str]]) -> None:
        """``table`` as moto has it; ``indexes``: the two attributes of each index's key, by its name."""
        self.table = table
        self._indexes = indexes
        self._asked: dict[str, Any] = {}
        self._met: dict[tuple[str, str], Row] = {}
        self.bill = Bill()

    @contextmanager
    def of(self, *clients: Any) -> Iterator[Bill]:
        """What is called through these clients inside; DynamoDB's calls cost units."""
        self.bill = Bill()
        for client in clients:
            client.meta.events.register_first("provide-client-params", self._begins)
            client.meta.events.register_last("after-call", self._ends)
        try:
            yield self.bill
        finally:
            for client in clients:
                client.meta.events.unregister("provide-client-params", self._begins)
                client.meta.events.unregister("after-call", self._ends)

    def _begins(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self._asked = params
        self._met = {key: row for key in _written(model.name, params) if (row := self._row(key))}

    def _ends(self, model: Any, parsed: dict[str, Any], **_: Any) -> None:
        self.bill.calls[model.name] += 1
        if model.service_model.service_name != "dynamodb":
            return
        times = 2 if model.name == "TransactWriteItems" else 1
        for key in _written(model.name, self._asked):
            before, after = self._met.get(key), self._row(key)
            largest = max(size_of(before or {}), size_of(after or {}))
            on_table = times * max(1, ceil(largest / KILOBYTE))
            entries = {name: _entries(before, after, own) for name, own in self._indexes.items()}
            on_indexes = sum(entries.values())
            self.bill.table_writes += on_table
            self.bill.index_writes += on_indexes
            named = " ".join(f"{name}:{own}" for name, own in entries.items() if own)
            self.bill.rows.append(
                f"{model.name} {key[0][:14]} {key[1][:14]} {largest} B: {on_table} + {on_indexes} {named}"
            )
        self.bill.reads += self._read(model.name, parsed)

    def _read(self, operation: str, answer: dict[str, Any]) -> float:
        match operation:
            case "GetItem":
                return _units_read([answer.get("Item", {})], strong=self._asked.get("ConsistentRead", False))
            case "BatchGetItem":
                asked = next(iter(self._asked["RequestItems"].values()))
                rows = [row for found in answer["Responses"].values() for row in found]
                missing = len(asked["Keys"]) - len(rows)
                strong = asked.get("ConsistentRead", False)
                return sum(_units_read([row], strong=strong) for row in [*rows, *[{}] * missing])
            case "Query":
                strong = self._asked.get("ConsistentRead", False)
                return _units_read([self._scanned(row) for row in answer["Items"]], strong=strong)
            case _:
                return 0

    def _scanned(self, row: Row) -> Row:
        """What was read for a row of an answer: all of it, or of an index its entry."""
        if "IndexName" in self._asked:
            return row
        return self._row((row["pk"]["S"], row["sk"]["S"])) or row

    def _row(self, key: tuple[str, str]) -> Row | None:
        found = self.table.get_item(DynamoType({"S": key[0]}), DynamoType({"S": key[1]}))
        return None if found is None else dict(found.to_json()["Attributes"])


def _written(operation: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Keys of the rows that a call writes, or checks for a write."""
    match operation:
        case "UpdateItem" | "DeleteItem":
            return [_key(params["Key"])]
        case "PutItem":
            return [_key(params["Item"])]
        case "TransactWriteItems":
            pieces = [piece for own in params["TransactItems"] for piece in own.values()]
            return [_key(piece.get("Key") or piece["Item"]) for piece in pieces]
        case "BatchWriteItem":
            pieces = [own for requests in params["RequestItems"].values() for own in requests]
            return [
                _key(own["PutRequest"]["Item"] if "PutRequest" in own else own["DeleteRequest"]["Key"])
                for own in pieces
            ]
        case _:
            return []


def _key(named: Mapping[str, Any]) -> tuple[str, str]:
    return named["pk"]["S"], named["sk"]["S"]


def _entries(before: Row | None, after: Row | None, attributes: tuple[str, str]) -> int:
    """Writes of an index's entries of one row: one for an entry that comes or goes, two where its key changes."""
    entries = [
        tuple(row[own] for own in attributes) if row and all(own in row for own in attributes) else None
        for row in (before, after)
    ]
    return 0 if entries[0] == entries[1] else sum(entry is not None for entry in entries)


def _units_read(rows: Sequence[Row], *, strong: bool) -> float:
    """Units for rows that are read together: 4 KB each, half where an answer may be a moment old."""
    return max(1, ceil(sum(map(size_of, rows)) / (4 * KILOBYTE))) * (1 if strong else 0.5)
