"""What DynamoDB refuses and moto lets pass: keys too long or empty, text that is no UTF-8, items too large or deep."""

import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

_PARTITIONS = {"pk", "lp", "dq", "ip", "ie", "ic", "ik"}
_SORTS = {"sk", "ls"}
_BETWEEN = re.compile(r"BETWEEN (:\w+) AND (:\w+)")
_LARGEST_ITEM = 400 * 1024
_DEEPEST = 32


def as_strict_as_aws(client: Any) -> None:
    """From now on this client refuses what DynamoDB would."""
    client.meta.events.register("provide-client-params.dynamodb", _check)


def _check(params: Any, model: Any, **_: Any) -> None:
    wrong = next(_problems(params), None)
    if wrong is not None:
        raise ClientError({"Error": {"Code": "ValidationException", "Message": wrong}}, model.name)


def _problems(part: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if isinstance(value, dict) and (name in _PARTITIONS or name in _SORTS) and "S" in value:
                yield from _key_problems(name, value["S"])
            if name in {"Item", "ExpressionAttributeValues"}:
                yield from _size_problems(value)
            yield from _problems(value, depth + 1)
        if "KeyConditionExpression" in part:
            values = part.get("ExpressionAttributeValues", {}).values()
            yield from (f"{len(own['S'])} characters of a key" for own in values if len(own.get("S", "")) > 2_048)
            yield from _range_problems(part["KeyConditionExpression"], part.get("ExpressionAttributeValues", {}))
    elif isinstance(part, list):
        for value in part:
            yield from _problems(value, depth + 1)
    elif isinstance(part, str) and part != part.encode(errors="replace").decode():
        yield "text that is no UTF-8"


def _key_problems(name: str, value: str) -> Iterator[str]:
    most = 1_024 if name in _SORTS else 2_048
    if not 0 < len(value.encode(errors="replace")) <= most:
        yield f"{len(value)} characters in the key {name}"


def _range_problems(condition: str, values: dict[str, Any]) -> Iterator[str]:
    for low, high in _BETWEEN.findall(condition):
        first, last = values[low], values[high]
        if "S" in first and first["S"] > last["S"]:
            yield "BETWEEN needs an upper bound that is not below the lower one"


def _size_problems(item: dict[str, Any]) -> Iterator[str]:
    if len(str(item)) > _LARGEST_ITEM:
        yield "an item over 400 KB"
    if max((_depth(own) for own in item.values()), default=0) > _DEEPEST:
        yield "an item nested too deep"


def _depth(value: Any) -> int:
    if not isinstance(value, dict):
        return 0
    inner = value.get("M", {}).values() if "M" in value else value.get("L", [])
    return 1 + max((_depth(own) for own in inner), default=0)
