"""Shopflo (help article "Abandoned Checkout Webhook"; the order event as merchants receive it).

Nothing is signed: the source's URL carries a token, or the merchant sets a header with a shared secret. Shopflo
declares abandonment. No completion event is on the public page; ``order_completed``, which Shopflo sends on request,
is read as a purchase because it names an order.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import NO_ORDER, CheckoutChange, Signal, clock_key
from shared.domain.checkout import Order
from shared.domain.money import currency_code, parse_money
from shared.providers.authentication import shared_secret, url_token
from shared.providers.mapping import codes, found_in, instant, marketing_consent, overridden, units
from shared.providers.payload import Leaves, first_text, mapping, objects, query_pairs, read_object, text
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

_PURCHASES = frozenset({"order_completed", "order_placed", "order_created"})
_ABANDONED = frozenset({"checkout_abandoned", "abandoned_checkout"})
_BROWSING = ("store_page_view", "product_page", "collection_page", "page_view", "added_to_cart", "search", "home_page")
"""Beginnings of the names of events before any checkout."""

_OWN_NOTES = frozenset({"landing_page", "orig_referrer", "shopflo_checkout_url"})


class Shopflo:
    """The Shopflo adapter."""

    name = "shopflo"
    checkout_hosts = frozenset({"checkout.shopflo.co"})
    description = Description(
        title="Shopflo",
        authentication="token in the URL, or a custom header with a shared secret; Shopflo signs nothing",
        credentials=(
            CredentialField(
                "secret", "value of the custom header, if one is set; its name is settings.signature.header"
            ),
            CredentialField("secrets", "old and new during rotation"),
        ),
        setup="Shopflo dashboard, Settings, Integrations, Abandoned Cart Webhook: paste url and enable it. Ask Shopflo "
        "to send order_completed to the same url, or connect the shop's own orders as another source.",
        declares_abandonment=True,
        events=("checkout_abandoned", "order_completed"),
        url_token=True,
        reading=Reading(
            pages=("Shopflo help article 10520364 (abandoned cart webhook)",),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=("order_id",),
            contact_fields=(
                "phone, email",
                "customer.phone, customer.email",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Check the URL's token or the secret header; one proof is enough. Raises AuthenticationFailed."""
        header = request.headers.get(str(source.settings.signature.get("header") or "authorization").lower())
        try:
            url_token(request, source)
        except AuthenticationFailed:
            if header is None:
                raise
        else:
            return
        scheme, _, value = header.partition(" ")
        shared_secret(value.strip() if scheme.lower() == "bearer" else header, source.credentials.secrets)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """An abandoned checkout or an order as a change of its checkout. Raises NotUnderstood."""
        event = (first_text(payload.get("event_name"), payload.get("eventName"), request.event) or "").lower()
        if event in _ABANDONED:
            return overridden(_abandoned(payload, request, source), payload, source)
        if event in _PURCHASES:
            return overridden(_order(payload, request, source), payload, source)
        if event.startswith(_BROWSING):
            return Normalised(ignored=f"before any checkout: {event}"[:100])
        raise NotUnderstood("event_name is missing or unknown")


def _abandoned(payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    external_id = found_in(payload, source).text("external_id") or _checkout_id(payload)
    if external_id is None:
        raise NotUnderstood("the abandoned checkout has neither checkout_id nor cart_token")
    at = _happened_at(payload)
    digest = hashlib.sha256(request.body).digest()[:16]
    timer = source.settings.on_arrival == "timer"
    cart = _cart(payload, source)
    leaves = _leaves(payload, source)
    change = CheckoutChange(
        external_id=external_id,
        signal=Signal.ACTIVITY if timer else Signal.ABANDONED,
        order_key=clock_key(at or request.arrived_at, digest),
        body_digest=digest,
        occurred_at=at,
        abandoned_at=None if timer else at,
        leaves=leaves,
        cart=cart,
    )
    missing = tuple(name for name in ("checkout_url",) if name not in leaves) + (() if cart else ("items",))
    assumed = ("currency",) if cart and cart.currency_assumed else ()
    return Normalised(changes=(change,), missing=missing, assumed=assumed)


def _order(payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    """An order names its checkout or, in some versions, only a cart or nothing but the shopper."""
    order_id = first_text(payload.get("order_id"), payload.get("orderId"), payload.get("order_name"))
    if order_id is None:
        raise NotUnderstood("the order has no id")
    checkout_id = first_text(payload.get("checkout_id"), payload.get("checkoutId"))
    at = instant(payload.get("timestamp")) or _happened_at(payload)
    digest = hashlib.sha256(request.body).digest()[:16]
    cart = _cart(payload, source)
    unit = source.settings.money_unit or "major"
    payable = parse_money(payload.get("total_payable"), cart.currency or source.currency, unit) if cart else None
    cart_token = _cart_token(payload)
    change = CheckoutChange(
        external_id=checkout_id or f"order:{order_id}",
        signal=Signal.PURCHASED,
        order_key=NO_ORDER,
        body_digest=digest,
        occurred_at=at,
        order=Order(order_id, at, payable or (cart.total() if cart else None)),
        leaves=_leaves(payload, source),
        cart=cart,
        join_tokens=() if checkout_id or not cart_token else (cart_token,),
        join_contact=checkout_id is None,
    )
    return Normalised(changes=(change,), assumed=("currency",) if cart and cart.currency_assumed else ())


def _checkout_id(payload: Mapping[str, Any]) -> str | None:
    return first_text(payload.get("checkout_id"), payload.get("checkoutId"), _cart_token(payload))


def _cart_token(payload: Mapping[str, Any]) -> str | None:
    """The shop's cart token without the ``?key=`` of its permalink: an order names it bare."""
    token = first_text(payload.get("cart_token"), payload.get("cartToken"), _notes(payload).get("cart_token"))
    return text(token.partition("?")[0]) if token else None


def _happened_at(payload: Mapping[str, Any]) -> datetime | None:
    named = (instant(payload.get(name)) for name in ("updated_at", "timestamp", "created_at"))
    return next((at for at in named if at), None)


def _notes(payload: Mapping[str, Any]) -> dict[str, Any]:
    pairs = ((text(pair.get("name")), pair.get("value")) for pair in objects(payload.get("note_attributes")))
    return {name: value for name, value in pairs if name}


def _leaves(payload: Mapping[str, Any], source: SourceContext) -> dict[str, Any]:
    customer = mapping(payload.get("customer"))
    notes = _notes(payload)
    shipping = mapping(payload.get("shipping_address"))
    billing = mapping(payload.get("billing_address"))
    leaves = Leaves(source, Shopflo.checkout_hosts)
    leaves.text("cart_id", _cart_token(payload))
    leaves.text("customer.id", customer.get("uid"), customer.get("id"))
    leaves.email(payload.get("email"), customer.get("email"))
    phones = (payload.get("phone"), customer.get("phone"), shipping.get("phone"), billing.get("phone"))
    leaves.phone(*phones, country=first_text(shipping.get("country_code"), billing.get("country_code")))
    leaves.text("customer.first_name", customer.get("first_name"))
    leaves.text("customer.last_name", customer.get("last_name"))
    marketing_consent(leaves, customer.get("marketing_consent"))
    _address(leaves, "shipping_address", shipping)
    _address(leaves, "billing_address", billing)
    links = (payload.get("abandoned_checkout_url"), notes.get("shopflo_checkout_url"), payload.get("token_id"))
    leaves.checkout_url(*(link for link in links if (text(link) or "").lower().startswith(("https://", "http://"))))
    landing = notes.get("landing_page")
    leaves.attribution((*query_pairs(landing), *notes.items()))
    leaves.text("attribution.landing_page", landing)
    leaves.text("attribution.referrer", notes.get("orig_referrer"))
    leaves.attributes((name, value) for name, value in notes.items() if name not in _OWN_NOTES)
    leaves.moment("started_at", instant(payload.get("created_at")))
    return leaves.found


def _address(leaves: Leaves, leaf: str, parts: Mapping[str, Any]) -> None:
    leaves.address(
        leaf,
        {
            **{
                name: parts.get(name)
                for name in ("first_name", "last_name", "company", "phone", "address1", "address2")
            },
            **{name: parts.get(name) for name in ("city", "province", "province_code", "country", "country_code")},
            "postal_code": first_text(parts.get("zip"), parts.get("postal_code")),
        },
    )


def _cart(payload: Mapping[str, Any], source: SourceContext) -> Cart | None:
    lines = payload.get("line_items")
    if not isinstance(lines, list) and payload.get("total_price") is None:
        return None
    named = currency_code(payload.get("currency"))
    currency = named or source.currency
    unit = source.settings.money_unit or "major"
    amounts = {
        name: next((known for part in parts if (known := parse_money(payload.get(part), currency, unit))), None)
        for name, parts in {
            "subtotal": ("subtotal_price",),
            "discount": ("total_discount", "total_discounts"),
            "shipping": ("total_shipping",),
            "tax": ("total_tax",),
            "total": ("total_price",),
        }.items()
    }
    items = tuple(
        Item(
            quantity=units(line.get("quantity")),
            id=text(line.get("id")),
            product_id=text(line.get("product_id")),
            variant_id=text(line.get("variant_id")),
            sku=text(line.get("sku")),
            title=first_text(line.get("title"), line.get("name")),
            variant_title=text(line.get("variant_title")),
            unit_price=parse_money(line.get("price"), currency, unit),
            compare_at_price=parse_money(line.get("compare_at_price"), currency, unit),
            image_url=first_text(line.get("image_url"), mapping(line.get("image")).get("src"), line.get("image")),
            product_url=text(line.get("product_url")),
        )
        for line in objects(lines)
    )
    return Cart(
        currency,
        currency_assumed=named is None,
        items=items,
        totals=Totals(
            subtotal=amounts["subtotal"],
            discount=amounts["discount"],
            shipping=amounts["shipping"],
            tax=amounts["tax"],
            total=amounts["total"],
        ),
        discount_codes=codes(payload.get("discount_codes")),
        items_known=isinstance(lines, list),
    )


PROVIDER = Shopflo()
