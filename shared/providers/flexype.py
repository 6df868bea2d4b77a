"""FlexyPe (docs.flexype.io, webhooks: overview, event triggers, abandoned checkout recovery).

A stream of sessions: the vendor posts whenever a checkout session is created or changes. Three generations of the body
are in use, told apart by their shape:

- flat, unversioned: no id, no time, no currency;
- flat, ``2025-09``: the same with ``X-Event-Id`` and ``X-Webhook-Version``;
- envelope, ``2026-05``: ``event_type``, ``event_time`` (ISO 8601) and ``event_id`` around a ``payload``, in which the
  flat fields are looked for. The vendor does not publish all of them.

A session is named by ``flx_s`` in ``checkout_url``. The currency is the source's setting. The shared secret stands in
``X-Flexype-Authorization``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import CheckoutChange, OrderKey, Signal, clock_key
from shared.domain.checkout import Order
from shared.domain.instants import parse_instant
from shared.domain.money import currency_code, parse_money, total_of
from shared.providers.authentication import shared_secret
from shared.providers.mapping import found_in, overridden
from shared.providers.payload import Leaves, first_text, mapping, objects, quantity, query_value, read_object, text
from shared.providers.provider import (
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    Reading,
    SourceContext,
    WebhookRequest,
)
from shared.providers.versions import Versions, in_header

SECRET_HEADER = "x-flexype-authorization"  # noqa: S105 - a header's name

STAGES = (
    *("INITIATED", "PHONE_ENTERED", "OTP_VERIFIED", "ADDRESS_LOADED", "ADDRESS_SHIPPING_SELECTED"),
    *("PAYMENT_LOADED", "PAYMENT_INITIATED", "COMPLETED"),
)
"""``session_state`` in order of progress, as the vendor lists it."""

STREAMED = frozenset({"ACR", "ACR_CHECKOUT"})
"""Sent whenever the session changes, says the page of the event (the page of triggers says: after 15 minutes)."""
DECLARED = frozenset({"ABANDONED_CHECKOUT"})
"""Sent 15 minutes after a session opened, if no order followed."""
BROWSING = frozenset({"ABANDONED_SESSION", "ASR", "PRODUCT_VIEWED", "COLLECTION_VIEWED", "NEW_CUSTOMER"})
"""Events without a checkout."""

_SESSION_IDS = ("checkout_id", "checkout_session_id", "session_id")


@dataclass(frozen=True, slots=True)
class _Event:
    """One webhook, of whichever generation. ``stage`` is None where the envelope has none."""

    type: str | None
    content: Mapping[str, Any]
    stage: str | None
    at: datetime | None
    id: str | None

    @property
    def enveloped(self) -> bool:
        """Whether the body says itself what it is."""
        return self.type is not None

    def order_key(self, body_digest: bytes) -> OrderKey:
        """By the event's own time, and in the same instant by stage; without a time, by stage alone.

        A shop may move from one generation to another while a session is open: between them, arrival decides.
        """
        rank = STAGES.index(self.stage) if self.stage is not None else 0
        if self.at is None:
            return OrderKey(f"{rank:02d}", clockless=True)
        clock, _, tie = clock_key(self.at, body_digest).value.partition(".")
        return OrderKey(f"t{clock}.{rank:02d}.{tie}")


class FlexyPe:
    """The FlexyPe adapter."""

    name = "flexype"
    checkout_hosts: frozenset[str] = frozenset()
    versions = Versions(
        "X-Webhook-Version; absent in the flat body", ("2025-09", "2026-05"), in_header("x-webhook-version")
    )
    description = Description(
        title="FlexyPe",
        authentication="shared secret in the header X-Flexype-Authorization",
        credentials=(
            CredentialField("secret", "the secret of the webhook settings in FlexyPe's dashboard", generated=True),
        ),
        setup=(
            "FlexyPe dashboard, Settings, Webhooks: paste url and secret, choose abandoned checkout (cart) recovery. "
            "The flat body and the versions up to 2026-05 are understood."
        ),
        declares_abandonment=False,
        events=(*sorted(STREAMED), *sorted(DECLARED)),
        reading=Reading(
            pages=(
                "docs.flexype.io: webhooks overview, event triggers, acr",
                "docs.flexype.io: webhooks 2025-09 and 2026-05 (acr, asr)",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=("none: session_state COMPLETED",),
            contact_fields=(
                "user.dial_code, user.phone_no",
                "payload.user.email",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Compare the secret header. Raises AuthenticationFailed."""
        shared_secret(request.headers.get(SECRET_HEADER), source.credentials.secrets)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """One session state as a change of its checkout. Raises NotUnderstood."""
        event_type = _event_type(payload, request)
        if event_type in BROWSING or (event_type is None and _is_browsing(payload)):
            return Normalised(ignored="a browsing event, not a checkout")
        event = _event(event_type, payload, request)
        external_id, id_assumed = _session_id(event, payload, source)
        signal = self._signal(event, source)
        cart = self._cart(event.content, payload, source)
        body_digest = hashlib.sha256(request.body).digest()[:16]
        change = CheckoutChange(
            external_id=external_id,
            signal=signal,
            order_key=event.order_key(body_digest),
            body_digest=body_digest,
            event_id=event.id,
            occurred_at=event.at,
            abandoned_at=event.at if signal is Signal.ABANDONED else None,
            order=Order(None, event.at, cart.total() if cart else None) if signal is Signal.PURCHASED else None,
            leaves=self._leaves(event, source),
            cart=cart,
        )
        assumed = [
            name
            for name, is_assumed in (
                ("currency", cart is not None and cart.currency_assumed),
                ("external_id", id_assumed),
            )
            if is_assumed
        ]
        missing = ("stage",) if event.stage is None else ()
        return overridden(Normalised((change,), missing=missing, assumed=tuple(assumed)), payload, source)

    @staticmethod
    def _signal(event: _Event, source: SourceContext) -> Signal:
        if event.stage == "COMPLETED":
            return Signal.PURCHASED
        declared = "abandoned" if event.type in DECLARED else "timer"
        if (source.settings.on_arrival or declared) == "abandoned":
            return Signal.ABANDONED
        return Signal.PAYMENT_STARTED if event.stage == "PAYMENT_INITIATED" else Signal.ACTIVITY

    def _leaves(self, event: _Event, source: SourceContext) -> dict[str, Any]:
        content = event.content
        user = mapping(content.get("user"))
        address = mapping(user.get("address")) or mapping(content.get("address"))
        metadata = mapping(content.get("metadata"))
        leaves = Leaves(source, self.checkout_hosts)
        if event.stage is not None:
            leaves.text("stage", event.stage.lower())
        leaves.phone(
            *(user.get(name) for name in ("phone_no", "phone", "phone_with_dial_code")),
            country=address.get("country_code"),
            dial_code=user.get("dial_code"),
        )
        leaves.email(user.get("email"))
        leaves.text("customer.first_name", user.get("first_name"))
        leaves.text("customer.last_name", user.get("last_name"))
        leaves.address(
            "shipping_address",
            {
                "first_name": address.get("first_name"),
                "last_name": address.get("last_name"),
                "phone": address.get("phone"),
                "address1": address.get("address1"),
                "address2": address.get("address2"),
                "city": address.get("city"),
                "province": address.get("state"),
                "province_code": address.get("state_code"),
                "country": address.get("country"),
                "country_code": address.get("country_code"),
                "postal_code": address.get("postal_code"),
            },
        )
        leaves.checkout_url(content.get("checkout_url"))
        named = [(pair.get("name"), pair.get("value")) for pair in objects(metadata.get("utm"))]
        clicks = mapping(mapping(content.get("analytics")).get("fb"))
        leaves.attribution([*mapping(metadata.get("utm")).items(), *named, *clicks.items()])
        leaves.text("attribution.landing_page", metadata.get("landing_page"))
        leaves.text("attribution.referrer", metadata.get("orig_referer"), metadata.get("referer_host"))
        return leaves.found

    @staticmethod
    def _cart(content: Mapping[str, Any], payload: Mapping[str, Any], source: SourceContext) -> Cart | None:
        sent = content.get("cart_items")
        if not isinstance(sent, list) and content.get("total_payable") is None:
            return None
        named = currency_code(content.get("currency")) or currency_code(mapping(payload.get("store")).get("currency"))
        currency = named or source.currency
        items = tuple(_item(line, currency) for line in objects(sent))
        subtotal = total_of(
            parse_money(line.get("sub_total_price"), currency) or item.line_total()
            for line, item in zip(objects(sent), items, strict=True)
        )
        totals = Totals(
            subtotal=subtotal,
            discount=parse_money(content.get("discount"), currency),
            total=parse_money(content.get("total_payable"), currency),
        )
        return Cart(
            currency, currency_assumed=named is None, items=items, totals=totals, items_known=isinstance(sent, list)
        )


def _event_type(payload: Mapping[str, Any], request: WebhookRequest) -> str | None:
    named = first_text(payload.get("event_type"), request.event)
    return None if named is None else named.upper().replace("-", "_").replace(".", "_").replace(" ", "_")


def _is_browsing(payload: Mapping[str, Any]) -> bool:
    """The flat body of an abandoned browsing session (2025-09): pages visited, and no checkout."""
    visited = "pages" in payload or "last_page_visited" in payload
    return visited and text(payload.get("session_state")) is None and text(payload.get("checkout_url")) is None


def _event(event_type: str | None, payload: Mapping[str, Any], request: WebhookRequest) -> _Event:
    """The parts that tell events apart. Raises NotUnderstood."""
    if event_type is not None and event_type not in STREAMED | DECLARED:
        raise NotUnderstood("event_type is unknown")
    within = payload.get("payload")
    content = payload if within is None else mapping(within)
    sent = text(content.get("session_state"))
    stage = None if sent is None else sent.upper()
    if stage not in STAGES and not (stage is None and event_type is not None):
        raise NotUnderstood("session_state is missing or unknown")
    return _Event(
        type=event_type,
        content=content,
        stage=stage,
        at=parse_instant(payload.get("event_time")),
        id=first_text(payload.get("event_id"), request.headers.get("x-event-id")),
    )


def _session_id(event: _Event, payload: Mapping[str, Any], source: SourceContext) -> tuple[str, bool]:
    """The session's id, and whether it was read from a field that the vendor does not document."""
    named = query_value(event.content.get("checkout_url"), "flx_s")
    if named is not None:
        return named, False
    if event.enveloped:
        named = first_text(*(event.content.get(name) for name in _SESSION_IDS))
    named = named or found_in(payload, source).text("external_id")
    if named is None:
        raise NotUnderstood("checkout_url carries no flx_s session id")
    return named, True


def _item(line: Mapping[str, Any], currency: str) -> Item:
    """One of ``cart_items``. In the vendor's sample ``title`` holds the variant's; the handle names the product."""
    variant = mapping(line.get("variant"))
    title = first_text(line.get("title"), variant.get("title"))
    variant_title = text(variant.get("title"))
    return Item(
        quantity=quantity(line.get("quantity")),
        product_id=text(line.get("product_id")),
        variant_id=first_text(line.get("variant_id"), variant.get("variant_id")),
        sku=first_text(line.get("sku"), variant.get("sku")),
        title=title,
        variant_title=None if variant_title == title else variant_title,
        handle=text(line.get("handle")),
        unit_price=parse_money(line.get("price"), currency) or parse_money(variant.get("price"), currency),
        compare_at_price=parse_money(variant.get("compare_at_price"), currency),
        total=parse_money(line.get("total_price"), currency),
        image_url=text(line.get("image")),
    )


PROVIDER = FlexyPe()
