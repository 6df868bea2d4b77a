"""The success answers of the description: bodies as the routes' return types, headers and statuses as they tell them.

Made when the description is asked for: a request that is no such asks nothing of this.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from inspect import get_annotations
from types import GenericAlias, get_original_bases
from typing import Any, Final, get_args, get_origin, is_typeddict

from pydantic import ConfigDict, TypeAdapter

from functions.merchant_api.session import LINES, Spelt, repeat_of, told_by
from shared.api.idempotency import Repeat

Schema = dict[str, Any]

_REFERENCE: Final = "#/components/schemas/{model}"
_JSON: Final = "application/json"
_LINES: Final = "One object a line, each as `contentSchema` says."
_AS_WRITTEN: Final = ConfigDict(use_attribute_docstrings=True)
_PAGE: Final = re.compile(r"Page_(\w+?)(?:Json)?_")
_RENAMED: Final = {
    "Status": "CheckoutStatus",
    "Reason": "CheckoutReason",
    "Consent": "ConsentState",
    "Outcome": "AttemptOutcome",
}
"""Names that say too little outside their module."""
_HEADERS: Final[Mapping[str, Schema]] = {
    "ETag": {
        "description": "The version: send it as `If-Match` to change no other.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "Where to read it.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {"description": 'With `rel="next"`: where the rest is.', "schema": {"type": "string"}},
    "Retry-After": {"description": "After how many seconds to ask again.", "schema": {"type": "integer"}},
    "Checkback-Missing": {"description": "Fields that the payload does not hold.", "schema": {"type": "string"}},
    "Checkback-Assumed": {"description": "Fields that were assumed.", "schema": {"type": "string"}},
}
_NAMED: Final[Schema] = {
    "type": "object",
    "description": "What a repeat under its Idempotency-Key is answered with.",
    "required": ["id"],
    "properties": {"id": {"type": "string"}},
    "title": "Named",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What an operation says when it succeeds. ``body`` is a type, None where there is none."""

    body: Any
    media_type: str = _JSON
    may_be_empty: bool = False


def said_by(operation: Callable[..., Any]) -> Said:
    """The body of an operation's answers, from its return type."""
    (inside,) = get_args(get_annotations(operation)["return"])
    if inside is type(None):
        return Said(None)
    written, *notes = get_args(inside)
    spelt = next((note for note in notes if isinstance(note, Spelt)), None)
    if spelt is not None:
        return Said(spelt.body, spelt.media_type)
    parts = [part for part in get_args(written) if part is not type(None)] if type(None) in get_args(written) else None
    return Said(written) if parts is None else Said(parts[0], may_be_empty=True)


class Bodies:
    """The schemas of many types together: each by reference to a component."""

    def __init__(self, bodies: Iterable[Any]) -> None:
        """All types that will be asked for."""
        wanted = list(bodies)
        classes = dict.fromkeys(found for body in wanted for found in _classes_in(body, set()))
        # As one type: what many of them hold is made once.
        together: Any = GenericAlias(tuple, (*wanted, *classes))
        schema = TypeAdapter(together, config=_AS_WRITTEN).json_schema(mode="serialization", ref_template=_REFERENCE)
        definitions = schema.get("$defs", {})
        _inherit_descriptions(definitions, classes)
        self._of = {repr(body): own for body, own in zip(wanted, schema["prefixItems"], strict=False)}
        self._definitions = definitions

    def schema(self, body: Any) -> Schema:
        """The schema of one of the types."""
        found: Schema = self._of[repr(body)]
        return found

    def components(self, used: Iterable[Any]) -> dict[str, Schema]:
        """The components that schemas lead to."""
        found: dict[str, Schema] = {}
        waiting = [name for schema in used for name in _referred(schema)]
        while waiting:
            name = waiting.pop()
            if name in self._definitions and name not in found:
                found[name] = self._definitions[name]
                waiting += _referred(found[name])
        return found


def responses(operation: Callable[..., Any], status: int, bodies: Bodies) -> dict[str, Any]:
    """An operation's success answers by status; ``status`` is the one it has unless it says otherwise."""
    said, told = said_by(operation), told_by(operation)
    meanings = {status: HTTPStatus(status).phrase} | dict(told.also)
    return {
        str(code): _response(
            operation, said, meaning, bodies, empty=said.body is None or (said.may_be_empty and code == status)
        )
        for code, meaning in sorted(meanings.items())
    }


def _response(
    operation: Callable[..., Any], said: Said, meaning: str, bodies: Bodies, *, empty: bool
) -> dict[str, Any]:
    found: dict[str, Any] = {"description": meaning}
    headers = {name: _HEADERS[name] for name in told_by(operation).headers}
    if headers:
        found["headers"] = headers
    if not empty:
        schema = bodies.schema(said.body)
        if repeat_of(operation) is Repeat.NAMED:
            schema = {"anyOf": [schema, _NAMED]}
        if said.media_type == LINES:
            schema = {"type": "string", "contentMediaType": _JSON, "contentSchema": schema, "description": _LINES}
        found["content"] = {said.media_type: {"schema": schema}}
    return found


def _classes_in(part: Any, seen: set[Any]) -> Iterator[Any]:
    """The TypedDicts that a type is made of, with those that they say more than."""
    part = getattr(part, "__value__", part)
    origin = get_origin(part) or part
    if is_typeddict(origin) and origin not in seen:
        seen.add(origin)
        if not getattr(origin, "__type_params__", ()):
            yield origin
        for inner in (*get_original_bases(origin), *get_annotations(origin).values()):
            yield from _classes_in(inner, seen)
    for argument in get_args(part):
        yield from _classes_in(argument, seen)


def _inherit_descriptions(definitions: dict[str, Schema], classes: Iterable[Any]) -> None:
    """What is said of a field holds where the class is extended."""
    for own in classes:
        if own.__name__ not in definitions:
            continue
        for base in _bases(own):
            inherited = definitions.get(base.__name__, {}).get("properties", {})
            for name, schema in inherited.items():
                mine = definitions[own.__name__]["properties"].get(name, {})
                if "description" in schema:
                    mine.setdefault("description", schema["description"])


def _bases(own: Any) -> Iterator[Any]:
    for base in get_original_bases(own):
        if is_typeddict(base):
            yield base
            yield from _bases(base)


def plain(part: Any) -> Any:
    """A part of the description without the titles that the library makes of names, by the names of ``named``."""
    if isinstance(part, list):
        return [plain(own) for own in part]
    if not isinstance(part, dict):
        return part
    kept = {name: plain(own) for name, own in part.items() if name != "title" or not isinstance(own, str)}
    if isinstance(kept.get("$ref"), str):
        kept["$ref"] = _REFERENCE.format(model=named(kept["$ref"].rpartition("/")[2]))
    return kept


def named(name: str) -> str:
    """The component of a class: ``SourceJson`` is ``Source``, a page of them ``SourcePage``."""
    page = _PAGE.fullmatch(name)
    return f"{page[1]}Page" if page else _RENAMED.get(name, name.removesuffix("Json"))


def _referred(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for part in schema for name in _referred(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"].rpartition("/")[2]] if isinstance(schema.get("$ref"), str) else []
    return own + [name for part in schema.values() for name in _referred(part)]
