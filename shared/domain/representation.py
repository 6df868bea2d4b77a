"""The contract's checkout object: one function makes it, for the API, the webhooks and the preview alike."""

from decimal import Decimal
from typing import NotRequired, TypedDict

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.checkout import (
    ADDRESS_TEXTS,
    CHANNELS,
    Checkout,
    Consent,
    Reason,
    Status,
)
from shared.domain.instants import InstantText, to_rfc3339
from shared.domain.money import Money, MoneyJson


class CustomerJson(TypedDict):
    """Who is at the checkout, as far as the provider says."""

    id: str | None
    """As the provider names its customers."""
    email: str | None
    phone: str | None
    """E.164."""
    first_name: str | None
    last_name: str | None
    company: str | None
    legal_entity_id: str | None
    locale: str | None


class ConsentChannelsJson(TypedDict):
    """What the shopper said about each channel."""

    email: str
    sms: str
    whatsapp: str


class ConsentJson(TypedDict):
    """Consent to marketing: `granted`, `denied` or `unknown`. It is granted where it is for a channel."""

    marketing: Consent
    channels: ConsentChannelsJson
    source: str | None
    at: str | None


class AddressJson(TypedDict):
    """An address; `country_code` is ISO 3166-1 alpha-2."""

    first_name: str | None
    last_name: str | None
    company: str | None
    phone: str | None
    address1: str | None
    address2: str | None
    city: str | None
    postal_code: str | None
    province: str | None
    province_code: str | None
    country: str | None
    country_code: str | None


class ItemJson(TypedDict):
    """One line of the cart."""

    id: str | None
    product_id: str | None
    variant_id: str | None
    sku: str | None
    title: str | None
    variant_title: str | None
    handle: str | None
    quantity: int | float
    """A whole number, or a fraction where a shop sells by weight."""
    unit_price: MoneyJson | None
    compare_at_price: MoneyJson | None
    total: MoneyJson | None
    image_url: str | None
    product_url: str | None
    attributes: dict[str, str]


class TotalsJson(TypedDict):
    """What the cart comes to; a total that was not sent is derived from the items, or null."""

    subtotal: MoneyJson | None
    discount: MoneyJson | None
    shipping: MoneyJson | None
    tax: MoneyJson | None
    duties: MoneyJson | None
    total: MoneyJson | None
    tax_included: bool | None


class TaxLineJson(TypedDict):
    """One tax; `rate` is a decimal number, `0.18` for 18 %."""

    title: str | None
    rate: str | None
    price: MoneyJson | None


class AttributionJson(TypedDict):
    """How the shopper came to the shop. `click_ids` only where the source keeps them."""

    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_content: str | None
    utm_term: str | None
    landing_page: str | None
    referrer: str | None
    click_ids: NotRequired[dict[str, str]]


class OrderJson(TypedDict):
    """The purchase that ended the checkout."""

    id: str | None
    at: InstantText
    total: MoneyJson | None
    reversed: list[MoneyJson]
    """What was taken back of it by now, one amount per currency."""
    cancelled: bool


class CheckoutJson(TypedDict):
    """A checkout of any provider. A field that the provider never sent is null."""

    id: str
    """Derived from source and external id."""
    provider: str
    source_id: str
    external_id: str
    """As the provider names it."""
    cart_id: str | None
    cart_type: str | None
    name: str | None
    status: Status
    reason: Reason | None
    """Why it has its status."""
    stage: str | None
    """How far the shopper came, in the provider's own word."""
    test: bool
    customer: CustomerJson
    consent: ConsentJson
    shipping_address: AddressJson | None
    billing_address: AddressJson | None
    items: list[ItemJson]
    item_count: int | float
    """Units, not lines."""
    totals: TotalsJson
    """As the shopper saw it."""
    shop_totals: TotalsJson | None
    """In the shop's own currency, where the provider tells both."""
    tax_lines: list[TaxLineJson]
    currency_assumed: bool
    """The provider named no currency: it is the source's or the merchant's."""
    discount_codes: list[str]
    checkout_url: str | None
    """The link as it was sent."""
    recovery_url: str | None
    """Our own link back; null where the provider sent none, or one to a host that is not the shop's."""
    attribution: AttributionJson
    note: str | None
    attributes: dict[str, str]
    created_at: InstantText
    updated_at: InstantText
    started_at: str
    last_activity_at: InstantText
    """The last thing that the shopper did: deadlines count from here."""
    abandoned_at: InstantText | None
    completed_at: InstantText | None
    expires_at: str | None
    order: OrderJson | None
    activities_count: int


def checkout_json(checkout: Checkout, recovery_url: str | None, activities_count: int = 0) -> CheckoutJson:
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
        "status": checkout.status,
        "reason": checkout.reason,
        "stage": checkout.text("stage"),
        "test": checkout.test,
        "customer": _customer(checkout),
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
        "created_at": to_rfc3339(checkout.created_at),
        "updated_at": to_rfc3339(checkout.updated_at),
        "started_at": checkout.text("started_at") or to_rfc3339(checkout.created_at),
        "last_activity_at": to_rfc3339(checkout.last_activity_at),
        "abandoned_at": None if checkout.abandoned_at is None else to_rfc3339(checkout.abandoned_at),
        "completed_at": None if checkout.completed_at is None else to_rfc3339(checkout.completed_at),
        "expires_at": checkout.text("expires_at"),
        "order": _order(checkout),
        "activities_count": activities_count,
    }


def _customer(checkout: Checkout) -> CustomerJson:
    return {
        "id": checkout.text("customer.id"),
        "email": checkout.text("customer.email"),
        "phone": checkout.text("customer.phone"),
        "first_name": checkout.text("customer.first_name"),
        "last_name": checkout.text("customer.last_name"),
        "company": checkout.text("customer.company"),
        "legal_entity_id": checkout.text("customer.legal_entity_id"),
        "locale": checkout.text("customer.locale"),
    }


def _consent(checkout: Checkout) -> ConsentJson:
    email, sms, whatsapp = (
        checkout.text(f"consent.channels.{channel}") or Consent.UNKNOWN.value for channel in CHANNELS
    )
    known = {email, sms, whatsapp}
    return {
        "marketing": next((own for own in (Consent.GRANTED, Consent.DENIED) if own.value in known), Consent.UNKNOWN),
        "channels": {"email": email, "sms": sms, "whatsapp": whatsapp},
        "source": checkout.text("consent.source"),
        "at": checkout.text("consent.at"),
    }


def _address(checkout: Checkout, address: str) -> AddressJson | None:
    texts = {name: checkout.text(f"{address}.{name}") for name in ADDRESS_TEXTS}
    province, province_code = checkout.pair(f"{address}.province")
    country, country_code = checkout.pair(f"{address}.country")
    if all(value is None for value in (*texts.values(), province, province_code, country, country_code)):
        return None
    return {
        "first_name": texts["first_name"],
        "last_name": texts["last_name"],
        "company": texts["company"],
        "phone": texts["phone"],
        "address1": texts["address1"],
        "address2": texts["address2"],
        "city": texts["city"],
        "postal_code": texts["postal_code"],
        "province": province,
        "province_code": province_code,
        "country": country,
        "country_code": country_code,
    }


def _item(item: Item) -> ItemJson:
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


def _totals(totals: Totals | None, cart: Cart | None) -> TotalsJson:
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


def _tax_line(line: TaxLine) -> TaxLineJson:
    return {
        "title": line.title,
        "rate": None if line.rate is None else f"{line.rate:f}",
        "price": _money(line.price),
    }


def _attribution(checkout: Checkout) -> AttributionJson:
    shown: AttributionJson = {
        "utm_source": checkout.text("attribution.utm_source"),
        "utm_medium": checkout.text("attribution.utm_medium"),
        "utm_campaign": checkout.text("attribution.utm_campaign"),
        "utm_content": checkout.text("attribution.utm_content"),
        "utm_term": checkout.text("attribution.utm_term"),
        "landing_page": checkout.text("attribution.landing_page"),
        "referrer": checkout.text("attribution.referrer"),
    }
    click_ids = checkout.mapping("attribution.click_ids")
    return {**shown, "click_ids": dict(click_ids)} if click_ids else shown


def _order(checkout: Checkout) -> OrderJson | None:
    if checkout.order is None or checkout.completed_at is None:
        return None
    return {
        "id": checkout.order.id,
        "at": to_rfc3339(checkout.completed_at),
        "total": _money(checkout.order.total),
        "reversed": [own.as_json() for own in checkout.order.reversed if own.minor],
        "cancelled": checkout.order.cancelled,
    }


def _money(money: Money | None) -> MoneyJson | None:
    return None if money is None else money.as_json()


def _number(quantity: Decimal) -> int | float:
    """A quantity as a JSON number: an integer where it is one."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)
