"""A checkout of any provider in the shape of Wix' abandoned checkout, and Wix' filters.

https://dev.wix.com/docs/api-reference/business-solutions/e-commerce/purchase-flow/checkout/abandoned-checkout/introduction
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.api.search_terms import All, AnyOf, Not, NotSearchable, Search, Term, searched_instant
from shared.domain.cart import Cart, Item
from shared.domain.checkout import Activity, Checkout, Status
from shared.domain.instants import to_rfc3339
from shared.domain.money import Money

SHOWN: Final = (Status.ABANDONED, Status.RECOVERED, Status.EXPIRED)
"""Wix knows two statuses: recovered, and abandoned for as long as it is not."""
ACTIVITY_TYPES: Final = frozenset(
    {"SCHEDULED", "EMAIL_SENT", "EMAIL_NOT_SENT", "NOTIFICATION_SENT", "TASK_CREATED", "AUTOMATION_SKIPPED"}
)
_OUR_TYPES: Final[Mapping[str, str]] = {
    "MESSAGE_SENT": "NOTIFICATION_SENT",
    "MESSAGE_DELIVERED": "NOTIFICATION_SENT",
    "NOT_SENT": "AUTOMATION_SKIPPED",
}
_DEEPEST: Final = 10
_MOST_VALUES: Final = 100
_TIMES: Final[Mapping[str, str]] = {"createdDate": "created_at", "updatedDate": "updated_at"}
_ORDERED: Final[Mapping[str, str]] = {"$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}
_FIELDS: Final = ("createdDate", "updatedDate", "id", "status")


def wix_status(checkout: Checkout) -> str:
    """Wix' status."""
    return "RECOVERED" if checkout.status is Status.RECOVERED else "ABANDONED"


def wix_checkout(checkout: Checkout, recovery_url: str, activities: Sequence[Activity] | None = None) -> dict[str, Any]:
    """The abandoned checkout; what the provider never sent is left out. ``activities``: its timeline, if shown."""
    cart = checkout.cart or Cart(None)
    sent_url, destination = checkout.pair("checkout_url")
    shop = cart.shop_totals or cart.totals
    recovered = checkout.status is Status.RECOVERED and checkout.completed_at is not None
    shown = {
        "id": checkout.id,
        "createdDate": to_rfc3339(checkout.began_at),
        "updatedDate": to_rfc3339(checkout.updated_at),
        "checkoutId": checkout.external_id,
        "cartId": checkout.text("cart_id"),
        "status": wix_status(checkout),
        "buyerLanguage": checkout.text("customer.locale"),
        "buyerInfo": _given({"contactId": checkout.text("customer.id"), "email": checkout.text("customer.email")}),
        "contactDetails": _given(
            {
                "firstName": checkout.text("customer.first_name"),
                "lastName": checkout.text("customer.last_name"),
                "phone": checkout.text("customer.phone"),
                "company": checkout.text("customer.company"),
            }
        ),
        "currency": cart.currency,
        "conversionCurrency": cart.currency,
        "totalPrice": _price(cart.total(), shop.total),
        "subtotalPrice": _price(cart.totals.subtotal, shop.subtotal),
        "checkoutRecoveredDate": to_rfc3339(checkout.completed_at) if recovered and checkout.completed_at else None,
        "checkoutUrl": recovery_url if destination else sent_url,
        "lineItems": [_line(item) for item in cart.items],
        "appliedDiscounts": [{"coupon": {"code": code}} for code in cart.discount_codes],
    }
    if activities is not None:
        shown["activities"] = [
            {"createdDate": to_rfc3339(own.at), "type": kind} for own in activities if (kind := _activity_type(own))
        ]
    return _given(shown)


def wix_filter(given: object) -> Search:
    """Wix' filter (WQL) as a search. Raises NotSearchable for what is not supported."""
    return _filter(given, 0)


def _filter(given: object, depth: int) -> Search:
    if depth > _DEEPEST:
        raise NotSearchable(f"a filter nests at most {_DEEPEST} deep")
    if not isinstance(given, dict) or len(given) > _MOST_VALUES:
        raise NotSearchable("a filter is an object of fields")
    parts: list[Search] = []
    for name, value in given.items():
        if name in {"$and", "$or"}:
            if not isinstance(value, list) or not 1 <= len(value) <= _MOST_VALUES:
                raise NotSearchable(f"{name} takes a list of filters")
            inner = tuple(_filter(own, depth + 1) for own in value)
            parts.append(All(inner) if name == "$and" else AnyOf(inner))
        elif name == "$not":
            parts.append(Not(_filter(value, depth + 1)))
        elif name in _FIELDS:
            parts.append(_field(name, value if isinstance(value, dict) else {"$eq": value}))
        else:
            raise NotSearchable(f"abandoned checkouts are not filtered by {name[:40]}: only by {', '.join(_FIELDS)}")
    return All(tuple(parts))


def _field(name: str, conditions: Mapping[str, object]) -> Search:
    if not conditions:
        raise NotSearchable(f"{name} wants a condition")
    parts: list[Search] = []
    for sign, value in conditions.items():
        if sign in {"$in", "$nin"}:
            if not isinstance(value, list) or len(value) > _MOST_VALUES:
                raise NotSearchable(f"{sign} takes at most {_MOST_VALUES} values")
            among = AnyOf(tuple(_term(name, "=", own) for own in value))
            parts.append(among if sign == "$in" else Not(among))
        elif sign in {"$eq", "$ne"}:
            term = _term(name, "=", value)
            parts.append(term if sign == "$eq" else Not(term))
        elif sign in _ORDERED and name in _TIMES:
            parts.append(_term(name, _ORDERED[sign], value))
        else:
            raise NotSearchable(f"{sign[:40]} is not supported of {name}")
    return All(tuple(parts))


def _term(name: str, comparison: str, value: object) -> Term:
    if name in _TIMES:
        # A client's own dates arrive wrapped.
        instant = searched_instant(value.get("$date") if isinstance(value, dict) else value)
        if instant is None:
            raise NotSearchable(f"{name} wants a time, like 2026-11-21T10:00:00Z")
        return Term(_TIMES[name], comparison, instant)
    if not isinstance(value, str):
        raise NotSearchable(f"{name} wants a text")
    if name == "status" and value not in {"ABANDONED", "RECOVERED"}:
        raise NotSearchable("status is ABANDONED or RECOVERED")
    return Term(name, comparison, value)


def _activity_type(activity: Activity) -> str | None:
    """The entry's type in Wix' words; None for what Wix does not know."""
    return activity.type if activity.type in ACTIVITY_TYPES else _OUR_TYPES.get(activity.type)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _price(seen: Money | None, shop: Money | None) -> dict[str, str] | None:
    """``amount`` is in the shop's currency, ``convertedAmount`` in the shopper's."""
    if seen is None:
        return None
    own = shop or seen
    return {
        "amount": own.amount(),
        "convertedAmount": seen.amount(),
        "formattedAmount": f"{own.currency} {own.amount()}",
        "formattedConvertedAmount": f"{seen.currency} {seen.amount()}",
    }


def _line(item: Item) -> dict[str, Any]:
    reference = _given({"catalogItemId": item.product_id})
    if item.variant_id is not None:
        reference["options"] = {"variantId": item.variant_id}
    quantity = item.quantity
    return _given(
        {
            "id": item.id,
            "quantity": int(quantity) if quantity == quantity.to_integral_value() else float(quantity),
            "catalogReference": reference or None,
            "productName": {"original": item.title} if item.title else None,
            "price": _price(item.unit_price, None),
            "priceBeforeDiscounts": _price(item.compare_at_price or item.unit_price, None),
            "descriptionLines": [
                {"name": {"original": name}, "plainText": {"original": value}}
                for name, value in item.attributes.items()
            ],
            "image": item.image_url,
            "physicalProperties": {"sku": item.sku} if item.sku else None,
        }
    )
