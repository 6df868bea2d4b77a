"""A checkout of any provider in the shape of Shopify's AbandonedCheckout (GraphQL Admin API).

What Shopify calls non-null is never null here: docs/reading.md says what stands where a provider sent nothing.
https://shopify.dev/docs/api/admin-graphql/latest/objects/AbandonedCheckout
"""

import math
from collections.abc import Mapping
from typing import Any

from shared.domain.cart import Cart, Item
from shared.domain.checkout import Checkout, Status
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Merchant
from shared.domain.money import Money, total_of

GID = "gid://shopify/"
_MOST_INT = 2**31 - 1


def gid(kind: str, name: str) -> str:
    """Shopify's form of an id: ``gid://shopify/AbandonedCheckout/chk_…``."""
    return f"{GID}{kind}/{name}"


def is_open(checkout: Checkout) -> bool:
    """Shopify's ``status:open``: it may still be bought."""
    return checkout.status is Status.ABANDONED


def is_recovered(checkout: Checkout) -> bool:
    """Shopify's ``recovery_state:recovered``."""
    return checkout.status is Status.RECOVERED


def shopify_checkout(checkout: Checkout, merchant: Merchant, recovery_url: str) -> dict[str, Any]:
    """The fields of AbandonedCheckout, ``lineItems`` as a plain list. ``recovery_url`` is our own link."""
    cart = checkout.cart or Cart(None)
    money = _Amounts(cart, merchant.currency)
    lines = [_line(checkout, number, item, money) for number, item in enumerate(cart.items)]
    priced = money.sum_of([item.line_total() for item in cart.items])
    totals, shop = cart.totals, cart.shop_totals or cart.totals
    total = cart.total() or priced
    sent_url, destination = checkout.pair("checkout_url")
    return {
        "__typename": "AbandonedCheckout",
        "id": gid("AbandonedCheckout", checkout.id),
        "name": checkout.text("name") or checkout.external_id,
        "abandonedCheckoutUrl": recovery_url if destination else sent_url or _shop_url(merchant, recovery_url),
        "note": checkout.text("note") or "",
        "createdAt": to_rfc3339(checkout.began_at),
        "updatedAt": to_rfc3339(checkout.updated_at),
        "completedAt": None if checkout.completed_at is None else to_rfc3339(checkout.completed_at),
        "customAttributes": _attributes(checkout.mapping("attributes")),
        "discountCodes": list(cart.discount_codes),
        "customer": _customer(checkout),
        "shippingAddress": _address(checkout, "shipping_address"),
        "billingAddress": _address(checkout, "billing_address"),
        "lineItems": lines,
        "lineItemsQuantity": min(sum(line["quantity"] for line in lines), _MOST_INT),
        "taxesIncluded": bool(totals.tax_included),
        "taxLines": [
            {
                "title": line.title or "",
                "rate": None if line.rate is None else float(line.rate),
                "ratePercentage": None if line.rate is None else float(line.rate * 100),
                "priceSet": money.bag(line.price or money.nothing, line.price or money.nothing),
            }
            for line in cart.tax_lines
        ],
        "subtotalPriceSet": money.bag(totals.subtotal or priced, shop.subtotal),
        "totalLineItemsPriceSet": money.bag(priced, None),
        "totalDiscountSet": money.bag(totals.discount or money.nothing, shop.discount),
        "totalPriceSet": money.bag(total, shop.total),
        "totalTaxSet": money.bag(totals.tax, shop.tax) if totals.tax else None,
        "totalDutiesSet": money.bag(totals.duties, shop.duties) if totals.duties else None,
    }


class _Amounts:
    """Money of one cart as Shopify's money bags."""

    def __init__(self, cart: Cart, currency: str) -> None:
        named = cart.total() or next((own for item in cart.items if (own := item.line_total())), None)
        self.nothing = Money(0, named.currency if named else currency)

    def sum_of(self, amounts: list[Money | None]) -> Money:
        """The sum of what is known; nothing where currencies are mixed."""
        return total_of(own for own in amounts if own is not None) or self.nothing

    @staticmethod
    def bag(presented: Money, shop: Money | None) -> dict[str, Any]:
        """What the shopper saw, and the shop's own where the provider gives both; else the same twice."""
        return {"presentmentMoney": _money(presented), "shopMoney": _money(shop or presented)}


def _money(money: Money) -> dict[str, str]:
    return {"amount": money.amount(), "currencyCode": money.currency}


def _line(checkout: Checkout, number: int, item: Item, money: _Amounts) -> dict[str, Any]:
    unit = item.unit_price or money.nothing
    total = item.line_total() or money.nothing
    # By weight: Shopify's quantity is whole.
    quantity = min(math.ceil(item.quantity), _MOST_INT)
    was = item.unit_price.times(item.quantity) if item.unit_price and quantity < _MOST_INT else total
    return {
        "id": gid("AbandonedCheckoutLineItem", f"{checkout.id}-{number}"),
        "title": item.title,
        "variantTitle": item.variant_title,
        "sku": item.sku,
        "quantity": quantity,
        "customAttributes": _attributes(item.attributes),
        "image": {"url": item.image_url, "altText": None} if item.image_url else None,
        "product": _product(item),
        "variant": _variant(item),
        "originalUnitPriceSet": money.bag(unit, None),
        "originalTotalPriceSet": money.bag(was, None),
        "discountedUnitPriceSet": money.bag(unit, None),
        "discountedTotalPriceSet": money.bag(total, None),
    }


def _product(item: Item) -> dict[str, Any] | None:
    if item.product_id is None:
        return None
    return {"id": gid("Product", item.product_id), "title": item.title or "", "handle": item.handle or ""}


def _variant(item: Item) -> dict[str, Any] | None:
    if item.variant_id is None:
        return None
    title = item.variant_title or item.title or ""
    return {"id": gid("ProductVariant", item.variant_id), "title": title, "sku": item.sku}


def _attributes(attributes: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value} for key, value in attributes.items()]


def _customer(checkout: Checkout) -> dict[str, Any] | None:
    text = {
        name: checkout.text(f"customer.{name}")
        for name in ("id", "email", "phone", "first_name", "last_name", "locale")
    }
    if not any(text.values()):
        return None
    named = " ".join(part for part in (text["first_name"], text["last_name"]) if part)
    return {
        "id": gid("Customer", text["id"] or checkout.id),
        "email": text["email"],
        "phone": text["phone"],
        "firstName": text["first_name"],
        "lastName": text["last_name"],
        "displayName": named or text["email"] or text["phone"] or "",
        "locale": text["locale"] or "",
        "defaultEmailAddress": {"emailAddress": text["email"]} if text["email"] else None,
        "defaultPhoneNumber": {"phoneNumber": text["phone"]} if text["phone"] else None,
    }


def _address(checkout: Checkout, address: str) -> dict[str, Any] | None:
    def text(name: str) -> str | None:
        return checkout.text(f"{address}.{name}")

    province, province_code = checkout.pair(f"{address}.province")
    country, country_code = checkout.pair(f"{address}.country")
    shown = {
        "firstName": text("first_name"),
        "lastName": text("last_name"),
        "company": text("company"),
        "phone": text("phone"),
        "address1": text("address1"),
        "address2": text("address2"),
        "city": text("city"),
        "zip": text("postal_code"),
        "province": province,
        "provinceCode": province_code,
        "country": country,
        "countryCodeV2": country_code,
    }
    if not any(shown.values()):
        return None
    name = " ".join(part for part in (shown["firstName"], shown["lastName"]) if part)
    area = [part for part in (shown["city"], province_code or province, country) if part]
    lines = (shown["address1"], shown["address2"], shown["city"], province, shown["zip"], country)
    return shown | {
        "id": gid("MailingAddress", f"{checkout.id}-{address}"),
        "name": name or None,
        "formattedArea": ", ".join(area) or None,
        "formatted": [part for part in lines if part],
    }


def _shop_url(merchant: Merchant, recovery_url: str) -> str:
    """Where a checkout without a link leads: the shop itself."""
    return f"https://{merchant.store_domains[0]}/" if merchant.store_domains else recovery_url
