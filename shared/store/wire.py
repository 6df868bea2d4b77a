"""What goes over the wire: plain values as DynamoDB's typed ones and back, conditions and updates as expressions."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import ConditionBase, ConditionExpressionBuilder
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer

if TYPE_CHECKING:
    from shared.store.writes import Item, ItemKey, Update

_serialise = TypeSerializer().serialize
_deserialise = TypeDeserializer().deserialize


def to_wire(item: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as DynamoDB's typed values."""
    return {name: _serialise(value) for name, value in item.items()}


def from_wire(item: Mapping[str, Any]) -> "Item":
    """DynamoDB's typed values as plain values: numbers are Decimal, binaries bytes."""
    return {name: _plain(_deserialise(value)) for name, value in item.items()}


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


def key_to_wire(key: "ItemKey") -> Any:
    """A key as DynamoDB takes it."""
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def condition_arguments(condition: ConditionBase | None) -> dict[str, Any]:
    """The condition as one write's arguments."""
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


def query_arguments(condition: ConditionBase, filter_by: ConditionBase | None = None) -> dict[str, Any]:
    """A key condition, and what is left out of what it finds, as a query's arguments."""
    built = ConditionExpressionBuilder()
    keys = built.build_expression(condition, is_key_condition=True)
    names, values = dict(keys.attribute_name_placeholders), dict(keys.attribute_value_placeholders)
    arguments: dict[str, Any] = {"KeyConditionExpression": keys.condition_expression}
    if filter_by is not None:
        filtered = built.build_expression(filter_by)
        names |= filtered.attribute_name_placeholders
        values |= filtered.attribute_value_placeholders
        arguments["FilterExpression"] = filtered.condition_expression
    return {**arguments, "ExpressionAttributeNames": names, "ExpressionAttributeValues": to_wire(values)}


def update_arguments(update: "Update") -> dict[str, Any]:
    """The update and its condition as a call's arguments without the key; every name goes through a placeholder."""
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
    condition = condition_arguments(update.condition)
    names |= condition.get("ExpressionAttributeNames", {})
    arguments: dict[str, Any] = {"UpdateExpression": " ".join(clauses)}
    wire_values = to_wire(values) | condition.get("ExpressionAttributeValues", {})
    if names:
        arguments["ExpressionAttributeNames"] = names
    if wire_values:
        arguments["ExpressionAttributeValues"] = wire_values
    if update.condition is not None:
        arguments["ConditionExpression"] = condition["ConditionExpression"]
    return arguments
