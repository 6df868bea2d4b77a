"""Whether botocore would take a call's parameters as they are: its questions, by functions made once a shape.

Only what is sound beyond doubt is; whatever else stands there, botocore looks at itself, and says what is wrong.
"""

from collections.abc import Callable, Mapping
from typing import Any

type _Check = Callable[[Any], bool]

_known: dict[tuple[str, str], _Check] = {}
"""By service, whose shapes are known by their names, and shape."""


def is_sound(given: Any, service: str, shape: Any) -> bool:
    """Whether this may be sent as what a shape of the service says."""
    return _check(service, shape)(given)


def _check(service: str, shape: Any) -> _Check:
    key = (service, shape.name)
    known = _known.get(key)
    if known is not None:
        return known

    def within(value: Any) -> bool:
        """The shape within itself: made by then."""
        return _known[key](value)

    _known[key] = within
    made = _known[key] = _MAKERS.get(shape.type_name, _never)(service, shape)
    return made


def _never(*_: Any) -> _Check:
    return lambda _: False


def _structure(service: str, shape: Any) -> _Check:
    if shape.is_tagged_union or shape.is_document_type:
        return _never()
    required = frozenset(shape.metadata.get("required", ()))
    members = {name: _check(service, member) for name, member in shape.members.items()}

    def is_sound(value: Any) -> bool:
        if type(value) is not dict or not required <= value.keys() <= members.keys():
            return False
        return all(members[name](held) for name, held in value.items())

    return is_sound


def _list(service: str, shape: Any) -> _Check:
    least, check = shape.metadata.get("min", 0), _check(service, shape.member)
    return lambda value: type(value) is list and len(value) >= least and all(map(check, value))


def _map(service: str, shape: Any) -> _Check:
    key, held = _check(service, shape.key), _check(service, shape.value)
    return lambda value: type(value) is dict and all(map(key, value)) and all(map(held, value.values()))


def _string(_: str, shape: Any) -> _Check:
    least = shape.metadata.get("min", 0)
    return lambda value: type(value) is str and len(value) >= least


def _number(_: str, shape: Any) -> _Check:
    least = shape.metadata.get("min")
    return lambda value: type(value) is int and (least is None or value >= least)


def _of(kind: type) -> Callable[[str, Any], _Check]:
    return lambda *_: lambda value: type(value) is kind


_MAKERS: Mapping[str, Callable[[str, Any], _Check]] = {
    "structure": _structure,
    "list": _list,
    "map": _map,
    "string": _string,
    "integer": _number,
    "long": _number,
    "boolean": _of(bool),
    "blob": _of(bytes),
}
