"""Whether botocore would take a call's parameters as they are: its questions, by functions made once a shape.

Only what is sound beyond doubt is; whatever else stands there, botocore looks at itself, and says what is wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any

type _Check = Callable[[Any], bool]

_known: dict[str, _Check] = {}


def is_sound(given: Any, shape: Any) -> bool:
    """Of one service only: shapes are known by their names."""
    return _check(shape)(given)


def _check(shape: Any) -> _Check:
    known = _known.get(shape.name)
    if known is not None:
        return known

    def within(value: Any) -> bool:
        """The shape within itself: made by then."""
        return _known[shape.name](value)

    _known[shape.name] = within
    made = _known[shape.name] = _MAKERS.get(shape.type_name, _never)(shape)
    return made


def _never(_: Any) -> _Check:
    return lambda _: False


def _structure(shape: Any) -> _Check:
    if shape.is_tagged_union or shape.is_document_type:
        return _never(shape)
    required = frozenset(shape.metadata.get("required", ()))
    members = {name: _check(member) for name, member in shape.members.items()}

    def is_sound(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys() <= members.keys():
            return False
        return all(members[name](held) for name, held in value.items())

    return is_sound


def _list(shape: Any) -> _Check:
    least, check = shape.metadata.get("min", 0), _check(shape.member)
    return lambda value: type(value) is list and len(value) >= least and all(map(check, value))


def _map(shape: Any) -> _Check:
    key, held = _check(shape.key), _check(shape.value)
    return lambda value: type(value) is dict and all(map(key, value)) and all(map(held, value.values()))


def _string(shape: Any) -> _Check:
    least = shape.metadata.get("min", 0)
    return lambda value: type(value) is str and len(value) >= least


def _number(shape: Any) -> _Check:
    least = shape.metadata.get("min")
    return lambda value: type(value) is int and (least is None or value >= least)


def _of(kind: type) -> Callable[[Any], _Check]:
    return lambda _: lambda value: type(value) is kind


_MAKERS: Mapping[str, Callable[[Any], _Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "boolean": _of(bool),
    "blob": _of(bytes),
}
