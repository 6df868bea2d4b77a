"""Frozen dataclasses as item maps and back, for configuration rows: no field is named twice.

Instants become milliseconds, durations milliseconds, times of day ``HH:MM``; None is left out where it is the
default.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
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


_hints: dict[type, dict[str, Any]] = {}
"""By dataclass: working them out takes longer than reading a row."""


def unpack[T](kind: type[T], plain: Mapping[str, Any]) -> T:
    """The dataclass of ``pack``'s values; a field that was not stored takes its default."""
    hints = _hints.get(kind)
    if hints is None:
        hints = _hints[kind] = get_type_hints(kind)
    given: dict[str, Any] = {}
    for own in fields(kind):  # type: ignore[arg-type]  # T is bound to dataclasses by use
        if own.name in plain:
            given[own.name] = _read(hints[own.name], plain[own.name])
        elif own.default is MISSING and own.default_factory is MISSING:
            given[own.name] = None
    return kind(**given)


def _read(hint: Any, plain: Any) -> Any:
    if get_origin(hint) in {Union, UnionType}:
        if plain is None:
            return None
        hint = next(part for part in get_args(hint) if part is not NoneType)
    supertype = getattr(hint, "__supertype__", None)
    hint = supertype or hint
    if hint is datetime:
        return from_ms(int(plain))
    if hint is timedelta:
        return timedelta(milliseconds=int(plain))
    if hint is time:
        return time.fromisoformat(plain)
    if hint is int:
        return int(plain)
    if isinstance(hint, type) and is_dataclass(hint):
        return unpack(hint, plain)
    if get_origin(hint) is tuple:
        return tuple(_read(get_args(hint)[0], part) for part in plain)
    return thawed(plain)


def thawed(plain: Any) -> Any:
    """Numbers of a free-form map as int or float: DynamoDB gives every number back as Decimal."""
    if isinstance(plain, Decimal):
        return int(plain) if plain == plain.to_integral_value() else float(plain)
    if isinstance(plain, dict):
        return {name: thawed(part) for name, part in plain.items()}
    if isinstance(plain, list):
        return [thawed(part) for part in plain]
    return plain
