"""Stripe Checkout (docs.stripe.com: webhooks, the Checkout Session object, recover abandoned carts, currencies).

An expired session is an abandoned checkout; its recovery link, where the merchant switched that on, makes a new session
that names the old one in ``recovered_from``. ``checkout.session.completed`` is the purchase, also while a bank
transfer or debit is still on its way (``payment_status: unpaid``): the shopper has ordered and cannot resume.

Amounts are in minor units, times in epoch seconds, the currency in lower case. Lines are in the event only where the
sender expanded them. The signature is hex HMAC-SHA256 over ``<t>.<body>`` in ``Stripe-Signature``.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import CheckoutChange, Signal, clock_key
from shared.domain.checkout import Order
from shared.domain.instants import from_ms
from shared.domain.money import Money, MoneyUnit, currency_code, parse_decimal, parse_money
from shared.domain.reversal import Refund, Reversal
from shared.providers.authentication import fresh, hmac_signature
from shared.providers.mapping import overridden
from shared.providers.payload import CLICK_IDS, Leaves, first_text, mapping, objects, quantity, read_object, text
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
from shared.providers.versions import Versions, in_body

TOLERANCE = timedelta(seconds=300)
"""The default of Stripe's own libraries."""
_MOST_SIGNATURES = 8

EXPIRED = "checkout.session.expired"
SIGNALS: Mapping[str, Signal] = {
    EXPIRED: Signal.ABANDONED,
    "checkout.session.completed": Signal.PURCHASED,
    "checkout.session.async_payment_succeeded": Signal.PURCHASED,
    "checkout.session.async_payment_failed": Signal.PAYMENT_FAILED,
}
_SESSION_EVENTS = "checkout.session."
CHARGE_REFUNDED = "charge.refunded"
REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
"""``charge.refund.updated`` is what ``refund.updated`` was called before 2024-10-28."""
_NOT_BACK = frozenset({"failed", "canceled"})

DECIMALS: Mapping[str, int] = {"ISK": 2, "UGX": 2, "MGA": 0}
"""Where Stripe's minor unit is not that of ISO 4217 (docs.stripe.com/currencies, special cases)."""
_LATEST_SECOND = 250_000_000_000
_LONGEST_SECOND = 11
_MOST_DIGITS = 20


class Stripe:
    """The Stripe Checkout adapter."""

    name = "stripe"
    checkout_hosts: frozenset[str] = frozenset({"buy.stripe.com", "checkout.stripe.com"})
    versions = Versions(
        "api_version of the event",
        ("2024-09-30.acacia", "2025-03-31.basil", "2025-09-30.clover", "2026-03-25.dahlia"),
        in_body("api_version"),
    )
    description = Description(
        title="Stripe Checkout",
        authentication="HMAC-SHA256 in Stripe-Signature, at most 300 seconds old",
        credentials=(
            CredentialField("secret", "the endpoint's signing secret (whsec_...) from Stripe", required=True),
        ),
        setup=(
            "Stripe, Developers, Webhooks: add an endpoint with url, choose the events listed, put "
            "its signing secret here. For a link back, create sessions with after_expiration.recovery.enabled."
        ),
        declares_abandonment=True,
        events=(*SIGNALS, CHARGE_REFUNDED, "refund.created", "refund.updated", "refund.failed"),
        reading=Reading(
            pages=(
                "docs.stripe.com: Checkout Session, Event, Charge and Refund objects, signatures",
                "docs.stripe.com/changelog: basil, clover, dahlia, Checkout Session (read on 27 November 2026)",
            ),
            read="facts of 22 November 2026 or before; the day was not noted, but for the page with a date",
            order_fields=("data.object.payment_intent, else the id of the session",),
            contact_fields=(
                "customer_details.email, customer_details.phone, customer_email",
                "customer",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove one of the ``v1`` signatures, then the age. Raises AuthenticationFailed."""
        timestamp, candidates = _signature_parts(request.headers.get("stripe-signature") or "")
        message = timestamp.encode() + b"." + request.body
        if not any(_proves(candidate, source.credentials.secrets, message) for candidate in candidates):
            raise AuthenticationFailed("missing or wrong signature")
        fresh(timestamp, request.arrived_at, TOLERANCE)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The event object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """One event of a session as a change of its checkout. Raises NotUnderstood."""
        event_type = text(payload.get("type"))
        if event_type is None:
            raise NotUnderstood("the event has no type")
        signal = SIGNALS.get(event_type)
        if signal is None:
            if event_type.startswith(_SESSION_EVENTS):
                raise NotUnderstood("an unknown event of a Checkout session")
            if event_type == CHARGE_REFUNDED or event_type in REFUND_EVENTS:
                return _taken_back(event_type, mapping(mapping(payload.get("data")).get("object")), source)
            return Normalised(ignored="not an event of a Checkout session")
        session = mapping(mapping(payload.get("data")).get("object"))
        session_id = text(session.get("id"))
        if session_id is None or session.get("object") not in (None, "checkout.session"):
            raise NotUnderstood("data.object is no Checkout session")
        if session.get("mode") == "setup":
            return Normalised(ignored="a session that only saves a payment method")
        return self._changed(event_type, signal, session_id, payload, request, source)

    def _changed(
        self,
        event_type: str,
        signal: Signal,
        session_id: str,
        payload: Mapping[str, Any],
        request: WebhookRequest,
        source: SourceContext,
    ) -> Normalised:
        session = mapping(mapping(payload.get("data")).get("object"))
        if event_type == EXPIRED and source.settings.on_arrival == "timer":
            signal = Signal.ACTIVITY
        recovered = None if event_type == EXPIRED else text(session.get("recovered_from"))
        occurred_at = _instant(payload.get("created"))
        abandoned_at = occurred_at if signal is Signal.ABANDONED else None
        if recovered is not None and signal is Signal.PURCHASED:
            # The old session had expired when its link made this one.
            abandoned_at = _instant(session.get("created"))
        cart = _cart(session, source)
        leaves, assumed = self._leaves(event_type, session, recovered, source)
        body_digest = hashlib.sha256(request.body).digest()[:16]
        order = None
        if signal is Signal.PURCHASED:
            order = Order(_order_id(session) or session_id, occurred_at, cart.total() if cart else None)
        change = CheckoutChange(
            external_id=recovered or session_id,
            signal=signal,
            order_key=clock_key(occurred_at or request.arrived_at, body_digest),
            body_digest=body_digest,
            event_id=text(payload.get("id")),
            occurred_at=occurred_at,
            abandoned_at=abandoned_at,
            order=order,
            leaves=leaves,
            cart=cart,
            test=payload.get("livemode", session.get("livemode")) is False,
        )
        if cart is not None and cart.currency_assumed:
            assumed.append("currency")
        if recovered is not None and abandoned_at is not None:
            assumed.append("abandoned_at")
        missing = [name for name in ("customer.email", "customer.phone", "checkout_url") if name not in leaves]
        if cart is None or not cart.items_known:
            missing.append("items")
        normalised = Normalised((change,), missing=tuple(missing), assumed=tuple(assumed))
        return overridden(normalised, payload, source, unit="minor")

    def _leaves(
        self, event_type: str, session: Mapping[str, Any], recovered: str | None, source: SourceContext
    ) -> tuple[dict[str, Any], list[str]]:
        details = mapping(session.get("customer_details"))
        shipping = _shipping(session)
        billing_address, shipping_address = mapping(details.get("address")), mapping(shipping.get("address"))
        country = first_text(billing_address.get("country"), shipping_address.get("country"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("stage", session.get("status"))
        leaves.text("customer.id", _id(session.get("customer")))
        leaves.email(details.get("email"), session.get("customer_email"))
        leaves.phone(details.get("phone"), shipping.get("phone"), country=country)
        assumed = _name(leaves, "customer", first_text(details.get("individual_name"), details.get("name")))
        leaves.text("customer.company", details.get("business_name"))
        locale = text(session.get("locale"))
        leaves.text("customer.locale", None if locale == "auto" else locale)
        promotions = mapping(session.get("consent")).get("promotions")
        leaves.consent(
            "email", {"opt_in": True, "opt_out": False}.get(promotions) if isinstance(promotions, str) else None
        )
        _address(leaves, "billing_address", billing_address, details)
        _address(leaves, "shipping_address", shipping_address, shipping)
        recovery = mapping(mapping(session.get("after_expiration")).get("recovery"))
        leaves.checkout_url(recovery.get("url"), session.get("url"))
        if event_type == EXPIRED:
            leaves.moment("expires_at", _instant(recovery.get("expires_at")))
        if recovered is None:
            leaves.moment("started_at", _instant(session.get("created")))
        metadata = mapping(session.get("metadata"))
        leaves.attribution(metadata.items())
        own = [(name, value) for name, value in metadata.items() if name not in CLICK_IDS]
        leaves.attributes([*own, ("client_reference_id", session.get("client_reference_id"))])
        return leaves.found, assumed


def _proves(candidate: str, secrets: Iterable[str], message: bytes) -> bool:
    try:
        hmac_signature(candidate, secrets, message, encoding="hex")
    except AuthenticationFailed:
        return False
    return True


def _signature_parts(header: str) -> tuple[str, list[str]]:
    """``t`` and every ``v1`` of ``Stripe-Signature``. Raises AuthenticationFailed."""
    pairs = [part.partition("=")[::2] for part in header.split(",")]
    timestamp = next((value.strip() for name, value in pairs if name.strip() == "t"), "")
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > _LONGEST_SECOND:
        raise AuthenticationFailed("missing or malformed timestamp")
    return timestamp, [value.strip() for name, value in pairs if name.strip() == "v1"][:_MOST_SIGNATURES]


def _instant(value: Any) -> datetime | None:
    """An instant from epoch seconds."""
    seconds = parse_decimal(value)
    return None if seconds is None or not 0 < seconds < _LATEST_SECOND else from_ms(int(seconds) * 1000)


def _id(value: Any) -> str | None:
    """The id of a reference, expanded or not."""
    return first_text(value, mapping(value).get("id"))


def _order_id(session: Mapping[str, Any]) -> str | None:
    return first_text(*(_id(session.get(name)) for name in ("payment_intent", "subscription", "invoice")))


def _taken_back(event_type: str, said: Mapping[str, Any], source: SourceContext) -> Normalised:
    """A charge of which so much was refunded so far, or one refund of it. Its order is the payment intent's.

    A refund that is ``pending`` counts, as Stripe counts it in ``amount_refunded``; once it fails it counts no more.
    """
    intent = _id(said.get("payment_intent"))
    currency = currency_code(said.get("currency"))
    whole = "charge" if event_type == CHARGE_REFUNDED else "refund"
    if intent is None or currency is None or said.get("object") != whole:
        return Normalised(ignored="a refund of no Checkout session")
    unit: MoneyUnit = source.settings.money_unit or "minor"
    if event_type == CHARGE_REFUNDED:
        so_far = _money(said.get("amount_refunded"), currency, unit)
        told = Reversal(intent, refunded=() if so_far is None else (so_far,))
    else:
        name, amount = text(said.get("id")), _money(said.get("amount"), currency, unit)
        if name is None:
            raise NotUnderstood("the refund has no id")
        failed = event_type == "refund.failed" or text(said.get("status")) in _NOT_BACK
        told = Reversal(intent, refunds=(Refund(name, () if amount is None else (amount,), failed=failed),))
    return Normalised(ignored="a refund changes no checkout", reversals=(told,))


def _shipping(session: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where to ship: the place of it moved twice (2022, 2025-03-31)."""
    collected = mapping(session.get("collected_information"))
    places = (collected.get("shipping_details"), session.get("shipping_details"), session.get("shipping"))
    return next((place for place in map(mapping, places) if place), {})


def _name(leaves: Leaves, group: str, whole: str | None) -> list[str]:
    """Set first and last name from the one name that Stripe has: what was assumed."""
    if whole is None:
        return []
    first, _, last = whole.partition(" ")
    leaves.text(f"{group}.first_name", first)
    leaves.text(f"{group}.last_name", last)
    return [f"{group}.first_name", f"{group}.last_name"] if last.strip() else []


def _address(leaves: Leaves, leaf: str, address: Mapping[str, Any], holder: Mapping[str, Any]) -> None:
    """Set an address. ``state`` is a code in most countries and a name in some."""
    if not any(text(value) for value in address.values()):
        return
    state = text(address.get("state"))
    is_code = state is not None and re.fullmatch(r"[A-Z0-9]{1,3}", state) is not None
    leaves.address(
        leaf,
        {
            "phone": holder.get("phone"),
            "address1": address.get("line1"),
            "address2": address.get("line2"),
            "city": address.get("city"),
            "province": None if is_code else state,
            "province_code": state if is_code else None,
            "country": None,
            "country_code": address.get("country"),
            "postal_code": address.get("postal_code"),
        },
    )
    _name(leaves, leaf, text(holder.get("name")))


def _money(value: Any, currency: str, unit: MoneyUnit) -> Money | None:
    """An amount as Stripe counts it."""
    decimals = DECIMALS.get(currency)
    if unit == "major" or decimals is None:
        return parse_money(value, currency, unit)
    number = parse_decimal(value)
    if number is None or number.adjusted() > _MOST_DIGITS:
        return None
    return parse_money(number.scaleb(-decimals), currency)


def _cart(session: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """What the shopper saw, and beside it the shop's own amounts where Adaptive Pricing converted them."""
    unit: MoneyUnit = source.settings.money_unit or "minor"
    sent = session.get("line_items")
    lines = objects(sent if isinstance(sent, list) else mapping(sent).get("data"))
    lines_known = isinstance(sent, list | dict)
    named = currency_code(session.get("currency"))
    if not lines_known and session.get("amount_total") is None and session.get("amount_subtotal") is None:
        return None
    currency = named or source.currency
    items = tuple(_item(line, currency, unit) for line in lines)
    totals = _totals(session, currency, unit)
    shop_totals: Totals | None = None
    presented = mapping(session.get("presentment_details"))
    shown = currency_code(presented.get("presentment_currency"))
    converted = mapping(session.get("currency_conversion"))
    own = currency_code(converted.get("source_currency"))
    if shown is not None and shown != currency:
        shown_total = _money(presented.get("presentment_amount"), shown, unit)
        if shown_total is not None:
            currency, totals, shop_totals = shown, Totals(total=shown_total), totals
    elif own is not None and own != currency:
        shop_totals = Totals(
            subtotal=_money(converted.get("amount_subtotal"), own, unit),
            total=_money(converted.get("amount_total"), own, unit),
        )
    return Cart(
        currency,
        currency_assumed=named is None,
        items=items,
        totals=totals,
        shop_totals=shop_totals,
        discount_codes=_codes(session),
        items_known=lines_known,
    )


def _totals(session: Mapping[str, Any], currency: str, unit: MoneyUnit) -> Totals:
    details = mapping(session.get("total_details"))
    shipping = details.get("amount_shipping")
    if shipping is None:
        shipping = mapping(session.get("shipping_cost")).get("amount_total")
    return Totals(
        subtotal=_money(session.get("amount_subtotal"), currency, unit),
        discount=_money(details.get("amount_discount"), currency, unit),
        shipping=_money(shipping, currency, unit),
        tax=_money(details.get("amount_tax"), currency, unit),
        total=_money(session.get("amount_total"), currency, unit),
    )


def _codes(session: Mapping[str, Any]) -> tuple[str, ...]:
    """The codes that shoppers type, where the promotion codes are expanded; ids are not codes."""
    breakdown = mapping(mapping(session.get("total_details")).get("breakdown"))
    discounts = [*objects(session.get("discounts")), *objects(breakdown.get("discounts"))]
    promotions = (
        first.get("promotion_code") or mapping(first.get("discount")).get("promotion_code") for first in discounts
    )
    codes = (text(mapping(promotion).get("code")) for promotion in promotions)
    return tuple(dict.fromkeys(code for code in codes if code is not None))


def _item(line: Mapping[str, Any], currency: str, unit: MoneyUnit) -> Item:
    price = mapping(line.get("price"))
    product = mapping(price.get("product"))
    own = currency_code(line.get("currency")) or currency
    unit_amount = price.get("unit_amount")
    images = product.get("images")
    return Item(
        quantity=quantity(line.get("quantity")),
        id=text(line.get("id")),
        product_id=_id(price.get("product")),
        variant_id=text(price.get("id")),
        title=first_text(line.get("description"), product.get("name")),
        variant_title=text(price.get("nickname")),
        unit_price=_money(price.get("unit_amount_decimal") if unit_amount is None else unit_amount, own, unit),
        total=_money(line.get("amount_total"), own, unit),
        image_url=first_text(*images) if isinstance(images, list) else None,
        product_url=text(product.get("url")),
    )


PROVIDER = Stripe()
