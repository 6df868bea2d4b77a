"""Wix eCommerce (dev.wix.com: about webhooks, structure of webhooks; abandoned checkout and order objects).

The body is one compact JWT signed with RS256 by the app's key; the event is JSON text inside JSON text inside its
claims. Wix declares abandonment itself; a purchase is the ``recovered`` event or an approved order. An app has one
webhook URL for all its sites: where ``credentials.api.instance_id`` is set, other sites' events are ignored.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, clock_key, sequence_key
from shared.domain.checkout import Order
from shared.domain.instants import EPOCH, parse_instant, to_rfc3339
from shared.domain.money import Money, currency_code, parse_decimal, parse_money, total_of
from shared.domain.reversal import Refund, Reversal
from shared.providers.mapping import codes, overridden, units
from shared.providers.payload import (
    Leaves,
    first_text,
    mapping,
    objects,
    read_json,
    read_object,
    text,
)
from shared.providers.provider import (
    AuthenticationFailed,
    CredentialField,
    Description,
    Normalised,
    NotReadable,
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
    TokenGrant,
    client_credentials,
    credential,
    read_each,
    root,
)
from shared.providers.versions import Versions

if TYPE_CHECKING:  # cryptography is loaded with the first token
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ABANDONED_CHECKOUT = "wix.ecom.v1.abandoned_checkout"
ORDER = "wix.ecom.v1.order"
TRANSACTIONS = "wix.ecom.v1.order_transactions"
_VERSION = re.compile(r"wix\.ecom\.(?P<version>v\d{1,9})\.(?=(?:abandoned_checkout|order)(?:_|$))")
_KNOWN_VERSION = "wix.ecom.v1."
"""An event of a newer version is read as one of this, should the merchant accept it."""
_LEEWAY = timedelta(minutes=1)
_STALE_ORDER = timedelta(days=7)
"""An order this old that is merely updated (fulfilled, archived) says nothing about a checkout."""

_TOKEN = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_LEAST_BITS = 2_048
_MOST_BITS = 8_192
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)
_API = "https://www.wixapis.com"
_PAGE = 100


class WixApi:
    """Abandoned Checkouts API, ``query``: cursor paging, 100 to a page; recovered ones are listed too."""

    limit = Limit(100, timedelta(minutes=1))
    lists = True
    filters: frozenset[str] = frozenset()

    def access(self, source: SourceContext) -> Access:
        """An API key with its site, or the app's own client credentials. Raises PullFailed."""
        key = source.credentials.api.get("api_key", "").strip()
        if key:
            return StaticAccess({"authorization": key, "wix-site-id": credential(source, "site_id")})
        url = f"{root(source, _API)}/oauth2/token"
        form = client_credentials(url, source, instance_id=credential(source, "instance_id"))
        body = json.dumps(dict(parse_qsl(form.body.decode()))).encode()
        return TokenGrant(ApiRequest("POST", url, body=body), prefix="")

    def content(self, pull: Pull, source: SourceContext) -> ApiRequest:  # noqa: ARG002 - interface
        """Nothing: Wix's webhooks carry everything."""
        raise PullFailed("Wix's webhooks point to nothing")

    def read_content(self, content: Any, pull: Pull, at: datetime, source: SourceContext) -> Normalised:  # noqa: ARG002
        """Nothing."""
        raise PullFailed("Wix's webhooks point to nothing")

    def page(self, query: BackfillQuery, cursor: str | None, source: SourceContext) -> ApiRequest:
        """A cursor stands for the whole first query: nothing may go with it."""
        paging: dict[str, Any] = {"limit": _PAGE}
        asked: dict[str, Any] = {"cursorPaging": paging}
        if cursor is not None:
            paging["cursor"] = cursor
        else:
            asked["filter"] = {"updatedDate": {"$gte": to_rfc3339(query.since)}}
            asked["sort"] = [{"fieldName": "updatedDate", "order": "ASC"}]
        url = f"{root(source, _API)}/ecom/v1/abandoned-checkout/query"
        return ApiRequest("POST", url, body=json.dumps({"query": asked}).encode())

    def read_page(
        self,
        content: Any,
        query: BackfillQuery,  # noqa: ARG002 - interface
        cursor: str | None,  # noqa: ARG002 - interface
        at: datetime,
        source: SourceContext,
    ) -> ApiPage:
        """The page's checkouts."""
        payload = mapping(content)
        if not isinstance(payload.get("abandonedCheckouts"), list):
            raise NotUnderstood("the answer holds no abandoned checkouts")
        read, unread = read_each(objects(payload["abandonedCheckouts"]), lambda entity: _listed(entity, at, source))
        changes = tuple(change for one in read for change in one.changes)
        normalised = Normalised(changes, ignored=None if changes else "the page holds no checkout")
        paging = mapping(payload.get("pagingMetadata")) or mapping(payload.get("metadata"))
        return ApiPage(normalised, text(mapping(paging.get("cursors")).get("next")), unread)


def _listed(entity: Mapping[str, Any], at: datetime, source: SourceContext) -> Normalised:
    """One checkout of a list. Raises NotUnderstood."""
    body = json.dumps(entity, sort_keys=True, default=str).encode()
    return PROVIDER.normalise({"abandonedCheckout": entity}, WebhookRequest({}, {}, body, at), source)


def _unfit_key(given: str) -> str | None:
    """Why a credential holds no key that can be used; every key in it counts, and several may stand in one."""
    pems = list(_pems(given))
    if not pems:
        return "not a public key in PEM"
    if any(_usable(pem) is None for pem in pems):
        return f"not an RSA public key of {_LEAST_BITS} to {_MOST_BITS} bits"
    return None


def _pems(given: str) -> Iterator[str]:
    """Every PEM block in a credential; the dashboard shows a key as PEM or as that text in base64."""
    pem = given.replace("\\n", "\n").strip()
    if pem and "-----BEGIN" not in pem:
        try:
            pem = base64.b64decode("".join(pem.split()), validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            return
    yield from (found.group(0) for found in _PEM.finditer(pem))


def _usable(pem: str) -> "RSAPublicKey | None":
    """The key, where it is one that nobody can be expected to break."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) and _LEAST_BITS <= key.key_size <= _MOST_BITS else None


def _version(payload: Any, _: WebhookRequest) -> str | None:
    """The version inside the name of an entity that is about a checkout, or of the event where it names no entity."""
    own = mapping(payload)
    named = first_text(mapping(own.get("event")).get("entityFqdn"), own.get("eventType")) or ""
    found = _VERSION.match(named)
    return found["version"] if found else None


class Wix:
    """The Wix adapter."""

    api = WixApi()

    name = "wix"
    checkout_hosts = frozenset({"www.wixapis.com"})
    """Recovery links go through ``www.wixapis.com/ecom/v1/abandoned-checkout/{id}/redirect-to-checkout``."""
    versions = Versions("the entity of eventType (wix.ecom.v1)", ("v1",), _version)
    description = Description(
        title="Wix eCommerce",
        authentication="JWT (RS256) in the body, checked with the app's public key",
        credentials=(
            CredentialField(
                "public_key",
                "the app's public key (PEM, RSA of at least 2048 bits) from the Webhooks page",
                required=True,
                secret=False,
                unfit=_unfit_key,
            ),
            CredentialField(
                "secrets",
                "further public keys (PEM) while the app's key is rotated",
                secret=False,
                unfit=_unfit_key,
            ),
            CredentialField(
                "api",
                "instance_id: accept only this site's events; for backfill besides client_id and client_secret (the "
                "app's id and secret), or api_key and site_id",
            ),
        ),
        setup="Wix app dashboard, Webhooks: paste the public key here, then add url as the callback of Abandoned "
        "Checkout Created, Updated, Recovered and Deleted, and of Order Approved.",
        declares_abandonment=True,
        events=(
            *("wix.ecom.v1.abandoned_checkout_created", "wix.ecom.v1.abandoned_checkout_updated"),
            *("wix.ecom.v1.abandoned_checkout_recovered", "wix.ecom.v1.abandoned_checkout_deleted"),
            "wix.ecom.v1.order_approved",
        ),
        reading=Reading(
            pages=(
                "npm @wix/auto_sdk_ecom_abandoned-checkouts 1.0.86",
                "npm @wix/auto_sdk_ecom_orders 1.0.300, @wix/auto_sdk_ecom_order-transactions 1.0.108",
                "dev.wix.com: about webhooks, resend policy, FAQ",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=("order id; checkoutId",),
            contact_fields=(
                "buyerInfo.email, contactId, memberId",
                "contactDetails.phone",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Check the token's RS256 signature and expiry. Raises AuthenticationFailed; NotReadable for no JSON or JWT."""
        try:
            token = _token(request.body)
        except NotUnderstood:
            token = None
        if token is None:
            raise AuthenticationFailed("the body is not a signed token")
        claims = _verified(token, source)
        _unexpired(claims, request.arrived_at)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The unwrapped event: ``eventType``, ``instanceId``, ``event`` and its ``entity``.

        A claim set that is not signed, and what the abandoned checkouts API answers, are read too: for previews.
        """
        token = _token(request.body)
        claims = read_object(request.body if token is None else _segment(token, 1))
        if "data" not in claims:
            return claims
        envelope = _json(claims["data"])
        event = _json(envelope.get("data"))
        return {
            "eventType": envelope.get("eventType"),
            "instanceId": envelope.get("instanceId"),
            "event": event,
            "entity": _entity(event),
        }

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """One event as a change of its checkout. Raises NotUnderstood."""
        if "event" not in payload:
            return _answered(payload, request, source)
        own_site = source.credentials.api.get("instance_id")
        if own_site and payload.get("instanceId") != own_site:
            return Normalised(ignored="another site's event")
        event = mapping(payload.get("event"))
        kind, slug = _kind(payload, event)
        if kind == ABANDONED_CHECKOUT:
            return overridden(_checkout_event(slug, payload, request, source), payload, source)
        if kind == TRANSACTIONS:
            return _transactions_event(payload, source)
        if kind == ORDER:
            return overridden(_order_event(slug, payload, request, source), payload, source)
        return Normalised(ignored=f"not about a checkout: {kind}")


def _token(body: bytes) -> bytes | None:
    """The compact JWT in the body, bare, quoted or as ``{"data": "<jwt>"}``; None for other JSON."""
    bare = body.strip()
    if _TOKEN.fullmatch(bare):
        return bare
    document = read_json(body)
    inner = document.get("data") if isinstance(document, dict) else document
    if isinstance(inner, str):
        raw = inner.strip().encode("utf-8", "surrogatepass")
        return raw if _TOKEN.fullmatch(raw) else None
    return None


def _segment(token: bytes, position: int) -> bytes:
    part = token.split(b".")[position]
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error as broken:
        raise NotReadable("the body is neither JSON nor a JWT") from broken


def _verified(token: bytes, source: SourceContext) -> Mapping[str, Any]:
    """The claims of a token signed by one of the source's keys; no other algorithm is ever tried."""
    from jwt import PyJWTError
    from jwt.api_jws import PyJWS

    given = (source.credentials.public_key, *source.credentials.secrets)
    keys = [key for own in given for pem in _pems(own or "") if (key := _usable(pem)) is not None]
    if not keys:
        raise AuthenticationFailed("the source has no public key")
    for key in keys:
        try:
            signed: bytes = PyJWS().decode(token, key, algorithms=["RS256"])
            return read_object(signed)
        except (PyJWTError, ValueError, TypeError):
            continue
        except (NotReadable, NotUnderstood) as odd:
            raise AuthenticationFailed("the token's claims are no JSON object") from odd
    raise AuthenticationFailed("wrong signature")


def _unexpired(claims: Mapping[str, Any], now: datetime) -> None:
    """Raises AuthenticationFailed unless ``exp`` is there and ahead, and ``nbf``, if any, behind."""
    seconds = (now - EPOCH).total_seconds()
    leeway = _LEEWAY.total_seconds()
    expires, begins = (parse_decimal(claims.get(name)) for name in ("exp", "nbf"))
    if expires is None or expires + int(leeway) <= seconds:
        raise AuthenticationFailed("the token has expired")
    if begins is not None and begins > seconds + leeway:
        raise AuthenticationFailed("the token is not valid yet")


def _json(value: Any) -> dict[str, Any]:
    """An object, or the text of one. Raises NotUnderstood: by now the sender is known."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        raise NotUnderstood("the token carries no event")
    try:
        return read_object(value.encode("utf-8", "replace"))
    except NotReadable as broken:
        raise NotUnderstood("the event inside the token is not JSON") from broken


def _entity(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The checkout or order an event carries, under whichever of the documented names."""
    for holder, name in (
        *(("createdEvent", "entity"), ("updatedEvent", "currentEntity"), ("updatedEvent", "entity")),
        *(("deletedEvent", "deletedEntity"), ("deletedEvent", "entity"), ("actionEvent", "body")),
    ):
        held = mapping(event.get(holder))
        value = held.get(name) if held.get(name) is not None else held.get(f"{name}AsJson")
        if value is None:
            continue
        found = _json(value)
        return next((part for key in ("abandonedCheckout", "order") if (part := mapping(found.get(key)))), found)
    return {}


def _kind(payload: Mapping[str, Any], event: Mapping[str, Any]) -> tuple[str, str]:
    """Entity and action: ``wix.ecom.v1.order`` and ``approved``."""
    kind, slug = text(event.get("entityFqdn")), text(event.get("slug"))
    if kind and slug:
        return _VERSION.sub(_KNOWN_VERSION, kind, count=1), slug.lower()
    named = _VERSION.sub(_KNOWN_VERSION, text(payload.get("eventType")) or "", count=1)
    for known in (ABANDONED_CHECKOUT, TRANSACTIONS, ORDER):
        if named.startswith(f"{known}_"):
            return known, named.removeprefix(f"{known}_").lower()
    if not named:
        raise NotUnderstood("the event names neither its type nor its entity")
    return named, ""


def _order_key(event: Mapping[str, Any], at: datetime | None, digest: bytes) -> OrderKey:
    """``entityEventSequence`` is a number in a text; the event's time stands in where it is absent."""
    number = text(event.get("entityEventSequence")) or ""
    if number.isascii() and number.isdigit() and len(number) <= 19:
        return sequence_key(int(number), digest)
    return clock_key(at, digest) if at else NO_ORDER


def _checkout_event(
    slug: str, payload: Mapping[str, Any], request: WebhookRequest, source: SourceContext
) -> Normalised:
    event, entity = mapping(payload["event"]), mapping(payload.get("entity"))
    external_id = first_text(entity.get("id"), entity.get("_id"), event.get("entityId"))
    if external_id is None:
        raise NotUnderstood("the event names no abandoned checkout")
    at = parse_instant(event.get("eventTime"))
    digest = hashlib.sha256(request.body).digest()[:16]
    signal = _signal(slug, event, entity, source)
    cart, missing = _cart(entity, source)
    bought = signal is Signal.PURCHASED
    change = CheckoutChange(
        external_id=external_id,
        signal=signal,
        order_key=_order_key(event, at, digest),
        body_digest=digest,
        event_id=text(event.get("id")),
        occurred_at=at,
        abandoned_at=_instant(entity, "createdDate"),
        order=Order(None, _instant(entity, "checkoutRecoveredDate") or at, cart.total() if cart else None)
        if bought
        else None,
        # What a member left before any checkout is closed by the order of the checkout that it became.
        second_hand=bought and text(entity.get("checkoutId")) is None,
        leaves={} if event.get("triggeredByAnonymizeRequest") is True else _leaves(entity, source),
        cart=cart,
    )
    return Normalised(changes=(change,), missing=missing, assumed=_assumed(cart))


def _signal(slug: str, event: Mapping[str, Any], entity: Mapping[str, Any], source: SourceContext) -> Signal:
    status = (text(entity.get("status")) or "").upper()
    if slug == "deleted":
        return Signal.ENDED
    if slug == "recovered" or status == "RECOVERED":
        return Signal.PURCHASED
    if slug not in {"created", "updated"}:
        raise NotUnderstood("an abandoned checkout event of an unknown kind")
    if event.get("triggeredByAnonymizeRequest") is True:
        return Signal.ENDED
    if status not in {"ABANDONED", ""}:
        raise NotUnderstood("an abandoned checkout with an unknown status")
    return Signal.ACTIVITY if source.settings.on_arrival == "timer" else Signal.ABANDONED


def _order_event(slug: str, payload: Mapping[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    """An approved order is the purchase; the checkout it ends is named by ``checkoutId``."""
    event, order = mapping(payload["event"]), mapping(payload.get("entity"))
    placed_at = _instant(order, "createdDate")
    order_id = first_text(order.get("id"), order.get("_id"), event.get("entityId"))
    backs = () if order_id is None else _taken_back(order_id, slug, event, order)
    if slug in {"canceled", "deleted"}:
        return Normalised(ignored=f"an order {slug}", reversals=backs)
    if slug != "approved":
        if (text(order.get("status")) or "").upper() != "APPROVED":
            return Normalised(ignored="the order is not approved", reversals=backs)
        if placed_at is not None and request.arrived_at - placed_at > _STALE_ORDER:
            return Normalised(ignored="an old order's update", reversals=backs)
    if order_id is None:
        raise NotUnderstood("the event names no order")
    currency = currency_code(order.get("currency")) or source.currency
    total = _amount(mapping(order.get("priceSummary")).get("total"), currency)
    tokens = (text(order.get(name)) for name in ("checkoutId", "cartId"))
    change = CheckoutChange(
        external_id=f"order:{order_id}",
        signal=Signal.PURCHASED,
        order_key=NO_ORDER,
        body_digest=hashlib.sha256(request.body).digest()[:16],
        event_id=text(event.get("id")),
        occurred_at=parse_instant(event.get("eventTime")),
        order=Order(order_id, placed_at or parse_instant(event.get("eventTime")), total),
        leaves=_order_leaves(order, source),
        join_tokens=tuple(dict.fromkeys(token for token in tokens if token)),
        join_contact=True,
    )
    return Normalised(changes=(change,), reversals=backs)


def _taken_back(order_id: str, slug: str, event: Mapping[str, Any], order: Mapping[str, Any]) -> tuple[Reversal, ...]:
    """What the order shows as taken back: the sum refunded so far, in the order's own currency, or all of it."""
    off = slug == "canceled" or (text(order.get("status")) or "").upper() == "CANCELED"
    off = off or (text(order.get("paymentStatus")) or "").upper() == "FULLY_REFUNDED"
    currency = currency_code(order.get("currency"))
    so_far = None if currency is None else _amount(mapping(order.get("balanceSummary")).get("refunded"), currency)
    refunded = () if so_far is None or so_far.minor == 0 else (so_far,)
    if not off and not refunded:
        return ()
    at = parse_instant(event.get("eventTime")) if off else None
    return (Reversal(order_id, refunded=refunded, cancelled=off, at=at),)


def _transactions_event(payload: Mapping[str, Any], source: SourceContext) -> Normalised:
    """Payments and refunds of an order, whose prices name no currency: the source's is taken."""
    entity = mapping(payload.get("entity"))
    held = mapping(entity.get("orderTransactions")) or entity
    order_id = first_text(entity.get("orderId"), held.get("orderId"), mapping(payload["event"]).get("entityId"))
    told = [mapping(entity.get("refund")), *objects(held.get("refunds"))]
    refunds = tuple(refund for own in told if (refund := _refund(own, source.currency)) is not None)
    if order_id is None or not refunds:
        return Normalised(ignored="no refund of an order that is made")
    return Normalised(
        ignored="a refund changes no checkout",
        assumed=("currency",),
        reversals=(Reversal(order_id, refunds=refunds),),
    )


def _refund(refund: Mapping[str, Any], currency: str) -> Refund | None:
    """One refund, of one payment or several; None while none of its transactions has succeeded or all failed."""
    name = first_text(refund.get("id"), refund.get("_id"))
    tried = objects(refund.get("transactions"))
    ends = [(text(own.get("refundStatus")) or "").upper() for own in tried]
    back = [own for own, end in zip(tried, ends, strict=True) if end == "SUCCEEDED"]
    failed = bool(ends) and set(ends) == {"FAILED"}
    if name is None or not (back or failed):
        return None
    amount = total_of(_amount(own.get("amount"), currency) for own in (back or tried))
    return Refund(name, () if amount is None else (amount,), failed=failed)


def _answered(payload: Mapping[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
    """What the API answers for one abandoned checkout or a page of them; it fills gaps and orders nothing."""
    one = mapping(payload.get("abandonedCheckout"))
    entities = [one] if one else objects(payload.get("abandonedCheckouts"))
    if not entities:
        raise NotUnderstood("neither an event nor an abandoned checkout")
    changes: list[CheckoutChange] = []
    assumed: tuple[str, ...] = ()
    for entity in entities:
        external_id = first_text(entity.get("id"), entity.get("_id"))
        if external_id is None:
            raise NotUnderstood("an abandoned checkout without an id")
        cart, _ = _cart(entity, source)
        signal = _signal("updated", {}, entity, source)
        bought_at = _instant(entity, "checkoutRecoveredDate")
        changes.append(
            CheckoutChange(
                external_id=external_id,
                signal=signal,
                order_key=NO_ORDER,
                body_digest=hashlib.sha256(request.body).digest()[:16],
                occurred_at=_instant(entity, "updatedDate"),
                abandoned_at=_instant(entity, "createdDate"),
                order=Order(None, bought_at, cart.total() if cart else None) if signal is Signal.PURCHASED else None,
                leaves=_leaves(entity, source),
                cart=cart,
            )
        )
        assumed = assumed or _assumed(cart)
    normalised = Normalised(changes=tuple(changes), assumed=assumed)
    return overridden(normalised, {**payload, "entity": entities[0]}, source)


def _leaves(entity: Mapping[str, Any], source: SourceContext) -> dict[str, Any]:
    buyer = mapping(entity.get("buyerInfo"))
    contact = mapping(entity.get("contactDetails"))
    leaves = Leaves(source)
    leaves.text("stage", (text(entity.get("status")) or "").lower())
    leaves.text("cart_id", entity.get("cartId"))
    leaves.text("join_token", entity.get("checkoutId"))
    _person(leaves, buyer, contact)
    leaves.text("customer.locale", entity.get("buyerLanguage"))
    leaves.checkout_url(entity.get("checkoutUrl"))
    leaves.moment("started_at", _instant(entity, "createdDate"))
    return leaves.found


def _order_leaves(order: Mapping[str, Any], source: SourceContext) -> dict[str, Any]:
    """The buyer of an order, by whom a checkout is found that the order does not name."""
    billing = mapping(order.get("billingInfo"))
    shipping = mapping(mapping(mapping(order.get("shippingInfo")).get("logistics")).get("shippingDestination"))
    recipient = mapping(order.get("recipientInfo"))
    contact = mapping(billing.get("contactDetails"))
    others = (mapping(recipient.get("contactDetails")), mapping(shipping.get("contactDetails")))
    addresses = (mapping(part.get("address")) for part in (billing, recipient, shipping))
    address: Mapping[str, Any] = next(filter(None, addresses), {})
    leaves = Leaves(source)
    _person(leaves, mapping(order.get("buyerInfo")), contact, *others, country=address.get("country"))
    leaves.text("customer.locale", order.get("buyerLanguage"))
    return leaves.found


def _person(leaves: Leaves, buyer: Mapping[str, Any], *contacts: Mapping[str, Any], country: Any = None) -> None:
    leaves.text("customer.id", *(buyer.get(name) for name in ("contactId", "memberId", "visitorId", "userId")))
    leaves.email(buyer.get("email"), *(contact.get("email") for contact in contacts))
    leaves.phone(*(contact.get("phone") for contact in contacts), buyer.get("phone"), country=country)
    for leaf, name in (("first_name", "firstName"), ("last_name", "lastName"), ("company", "company")):
        leaves.text(f"customer.{leaf}", *(contact.get(name) for contact in contacts))


def _cart(entity: Mapping[str, Any], source: SourceContext) -> tuple[Cart | None, tuple[str, ...]]:
    """The cart in the buyer's currency, with the shop's own beside it where they differ, and what was not sent."""
    lines = entity.get("lineItems")
    prices = [entity.get("totalPrice"), entity.get("subtotalPrice")]
    if not isinstance(lines, list) and not any(isinstance(price, dict) for price in prices):
        return None, ("items", "totals")
    shop = currency_code(entity.get("currency"))
    buyer = currency_code(entity.get("conversionCurrency")) or shop
    currency = shop or source.currency
    prices += [line.get("price") for line in objects(lines)]
    converted = (
        shop is not None
        and buyer is not None
        and buyer != shop
        and all(mapping(price).get("convertedAmount") is not None for price in prices if price is not None)
    )
    field = "convertedAmount" if converted else "amount"
    shown = buyer if converted and buyer else currency
    cart = Cart(
        shown,
        currency_assumed=shop is None,
        items=tuple(_item(line, shown, field) for line in objects(lines)),
        totals=_totals(entity, shown, field),
        shop_totals=_totals(entity, currency, "amount") if converted else None,
        discount_codes=codes([mapping(used.get("coupon")) for used in objects(entity.get("appliedDiscounts"))]),
        items_known=isinstance(lines, list),
    )
    return cart, () if cart.items_known else ("items",)


def _totals(entity: Mapping[str, Any], currency: str, field: str) -> Totals:
    return Totals(
        subtotal=_amount(entity.get("subtotalPrice"), currency, field),
        total=_amount(entity.get("totalPrice"), currency, field),
    )


def _item(line: Mapping[str, Any], currency: str, field: str) -> Item:
    product = mapping(line.get("catalogReference"))
    descriptions = [_described(part) for part in objects(line.get("descriptionLines"))]
    before = line.get("fullPrice") if line.get("fullPrice") is not None else line.get("priceBeforeDiscounts")
    return Item(
        quantity=units(line.get("quantity")),
        id=first_text(line.get("id"), line.get("_id")),
        product_id=text(product.get("catalogItemId")),
        variant_id=text(mapping(product.get("options")).get("variantId")),
        sku=first_text(mapping(line.get("physicalProperties")).get("sku"), line.get("sku")),
        title=_translated(line.get("productName")),
        variant_title=" / ".join(value for _, value in descriptions if value) or None,
        unit_price=_amount(line.get("price"), currency, field),
        compare_at_price=_amount(before, currency, field),
        image_url=_image(line.get("image") if line.get("image") is not None else line.get("media")),
        product_url=_link(line.get("url")),
        attributes={name: value for name, value in descriptions if name and value},
    )


def _described(part: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """A description line: its name and what was chosen."""
    chosen = next((part[key] for key in ("colorInfo", "plainText", "plainTextValue") if part.get(key)), None)
    return _translated(part.get("name")), _translated(chosen)


def _translated(value: Any) -> str | None:
    """A text in the buyer's language where there is one."""
    return first_text(mapping(value).get("translated"), mapping(value).get("original"), value)


def _image(value: Any) -> str | None:
    """An image's https address: an object over REST, ``wix:image://v1/<file>/...`` in the SDK."""
    given = first_text(mapping(value).get("url"), value)
    if given is None or given.startswith(("https://", "http://")):
        return given
    wix = re.match(r"wix:image://v1/([^/#?]+)", given)
    file = wix.group(1) if wix else text(mapping(value).get("id"))
    return f"https://static.wixstatic.com/media/{file}" if file else None


def _link(value: Any) -> str | None:
    given = first_text(mapping(value).get("url"), value)
    return given if given and given.startswith(("https://", "http://")) else None


def _amount(price: Any, currency: str, field: str = "amount") -> Money | None:
    """``{"amount": "84.5", "convertedAmount": ...}``, decimal texts in major units."""
    return parse_money(mapping(price).get(field), currency)


def _instant(entity: Mapping[str, Any], name: str) -> datetime | None:
    return parse_instant(entity.get(name) or entity.get(f"_{name}"))


def _assumed(cart: Cart | None) -> tuple[str, ...]:
    return ("currency",) if cart is not None and cart.currency_assumed else ()


PROVIDER = Wix()
