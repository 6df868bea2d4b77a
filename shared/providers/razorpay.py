"""Razorpay Magic Checkout (razorpay.com/docs: abandoned cart webhook; webhooks of orders and payments).

The abandoned cart webhook is unsigned, so the source's URL carries a token; its money unit is not published either,
so the source must set one. Completion comes from Razorpay's ordinary webhooks, signed and always in minor units.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal
from shared.domain.checkout import Order
from shared.domain.money import Money, MoneyUnit, currency_code, parse_money, total_of
from shared.domain.reversal import Refund, Reversal
from shared.providers.authentication import hmac_signature, url_token
from shared.providers.mapping import codes, found_in, instant, overridden, units
from shared.providers.payload import Leaves, first_text, mapping, objects, read_object, text
from shared.providers.provider import (
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    Reading,
    SourceContext,
    WebhookRequest,
)

_ARRIVAL_ORDER = OrderKey("0", clockless=True)
"""The body carries neither time nor sequence: of two abandoned carts the one that arrives later is newer."""

REFUNDS = frozenset({"refund.processed", "refund.failed"})
"""``refund.created`` comes before either of them."""
_TOKEN_NOTES = ("checkout_token", "magic_checkout_token", "token", "cart_token", "cart_id", "checkout_id")
"""Where the notes of a Razorpay order may name the abandoned cart: merchants and plugins fill them as they like."""


class Razorpay:
    """The Razorpay adapter."""

    name = "razorpay"
    checkout_hosts: frozenset[str] = frozenset()
    description = Description(
        title="Razorpay Magic Checkout",
        authentication="token in the URL (the abandoned cart webhook is unsigned); HMAC-SHA256 in "
        "X-Razorpay-Signature for order and payment webhooks",
        credentials=(
            CredentialField("secret", "the secret of the ordinary webhooks; needed only for those"),
            CredentialField("secrets", "old and new during rotation"),
        ),
        setup="Razorpay dashboard, Magic Checkout, Setup & Settings, Checkout Setup: enable the abandoned webhook and "
        "paste url. Then Account & Settings, Webhooks: url, a secret, events order.paid, payment.captured, "
        "refund.processed and refund.failed.",
        declares_abandonment=True,
        events=("abandoned cart", "order.paid", "payment.captured", "payment.pending", *sorted(REFUNDS)),
        required_settings=("money_unit",),
        url_token=True,
        reading=Reading(
            pages=(
                "razorpay.com/docs/payments/magic-checkout/abandoned-cart",
                "razorpay.com/docs/webhooks (GitHub razorpay/markdown-docs)",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=(
                "payload.order.entity.id",
                "payload.payment.entity.order_id",
            ),
            contact_fields=(
                "phone, email",
                "payload.payment.entity.contact, email",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Check the signature where there is one, else the URL's token. Raises AuthenticationFailed."""
        signature = request.headers.get("x-razorpay-signature")
        if signature is not None:
            hmac_signature(signature, source.credentials.secrets, request.body, encoding="hex")
            return
        url_token(request, source)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """An abandoned cart or an order as a change of its checkout. Raises NotUnderstood."""
        event = text(payload.get("event"))
        if event is not None and ("payload" in payload or text(payload.get("entity")) == "event"):
            return overridden(_ordinary(event.lower(), payload, request, source), payload, source, unit="minor")
        return overridden(_abandoned(payload, request, source), payload, source)


def _ordinary(event: str, payload: Mapping[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    """An order or payment webhook: a purchase once paid, or placed cash on delivery."""
    carried = mapping(payload.get("payload"))
    order = mapping(mapping(carried.get("order")).get("entity"))
    payment = mapping(mapping(carried.get("payment")).get("entity"))
    if event in REFUNDS:
        return _refund(event, mapping(mapping(carried.get("refund")).get("entity")), payment, source)
    on_delivery = event == "payment.pending" and (text(payment.get("method")) or "").lower() == "cod"
    if event not in {"order.paid", "payment.captured"} and not on_delivery:
        return Normalised(ignored=f"no purchase: {event}"[:100])
    order_id = first_text(order.get("id"), payment.get("order_id"), payment.get("id"))
    if order_id is None:
        raise NotUnderstood("neither order nor payment has an id")
    currency = currency_code(order.get("currency")) or currency_code(payment.get("currency"))
    money = currency or source.currency
    paid = parse_money(payment.get("amount"), money, "minor")
    at = instant(payload.get("created_at")) or instant(payment.get("created_at"))
    change = CheckoutChange(
        external_id=f"order:{order_id}",
        signal=Signal.PURCHASED,
        order_key=NO_ORDER,
        body_digest=hashlib.sha256(request.body).digest()[:16],
        event_id=text(request.headers.get("x-razorpay-event-id")),
        occurred_at=at,
        order=Order(order_id, at, parse_money(order.get("amount"), money, "minor") or paid),
        leaves=_buyer(order, payment, source),
        join_tokens=tuple(dict.fromkeys(_tokens(order, payment))),
        join_contact=True,
    )
    return Normalised(changes=(change,), assumed=("currency",) if currency is None else ())


def _refund(event: str, refund: Mapping[str, Any], payment: Mapping[str, Any], source: SourceContext) -> Normalised:
    """A refund that arrived, or failed after all. Of a payment that was never captured it takes nothing back."""
    name, order_id = text(refund.get("id")), first_text(payment.get("order_id"), payment.get("id"))
    if name is None or order_id is None or payment.get("captured") is False:
        return Normalised(ignored="a refund of no order")
    currency = currency_code(refund.get("currency")) or currency_code(payment.get("currency"))
    amount = parse_money(refund.get("amount"), currency or source.currency, "minor")
    told = Refund(name, () if amount is None else (amount,), failed=event == "refund.failed")
    return Normalised(
        ignored="a refund changes no checkout",
        assumed=("currency",) if currency is None else (),
        reversals=(Reversal(order_id, refunds=(told,)),),
    )


def _tokens(order: Mapping[str, Any], payment: Mapping[str, Any]) -> Iterator[str]:
    for name in _TOKEN_NOTES:
        for entity in (order, payment):
            token = text(mapping(entity.get("notes")).get(name))
            if token:
                yield token


def _buyer(order: Mapping[str, Any], payment: Mapping[str, Any], source: SourceContext) -> dict[str, Any]:
    customer = mapping(order.get("customer_details"))
    shipping = mapping(customer.get("shipping_address"))
    leaves = Leaves(source)
    leaves.email(customer.get("email"), payment.get("email"))
    phones = (customer.get("contact"), payment.get("contact"), shipping.get("contact"))
    leaves.phone(*phones, country=_upper(shipping.get("country")))
    return leaves.found


def _upper(value: Any) -> str | None:
    found = text(value)
    return found.upper() if found else None


def _abandoned(payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    found = found_in(payload, source)
    external_id = found.text("external_id") or first_text(payload.get("token"), payload.get("cart_token"))
    if external_id is None:
        raise NotUnderstood("the abandoned cart has neither token nor cart_token")
    if source.settings.money_unit is None:
        raise NotUnderstood("the source's setting money_unit is missing: Razorpay does not publish it")
    cart = _cart(payload, source)
    leaves = _leaves(payload, source)
    timer = source.settings.on_arrival == "timer"
    change = CheckoutChange(
        external_id=external_id,
        signal=Signal.ACTIVITY if timer else Signal.ABANDONED,
        order_key=_ARRIVAL_ORDER,
        body_digest=hashlib.sha256(request.body).digest()[:16],
        leaves=leaves,
        cart=cart,
    )
    missing = tuple(name for name in ("checkout_url",) if name not in leaves) + (() if cart else ("items",))
    assumed = ("currency",) if cart and cart.currency_assumed else ()
    return Normalised(changes=(change,), missing=missing, assumed=assumed)


def _leaves(payload: Mapping[str, Any], source: SourceContext) -> dict[str, Any]:
    customer = _lower(payload.get("customer"))
    shipping = _lower(customer.get("shipping_address") or payload.get("shipping_address"))
    billing = _lower(customer.get("billing_address") or payload.get("billing_address"))
    leaves = Leaves(source)
    leaves.text("cart_id", payload.get("cart_token"))  # the token a shop's order knows; the checkout's own it does not
    leaves.text("customer.id", customer.get("id"))
    leaves.email(payload.get("email"), customer.get("email"), shipping.get("email"))
    phones = (payload.get("phone"), customer.get("phone"), customer.get("contact"), shipping.get("phone"))
    leaves.phone(*phones, country=shipping.get("country_code"))
    leaves.text("customer.first_name", customer.get("first_name"))
    leaves.text("customer.last_name", customer.get("last_name"))
    _address(leaves, "shipping_address", shipping)
    _address(leaves, "billing_address", billing)
    leaves.checkout_url(payload.get("abandoned_checkout_url"))
    leaves.attribution(mapping(payload.get("utm_parameters")).items())
    for value in (payload.get("created_at"), customer.get("created_at")):
        leaves.moment("started_at", instant(value))
    return leaves.found


def _lower(value: Any) -> dict[str, Any]:
    """Addresses come with capitalised keys (``Zip``, ``Country_code``)."""
    return {name.lower(): part for name, part in mapping(value).items()}


def _address(leaves: Leaves, leaf: str, parts: Mapping[str, Any]) -> None:
    leaves.address(
        leaf,
        {
            "first_name": parts.get("first_name"),
            "last_name": parts.get("last_name"),
            "company": parts.get("company"),
            "phone": parts.get("phone"),
            "address1": first_text(parts.get("address1"), parts.get("line1")),
            "address2": first_text(parts.get("address2"), parts.get("line2")),
            "city": parts.get("city"),
            "province": first_text(parts.get("province"), parts.get("state")),
            "province_code": first_text(parts.get("province_code"), parts.get("state_code")),
            "country": first_text(parts.get("country_name"), parts.get("country")),
            "country_code": parts.get("country_code"),
            "postal_code": first_text(parts.get("zip"), parts.get("zipcode"), parts.get("pincode")),
        },
    )


def _cart(payload: Mapping[str, Any], source: SourceContext) -> Cart | None:
    lines = payload.get("line_items")
    named = currency_code(payload.get("currency"))
    currency = named or source.currency
    unit = source.settings.money_unit or "minor"

    def money(value: Any) -> Money | None:
        return parse_money(value, currency, unit)

    subtotal = money(payload.get("line_items_total"))
    if not isinstance(lines, list) and subtotal is None:
        return None
    tax = mapping(payload.get("tax_details"))
    included = tax.get("taxes_included")
    promotions = objects(payload.get("promotions"))
    return Cart(
        currency,
        currency_assumed=named is None,
        items=tuple(_item(line, currency, unit) for line in objects(lines)),
        totals=Totals(
            subtotal=subtotal,
            discount=total_of(money(promotion.get("value")) for promotion in promotions),
            shipping=money(payload.get("shipping_fee")),
            tax=money(tax.get("total_tax")),
            total=money(payload.get("total_price")),
            tax_included=included if isinstance(included, bool) else None,
        ),
        discount_codes=codes(promotions),
        items_known=isinstance(lines, list),
    )


def _item(line: Mapping[str, Any], currency: str, unit: MoneyUnit) -> Item:
    """``offer_price`` is what a line of Razorpay's order API costs after its own discount; ``price`` is before it."""
    price, offered = (parse_money(line.get(name), currency, unit) for name in ("price", "offer_price"))
    return Item(
        quantity=units(line.get("quantity")),
        id=first_text(line.get("id"), line.get("line_item_id")),
        product_id=text(line.get("product_id")),
        variant_id=text(line.get("variant_id")),
        sku=text(line.get("sku")),
        title=first_text(line.get("title"), line.get("name")),
        variant_title=text(line.get("variant_title")),
        unit_price=offered or price or parse_money(line.get("variant_price"), currency, unit),
        compare_at_price=price if offered is not None else parse_money(line.get("compare_at_price"), currency, unit),
        image_url=text(line.get("image_url")),
        product_url=text(line.get("product_url")),
    )


PROVIDER = Razorpay()
