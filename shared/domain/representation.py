"""The contract's checkout object: one function makes it, for the API, the webhooks and the preview alike."""

from decimal import Decimal
from typing import Any

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.checkout import (
    ADDRESS_PAIRS,
    ADDRESS_TEXTS,
    ATTRIBUTION_TEXTS,
    CHANNELS,
    CUSTOMER_TEXTS,
    Checkout,
    Consent,
)
from shared.domain.instants import to_rfc3339
from shared.domain.money import Money


def checkout_json(checkout: Checkout, recovery_url: str | None, activities_count: int = 0) -> dict[str, Any]:
    """The checkout as merchants and BSPs see it. A field the provider never sent is null.

    ``recovery_url`` is our own link; it is shown only where the checkout has an allowed destination.
    """
    cart = checkout.cart
    sent_url, destination = checkout.pair("checkout_url")
    return {
        "id": checkout.id,
        "provider": checkout.provider,
        "source_id": checkout.source_id,
        "external_id": checkout.external_id,
        "cart_id": checkout.text("cart_id"),
        "cart_type": cart.cart_type if cart else None,
        "name": checkout.text("name"),
        "status": checkout.status.value,
        "reason": checkout.reason.value if checkout.reason else None,
        "stage": checkout.text("stage"),
        "test": checkout.test,
        "customer": {name: checkout.text(f"customer.{name}") for name in CUSTOMER_TEXTS},
        "consent": _consent(checkout),
        "shipping_address": _address(checkout, "shipping_address"),
        "billing_address": _address(checkout, "billing_address"),
        "items": [_item(item) for item in cart.items] if cart else [],
        "item_count": _number(cart.item_count()) if cart else 0,
        "totals": _totals(cart.totals if cart else Totals(), cart),
        "shop_totals": _totals(cart.shop_totals, None) if cart and cart.shop_totals else None,
        "tax_lines": [_tax_line(line) for line in cart.tax_lines] if cart else [],
        "currency_assumed": bool(cart and cart.currency_assumed),
        "discount_codes": list(cart.discount_codes) if cart else [],
        "checkout_url": sent_url,
        "recovery_url": recovery_url if destination else None,
        "attribution": _attribution(checkout),
        "note": checkout.text("note"),
        "attributes": dict(checkout.mapping("attributes")),
        **_times(checkout),
        "order": _order(checkout),
        "activities_count": activities_count,
    }


def _consent(checkout: Checkout) -> dict[str, Any]:
    channels = {channel: checkout.text(f"consent.channels.{channel}") or Consent.UNKNOWN.value for channel in CHANNELS}
    known = set(channels.values())
    marketing = next((value for value in (Consent.GRANTED, Consent.DENIED) if value.value in known), Consent.UNKNOWN)
    return {
        "marketing": marketing.value,
        "channels": channels,
        "source": checkout.text("consent.source"),
        "at": checkout.text("consent.at"),
    }


def _address(checkout: Checkout, address: str) -> dict[str, str | None] | None:
    texts = {name: checkout.text(f"{address}.{name}") for name in ADDRESS_TEXTS}
    pairs: dict[str, str | None] = {}
    for name, code in ADDRESS_PAIRS.items():
        pairs[name], pairs[code] = checkout.pair(f"{address}.{name}")
    both = texts | pairs
    return both if any(value is not None for value in both.values()) else None


def _item(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "product_id": item.product_id,
        "variant_id": item.variant_id,
        "sku": item.sku,
        "title": item.title,
        "variant_title": item.variant_title,
        "handle": item.handle,
        "quantity": _number(item.quantity),
        "unit_price": _money(item.unit_price),
        "compare_at_price": _money(item.compare_at_price),
        "total": _money(item.line_total()),
        "image_url": item.image_url,
        "product_url": item.product_url,
        "attributes": dict(item.attributes),
    }


def _totals(totals: Totals | None, cart: Cart | None) -> dict[str, Any]:
    shown = totals or Totals()
    return {
        "subtotal": _money(shown.subtotal),
        "discount": _money(shown.discount),
        "shipping": _money(shown.shipping),
        "tax": _money(shown.tax),
        "duties": _money(shown.duties),
        "total": _money(cart.total() if cart else shown.total),
        "tax_included": shown.tax_included,
    }


def _tax_line(line: TaxLine) -> dict[str, Any]:
    return {
        "title": line.title,
        "rate": None if line.rate is None else f"{line.rate:f}",
        "price": _money(line.price),
    }


def _attribution(checkout: Checkout) -> dict[str, Any]:
    shown: dict[str, Any] = {name: checkout.text(f"attribution.{name}") for name in ATTRIBUTION_TEXTS}
    click_ids = checkout.mapping("attribution.click_ids")
    return shown | {"click_ids": dict(click_ids)} if click_ids else shown


def _times(checkout: Checkout) -> dict[str, str | None]:
    started_at = checkout.text("started_at")
    return {
        "created_at": to_rfc3339(checkout.created_at),
        "updated_at": to_rfc3339(checkout.updated_at),
        "started_at": started_at or to_rfc3339(checkout.created_at),
        "last_activity_at": to_rfc3339(checkout.last_activity_at),
        "abandoned_at": None if checkout.abandoned_at is None else to_rfc3339(checkout.abandoned_at),
        "completed_at": None if checkout.completed_at is None else to_rfc3339(checkout.completed_at),
        "expires_at": checkout.text("expires_at"),
    }


def _order(checkout: Checkout) -> dict[str, Any] | None:
    if checkout.order is None or checkout.completed_at is None:
        return None
    return {
        "id": checkout.order.id,
        "at": to_rfc3339(checkout.completed_at),
        "total": _money(checkout.order.total),
        "reversed": [own.as_json() for own in checkout.order.reversed if own.minor],
        "cancelled": checkout.order.cancelled,
    }


def _money(money: Money | None) -> dict[str, str] | None:
    return None if money is None else money.as_json()


def _number(quantity: Decimal) -> int | float:
    """A quantity as a JSON number: an integer where it is one."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)
