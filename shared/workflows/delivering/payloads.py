"""What each endpoint of an event receives: our envelope, the provider's own body, or a merchant's template of it.

Made once, at dispatch, and stored with the event: every attempt to one endpoint has the same bytes.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.domain.checkout import Checkout
from shared.domain.criteria import matches, parse
from shared.domain.ids import EndpointId, digest
from shared.domain.instants import parse_instant
from shared.domain.merchant import Endpoint
from shared.store.table import StoreUnavailable

TEMPLATE_ERROR = "template_error"
PAYLOAD_UNAVAILABLE = "provider_payload_unavailable"
TOO_LARGE = "payload_too_large"
_LARGEST = 250 * 1024
"""Of all bodies of an event, compressed: they are one item of 400 KB at most."""
_PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Payloads:
    """Bodies beside the envelope, by format; which endpoint has which; and which endpoint has none, and why."""

    bodies: Mapping[str, bytes] = field(default_factory=dict)
    formats: Mapping[EndpointId, str] = field(default_factory=dict)
    problems: Mapping[EndpointId, str] = field(default_factory=dict)


def payloads(endpoints: Iterable[Endpoint], envelope: Mapping[str, Any], raw: bytes | None) -> Payloads:
    """The bodies that the endpoints ask for. ``raw`` is the provider's last body, compressed JSON, where it is kept."""
    bodies: dict[str, bytes] = {}
    formats: dict[EndpointId, str] = {}
    problems: dict[EndpointId, str] = {}
    size = 0
    for endpoint in endpoints:
        asked = endpoint.settings.get("payload")
        if asked is None or asked == "checkback":
            continue
        name = _PROVIDER if asked == _PROVIDER else _template_name(asked)
        if name not in bodies:
            made = _provider_body(raw) if name == _PROVIDER else _rendered(asked, envelope)
            if isinstance(made, str):
                problems[endpoint.id] = made
                continue
            packed = len(zlib.compress(made))
            if size + packed > _LARGEST:
                problems[endpoint.id] = TOO_LARGE
                continue
            bodies[name], size = made, size + packed
        formats[endpoint.id] = name
    return Payloads(bodies, formats, problems)


def passes(endpoint: Endpoint, checkout: Checkout, now: datetime) -> bool:
    """Whether the endpoint's content filter lets the checkout through; one that cannot be read filters nothing."""
    criteria, unreadable = parse(endpoint.settings.get("filter"), "/settings/filter")
    return bool(unreadable) or matches(criteria, checkout, now)


def _template_name(asked: Any) -> str:
    return "liquid:" + digest(str(asked.get("liquid", ""))).hex()[:16]


def _provider_body(raw: bytes | None) -> bytes | str:
    return PAYLOAD_UNAVAILABLE if raw is None else zlib.decompress(raw)


def _rendered(asked: Any, envelope: Mapping[str, Any]) -> bytes | str:
    from shared.destinations.destination import Delivery
    from shared.destinations.liquid import TemplateError, TemplateLimit, TemplatesUnavailable, present, render_json
    from shared.destinations.message import TEMPLATE_LIMIT, variables

    plain: dict[str, Any] = json.loads(json.dumps(envelope))
    at = parse_instant(plain["timestamp"])
    if at is None:
        raise ValueError("an envelope has a timestamp")
    delivery = Delivery(id="", message_id=plain["id"], event_type=plain["type"], attempted_at=at, facts=plain)
    try:
        return render_json(str(asked.get("liquid", "")), {**variables(delivery), "event": present(plain)})
    except TemplateLimit:
        return TEMPLATE_LIMIT
    except TemplateError:
        return TEMPLATE_ERROR
    except TemplatesUnavailable as unavailable:
        raise StoreUnavailable(str(unavailable)) from unavailable
