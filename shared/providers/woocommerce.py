"""WooCommerce (WooCommerce REST API v3 orders; class-wc-webhook.php).

A stream of orders without an event for abandonment: the block checkout keeps an order in status ``checkout-draft``
while the shopper fills it in, and every change of it is posted as ``order.updated``. The classic checkout posts its
order when it is placed. The order is the checkout; its own time is ``date_modified_gmt``.

The signature is base64 HMAC-SHA256 over the body. Saving a webhook posts an unsigned form, ``webhook_id=<n>``, which
must be answered with 200.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.change import CheckoutChange, OrderKey, Signal, clock_key
from shared.domain.checkout import Order
from shared.domain.instants import parse_instant, trustworthy
from shared.domain.money import MoneyUnit, currency_code, parse_decimal, parse_money, total_of
from shared.domain.reversal import Refund, Reversal
from shared.providers.authentication import hmac_signature
from shared.providers.mapping import overridden
from shared.providers.payload import CLICK_IDS, Leaves, first_text, mapping, objects, quantity, read_object, text
from shared.providers.provider import (
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    Reading,
    SourceContext,
    WebhookRequest,
)

SIGNATURE_HEADER = "x-wc-webhook-signature"
TOPIC_HEADER = "x-wc-webhook-topic"
TOPICS = ("order.created", "order.updated", "order.restored", "order.deleted")

STATUSES: Mapping[str, Signal] = {
    "checkout-draft": Signal.ACTIVITY,
    "pending": Signal.PAYMENT_STARTED,
    "failed": Signal.PAYMENT_FAILED,
    "on-hold": Signal.PURCHASED,
    "processing": Signal.PURCHASED,
    "completed": Signal.PURCHASED,
    "refunded": Signal.PURCHASED,
    "cancelled": Signal.ENDED,
    "trash": Signal.ENDED,
}
"""Core's order statuses. ``on-hold`` is an order that awaits a transfer or a cheque; ``refunded`` was one."""

NOT_THE_SHOPPERS = frozenset({"admin", "subscription"})
"""``created_via`` of orders that nobody checked out: an invoice by the merchant, a renewal."""

REFUND_TELLS_OF_ORDER = timedelta(days=7)

_PING = re.compile(rb"webhook_id=\d{1,20}")
_ATTRIBUTION = "_wc_order_attribution_"
_ATTRIBUTION_LEAVES = {"session_entry": "landing_page", "referrer": "referrer"}


class WooCommerce:
    """The WooCommerce adapter."""

    name = "woocommerce"
    checkout_hosts: frozenset[str] = frozenset()
    description = Description(
        title="WooCommerce",
        authentication="HMAC-SHA256 of the body, base64, in X-WC-Webhook-Signature",
        credentials=(CredentialField("secret", "the webhook's secret", generated=True),),
        setup=(
            "WooCommerce, Settings, Advanced, Webhooks: one webhook each for Order created, Order updated and Order "
            "deleted, with url as delivery URL, secret, and API version WP REST API v3."
        ),
        declares_abandonment=False,
        events=TOPICS,
        reading=Reading(
            pages=(
                "GitHub woocommerce/woocommerce: class-wc-webhook.php, issues 37958 and 66995",
                "woocommerce.github.io: REST API v3, orders",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=("id",),
            contact_fields=(
                "billing.phone, billing.email",
                "customer_id",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove the signature; the set-up ping has none and says nothing. Raises AuthenticationFailed."""
        if not _is_ping(request):
            hmac_signature(request.headers.get(SIGNATURE_HEADER), source.credentials.secrets, request.body)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The order posted; nothing for the set-up ping."""
        return {} if _is_ping(request) else read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """One state of an order as a change of its checkout. Raises NotUnderstood."""
        if _is_ping(request):
            return Normalised(ignored="the ping of a webhook being set up")
        topic = (first_text(request.headers.get(TOPIC_HEADER), request.event) or "").lower()
        if topic and not topic.startswith("order."):
            return Normalised(ignored="not an event of an order")
        if topic and topic not in TOPICS:
            raise NotUnderstood("an unknown event of an order")
        order = mapping(payload.get("order")) or payload  # the legacy API version wraps it
        order_id = text(order.get("id"))
        if order_id is None:
            raise NotUnderstood("the order has no id")
        if topic == "order.deleted":
            return self._deleted(order_id, request)
        status = (text(order.get("status")) or "").lower().removeprefix("wc-")
        if status == "auto-draft":
            return Normalised(ignored="an order being written in the shop's admin")
        signal = _signal(status, order)
        backs = _taken_back(order_id, status, order, source)
        if status == "refunded" and not _paid_lately(order, request.arrived_at):
            return Normalised(ignored="the refund of an order of long ago", reversals=backs)
        if signal is not Signal.PURCHASED and text(order.get("created_via")) in NOT_THE_SHOPPERS:
            return Normalised(ignored="an order made in the shop, not a checkout")
        return replace(self._changed(order_id, status, signal, order, payload, request, source), reversals=backs)

    @staticmethod
    def _deleted(order_id: str, request: WebhookRequest) -> Normalised:
        """A deletion has an id and no time: it counts from its arrival."""
        body_digest = _digest(request)
        key = clock_key(request.arrived_at, body_digest)
        return Normalised((CheckoutChange(order_id, Signal.ENDED, key, body_digest),))

    def _changed(
        self,
        order_id: str,
        status: str,
        signal: Signal,
        order: Mapping[str, Any],
        payload: Mapping[str, Any],
        request: WebhookRequest,
        source: SourceContext,
    ) -> Normalised:
        cart = _cart(order, source)
        if status == "checkout-draft" and cart is not None and cart.is_empty():
            signal = Signal.ENDED
        modified_at = _instant(order, "date_modified_gmt", "updated_at")
        body_digest = _digest(request)
        clock, _, tie = clock_key(modified_at or request.arrived_at, body_digest).value.partition(".")
        rank = tuple(STATUSES).index(status) if status in STATUSES else len(STATUSES)
        placed = None
        if signal is Signal.PURCHASED:
            placed_at = _instant(order, "date_paid_gmt", "date_completed_gmt", "completed_at") or modified_at
            stands_at = None if status == "refunded" else modified_at
            placed = Order(order_id, placed_at, cart.total() if cart else None, stands_at=stands_at)
        leaves = self._leaves(status, order, source)
        change = CheckoutChange(
            external_id=order_id,
            signal=signal,
            order_key=OrderKey(f"{clock}.{rank:02d}.{tie}"),
            body_digest=body_digest,
            occurred_at=modified_at,
            order=placed,
            leaves=leaves,
            cart=cart,
        )
        missing = [name for name in ("customer.email", "customer.phone", "checkout_url") if name not in leaves]
        assumed = ["currency"] if cart is not None and cart.currency_assumed else []
        return overridden(Normalised((change,), missing=tuple(missing), assumed=tuple(assumed)), payload, source)

    def _leaves(self, status: str, order: Mapping[str, Any], source: SourceContext) -> dict[str, Any]:
        billing = mapping(order.get("billing")) or mapping(order.get("billing_address"))
        shipping = mapping(order.get("shipping")) or mapping(order.get("shipping_address"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("stage", status)
        leaves.text("name", order.get("number"), order.get("order_number"))
        leaves.text("customer.id", order.get("customer_id"))
        leaves.email(billing.get("email"), shipping.get("email"))
        leaves.phone(billing.get("phone"), country=billing.get("country"))
        if "customer.phone" not in leaves.found:
            leaves.phone(shipping.get("phone"), country=shipping.get("country"))
        for name in ("first_name", "last_name", "company"):
            leaves.text(f"customer.{name}", billing.get(name), shipping.get(name))
        _address(leaves, "billing_address", billing)
        _address(leaves, "shipping_address", shipping)
        leaves.checkout_url(order.get("payment_url"))
        leaves.text("note", order.get("customer_note"), order.get("note"))
        leaves.moment("started_at", _instant(order, "date_created_gmt", "created_at"))
        _metadata(leaves, objects(order.get("meta_data")))
        return leaves.found


def _is_ping(request: WebhookRequest) -> bool:
    return _PING.fullmatch(request.body) is not None


def _digest(request: WebhookRequest) -> bytes:
    return hashlib.sha256(request.body).digest()[:16]


def _instant(order: Mapping[str, Any], *names: str) -> datetime | None:
    """The first usable time in UTC. Those without ``_gmt`` are in the shop's zone, which the order does not tell."""
    return next((at for name in names if (at := parse_instant(order.get(name))) is not None), None)


def _signal(status: str, order: Mapping[str, Any]) -> Signal:
    """What the status means; one of a plugin's own counts as bought once it is paid. Raises NotUnderstood."""
    signal = STATUSES.get(status)
    if signal is not None:
        return signal
    if status and _instant(order, "date_paid_gmt", "date_completed_gmt") is not None:
        return Signal.PURCHASED
    raise NotUnderstood("the order's status is missing or unknown")


def _taken_back(order_id: str, status: str, order: Mapping[str, Any], source: SourceContext) -> tuple[Reversal, ...]:
    """What the order shows as taken back: its refunds by id, or all of it. Refunds have negative totals."""
    currency = currency_code(order.get("currency")) or source.currency
    unit: MoneyUnit = source.settings.money_unit or "major"
    refunds = tuple(
        Refund(name, (amount,))
        for own in objects(order.get("refunds"))
        if (name := text(own.get("id"))) and (amount := parse_money(own.get("total"), currency, unit))
    )
    paid = _instant(order, "date_paid_gmt", "date_completed_gmt", "completed_at") is not None
    # One on hold or to be paid on delivery is placed without being paid, so a cancellation always counts.
    off = status == "cancelled" or (status == "failed" and paid) or (status == "refunded" and not refunds)
    if not refunds and not off:
        return ()
    at = _instant(order, "date_modified_gmt", "updated_at")
    return (Reversal(order_id, refunds=refunds, cancelled=off, at=at if off else None),)


def _paid_lately(order: Mapping[str, Any], arrived_at: datetime) -> bool:
    """Whether a refund may be the first word of a purchase. An older one would stand for a purchase made just now."""
    paid_at = _instant(order, "date_paid_gmt", "date_completed_gmt", "completed_at")
    return trustworthy(paid_at, arrived_at, horizon=REFUND_TELLS_OF_ORDER) is not None


def _address(leaves: Leaves, leaf: str, address: Mapping[str, Any]) -> None:
    """Set an address. ``state`` is a code where WooCommerce knows the country's states, else what was typed."""
    state = text(address.get("state"))
    is_code = state is not None and re.fullmatch(r"[A-Z0-9-]{1,5}", state) is not None
    leaves.address(
        leaf,
        {
            "first_name": address.get("first_name"),
            "last_name": address.get("last_name"),
            "company": address.get("company"),
            "phone": address.get("phone"),
            "address1": address.get("address_1"),
            "address2": address.get("address_2"),
            "city": address.get("city"),
            "province": None if is_code else state,
            "province_code": state if is_code else None,
            "country": None,
            "country_code": address.get("country"),
            "postal_code": address.get("postcode"),
        },
    )


def _metadata(leaves: Leaves, metadata: Iterable[Mapping[str, Any]]) -> None:
    """Core's order attribution (since 8.5), and what plugins show: a key that starts with ``_`` is theirs alone."""
    named = [(key, entry.get("value")) for entry in metadata if isinstance(key := entry.get("key"), str)]
    source = {key.removeprefix(_ATTRIBUTION): value for key, value in named if key.startswith(_ATTRIBUTION)}
    leaves.attribution(source.items())
    for key, leaf in _ATTRIBUTION_LEAVES.items():
        leaves.text(f"attribution.{leaf}", source.get(key))
    leaves.attributes((key, value) for key, value in named if not key.startswith("_") and key not in CLICK_IDS)


def _cart(order: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """The order's lines and totals. Lines are without tax, as WooCommerce has them; the total is with it."""
    unit: MoneyUnit = source.settings.money_unit or "major"
    sent = order.get("line_items")
    if not isinstance(sent, list) and order.get("total") is None:
        return None
    named = currency_code(order.get("currency"))
    currency = named or source.currency
    lines = objects(sent)
    sent_subtotal = parse_money(order.get("subtotal"), currency, unit)
    included = order.get("prices_include_tax")
    totals = Totals(
        subtotal=sent_subtotal or total_of(parse_money(line.get("subtotal"), currency, unit) for line in lines),
        discount=parse_money(_first(order, "discount_total", "total_discount"), currency, unit),
        shipping=parse_money(_first(order, "shipping_total", "total_shipping"), currency, unit),
        tax=parse_money(order.get("total_tax"), currency, unit),
        total=parse_money(order.get("total"), currency, unit),
        tax_included=included if isinstance(included, bool) else None,
    )
    codes = (text(line.get("code")) for line in objects(order.get("coupon_lines")))
    return Cart(
        currency,
        currency_assumed=named is None,
        items=tuple(_item(line, currency, unit) for line in lines),
        totals=totals,
        tax_lines=tuple(_tax_line(line, currency, unit) for line in objects(order.get("tax_lines"))),
        discount_codes=tuple(dict.fromkeys(code for code in codes if code is not None)),
        items_known=isinstance(sent, list),
    )


def _tax_line(line: Mapping[str, Any], currency: str, unit: MoneyUnit) -> TaxLine:
    percent = parse_decimal(line.get("rate_percent"))
    parts = [parse_money(line.get(name), currency, unit) for name in ("tax_total", "shipping_tax_total")]
    return TaxLine(
        title=first_text(line.get("label"), line.get("title"), line.get("rate_code")),
        rate=_fraction(percent),
        price=total_of(part for part in parts if part is not None),
    )


def _fraction(percent: Decimal | None) -> Decimal | None:
    if percent is None or not 0 <= percent <= Decimal(100):
        return None
    return (percent / 100).quantize(Decimal("0.000001")).normalize()


def _first(order: Mapping[str, Any], *names: str) -> Any:
    return next((value for name in names if (value := order.get(name)) is not None), None)


def _item(line: Mapping[str, Any], currency: str, unit: MoneyUnit) -> Item:
    """A line: ``price`` is for one unit after discounts, a number with the noise of a division."""
    variation = text(line.get("variation_id"))
    shown = [
        (
            first_text(entry.get("display_key"), entry.get("key")),
            first_text(entry.get("display_value"), entry.get("value")),
        )
        for entry in objects(line.get("meta_data"))
    ]
    return Item(
        quantity=quantity(line.get("quantity")),
        id=text(line.get("id")),
        product_id=text(line.get("product_id")),
        variant_id=None if variation == "0" else variation,
        sku=text(line.get("sku")),
        title=text(line.get("name")),
        unit_price=parse_money(line.get("price"), currency, unit),
        total=parse_money(line.get("total"), currency, unit),
        image_url=text(mapping(line.get("image")).get("src")),
        attributes={name: value for name, value in shown if name and value and not name.startswith("_")},
    )


PROVIDER = WooCommerce()
