"""Frozen dataclasses as item maps and back, for configuration rows: no field is named twice.

Instants become milliseconds, durations milliseconds, times of day ``HH:MM``; None is left out where it is the
default.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import partial
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from shared.domain.instants import from_ms, to_ms


def pack(value: Any) -> Any:
    """A dataclass (or a part of one) as plain values DynamoDB takes."""
    if is_dataclass(value) and not isinstance(value, type):
        packed = {own.name: pack(getattr(value, own.name)) for own in fields(value)}
        # None is left out only where it comes back by itself: no quiet hours at all is not the default.
        silent = {own.name for own in fields(value) if own.default is None or own.default is MISSING}
        return {name: part for name, part in packed.items() if part is not None or name not in silent}
    if isinstance(value, datetime):
        return to_ms(value)
    if isinstance(value, timedelta):
        return value // timedelta(milliseconds=1)
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if isinstance(value, Mapping):
        return {name: pack(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [pack(part) for part in value]
    if isinstance(value, float):
        return Decimal(repr(value))
    return value


type _Reader = Callable[[Any], Any]
_fields: dict[type, list[tuple[str, _Reader, bool]]] = {}
"""By dataclass: each field, how it is read and whether it has no default. Working that out takes longer than a row."""


def unpack[T](kind: type[T], plain: Mapping[str, Any]) -> T:
    """The dataclass of ``pack``'s values; a field that was not stored takes its default."""
    known = _fields.get(kind)
    if known is None:
        known = _fields[kind] = _fields_of(kind)
    given: dict[str, Any] = {}
    for name, read, is_needed in known:
        if name in plain:
            given[name] = read(plain[name])
        elif is_needed:
            given[name] = None
    return kind(**given)


def _fields_of(kind: Any) -> list[tuple[str, _Reader, bool]]:
    hints = get_type_hints(kind)
    return [
        (own.name, _reader(hints[own.name]), own.default is MISSING and own.default_factory is MISSING)
        for own in fields(kind)
    ]


def _reader(hint: Any) -> _Reader:
    """How what was packed of a field of this type is read."""
    if get_origin(hint) in {Union, UnionType}:
        read = _reader(next(part for part in get_args(hint) if part is not NoneType))
        return lambda plain: None if plain is None else read(plain)
    supertype = getattr(hint, "__supertype__", None)
    hint = supertype or hint
    if hint is datetime:
        return lambda plain: from_ms(int(plain))
    if hint is timedelta:
        return lambda plain: timedelta(milliseconds=int(plain))
    if hint is time:
        return time.fromisoformat
    if hint is int:
        return int
    if isinstance(hint, type) and is_dataclass(hint):
        return partial(unpack, hint)
    if get_origin(hint) is tuple:
        part_of = _reader(get_args(hint)[0])
        return lambda plain: tuple(map(part_of, plain))
    return thawed


def thawed(plain: Any) -> Any:
    """Numbers of a free-form map as int or float: DynamoDB gives every number back as Decimal."""
    if isinstance(plain, Decimal):
        return int(plain) if plain == plain.to_integral_value() else float(plain)
    if isinstance(plain, dict):
        return {name: thawed(part) for name, part in plain.items()}
    if isinstance(plain, list):
        return [thawed(part) for part in plain]
    return plain
