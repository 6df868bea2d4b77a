"""Cashfree: One Click Checkout and Ecom360 abandoned carts, and the payment webhooks (www.cashfree.com/docs).

Payment webhooks are published, and so is their signature: base64 of HMAC-SHA256 over timestamp and body, nothing
between. The bodies of abandoned carts are not: they are read by the names that Cashfree's pages use, in any casing
and nesting, the source's ``mapping`` wins, and what has no id of a checkout is quarantined.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import CheckoutChange, Signal, clock_key
from shared.domain.checkout import Order
from shared.domain.money import Money, currency_code, parse_money
from shared.domain.reversal import Refund, Reversal
from shared.providers.authentication import fresh, hmac_signature
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
from shared.providers.versions import Versions, in_header

TOLERANCE = timedelta(minutes=5)
"""As the vendor recommends, for every attempt: ``x-webhook-attempt`` is not signed, and whoever repeats an old webhook
may write into it what they like."""

_PAYMENTS = frozenset({"PAYMENT_SUCCESS_WEBHOOK", "PAYMENT_FAILED_WEBHOOK", "PAYMENT_USER_DROPPED_WEBHOOK"})
REFUND_STATUS = "REFUND_STATUS"
"""``AUTO_REFUND_STATUS`` gives back what was paid for no order."""
_NOT_CHECKOUTS = (
    *("WEBHOOK", "TEST", "PAYMENT_CHARGES", "REFUND", "AUTO_REFUND", "SETTLEMENT", "DISPUTE", "SUBSCRIPTION"),
    *("PAYMENT_LINK", "VENDOR", "CARD_TOKEN", "TOKEN", "RECON", "PAYOUT", "TRANSFER"),
)
"""Beginnings of the types Cashfree has for other things; ``WEBHOOK`` alone is the dashboard's test."""

_REFUNDS_ENDED = frozenset({"SUCCESS", "CANCELLED", "FAILED"})
_REFUNDS_ON_THEIR_WAY = frozenset({"PENDING", "ONHOLD"})

_ALGORITHMS: Mapping[str, Callable[..., Any]] = {
    "sha1": hashlib.sha1,
    "sha256": hashlib.sha256,
    "sha384": hashlib.sha384,
    "sha512": hashlib.sha512,
}
_TIMESTAMP_HEADER = "x-webhook-timestamp"


class Cashfree:
    """The Cashfree adapter."""

    name = "cashfree"
    checkout_hosts: frozenset[str] = frozenset()
    versions = Versions(
        "x-webhook-version", ("2022-09-01", "2023-08-01", "2025-01-01", "v1"), in_header("x-webhook-version")
    )
    description = Description(
        timestamp_header=_TIMESTAMP_HEADER,
        title="Cashfree (One Click Checkout, Ecom360, payments)",
        authentication="HMAC-SHA256 in x-webhook-signature: over x-webhook-timestamp and the body (One Click "
        "Checkout, payments), over the body (Ecom360; hash and encoding are settings, Cashfree does not publish them)",
        credentials=(
            CredentialField(
                "secret", "the client secret of the payment gateway, or Ecom360's webhook key", required=True
            ),
            CredentialField("secrets", "both of them, or old and new during rotation"),
        ),
        setup="Cashfree dashboard, Payment Gateway, Developers, Webhooks: add url for abandoned checkouts, "
        "payments and refunds (version 2025-01-01). Ecom360: brands.zecpe.com, callback URL, topic abandonedCheckout.",
        declares_abandonment=True,
        events=("ABANDONED_CHECKOUT_WEBHOOK", "abandonedCheckout", *sorted(_PAYMENTS), f"{REFUND_STATUS}_WEBHOOK"),
        reading=Reading(
            pages=(
                "cashfree.com/docs/payments/checkout/abandoned-checkout/webhook and /ecom360",
                "cashfree.com/docs/api-reference/payments/latest/payments/webhooks",
                "cashfree.com/docs/payments/online/webhooks/overview",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=("data.order.order_id",),
            contact_fields=(
                "data.customer_details.customer_phone",
                "data.customer_details.customer_email",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Check the signature, and the timestamp where one is signed. Raises AuthenticationFailed."""
        settings = source.settings.signature
        headers = request.headers
        algorithm = _ALGORITHMS.get(str(settings.get("algorithm") or "sha256").lower().removeprefix("hmac-"))
        if algorithm is None:
            raise AuthenticationFailed("the source's signature algorithm is unknown")
        given = headers.get(str(settings.get("header") or "x-webhook-signature").lower())
        parts = _signed_parts(request, settings)
        timestamp = headers.get(str(settings.get("timestamp_header") or _TIMESTAMP_HEADER).lower())
        message = b"".join(
            request.body if part == "body" else (timestamp or "").encode("utf-8", "replace") for part in parts
        )
        ecom360 = _is_ecom360(request)
        if ecom360 and given:
            given = given.rpartition("=")[2] if given.lower().startswith(("sha", "v1=")) else given
        encoding = settings.get("encoding") or ("hex" if ecom360 and _looks_hex(given, algorithm) else "base64")
        hmac_signature(given, source.credentials.secrets, message, algorithm=algorithm, encoding=str(encoding))
        if "timestamp" in parts:
            fresh(timestamp, request.arrived_at, TOLERANCE, milliseconds=len(timestamp or "") > 11)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """A payment attempt or an abandoned cart as a change of its checkout. Raises NotUnderstood."""
        kind = first_text(
            *(payload.get("type"), payload.get("event"), payload.get("topic")),
            *(request.headers.get("x-webhook-topic"), request.event),
        )
        upper = (kind or "").upper()
        if kind is None and isinstance(mapping(payload.get("data")).get("payment"), dict):
            upper = _kind_of_payment(payload)
        if upper in _PAYMENTS or f"{upper}_WEBHOOK" in _PAYMENTS:
            return overridden(_payment(upper.removesuffix("_WEBHOOK"), payload, request, source), payload, source)
        if "ABANDON" in upper or not upper:
            return _abandoned(kind, payload, request, source)
        if upper.removesuffix("_WEBHOOK") == REFUND_STATUS:
            return _refund(payload, source)
        if upper.startswith(_NOT_CHECKOUTS):
            return Normalised(ignored=f"not about a checkout: {upper.lower()}"[:100])
        if found_in(payload, source).text("external_id") is not None:
            return _abandoned(kind, payload, request, source)
        raise NotUnderstood("a webhook of an unknown type")


def _kind_of_payment(payload: Mapping[str, Any]) -> str:
    """The type of a payment's webhook that names none: a success must never be read as a cart that was left."""
    status = (text(mapping(mapping(payload.get("data")).get("payment")).get("payment_status")) or "").upper()
    named = {"SUCCESS": "PAYMENT_SUCCESS", "USER_DROPPED": "PAYMENT_USER_DROPPED"}
    return named.get(status, "PAYMENT_FAILED" if status else "PAYMENT_SUCCESS")


def _is_ecom360(request: WebhookRequest) -> bool:
    agent = request.headers.get("user-agent", "").lower()
    return "x-webhook-topic" in request.headers or agent.startswith("ecom360")


def _signed_parts(request: WebhookRequest, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """What the signature covers, in order: ``timestamp`` and ``body``; Ecom360 documents no timestamp."""
    own = settings.get("signed_parts")
    if isinstance(own, list | tuple) and own:
        if "body" not in own or not all(part in {"timestamp", "body"} for part in own):
            raise AuthenticationFailed("the source's signed_parts must be timestamp and body, or body")
        return tuple(own)
    unstamped = _is_ecom360(request) and _TIMESTAMP_HEADER not in request.headers
    return ("body",) if unstamped else ("timestamp", "body")


def _looks_hex(given: str | None, algorithm: Callable[..., Any]) -> bool:
    return given is not None and len(given.strip()) == 2 * algorithm().digest_size


def _payment(kind: str, payload: Mapping[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    """One payment attempt for the merchant's order. Several attempts share the order; only SUCCESS is final."""
    data = mapping(payload.get("data"))
    order, payment = mapping(data.get("order")), mapping(data.get("payment"))
    order_id = text(order.get("order_id"))
    if order_id is None:
        raise NotUnderstood("the payment names no order")
    status = (text(payment.get("payment_status")) or "").upper()
    signal = _payment_signal(kind, status, source)
    currency = currency_code(order.get("order_currency")) or currency_code(payment.get("payment_currency"))
    total = parse_money(order.get("order_amount"), currency or source.currency)
    at = instant(payload.get("event_time"))
    digest = hashlib.sha256(request.body).digest()[:16]
    attempt = first_text(request.headers.get("x-idempotency-key"), payment.get("cf_payment_id"))
    bought = signal is Signal.PURCHASED
    change = CheckoutChange(
        external_id=order_id,
        signal=signal,
        order_key=clock_key(at or request.arrived_at, digest),
        body_digest=digest,
        # A late authorisation repeats key and type with another status.
        event_id=f"{attempt}:{kind}:{status}" if attempt else None,
        occurred_at=at,
        abandoned_at=at if signal is Signal.ABANDONED else None,
        order=Order(order_id, instant(payment.get("payment_time")) or at, total) if bought else None,
        leaves=_payment_leaves(data, order_id, status, source),
        cart=Cart(
            currency or source.currency,
            currency_assumed=currency is None,
            totals=Totals(total=total),
            items_known=False,
        )
        if total
        else None,
        join_tokens=(order_id,) if bought else (),
        join_contact=bought,
    )
    assumed = ("currency",) if total and currency is None else ()
    return Normalised(changes=(change,), missing=("items", "checkout_url"), assumed=assumed)


def _refund(payload: Mapping[str, Any], source: SourceContext) -> Normalised:
    """A refund that Cashfree has made, or has given up. What is on its way counts once it has arrived."""
    refund = mapping(mapping(payload.get("data")).get("refund"))
    order_id = text(refund.get("order_id"))
    name = first_text(refund.get("cf_refund_id"), refund.get("refund_id"))
    status = (text(refund.get("refund_status")) or "").upper()
    if order_id is None or name is None or status in _REFUNDS_ON_THEIR_WAY:
        return Normalised(ignored="a refund that is not made, or of no order")
    if status not in _REFUNDS_ENDED:
        raise NotUnderstood("a refund with an unknown status")
    currency = currency_code(refund.get("refund_currency")) or source.currency
    amount = parse_money(refund.get("refund_amount"), currency)
    told = Refund(name, () if amount is None else (amount,), failed=status != "SUCCESS")
    return Normalised(ignored="a refund changes no checkout", reversals=(Reversal(order_id, refunds=(told,)),))


def _payment_signal(kind: str, status: str, source: SourceContext) -> Signal:
    if status in {"FAILED", "CANCELLED", "VOID", "FLAGGED"} or (kind == "PAYMENT_FAILED" and status == ""):
        return Signal.PAYMENT_FAILED
    if status == "USER_DROPPED" or (kind == "PAYMENT_USER_DROPPED" and status == ""):
        return Signal.ACTIVITY if source.settings.on_arrival == "timer" else Signal.ABANDONED
    if status == "SUCCESS" and kind == "PAYMENT_SUCCESS":
        return Signal.PURCHASED
    if status in {"PENDING", "NOT_ATTEMPTED", "SUCCESS"}:
        return Signal.PAYMENT_STARTED
    raise NotUnderstood("a payment with an unknown status")


def _payment_leaves(data: Mapping[str, Any], order_id: str, status: str, source: SourceContext) -> dict[str, Any]:
    customer = mapping(data.get("customer_details"))
    tags = mapping(mapping(data.get("order")).get("order_tags"))
    leaves = Leaves(source)
    leaves.text("join_token", order_id)
    leaves.text("stage", f"payment_{status.lower()}" if status else None)
    leaves.text("customer.id", customer.get("customer_id"))
    leaves.email(customer.get("customer_email"))
    leaves.phone(customer.get("customer_phone"))
    _name(leaves, customer.get("customer_name"))
    leaves.attribution(tags.items())
    leaves.attributes((name, value) for name, value in tags.items() if not name.startswith("utm_"))
    return leaves.found


def _name(leaves: Leaves, whole: Any, leaf: str = "customer") -> None:
    """A whole name as first and last: the first word, and the rest."""
    first, _, last = (text(whole) or "").partition(" ")
    leaves.text(f"{leaf}.first_name", first)
    leaves.text(f"{leaf}.last_name", last)


class _Sections:
    """The objects of an unpublished body, outermost first, read by name in any casing (``cartId``, ``cart_id``)."""

    def __init__(self, *sections: Any) -> None:
        self._sections = [
            {_folded(name): value for name, value in section.items()}
            for section in sections
            if isinstance(section, dict)
        ]

    def all(self, *names: str) -> Iterator[Any]:
        """Every value under one of the names, best name first."""
        for name in names:
            for section in self._sections:
                if section.get(name) is not None:
                    yield section[name]

    def first(self, *names: str) -> Any:
        return next(self.all(*names), None)

    def text(self, *names: str) -> str | None:
        return first_text(*self.all(*names))

    def object(self, *names: str) -> Mapping[str, Any]:
        return next((value for value in self.all(*names) if isinstance(value, dict) and value), {})

    def list(self, *names: str) -> list[Any] | None:
        return next((value for value in self.all(*names) if isinstance(value, list)), None)


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


_CHECKOUT_IDS = ("checkoutid", "abandonedcheckoutid", "checkouttoken", "checkoutsessionid", "abandonedcartid", "token")
_CART_IDS = ("carttoken", "cartid")
_LINKS = (
    *("abandonedcheckouturl", "occcheckouturl", "occurl", "checkouturl", "checkoutlink", "recoveryurl", "resumeurl"),
    *("resumelink", "recoverylink", "abandonedcarturl", "carturl", "cartlink", "abandonedurl"),
)
_PHONES = ("phone", "phonenumber", "customerphone", "mobile", "mobilenumber", "contactnumber", "contact", "phoneno")
_EMAILS = ("email", "customeremail", "emailid", "emailaddress")
_OPT_INS = (
    *("marketingoptin", "marketingoptinstatus", "marketingconsent", "acceptsmarketing", "buyeracceptsmarketing"),
    *("marketingopted", "optin", "optinstatus", "ismarketingoptin", "acceptmarketing"),
)
_ITEMS = ("lineitems", "cartitems", "items", "products", "orderitems")


def _abandoned(kind: str | None, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    """An abandoned cart of One Click Checkout or Ecom360, whose body Cashfree describes in words only."""
    data = payload.get("data") if isinstance(payload.get("data"), dict) else payload.get("payload")
    outer = _Sections(data, payload)
    checkout = outer.object("abandonedcheckout", "checkout", "abandonedcart", "checkoutdetails")
    cart = _Sections(checkout, data, payload).object("cartdetails", "cart")
    order = outer.object("order", "orderdetails")
    body = _Sections(checkout, data, cart, order, payload)
    customer = _Sections(body.object("customerdetails", "customer", "user", "buyer"))
    found = found_in(payload, source)
    flat_id = None if isinstance(data, dict) else _Sections(payload).text("id")  # beside an envelope: the event's
    external_id = first_text(
        found.values.get("external_id"),
        *(body.text(*_CHECKOUT_IDS), _Sections(checkout, data).text("id"), flat_id),
        *(body.text(*_CART_IDS), _Sections(cart).text("id"), body.text("orderid")),
    )
    if external_id is None:
        raise NotUnderstood("the abandoned cart has no id Checkback knows; map external_id")
    leaves = _abandoned_leaves(body, customer, cart, source)
    contents = _abandoned_cart(body, source)
    reachable = any(name in leaves for name in ("customer.phone", "customer.email"))
    if not found and (not (reachable or leaves.keys() & {"checkout_url"}) or (kind is None and contents is None)):
        raise NotUnderstood("neither contact nor link of an abandoned cart where Checkback looks; map them")
    at = _happened_at(body, request)
    digest = hashlib.sha256(request.body).digest()[:16]
    timer = source.settings.on_arrival == "timer"
    change = CheckoutChange(
        external_id=external_id,
        signal=Signal.ACTIVITY if timer else Signal.ABANDONED,
        order_key=clock_key(at or request.arrived_at, digest),
        body_digest=digest,
        event_id=first_text(request.headers.get("x-idempotency-key"), request.headers.get("x-request-id")),
        occurred_at=at,
        abandoned_at=None if timer else at,
        leaves=leaves,
        cart=contents,
    )
    missing = tuple(name for name in ("checkout_url",) if name not in leaves)
    missing += () if contents and contents.items_known else ("items",)
    assumed: tuple[str, ...] = ("fields",) if kind else ("event", "fields")
    if contents is not None and contents.currency_assumed:
        assumed += ("currency",)
    return overridden(Normalised(changes=(change,), missing=missing, assumed=assumed), payload, source)


def _happened_at(body: _Sections, request: WebhookRequest) -> datetime | None:
    """The event's own time: in the body, else the signed timestamp."""
    named = (instant(value) for value in body.all("eventtime", "abandonedat", "updatedat", "createdat"))
    return next((at for at in named if at), None) or instant(request.headers.get(_TIMESTAMP_HEADER))


def _abandoned_leaves(
    body: _Sections, customer: _Sections, cart: Mapping[str, Any], source: SourceContext
) -> dict[str, Any]:
    shipping = body.object("shippingaddress", "deliveryaddress", "address", "addressdetails") or customer.first(
        "shippingaddress", "address", "defaultaddress"
    )
    shipped = _Sections(shipping)
    leaves = Leaves(source)
    leaves.text("cart_id", body.text("carttoken", "cartid"), _Sections(cart).text("id"))
    leaves.text("join_token", body.text("orderid"))
    leaves.text("stage", body.text("stage", "checkoutstage", "checkoutstep", "dropoffstage"))
    leaves.text("customer.id", customer.text("customerid", "id", "uid"))
    country = _country(shipped)
    phones = (*customer.all(*_PHONES), *body.all(*_PHONES), *shipped.all(*_PHONES))
    leaves.phone(*phones, country=country, dial_code=customer.text("dialcode", "countrycode") if not country else None)
    leaves.email(*customer.all(*_EMAILS), *body.all(*_EMAILS), *shipped.all(*_EMAILS))
    _name(leaves, customer.text("customername", "fullname", "name"))
    leaves.text("customer.first_name", customer.text("firstname"))
    leaves.text("customer.last_name", customer.text("lastname"))
    _address(leaves, "shipping_address", shipped)
    _address(leaves, "billing_address", _Sections(body.object("billingaddress")))
    leaves.checkout_url(*body.all(*_LINKS), *_Sections(cart).all(*_LINKS, "url"))
    marketing_consent(leaves, next(iter((*customer.all(*_OPT_INS), *body.all(*_OPT_INS))), None))
    started = next((at for value in body.all("createdat", "startedat") if (at := instant(value))), None)
    leaves.moment("started_at", started)
    leaves.text("note", body.text("note"))
    named = [(pair.get("name"), pair.get("value")) for pair in objects(body.list("noteattributes"))]
    utm = body.object("utmparameters", "utmparams", "utm", "attribution")
    landing = body.text("landingpage", "landingsite")
    leaves.attribution((*query_pairs(landing), *named, *utm.items()))
    leaves.text("attribution.landing_page", landing)
    leaves.text("attribution.referrer", body.text("referrer", "referringsite", "origreferrer"))
    return leaves.found


def _country(address: _Sections) -> str | None:
    code = address.text("countrycode")
    name = address.text("country")
    return code or (name if name and len(name) == 2 else None)


def _address(leaves: Leaves, leaf: str, parts: _Sections) -> None:
    code = _country(parts)
    country = parts.text("country", "countryname")
    leaves.address(
        leaf,
        {
            "first_name": parts.text("firstname") or (parts.text("name", "fullname") or "").partition(" ")[0],
            "last_name": parts.text("lastname") or (parts.text("name", "fullname") or "").partition(" ")[2],
            "company": parts.text("company"),
            "phone": parts.first(*_PHONES),
            "address1": parts.text("address1", "addressline1", "line1", "street", "addressone", "address"),
            "address2": parts.text("address2", "addressline2", "line2", "addresstwo", "landmark"),
            "city": parts.text("city", "town"),
            "province": parts.text("province", "state", "statename"),
            "province_code": parts.text("provincecode", "statecode"),
            "country": None if country == code else country,
            "country_code": code,
            "postal_code": parts.text("zip", "zipcode", "pincode", "postalcode", "postcode", "pin"),
        },
    )


def _abandoned_cart(body: _Sections, source: SourceContext) -> Cart | None:
    lines = body.list(*_ITEMS)
    named = next(
        (code for value in body.all("currency", "currencycode", "ordercurrency") if (code := _code(value))), None
    )
    currency = named or source.currency
    unit = source.settings.money_unit or "major"

    def money(*names: str, of: _Sections = body) -> Money | None:
        return next((known for value in of.all(*names) if (known := parse_money(value, currency, unit))), None)

    totals = Totals(
        subtotal=money("subtotalprice", "subtotal", "subtotalamount", "totallineitemsprice"),
        discount=money("totaldiscounts", "totaldiscount", "discountamount", "discount"),
        shipping=money("totalshipping", "shippingcharges", "shippingprice", "shippingcharge", "shippingamount"),
        tax=money("totaltax", "taxamount", "tax"),
        total=money(
            "totalprice", "totalamount", "grandtotal", "carttotal", "cartvalue", "orderamount", "total", "amount"
        ),
    )
    if lines is None and totals == Totals():
        return None
    return Cart(
        currency,
        currency_assumed=named is None,
        items=tuple(_item(_Sections(line), money) for line in objects(lines)),
        totals=totals,
        discount_codes=codes(body.first("discountcodes", "couponcodes", "coupons", "discountcode", "couponcode")),
        items_known=lines is not None,
    )


def _code(value: Any) -> str | None:
    return currency_code(value if isinstance(value, str) else mapping(value).get("code"))


def _item(line: _Sections, money: Callable[..., Money | None]) -> Item:
    title = line.text("producttitle", "productname", "title", "name", "itemname")
    variant = line.text("varianttitle", "variantname", "variant")
    image = line.first("imageurl", "image", "img", "featuredimage", "thumbnail")
    return Item(
        quantity=units(line.first("quantity", "qty", "itemquantity", "count")),
        id=line.text("id", "lineitemid", "itemid", "key"),
        product_id=line.text("productid"),
        variant_id=line.text("variantid"),
        sku=line.text("sku"),
        title=title,
        variant_title=None if variant == title else variant,
        handle=line.text("handle"),
        unit_price=money("price", "unitprice", "sellingprice", "itemprice", "offerprice", "finalprice", of=line),
        compare_at_price=money("compareatprice", "mrp", "originalprice", "listprice", of=line),
        total=money("linetotal", "lineprice", "finallineprice", "totalprice", "total", of=line),
        image_url=first_text(mapping(image).get("src"), mapping(image).get("url"), image),
        product_url=line.text("producturl", "url", "link"),
    )


PROVIDER = Cashfree()
