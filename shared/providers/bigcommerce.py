"""BigCommerce (developer.bigcommerce.com: webhooks overview, events, channel events; carts, checkouts and orders API).

Webhooks are light: a scope and an id. BigCommerce itself declares a cart abandoned after an hour without change and
converted when it became an order. Lines, money and contact are pulled from the API afterwards. The sender is proved by
Standard Webhooks headers keyed with the app's client secret, or by a custom header chosen when the hook is created.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, clock_key
from shared.domain.checkout import Order
from shared.domain.instants import from_ms, parse_instant, to_rfc3339
from shared.domain.money import Money, currency_code, parse_decimal, parse_money, total_of
from shared.domain.reversal import Reversal
from shared.providers.authentication import fresh, hmac_signature, shared_secret
from shared.providers.mapping import overridden
from shared.providers.payload import Leaves, first_text, mapping, objects, quantity, read_object, recovery_link, text
from shared.providers.provider import (
    AuthenticationFailed,
    CredentialField,
    Description,
    Normalised,
    NotUnderstood,
    Pull,
    Reading,
    SourceContext,
    WebhookRequest,
)
from shared.providers.pull import (
    Access,
    ApiPage,
    ApiRequest,
    BackfillQuery,
    Limit,
    PullFailed,
    StaticAccess,
    credential,
    root,
)

SECRET_HEADER = "x-checkback-secret"  # noqa: S105 - a header's name

ACTIVITIES = frozenset({"created", "updated", "couponApplied"})
NOT_PLACED = frozenset({0, 6})
"""Order statuses that are no purchase: incomplete, declined. A cancelled order was placed."""

CALLED_OFF = frozenset({4, 5})
"""Order statuses of an order that was refunded whole, or cancelled. Of a refund in part (14) no amount is told."""

_TOLERANCE = timedelta(minutes=5)
_SCOPE = re.compile(r"store(?:/channel/[^/]+)?/(?P<entity>cart|order)/(?P<event>.+)")
_LATEST_SECONDS = 253_402_300_799
_LINE_GROUPS = ("physical_items", "digital_items", "custom_items", "gift_certificates")


_API = "https://api.bigcommerce.com"


class BigCommerceApi:
    """Carts, checkouts and orders by id. There is no list of carts: no backfill."""

    limit = Limit(100, timedelta(seconds=30))
    lists = False
    filters: frozenset[str] = frozenset()

    def access(self, source: SourceContext) -> Access:
        """The API account's token. Raises PullFailed."""
        return StaticAccess({"x-auth-token": credential(source, "access_token")})

    def content(self, pull: Pull, source: SourceContext) -> ApiRequest:
        """A cart, checkout or order. Raises PullFailed."""
        try:
            return ApiRequest("GET", root(source, _API) + PROVIDER.content_path(pull, source))
        except (NotUnderstood, KeyError) as unknown:
            raise PullFailed(f"cannot be asked for: {unknown}") from unknown

    def read_content(self, content: Any, pull: Pull, at: datetime, source: SourceContext) -> Normalised:
        """What it says; a cart that became an order exists no more."""
        return PROVIDER.from_content(content, pull, at, source)

    def page(self, query: BackfillQuery, cursor: str | None, source: SourceContext) -> ApiRequest:  # noqa: ARG002
        """Nothing."""
        raise PullFailed("BigCommerce does not list carts")

    def read_page(
        self,
        content: Any,  # noqa: ARG002 - interface
        query: BackfillQuery,  # noqa: ARG002 - interface
        cursor: str | None,  # noqa: ARG002 - interface
        at: datetime,  # noqa: ARG002 - interface
        source: SourceContext,  # noqa: ARG002 - interface
    ) -> ApiPage:
        """Nothing."""
        raise PullFailed("BigCommerce does not list carts")


class BigCommerce:
    """The BigCommerce adapter."""

    name = "bigcommerce"
    api = BigCommerceApi()
    checkout_hosts = frozenset({"mybigcommerce.com"})
    description = Description(
        title="BigCommerce",
        authentication=(
            "Standard Webhooks headers (key: the app's client secret), or the secret itself in the custom header "
            "X-Checkback-Secret"
        ),
        credentials=(
            CredentialField(
                "secret", "the app's client secret, or a secret of your own for the custom header", generated=True
            ),
            CredentialField(
                "api", "store_hash and access_token (carts, checkouts and orders, read-only): the contents"
            ),
        ),
        setup=(
            "Create hooks for store/cart/created, store/cart/updated, store/cart/couponApplied, store/cart/deleted, "
            "store/cart/abandoned and store/cart/converted with this url as destination and "
            'headers {"X-Checkback-Secret": "<secret>"}. Give credentials.api: the webhooks carry ids only.'
        ),
        declares_abandonment=True,
        events=(
            *(f"store/cart/{event}" for event in (*sorted(ACTIVITIES), "abandoned", "converted", "deleted")),
            *("store/cart/lineItem/*", "store/order/created", "store/order/statusUpdated"),
        ),
        reading=Reading(
            pages=(
                "developer.bigcommerce.com: webhooks overview, events and callbacks (GitHub bigcommerce/docs)",
                "developer.bigcommerce.com: carts, checkouts and orders (REST v3, v2)",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=(
                "data.orderId",
                "order id (API)",
            ),
            contact_fields=(
                "email, customer_id of the cart (API)",
                "billing_address.phone, consignments[].address.phone of the checkout (API)",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove the custom header, else the signature of the raw body. Raises AuthenticationFailed.

        BigCommerce signs every webhook with the client secret; a merchant who knows only a secret of his own has the
        custom header.
        """
        secrets = source.credentials.secrets
        configured = source.settings.signature.get("header")
        header = configured.strip().lower() if isinstance(configured, str) and configured.strip() else SECRET_HEADER
        if header in request.headers and header != "webhook-signature":
            shared_secret(request.headers[header], secrets)
            return
        message_id, timestamp = request.headers.get("webhook-id"), request.headers.get("webhook-timestamp")
        if not message_id or timestamp is None:
            raise AuthenticationFailed("neither the custom header nor a signature")
        fresh(timestamp, request.arrived_at, _TOLERANCE)
        signed = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + request.body
        for element in request.headers.get("webhook-signature", "").split():
            version, _, written = element.partition(",")
            if version != "v1":
                continue
            try:
                hmac_signature(written, secrets, signed)
            except AuthenticationFailed:
                continue
            return
        raise AuthenticationFailed("wrong signature")

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """A light webhook as a change and what must be pulled for it. Raises NotUnderstood.

        A cart or checkout as the API answers it is understood too, so that a merchant can preview one.
        """
        scope = text(payload.get("scope"))
        if scope is None:
            content = mapping(payload.get("data"))
            if "line_items" in content or "cart" in content:
                return self.from_content(payload, Pull("cart", {}), request.arrived_at, source)
            raise NotUnderstood("the webhook has no scope")
        known = _SCOPE.fullmatch(scope)
        if known is None:
            return Normalised(ignored="the scope is not about a cart")
        at = _seconds(payload.get("created_at"))
        data, digest = mapping(payload.get("data")), hashlib.sha256(request.body).digest()[:16]
        if known["entity"] == "order":
            return self._order_webhook(known["event"], data, payload, at or request.arrived_at)
        event = known["event"]
        if event.startswith("metafield/"):
            return Normalised(ignored="a cart's metafield")
        cart_id = first_text(data.get("cart_id"), data.get("cartId"), None if _is_line(event) else data.get("id"))
        if cart_id is None:
            raise NotUnderstood("data names no cart")
        signal = _signal(event, source)
        order_id = first_text(data.get("orderId"), data.get("order_id"))
        change = CheckoutChange(
            external_id=cart_id,
            signal=signal,
            order_key=_event_key(at or request.arrived_at, event, digest),
            body_digest=digest,
            event_id=text(payload.get("hash")),
            occurred_at=at,
            abandoned_at=at if signal is Signal.ABANDONED else None,
            order=Order(order_id, at) if signal is Signal.PURCHASED else None,
            leaves={"cart_id": cart_id},
        )
        # A deleted cart can no longer be read, and of a converted one only the order is left.
        wanted: tuple[str, ...] = ("cart", "checkout")
        if signal in {Signal.PURCHASED, Signal.ENDED}:
            wanted = ("order",) if order_id is not None else ()
        pulls = tuple(
            _pull(kind, payload, at or request.arrived_at, event=event, cart_id=cart_id, order_id=order_id)
            for kind in wanted
        )
        normalised = Normalised((change,), pulls=pulls, missing=("items", "customer.email", "customer.phone"))
        return overridden(normalised, payload, source)

    def from_content(self, content: Any, pull: Pull, fetched_at: datetime, source: SourceContext) -> Normalised:
        """What a pulled cart, checkout or order says; ``content`` is the API's answer as ``read_json`` gives it, None
        where it is gone.

        A cart is as new as its own ``updated_time`` or the event that asked for it, whichever is later; of two answers
        of the same second the one fetched later counts. Raises NotUnderstood.
        """
        if content is None:
            return Normalised(ignored="the content no longer exists")
        if not isinstance(content, dict):
            raise NotUnderstood("the pulled content is not a JSON object")
        body = mapping(content.get("data")) if "data" in content else content
        if pull.kind == "order":
            return self._placed(body, pull, source)
        cart_body = mapping(body.get("cart")) if isinstance(body.get("cart"), dict) else body
        cart_id = first_text(cart_body.get("id"), body.get("id"), pull.reference.get("cart_id"))
        if cart_id is None:
            raise NotUnderstood("the cart has no id")
        cart = _cart(cart_body, body, source)
        leaves = self._leaves(cart_body, body, cart_id, source)
        if not any(name in leaves.found for name in ("customer.id", "customer.email", "customer.phone")):
            return Normalised(ignored="an anonymous cart without contact")
        asked_at = parse_instant(pull.reference.get("at"))
        updated_at = parse_instant(cart_body.get("updated_time")) or parse_instant(body.get("updated_time"))
        newest = max((at for at in (asked_at, updated_at) if at is not None), default=None)
        declared = pull.reference.get("event") == "abandoned" and source.settings.on_arrival != "timer"
        if updated_at is not None and asked_at is not None and updated_at > asked_at:
            declared = False  # the shopper came back before the content was read
        change = CheckoutChange(
            external_id=cart_id,
            signal=Signal.ABANDONED if declared else Signal.ACTIVITY,
            order_key=NO_ORDER if newest is None else _content_key(newest, fetched_at),
            body_digest=_digest(content),
            occurred_at=updated_at or asked_at,
            abandoned_at=asked_at if declared else None,
            leaves=leaves.found,
            cart=cart,
        )
        missing = tuple(name for name in ("customer.phone", "checkout_url") if name not in leaves.found)
        assumed = ("currency",) if cart is not None and cart.currency_assumed else ()
        return Normalised((change,), missing=missing, assumed=assumed)

    @staticmethod
    def content_path(pull: Pull, source: SourceContext) -> str:
        """The API path under which the pull's content is read. Raises NotUnderstood where no store is known."""
        store = source.credentials.api.get("store_hash") or pull.reference.get("store_hash")
        if not store:
            raise NotUnderstood("neither credentials.api nor the webhook names the store")
        base = f"/stores/{_quoted(store)}"
        if pull.kind == "order":
            return f"{base}/v2/orders/{_quoted(pull.reference['order_id'])}"
        cart_id = _quoted(pull.reference["cart_id"])
        return (
            f"{base}/v3/checkouts/{cart_id}"
            if pull.kind == "checkout"
            else (f"{base}/v3/carts/{cart_id}?include=redirect_urls")
        )

    @staticmethod
    def _order_webhook(event: str, data: Mapping[str, Any], payload: Mapping[str, Any], at: datetime) -> Normalised:
        """An order's id. Whose cart and contact it was is in the order itself; later states are no new purchase."""
        order_id = first_text(data.get("id"), data.get("orderId"), data.get("order_id"))
        if event != "created":
            becomes = parse_decimal(mapping(data.get("status")).get("new_status_id"))
            off = event == "statusUpdated" and order_id is not None and becomes in CALLED_OFF
            backs = (Reversal(order_id, cancelled=True, at=at),) if off else ()
            return Normalised(ignored="a later state of an order", reversals=backs)
        if order_id is None:
            raise NotUnderstood("data names no order")
        return Normalised(pulls=(_pull("order", payload, at, order_id=order_id),), missing=("external_id",))

    def _placed(self, body: Mapping[str, Any], pull: Pull, source: SourceContext) -> Normalised:
        """An order of the V2 API: the purchase of the cart it names, else of the shopper's."""
        order_id = first_text(body.get("id"), pull.reference.get("order_id"))
        if order_id is None:
            raise NotUnderstood("the order has no id")
        status = parse_decimal(body.get("status_id"))
        if status is None:
            raise NotUnderstood("the order has no status_id")
        if status in NOT_PLACED:
            return Normalised(ignored="an order that was not placed")
        cart_id = first_text(body.get("cart_id"), pull.reference.get("cart_id"))
        currency, assumed = _currency(body, source)
        billing = mapping(body.get("billing_address"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("cart_id", cart_id)
        _contact(leaves, body, billing, {}, {})
        leaves.text("note", body.get("customer_message"))
        total = parse_money(body.get("total_inc_tax"), currency)
        placed_at = _date(body.get("date_created"))
        change = CheckoutChange(
            external_id=cart_id or f"order:{order_id}",
            signal=Signal.PURCHASED,
            order_key=NO_ORDER,
            body_digest=_digest(body),
            occurred_at=placed_at,
            order=Order(order_id, placed_at, total),
            leaves=leaves.found,
            cart=Cart(
                currency,
                currency_assumed=assumed,
                totals=Totals(subtotal=parse_money(body.get("subtotal_inc_tax"), currency), total=total),
                items_known=False,
            ),
            join_contact=cart_id is None,
        )
        return Normalised((change,), assumed=("currency",) if assumed else ())

    def _leaves(
        self, cart: Mapping[str, Any], checkout: Mapping[str, Any], cart_id: str, source: SourceContext
    ) -> Leaves:
        """Leaves of a cart and, where a checkout was read, of the checkout around it."""
        billing = mapping(checkout.get("billing_address"))
        consignments = objects(checkout.get("consignments"))
        shipping: Mapping[str, Any] = {}
        if consignments:
            first = consignments[0]
            shipping = mapping(first.get("shipping_address")) or mapping(first.get("address"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("cart_id", cart_id)
        _contact(leaves, cart, billing, shipping, mapping(checkout.get("customer")))
        leaves.address("shipping_address", _address(shipping))
        urls = mapping(cart.get("redirect_urls")) or mapping(checkout.get("redirect_urls"))
        built = recovery_link(source.settings.recovery_url_template, cart_id)
        leaves.checkout_url(urls.get("checkout_url"), urls.get("cart_url"), built)
        leaves.text("customer.locale", cart.get("locale"))
        leaves.text("note", checkout.get("customer_message"))
        leaves.moment("started_at", parse_instant(cart.get("created_time")))
        return leaves


def _quoted(part: str) -> str:
    """A part of a URL's path or query."""
    return quote(part, safe="", errors="replace")


def _is_line(event: str) -> bool:
    return event.startswith("lineItem/")


def _signal(event: str, source: SourceContext) -> Signal:
    """What a cart event means. Raises NotUnderstood for one the vendor does not document."""
    if event == "converted":
        return Signal.PURCHASED
    if event == "deleted":
        return Signal.ENDED
    if event == "abandoned":
        return Signal.ACTIVITY if source.settings.on_arrival == "timer" else Signal.ABANDONED
    if event in ACTIVITIES or _is_line(event):
        return Signal.ACTIVITY
    raise NotUnderstood("unknown cart event")


def _event_key(at: datetime, event: str, digest: bytes) -> OrderKey:
    """By the event's second. Nothing of a cart comes after its deletion, which sorts last inside its second."""
    key = clock_key(at, digest)
    return OrderKey(f"{key.value.split('.', 1)[0]}.~~") if event == "deleted" else key


def _content_key(at: datetime, fetched_at: datetime) -> OrderKey:
    """After the events of that second, among each other by the time of fetching."""
    clock, fetched = (clock_key(instant, b"").value.split(".", 1)[0] for instant in (at, fetched_at))
    return OrderKey(f"{clock}.~{fetched}")


def _seconds(value: Any) -> datetime | None:
    """Epoch seconds as an instant."""
    number = parse_decimal(value)
    if number is None or not 0 < number <= _LATEST_SECONDS:
        return None
    return from_ms(int(number) * 1000)


def _date(value: Any) -> datetime | None:
    """A date of the V2 API (RFC 2822), or ISO 8601."""
    known = text(value)
    if known is None:
        return None
    iso = parse_instant(known)
    if iso is not None:
        return iso
    try:
        parsed = parsedate_to_datetime(known)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
    return parse_instant(parsed.isoformat())


def _pull(kind: str, payload: Mapping[str, Any], at: datetime, **reference: str | None) -> Pull:
    """What to ask for. ``producer`` is ``stores/<store hash>``."""
    producer = text(payload.get("producer")) or ""
    store = text(producer.removeprefix("stores/")) if producer.startswith("stores/") else None
    known = {"at": to_rfc3339(at), "store_hash": store, **reference}
    return Pull(kind, {name: value for name, value in known.items() if value is not None})


def _digest(content: Any) -> bytes:
    """What stands in for the digest of a body that was pulled."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()[:16]


def _contact(
    leaves: Leaves,
    holder: Mapping[str, Any],
    billing: Mapping[str, Any],
    shipping: Mapping[str, Any],
    customer: Mapping[str, Any],
) -> None:
    """Who the shopper is. Customer 0 is a guest."""
    leaves.text("customer.id", holder.get("customer_id"), customer.get("id"))
    leaves.email(holder.get("email"), billing.get("email"), customer.get("email"))
    for address in (billing, shipping):
        if "customer.phone" not in leaves.found:
            leaves.phone(address.get("phone"), country=_country(address))
    if "customer.phone" not in leaves.found:
        leaves.phone(customer.get("phone"), country=_country(billing))
    for address in (customer, billing, shipping):
        if text(address.get("first_name")) or text(address.get("last_name")):
            leaves.text("customer.first_name", address.get("first_name"))
            leaves.text("customer.last_name", address.get("last_name"))
            break
    leaves.text("customer.company", customer.get("company"), billing.get("company"))
    leaves.address("billing_address", _address(billing))


def _country(address: Mapping[str, Any]) -> str | None:
    return first_text(address.get("country_code"), address.get("country_iso2"))


def _address(sent: Mapping[str, Any]) -> dict[str, Any]:
    """An address of the V3 or V2 API by the contract's names."""
    return {
        "first_name": sent.get("first_name"),
        "last_name": sent.get("last_name"),
        "company": sent.get("company"),
        "phone": sent.get("phone"),
        "address1": first_text(sent.get("address1"), sent.get("street_1")),
        "address2": first_text(sent.get("address2"), sent.get("street_2")),
        "city": sent.get("city"),
        "province": first_text(sent.get("state_or_province"), sent.get("state")),
        "province_code": sent.get("state_or_province_code"),
        "country": sent.get("country"),
        "country_code": _country(sent),
        "postal_code": first_text(sent.get("postal_code"), sent.get("zip")),
    }


def _currency(body: Mapping[str, Any], source: SourceContext) -> tuple[str, bool]:
    """The currency, and whether it is assumed: ``{code}`` in V3, ``currency_code`` in V2."""
    named = body.get("currency")
    own = currency_code(mapping(named).get("code")) or currency_code(named) or currency_code(body.get("currency_code"))
    return own or source.currency, own is None


def _cart(cart: Mapping[str, Any], checkout: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """The snapshot. With a checkout around the cart its ``grand_total`` is what the shopper would pay."""
    groups = cart.get("line_items")
    if not isinstance(groups, dict) and cart.get("cart_amount") is None:
        return None
    currency, assumed = _currency(cart, source)
    items = tuple(
        _item(line, group, currency) for group in _LINE_GROUPS for line in objects(mapping(groups).get(group))
    )

    def first(*amounts: Any) -> Money | None:
        return next((money for amount in amounts if (money := parse_money(amount, currency)) is not None), None)

    included = cart.get("tax_included")
    coupons = [*objects(cart.get("coupons")), *objects(checkout.get("coupons"))]
    totals = Totals(
        subtotal=first(checkout.get("subtotal_inc_tax"), checkout.get("subtotal_ex_tax"), cart.get("base_amount")),
        discount=_discount(cart, currency),
        shipping=first(checkout.get("shipping_cost_total_inc_tax"), checkout.get("shipping_cost_total_ex_tax")),
        tax=first(checkout.get("tax_total")),
        total=first(
            checkout.get("grand_total"),
            cart.get("cart_amount_inc_tax"),
            cart.get("cart_amount"),
            cart.get("cart_amount_ex_tax"),
        ),
        tax_included=included if isinstance(included, bool) else None,
    )
    taxes = (
        TaxLine(text(line.get("name")), None, parse_money(line.get("amount"), currency))
        for line in objects(checkout.get("taxes"))
    )
    codes = (text(coupon.get("code")) for coupon in coupons)
    return Cart(
        currency=currency,
        currency_assumed=assumed,
        items=items,
        totals=totals,
        tax_lines=tuple(taxes),
        discount_codes=tuple(dict.fromkeys(code for code in codes if code is not None)),
        items_known=isinstance(groups, dict),
    )


def _discount(cart: Mapping[str, Any], currency: str) -> Money | None:
    """Discounts and coupons together; None where the cart says nothing of them."""
    parts = [parse_money(cart.get("discount_amount"), currency)]
    parts += [parse_money(coupon.get("discounted_amount"), currency) for coupon in objects(cart.get("coupons"))]
    return total_of(part for part in parts if part is not None)


def _item(line: Mapping[str, Any], group: str, currency: str) -> Item:
    """A line. ``sale_price`` is what one unit costs now, ``list_price`` before a sale."""
    certificate = group == "gift_certificates"

    def money(*names: str) -> Money | None:
        return next((own for name in names if (own := parse_money(line.get(name), currency)) is not None), None)

    unit = money("amount") if certificate else money("sale_price", "list_price")
    before = next((own for name in ("original_price", "list_price") if (own := money(name)) is not None), None)
    options = {
        str(name): known
        for option in objects(line.get("options"))
        if (name := text(option.get("name"))) and (known := text(option.get("value"))) is not None
    }
    return Item(
        quantity=Decimal(1) if certificate else quantity(line.get("quantity")),
        id=text(line.get("id")),
        product_id=text(line.get("product_id")),
        variant_id=text(line.get("variant_id")),
        sku=text(line.get("sku")),
        title=text(line.get("name")),
        unit_price=unit,
        compare_at_price=before if before is not None and unit is not None and before > unit else None,
        total=unit if certificate else money("extended_sale_price", "extended_list_price"),
        image_url=text(line.get("image_url")),
        product_url=text(line.get("url")),
        attributes=options,
    )


PROVIDER = BigCommerce()
