"""The endpoint editor's fields, made of the kind's own JSON Schema: as typed text, and as the API's settings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from functions.console import forms
from functions.console.words import said
from shared.domain.announcement import EventType

EVENT_TYPES = tuple(own.value for own in EventType)
_NOT_BY_DEFAULT = EventType.UPDATED.value
_ELSEWHERE = frozenset({"payload", "retry_schedule", "rate_limit"})
"""Settings with fields of their own shape."""
_NO_JSON = "this is no JSON"


@dataclass(frozen=True)
class Setting:
    """One setting of a kind, and how it is asked for."""

    name: str
    label: str
    shape: Literal["text", "secret", "choice", "json", "json or name"]
    hint: str
    required: bool
    options: tuple[tuple[str, str], ...] = ()

    @property
    def field(self) -> str:
        """Its name in the form."""
        return f"settings.{self.name}"


def settings_of(schema: Mapping[str, Any]) -> list[Setting]:
    """The settings of a kind: those it needs first, what every kind has last."""
    required = schema.get("required", ())
    known: Mapping[str, Mapping[str, Any]] = schema["properties"]
    common = ("timeout", "filter")
    named = [own for own in known if own not in _ELSEWHERE and own not in common]
    named.sort(key=lambda own: own not in required)
    return [_setting(own, known[own], required) for own in (*named, *common) if own in known]


def _setting(name: str, schema: Mapping[str, Any], required: Sequence[str]) -> Setting:
    hint = str(schema.get("description", "")).replace("`", "")
    if "default" in schema and not isinstance(schema["default"], dict | list):
        hint = f"{hint} Empty: {json.dumps(schema['default']).strip(chr(34))}.".strip()
    label, needed = said(name), name in required
    if schema.get("writeOnly"):
        return Setting(name, label, "secret", hint, needed)
    if "enum" in schema or schema.get("type") == "boolean":
        values = schema.get("enum", ("true", "false"))
        return Setting(name, label, "choice", hint, needed, (("", "as usual"), *((own, said(own)) for own in values)))
    if "oneOf" in schema:
        return Setting(name, label, "json or name", f"{hint} As JSON, or a bare name.", needed)
    if schema.get("type") in {"object", "array"}:
        return Setting(name, label, "json", f"{hint} As JSON.".strip(), needed)
    return Setting(name, label, "text", hint, needed)


def fresh(kind: str) -> dict[str, str]:
    """The fields of a new endpoint: a webhook gets all events but the feed, the others messages of campaigns."""
    typed = {"payload": "checkback"}
    if kind == "webhook":
        typed |= {f"event.{own}": "yes" for own in EVENT_TYPES if own != _NOT_BY_DEFAULT}
    return typed


def typed_of(endpoint: Mapping[str, Any], settings: Sequence[Setting]) -> dict[str, str]:
    """An endpoint, as the API shows it, as fields; secrets and headers stay empty."""
    stored = endpoint["settings"]
    typed = {"name": endpoint["name"] or "", "url": endpoint["url"] or "", "payload": "checkback"}
    typed |= {f"event.{own}": "yes" for own in endpoint["event_types"]}
    for own in settings:
        if own.shape != "secret" and own.name in stored:
            value = stored[own.name]
            plain = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
            typed[own.field] = plain
    typed["retry_schedule"] = "\n".join(stored.get("retry_schedule", ()))
    if limit := stored.get("rate_limit"):
        typed |= {"rate_max": str(limit["max"]), "rate_per": limit["per"]}
    if (payload := stored.get("payload")) is not None:
        typed["payload"] = payload if isinstance(payload, str) else "liquid"
        typed["liquid"] = "" if isinstance(payload, str) else payload["liquid"]
    return typed


def compared(typed: Mapping[str, str]) -> dict[str, str]:
    """The fields with the ticked events as one, for whoever compares two endpoints."""
    events = ", ".join(own for own in EVENT_TYPES if typed.get(f"event.{own}"))
    return {name: own for name, own in typed.items() if not name.startswith("event.")} | {"events": events}


def body_of(
    typed: Mapping[str, str], settings: Sequence[Setting], *, webhook: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """The API's fields, and what is wrong with those that are no JSON. Empty is null; empty secrets are left out."""
    wrong: dict[str, str] = {}
    given: dict[str, Any] = {}
    for own in settings:
        text = typed.get(own.field, "").strip()
        if text or own.shape != "secret":
            given[own.name] = _value(own, text, wrong) if text else None
    given["retry_schedule"] = forms.lines(typed.get("retry_schedule", "")) or None
    rate, per = typed.get("rate_max", "").strip(), typed.get("rate_per", "").strip()
    given["rate_limit"] = {"max": int(rate) if rate.isdecimal() else rate, "per": per} if rate or per else None
    if webhook:
        payload = typed.get("payload", "checkback")
        given["payload"] = {"liquid": typed.get("liquid", "")} if payload == "liquid" else payload
    body: dict[str, Any] = {
        "name": typed.get("name", "").strip() or None,
        "url": typed.get("url", "").strip() or None,
        "event_types": [own for own in EVENT_TYPES if typed.get(f"event.{own}")],
        "settings": given,
    }
    if headers := forms.pairs(typed.get("headers", "")):
        body["headers"] = headers
    elif typed.get("drop_headers") == "yes":
        body["headers"] = {}
    return body, wrong


def places(settings: Sequence[Setting]) -> dict[str, str]:
    """Which field each of the API's pointers is about."""
    return {
        "/name": "name",
        "/url": "url",
        "/event_types": "events",
        "/headers": "headers",
        "/settings/retry_schedule": "retry_schedule",
        "/settings/rate_limit": "rate_max",
        "/settings/rate_limit/per": "rate_per",
        "/settings/payload": "payload",
        "/settings/payload/liquid": "liquid",
        **{f"/settings/{own.name}": own.field for own in settings},
    }


def json_or_name(text: str) -> Any:
    """A template: JSON where it begins like it, else a bare name. Raises ValueError."""
    return json.loads(text) if text.lstrip()[:1] in {"{", "[", '"'} else text.strip()


def _value(own: Setting, text: str, wrong: dict[str, str]) -> Any:
    if own.shape == "choice" and text in {"true", "false"}:
        return text == "true"
    try:
        if own.shape == "json":
            return json.loads(text)
        if own.shape == "json or name":
            return json_or_name(text)
    except (ValueError, RecursionError):
        wrong[own.field] = _NO_JSON
    return int(text) if own.name.endswith("_seconds") and text.isdecimal() else text
