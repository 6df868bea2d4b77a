"""Which body each endpoint of an event receives: our envelope, the provider's own, or a merchant's template of ours.

Decided at dispatch, with what needs no template: the provider's body is stored beside the envelope. Templates are
rendered by whoever delivers (``templated``), where only their merchant waits.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.checkout import Checkout
from shared.domain.criteria import matches, parse
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint
from shared.store.events import LARGEST_FORMATS, PROVIDER, TEMPLATE

PAYLOAD_UNAVAILABLE = "provider_payload_unavailable"
TOO_LARGE = "payload_too_large"


@dataclass(frozen=True, slots=True)
class Payloads:
    """Bodies beside the envelope, by format; which endpoint has which; and which endpoint has none, and why."""

    bodies: Mapping[str, bytes] = field(default_factory=dict)
    formats: Mapping[EndpointId, str] = field(default_factory=dict)
    problems: Mapping[EndpointId, str] = field(default_factory=dict)


def payloads(endpoints: Iterable[Endpoint], raw: bytes | None) -> Payloads:
    """What the endpoints ask for. ``raw`` is the provider's last body, compressed JSON, where it is kept."""
    formats: dict[EndpointId, str] = {}
    for endpoint in endpoints:
        asked = endpoint.settings.get("payload")
        if asked is not None and asked != "checkback":
            formats[endpoint.id] = PROVIDER if asked == PROVIDER else TEMPLATE
    if PROVIDER not in formats.values():
        return Payloads({}, formats)
    body = PAYLOAD_UNAVAILABLE if raw is None else zlib.decompress(raw)
    if isinstance(body, bytes) and len(zlib.compress(body)) > LARGEST_FORMATS:
        body = TOO_LARGE
    if isinstance(body, bytes):
        return Payloads({PROVIDER: body}, formats)
    without = [own for own, name in formats.items() if name == PROVIDER]
    return Payloads({}, {own: name for own, name in formats.items() if name != PROVIDER}, dict.fromkeys(without, body))


def passes(endpoint: Endpoint, checkout: Checkout, now: datetime) -> bool:
    """Whether the endpoint's content filter lets the checkout through; one that cannot be read filters nothing."""
    criteria, unreadable = parse(endpoint.settings.get("filter"), "/settings/filter")
    return bool(unreadable) or matches(criteria, checkout, now)
