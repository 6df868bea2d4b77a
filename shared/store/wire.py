"""What goes over the wire: plain values as DynamoDB's typed ones and back, conditions and updates as expressions.

Amazon DynamoDB Developer Guide, "Low-level API", data type descriptors; and "Naming rules and data types" for numbers.
"""

import base64
from collections.abc import Mapping, Set
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, Rounded
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.store.conditions import Condition, Expressions

if TYPE_CHECKING:
    from shared.store.writes import Item, ItemKey, Update

_NUMBERS = Context(Emin=-128, Emax=126, prec=38, traps=[Inexact, Rounded])
"""What DynamoDB keeps of a number: 38 digits. What has more is refused here and not rounded there."""
_EXACT = 10**38
"""Whole numbers below it have no more digits than that."""


def to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as DynamoDB's typed values. Raises TypeError for what it has no type for, a float above all."""
    return {name: _typed(value) for name, value in item.items()}


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | Decimal):
        return {"N": _number(value)}
    if value is None:
        return {"NULL": True}
    if isinstance(value, Mapping):
        return {"M": {name: _typed(part) for name, part in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [_typed(part) for part in value]}
    if isinstance(value, bytes | bytearray):
        return {"B": value}
    if isinstance(value, Set):
        return _typed_set(value)
    raise TypeError(f"no type of DynamoDB: {type(value).__name__}")


def _number(value: int | Decimal) -> str:
    """Raises TypeError for what is no number, Inexact for more than 38 digits."""
    if isinstance(value, int) and -_EXACT < value < _EXACT:
        return str(int(value))
    number = _NUMBERS.create_decimal(value)
    if not number.is_finite():
        raise TypeError("infinity and NaN are no numbers of DynamoDB")
    return str(number)


def _typed_set(values: Set[Any]) -> dict[str, Any]:
    """A set has members, all of one type. Raises TypeError for any other."""
    kinds = {kind for own in values for kind in _typed(own)}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise TypeError("a set holds texts, numbers or bytes, of one kind and at least one")
    (kind,) = kinds
    return {kind + "S": [_typed(own)[kind] for own in values]}


def from_wire(item: Mapping[str, Any]) -> "Item":
    """DynamoDB's typed values as plain values: numbers are Decimal, binaries bytes."""
    return {name: _plain(value) for name, value in item.items()}


def _plain(typed: Mapping[str, Any]) -> Any:
    ((kind, value),) = typed.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return Decimal(value)
        case "M":
            return {name: _plain(part) for name, part in value.items()}
        case "L":
            return [_plain(part) for part in value]
        case "NULL":
            return None
        case "B":
            return bytes(value)
        case "SS":
            return set(value)
        case "NS":
            return {Decimal(own) for own in value}
        case "BS":
            return {bytes(own) for own in value}
        case _:
            raise TypeError(f"no type of DynamoDB: {kind}")


def from_stream(image: Mapping[str, Any]) -> "Item":
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


def key_to_wire(key: "ItemKey") -> Any:
    """A key as DynamoDB takes it."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def condition_arguments(condition: Condition | None) -> dict[str, Any]:
    """The condition as one write's arguments."""
    if condition is None:
        return {}
    built = Expressions()
    text = built.text(condition)
    arguments: dict[str, Any] = {"ConditionExpression": text, "ExpressionAttributeNames": built.names}
    if built.values:
        arguments["ExpressionAttributeValues"] = to_wire(built.values)
    return arguments


def query_arguments(condition: Condition, filter_by: Condition | None = None) -> dict[str, Any]:
    """A key condition, and what is left out of what it finds, as a query's arguments."""
    built = Expressions()
    arguments: dict[str, Any] = {"KeyConditionExpression": built.text(condition)}
    if filter_by is not None:
        arguments["FilterExpression"] = built.text(filter_by)
    return {
        **arguments,
        "ExpressionAttributeNames": built.names,
        "ExpressionAttributeValues": to_wire(built.values),
    }


def update_arguments(update: "Update") -> dict[str, Any]:
    """The update and its condition as a call's arguments without the key; every name goes through a placeholder."""
    spelled = _spelled(
        tuple(update.set), tuple(update.set_if_absent), tuple(update.set_next), tuple(update.remove), tuple(update.add)
    )
    counted = (0, 1) if update.set_next else ()
    values = (*update.set.values(), *update.set_if_absent.values(), *counted, *update.add.values())
    condition = condition_arguments(update.condition)
    names = {**spelled.names, **condition.pop("ExpressionAttributeNames", {})}
    wire_values = dict(zip(spelled.values, map(_typed, values), strict=True))
    wire_values |= condition.pop("ExpressionAttributeValues", {})
    arguments: dict[str, Any] = {"UpdateExpression": spelled.text, **condition}
    if names:
        arguments["ExpressionAttributeNames"] = names
    if wire_values:
        arguments["ExpressionAttributeValues"] = wire_values
    return arguments


@dataclass(frozen=True, slots=True)
class _Spelled:
    """An update's expression, and the placeholders in it: of names, and of values in order."""

    text: str
    names: Mapping[str, str]
    values: tuple[str, ...]


@lru_cache(maxsize=256)
def _spelled(
    set_: tuple[str, ...],
    set_if_absent: tuple[str, ...],
    set_next: tuple[str, ...],
    remove: tuple[str, ...],
    add: tuple[str, ...],
) -> _Spelled:
    """Updates of the same attributes read the same; a webhook's names some forty."""
    names: dict[str, str] = {}
    values: list[str] = []

    def name(attribute: str) -> str:
        placeholder = f"#u{len(names)}"
        names[placeholder] = attribute
        return placeholder

    def value() -> str:
        values.append(f":u{len(values)}")
        return values[-1]

    sets = [f"{name(attribute)} = {value()}" for attribute in set_]
    for attribute in set_if_absent:
        target = name(attribute)
        sets.append(f"{target} = if_not_exists({target}, {value()})")
    if set_next:
        version, none, one = name("v"), value(), value()
        sets += [f"{name(attribute)} = if_not_exists({version}, {none}) + {one}" for attribute in set_next]
    clauses = []
    if sets:
        clauses.append("SET " + ", ".join(sets))
    if remove:
        clauses.append("REMOVE " + ", ".join(name(attribute) for attribute in remove))
    if add:
        clauses.append("ADD " + ", ".join(f"{name(attribute)} {value()}" for attribute in add))
    return _Spelled(" ".join(clauses), names, tuple(values))
