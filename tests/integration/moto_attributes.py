"""Moto without the detours of single attributes and items.

Moto finds out what an attribute is by asking for each kind in turn, copies the parts of a map to know how long they
are, and to tell what they are, turns a whole item into Python's values and back once for each key of an index, copies
what a query found although its answer is a copy, and writes every stream record as JSON to know how long it is.
Whatever is not plain, moto does itself, as it always did: ``test_account.py`` and ``test_moto_expressions.py`` hold
both side by side.
"""

import copy
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType, Item

# Moto's types do not show what is replaced here.
dynamo_type: Any = import_module("moto.dynamodb.models.dynamo_type")
responses: Any = import_module("moto.dynamodb.responses")
table: Any = import_module("moto.dynamodb.models.table")
utilities: Any = import_module("moto.dynamodb.models.utilities")

_AS_IT_IS = frozenset(("S", "BOOL", "NULL"))


def install() -> None:
    """From now on, for the life of the process; once."""
    attribute: Any = DynamoType
    item: Any = Item
    attribute.__init__ = _made(attribute.__init__)
    attribute.cast_value = property(_cast(attribute.cast_value.fget))
    attribute.size = _size(attribute.size)
    attribute.to_regular_json = _as_json(attribute.to_regular_json)
    item.project = _projected(item.project)
    responses.dynamo_to_dict = _told
    dynamo_type.bytesize = utilities.bytesize = _bytes
    table.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied)
    record = table.StreamRecord
    record.to_json = _measured(record.to_json, table.dynamo_json_dump)
    table.dynamo_json_dump = lambda _: ""


def _made(make: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    @wraps(make)
    def made(self: Any, given: Any) -> None:
        if type(given) is DynamoType:
            kind, value = given.type, given.value
        elif type(given) is dict and given:
            kind, value = next(iter(given.items()))
        else:
            make(self, given)
            return
        self.type = kind
        if kind == "L":
            value = [DynamoType(own) for own in value]
        elif kind == "M":
            value = {name: DynamoType(own) for name, own in value.items()}
        self.value = value

    return made


def _cast(cast: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: self.value if self.type == "S" else cast(self)


def _size(size: Callable[[Any], int]) -> Callable[[Any], int]:
    """Without a copy of each part of a map."""

    @wraps(size)
    def sized(self: Any) -> int:
        kind, value = self.type, self.value
        if kind == "S":
            return _bytes(value)
        if kind == "N":
            return len(str(value))
        if kind == "M":
            size_of_all = 0
            for name, own in value.items():
                size_of_all += _bytes(name) + sized(own if type(own) is DynamoType else DynamoType(own))
            return size_of_all
        return sum(map(sized, value)) if kind == "L" else size(self)

    return sized


def _as_json(as_json: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Without a copy of what is within, to make another of it."""

    @wraps(as_json)
    def told(self: Any) -> dict[str, Any]:
        kind, value = self.type, self.value
        if kind in _AS_IT_IS or (kind == "N" and type(value) is str):
            return {kind: value}
        if kind == "M" and all(type(own) is DynamoType for own in value.values()):
            return {kind: {name: told(own) for name, own in value.items()}}
        if kind == "L" and all(type(own) is DynamoType for own in value):
            return {kind: [told(own) for own in value]}
        return as_json(self)

    return told


def _bytes(value: str | bytes) -> int:
    return len(value) if type(value) is bytes or value.isascii() else len(value.encode())  # type: ignore[union-attr]


def _projected(project: Callable[[Any, Sequence[Sequence[str]]], Any]) -> Callable[[Any, Sequence[Sequence[str]]], Any]:
    """Of single attributes that have no parts."""

    @wraps(project)
    def projected(self: Any, wanted: Sequence[Sequence[str]]) -> Any:
        if any(len(path) != 1 or "[" in path[0] for path in wanted):
            return project(self, wanted)
        found = {path[0]: self.attrs[path[0]] for path in wanted if path[0] in self.attrs}
        if not all(_stays(own) for own in found.values()):
            return project(self, wanted)
        made: Any = Item(self.hash_key, self.range_key, {})
        for name, own in found.items():
            dict.__setitem__(made.attrs, name, own)
        return made

    return projected


def _stays(attribute: Any) -> bool:
    """Whether it is the same after it was one of Python's values."""
    kind, value = attribute.type, attribute.value
    if kind == "N":
        return bool(value.isascii() and value.isdigit() and value[0] != "0" and len(value) <= 38)
    return bool(kind == "S" or (kind == "B" and type(value) is bytes))


def _told(held: Any) -> Any:
    """What moto holds as plain values."""
    kind = type(held)
    if kind is DynamoType:
        own, value = held.type, held.value
        if own in _AS_IT_IS or own == "N":
            return {own: value}
        if own == "M":
            return {"M": {name: _told(within) for name, within in value.items()}}
        if own == "L":
            return {"L": [_told(within) for within in value]}
        return utilities.dynamo_to_dict(held)
    if kind is str or kind is int or kind is bool or held is None:
        return held
    if kind is dict or kind is dynamo_type.LimitedSizeDict:
        return {name: _told(own) for name, own in held.items()}
    if kind is list:
        return [_told(own) for own in held]
    return utilities.dynamo_to_dict(held)


def _copied(value: Any, memo: Any = None) -> Any:
    """A deep copy, but of what was found for an answer: that will be one."""
    if type(value) is Item:
        return value
    if type(value) is list and value and type(value[0]) is Item:
        return list(value)
    return copy.deepcopy(value, memo)


def _measured(to_json: Callable[[Any], Any], dumped: Callable[[Any], str]) -> Callable[[Any], Any]:
    """A record says how long it is when it is read."""

    @wraps(to_json)
    def told(self: Any) -> Any:
        record = to_json(self)
        if record["dynamodb"]["SizeBytes"] == 0:
            record["dynamodb"]["SizeBytes"] = 1
            record["dynamodb"]["SizeBytes"] = len(dumped(record["dynamodb"]))
        return record

    return told
