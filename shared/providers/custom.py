"""A shop of the merchant's own making: any JSON, read by the source's ``mapping`` (see ``shared.providers.mapping``).

Without a mapping the payload is expected to use the contract's own names. ``settings.signature`` says how webhooks are
proved: an HMAC of chosen parts in a chosen header, a shared secret in one (algorithm ``plain``), or Standard Webhooks
(github.com/standard-webhooks/standard-webhooks), which is known by its ``v1,`` signatures. Without it the token in the
URL is the proof.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, clock_key, sequence_key
from shared.domain.money import parse_decimal
from shared.providers.authentication import hmac_signature, shared_secret, url_token
from shared.providers.mapping import (
    FIELDS,
    SIGNALS,
    CheckoutMapping,
    Found,
    InvalidMapping,
    cart_of,
    compiled,
    found_in,
    instant,
    order_of,
    reversal_of,
    set_leaves,
)
from shared.providers.payload import Leaves, read_json, recovery_link, text
from shared.providers.provider import (
    AuthenticationFailed,
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    Reading,
    SourceContext,
    WebhookRequest,
)

TOLERANCE = timedelta(minutes=5)
ALGORITHMS: Mapping[str, Callable[..., Any]] = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
PLAIN = "plain"
ENCODINGS = frozenset({"hex", "base64"})
_STANDARD = ("webhook", "svix")
"""Prefixes of the headers of Standard Webhooks, and of the service it came from."""
_MOST_SIGNATURES = 8

IGNORED = frozenset({"ignored", "ignore"})
"""What a mapped ``status`` says of an event that is about no checkout."""
REFUNDED = frozenset({"refunded", "returned", "reversed"})
CANCELLED = frozenset({"cancelled", "canceled"})
"""What it says of an order of which something, or everything, was taken back."""

_ARRIVAL_ORDER = OrderKey("0", clockless=True)
"""Neither time nor sequence is known: of two events the one that arrives later is newer."""
_LARGEST_SEQUENCE = Decimal(10) ** 18


class Custom:
    """The adapter of merchant-defined webhooks."""

    name = "custom"
    checkout_hosts: frozenset[str] = frozenset()
    description = Description(
        title="Custom",
        authentication="as settings.signature says: HMAC over chosen parts, a shared secret in a header (algorithm "
        "plain), or Standard Webhooks; without it the token in the URL",
        credentials=(CredentialField("secret", "the key of the signature, or the shared secret", generated=True),),
        setup=(
            "Post JSON to url. settings.mapping reads it (checkout field to JMESPath); without a mapping use the "
            "contract's own field names. The status may say open, payment_pending, payment_failed, abandoned, "
            "completed, ended or ignored."
        ),
        declares_abandonment=False,
        events=(*sorted(SIGNALS), "ignored"),
        url_token=True,
        reading=Reading(
            pages=("none: a format of your own, or the names of the contract",),
            read="does not apply",
            order_fields=("order.id",),
            contact_fields=(
                "customer.phone",
                "customer.email",
                "customer.id",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove the sender the way the source's settings say. Raises AuthenticationFailed."""
        settings = source.settings.signature
        secrets = source.credentials.secrets
        if settings:
            _configured(request, settings, secrets)
        elif (prefix := _standard_prefix(request.headers)) is not None:
            _standard_webhook(request, prefix, secrets)
        else:
            url_token(request, source)

    def read(self, request: WebhookRequest, source: SourceContext) -> Any:  # noqa: ARG002 - interface
        """The JSON document posted."""
        return read_json(request.body)

    def normalise(self, payload: Any, request: WebhookRequest, source: SourceContext) -> Normalised:
        """What the mapping finds, as a change of its checkout. Raises NotUnderstood."""
        found = found_in(payload, source) if source.settings.mapping else _plainly().read(payload)
        word = (found.text("status") or "").lower()
        if word in IGNORED:
            return Normalised(ignored="an event about no checkout, says the mapping")
        reversed_ = word or (request.event or "").lower()
        body_digest = hashlib.sha256(request.body).digest()[:16]
        if reversed_ in REFUNDED | CANCELLED:
            event = found.text("event_id") or _message_id(request.headers) or body_digest.hex()
            told = reversal_of(found, source, event, cancelled=reversed_ in CANCELLED)
            return Normalised(ignored="a refund changes no checkout", reversals=(told,))
        signal = _signal(found, request, source)
        cart = cart_of(found, source)
        order = None
        if signal is Signal.PURCHASED:
            order = order_of(found, source, currency=cart.currency if cart else None)
            if order.total is None and cart is not None:
                order = replace(order, total=cart.total())
        tokens = tuple(token for name in ("join_token", "cart_id") if (token := found.text(name)) is not None)
        external_id = found.text("external_id")
        named = external_id is not None
        if external_id is None:
            if order is None or order.id is None:
                raise NotUnderstood("neither external_id nor, of a purchase, order.id was found")
            external_id = f"order:{order.id}"
        occurred_at = found.instant("updated_at", "last_activity_at")
        change = CheckoutChange(
            external_id=external_id,
            signal=signal,
            order_key=_order_key(found, body_digest) if named else NO_ORDER,
            body_digest=body_digest,
            event_id=found.text("event_id") or _message_id(request.headers),
            occurred_at=occurred_at,
            abandoned_at=found.instant("abandoned_at"),
            order=order,
            leaves=_leaves(found, external_id, source),
            cart=cart,
            test=found.is_test is True,
            join_tokens=() if named else tokens,
            join_contact=not named,
        )
        return Normalised(
            (change,),
            missing=_missing(found, source),
            assumed=("currency",) if cart is not None and cart.currency_assumed else (),
        )


def _configured(request: WebhookRequest, settings: Mapping[str, Any], secrets: Iterable[str]) -> None:
    """Prove what ``settings.signature`` describes. Settings that cannot be meant prove nothing."""
    header = str(settings.get("header") or "").lower()
    given = request.headers.get(header)
    if not header or given is None:
        raise AuthenticationFailed("missing signature")
    algorithm = str(settings.get("algorithm") or "sha256").lower()
    if algorithm == PLAIN:
        shared_secret(_without_scheme(given), secrets)
        return
    prefix = header.removesuffix("-signature")
    if prefix in _STANDARD and _is_standard(given):
        _standard_webhook(request, prefix, secrets)
        return
    digest, encoding = ALGORITHMS.get(algorithm), str(settings.get("encoding") or "hex").lower()
    if digest is None or encoding not in ENCODINGS:
        raise AuthenticationFailed("the source's signature settings name an unknown algorithm or encoding")
    timestamp_header = str(settings.get("timestamp_header") or "").lower()
    timestamp = request.headers.get(timestamp_header) if timestamp_header else None
    parts = settings.get("signed_parts") or ("body",)
    message = _message(request, parts, timestamp)
    if timestamp_header and not any(str(part).lower() in {"timestamp", f"header:{timestamp_header}"} for part in parts):
        raise AuthenticationFailed("the source's timestamp_header is not among its signed_parts")
    hmac_signature(_without_label(given, algorithm), secrets, message, algorithm=digest, encoding=encoding)
    if timestamp_header:
        _fresh(timestamp, request)


def _message(request: WebhookRequest, parts: Any, timestamp: str | None) -> bytes:
    """The signed text: ``body``, ``timestamp``, ``header:<name>`` and literal texts, in order."""
    if not isinstance(parts, list | tuple) or list(parts).count("body") != 1:
        raise AuthenticationFailed("the source's signed_parts do not hold the body once")
    return b"".join(_part(request, part, timestamp) for part in parts)


def _part(request: WebhookRequest, part: Any, timestamp: str | None) -> bytes:
    if part == "body":
        return request.body
    value: str | None = str(part)
    if part == "timestamp":
        value = timestamp
    elif isinstance(part, str) and part.startswith("header:"):
        value = request.headers.get(part.removeprefix("header:").strip().lower())
    if value is None:
        raise AuthenticationFailed("a signed header is missing")
    return value.encode("utf-8", "surrogatepass")


def _without_scheme(given: str) -> str:
    """A shared secret, with or without ``Bearer`` before it."""
    scheme, _, rest = given.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else given


def _without_label(given: str, algorithm: str) -> str:
    """A signature without the ``sha256=`` that some senders put before it."""
    label = f"{algorithm}="
    return given.strip()[len(label) :] if given.strip().lower().startswith(label) else given


def _fresh(timestamp: str | None, request: WebhookRequest) -> None:
    """Prove that a timestamp (epoch seconds or milliseconds, RFC 3339) is of now, give or take."""
    at = instant(timestamp)
    if at is None or abs(request.arrived_at - at) > TOLERANCE:
        raise AuthenticationFailed("missing or stale timestamp")


def _standard_prefix(headers: Mapping[str, str]) -> str | None:
    return next((prefix for prefix in _STANDARD if f"{prefix}-signature" in headers), None)


def _is_standard(given: str) -> bool:
    return any(element.startswith("v1,") for element in given.split())


def _message_id(headers: Mapping[str, str]) -> str | None:
    """The message's id under Standard Webhooks: the same at every retry."""
    prefix = _standard_prefix(headers)
    return None if prefix is None else text(headers.get(f"{prefix}-id"))


def _standard_webhook(request: WebhookRequest, prefix: str, secrets: Iterable[str]) -> None:
    """Prove a Standard Webhooks signature: any ``v1`` of the header, under any secret; then its age."""
    message_id, timestamp = (request.headers.get(f"{prefix}-{name}") for name in ("id", "timestamp"))
    if not message_id or not timestamp:
        raise AuthenticationFailed("missing message id or timestamp")
    message = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + request.body
    expected = [hmac.digest(key, message, "sha256") for key in map(_key, secrets) if key]
    matched = False
    for element in request.headers[f"{prefix}-signature"].split()[:_MOST_SIGNATURES]:
        version, _, written = element.partition(",")
        given = _decoded(written) if version == "v1" else None
        for own in expected:
            matched |= given is not None and hmac.compare_digest(given, own)
    if not matched:
        raise AuthenticationFailed("wrong signature")
    _fresh(timestamp, request)


def _key(secret: str) -> bytes:
    """The key in ``whsec_<base64>``; a secret of any other form is the key itself."""
    decoded = _decoded(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else None
    return decoded or secret.encode()


def _decoded(written: str) -> bytes | None:
    try:
        return base64.b64decode(written, validate=True) or None
    except (ValueError, binascii.Error):
        return None


def _plainly() -> CheckoutMapping:
    """The mapping of a payload that has the contract's names already."""
    try:
        return compiled({field: field for field in sorted(FIELDS) if "." not in field})
    except InvalidMapping as impossible:  # pragma: no cover - the names are our own
        raise NotUnderstood("the source has no mapping") from impossible


def _signal(found: Found, request: WebhookRequest, source: SourceContext) -> Signal:
    """What the event means: its status, else the event in the URL, else the times and the order that were sent."""
    signal = found.signal() or SIGNALS.get((request.event or "").lower())
    if signal is None:
        signal = Signal.ACTIVITY
        if found.instant("abandoned_at") is not None:
            signal = Signal.ABANDONED
        if found.instant("completed_at", "order.at") is not None or found.text("order.id") is not None:
            signal = Signal.PURCHASED
    if signal is Signal.ACTIVITY and source.settings.on_arrival == "abandoned":
        return Signal.ABANDONED
    if signal is Signal.ABANDONED and source.settings.on_arrival == "timer":
        return Signal.ACTIVITY
    return signal


def _order_key(found: Found, body_digest: bytes) -> OrderKey:
    """The provider's own counter, else the event's own time, else its arrival."""
    sequence = parse_decimal(found.values.get("sequence"))
    if sequence is not None and 0 <= sequence < _LARGEST_SEQUENCE:
        return sequence_key(int(sequence), body_digest)
    at = found.instant("updated_at", "last_activity_at")
    return _ARRIVAL_ORDER if at is None else clock_key(at, body_digest)


def _leaves(found: Found, external_id: str, source: SourceContext) -> dict[str, Any]:
    leaves = Leaves(source)
    cart_id = found.text("cart_id") or external_id
    leaves.checkout_url(recovery_link(source.settings.recovery_url_template, cart_id, external_id))
    set_leaves(found, leaves)
    return leaves.found


def _missing(found: Found, source: SourceContext) -> tuple[str, ...]:
    """What the mapping names and the payload did not hold; a group counts as there if one member is."""
    there = {*found.values, *(name.split(".")[0] for name in found.values)}
    if found.items is not None:
        there.add("items")
    wanted = {name.partition("[")[0] for name in source.settings.mapping}
    return tuple(sorted((wanted & FIELDS) - there))


PROVIDER = Custom()
