"""What the API answers, held against what it says of itself: every status, header and body of every success."""

import copy
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from jsonschema_rs import Draft202012Validator

from functions.merchant_api.description import openapi_document

Operation = tuple[str, str]
"""Method and described path."""
_OF_EVERY_ANSWER = frozenset({"content-type", "cache-control", "idempotency-replayed"})
_SERVED_WITHOUT = frozenset({"/openapi.json", "/docs"})


@cache
def document() -> dict[str, Any]:
    """The description, as the handler itself makes it, once for both."""
    resolver = import_module("functions.merchant_api.handler")._pipeline._resolver
    made: dict[str, Any] = json.loads(openapi_document(resolver))
    return made


@cache
def operations() -> dict[Operation, dict[str, Any]]:
    """All that is described."""
    return {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def operation_at(method: str, path: str) -> Operation | None:
    """The operation that an address belongs to."""
    return next((found for found in _at(path) if found[0] == method), None)


def check(method: str, path: str, status: int, headers: Mapping[str, str], text: str) -> None:
    """Raises AssertionError where a success says what is not described, or leaves out what is."""
    if not 200 <= status < 300 or path in _SERVED_WITHOUT:
        return
    operation = operation_at(method, path)
    assert operation is not None, f"{method} {path} is not described"
    said = operations()[operation]["responses"].get(str(status))
    assert said is not None, f"{operation} answers {status}, which is not described"
    _check_headers(operation, said, headers)
    content = said.get("content", {})
    if not content:
        assert text == "", f"{operation} {status} has a body that is not described"
        return
    media_type = headers["content-type"]
    assert media_type in content, f"{operation} answers {media_type}"
    if "idempotency-replayed" in headers and json.loads(text).keys() <= {"id"}:
        return  # what was too large, or not ours, to keep is repeated by its id
    bodies = text.splitlines() if media_type == "application/x-ndjson" else [text]
    for body in bodies:
        errors = list(_validator(operation, status, media_type).iter_errors(json.loads(body)))
        assert errors == [], f"{operation} {status}: {[(own.instance_path, own.message[:300]) for own in errors[:5]]}"


def _check_headers(operation: Operation, said: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    described = {name.lower(): own for name, own in said.get("headers", {}).items()}
    more = set(headers) - set(described) - _OF_EVERY_ANSWER
    assert more == set(), f"{operation} answers with headers that are not described: {sorted(more)}"
    if "idempotency-replayed" not in headers:
        missing = {name for name, own in described.items() if own.get("required")} - set(headers)
        assert missing == set(), f"{operation} answers without {sorted(missing)}"


@cache
def _validator(operation: Operation, status: int, media_type: str) -> Draft202012Validator:
    said = operations()[operation]["responses"][str(status)]
    schema = said["content"][media_type]["schema"]
    return validator(schema.get("contentSchema", schema))


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """What a schema of the description takes, without a single field beside those it names."""
    closed = copy.deepcopy(dict(schema))
    _close(closed)
    formats = {"duration": _is_duration, "date": _is_day}
    return Draft202012Validator(closed | {"components": _closed_components()}, validate_formats=True, formats=formats)


@cache
def _closed_components() -> dict[str, Any]:
    closed: dict[str, Any] = copy.deepcopy(document()["components"])
    _close(closed)
    return closed


def _close(part: Any) -> None:
    if isinstance(part, list):
        for own in part:
            _close(own)
    elif isinstance(part, dict):
        if isinstance(part.get("properties"), dict) and part.get("type") == "object":
            part.setdefault("additionalProperties", False)
        for own in part.values():
            _close(own)


@cache
def _patterns() -> list[tuple[re.Pattern[str], Operation]]:
    whole = sorted(operations(), key=lambda own: own[1].count("{"))
    return [(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(own[1]))), own) for own in whole]


def _at(path: str) -> list[Operation]:
    return [own for pattern, own in _patterns() if pattern.fullmatch(path)]


def _is_duration(text: str) -> bool:
    return re.fullmatch(r"P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?|P\d+W", text) is not None


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is not None
