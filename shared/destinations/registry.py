"""Kinds of destination by name, each loaded when first asked for.

A kind is a module with a module-level ``destination`` that fits ``Destination``. A module of this package is
found by its name, which is the kind's; anyone else calls ``register("my_kind", "my_package.my_module")`` before
the first look-up.
"""

import importlib
import pkgutil
import re
import threading
from pathlib import Path
from typing import Any, TypedDict, cast

from shared.destinations.destination import Destination, Joining, Preparing
from shared.destinations.status import StatusSource

_PLUMBING = frozenset(
    {
        "aws_request",
        "destination",
        "email_layout",
        "event_facts",
        "interakt",
        "liquid",
        "liquid_engine",
        "liquid_sandbox",
        "liquid_turns",
        "liquid_worker",
        "message",
        "one_line",
        "registry",
        "ses_events",
        "status",
        "vendor_answer",
        "whatsapp",
        "whatsapp_errors",
        "whatsapp_template",
    }
)
"""Modules of this package that are no kind."""

_KIND = re.compile(r"[a-z][a-z0-9_]{1,39}")


class DestinationJson(TypedDict):
    """A kind of endpoint."""

    kind: str
    title: str
    settings: dict[str, Any]
    """The JSON Schema of its settings."""


class UnknownKind(LookupError):
    """No destination of that name is registered."""


def _own_modules() -> dict[str, str]:
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return {name: f"shared.destinations.{name}" for name in found if name not in _PLUMBING}


_modules = _own_modules()
_loaded: dict[str, Destination] = {}
_lock = threading.Lock()


def register(kind: str, module: str) -> None:
    """Make the kind in ``module`` (its dotted name) known. Loads nothing; repeating a call is harmless.

    Raises:
        ValueError: the name is not lower_snake_case, or belongs to another module already.
    """
    if not _KIND.fullmatch(kind):
        raise ValueError(f"a destination kind is 2 to 40 characters of a-z, 0-9 and _: {kind!r}")
    with _lock:
        if _modules.setdefault(kind, module) != module:
            raise ValueError(f"destination kind {kind!r} belongs to {_modules[kind]}")


def kinds() -> list[str]:
    """The registered names, sorted; loads nothing."""
    return sorted(_modules)


def destination(kind: str) -> Destination:
    """The destination of that name; its module is imported at the first call.

    Raises:
        UnknownKind: nobody registered it.
        TypeError: the module defines no destination of that kind.
    """
    found = _loaded.get(kind)
    if found is not None:
        return found
    module = _modules.get(kind)
    if module is None:
        raise UnknownKind(kind)
    candidate: Destination | None = getattr(importlib.import_module(module), "destination", None)
    if candidate is None or candidate.kind != kind:
        raise TypeError(f"{module} does not define `destination` of kind {kind!r}")
    return _loaded.setdefault(kind, candidate)


def preparing(known: Destination) -> Preparing | None:
    """The destination as one that has a request to send first, None when it has none."""
    return cast("Preparing", known) if hasattr(known, "prepare") else None


def joining(known: Destination) -> Joining | None:
    """The destination as one that takes several deliveries in one request, None when it does not."""
    return cast("Joining", known) if hasattr(known, "joined") else None


def takes_events(kind: str) -> bool:
    """Whether the kind is told of events as they are, instead of writing a message about their checkout.

    A kind that nobody registered (any more) takes none.
    """
    return kind in _modules and bool(getattr(destination(kind), "takes_events", False))


def statuses(kind: str) -> StatusSource | None:
    """What reads the kind's status webhooks: its module's ``statuses``; None for a kind that has none.

    Raises:
        UnknownKind: nobody registered it.
        TypeError: the module defines no destination of that kind.
    """
    destination(kind)
    found: StatusSource | None = getattr(importlib.import_module(_modules[kind]), "statuses", None)
    return found


def channel(kind: str) -> str | None:
    """The channel a kind always uses (``email``, ``sms``, ``whatsapp``); None where its receiver chooses.

    Raises:
        UnknownKind: nobody registered it.
    """
    found: str | None = getattr(destination(kind), "channel", None)
    return found


def describe() -> list[DestinationJson]:
    """What ``GET /v1/destinations`` lists: kind, title and the JSON Schema of ``settings``, by name."""
    return [
        {"kind": kind, "title": known.title, "settings": _schema(known)}
        for kind, known in ((kind, destination(kind)) for kind in kinds())
    ]


def _schema(known: Destination) -> dict[str, Any]:
    own = dict(known.settings)
    return {**own, "properties": {**_COMMON_SETTINGS, **own.get("properties", {})}}


# Settings that every kind has: they steer our side of the delivery, not the vendor's format.
_COMMON_SETTINGS: dict[str, Any] = {
    "timeout": {
        "type": "string",
        "format": "duration",
        "default": "PT15S",
        "description": "For one attempt.",
    },
    "retry_schedule": {
        "type": "array",
        "items": {"type": "string", "format": "duration"},
        "maxItems": 20,
        "default": ["PT5S", "PT5M", "PT30M", "PT2H", "PT5H", "PT10H", "PT10H"],
        "description": "Waits before attempts 2 to n.",
    },
    "rate_limit": {
        "type": "object",
        "properties": {
            "max": {"type": "integer", "minimum": 1},
            "per": {"type": "string", "format": "duration"},
        },
        "required": ["max", "per"],
        "additionalProperties": False,
    },
    "filter": {"type": "object", "description": "Criteria, as of a campaign."},
}
