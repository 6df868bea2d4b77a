"""Emporix (developer.emporix.io: webhook service, cart and order events; cart service).

A stream of carts; nobody declares abandonment, so our timer decides. The event's type is in no documented header and
not in the body: it comes with the URL (``/hooks/{source_id}/{event}``) or a configured header. Two strategies of
delivery: ``http`` signs the canonical form of the parsed body, ``svix`` the raw bytes. Bodies differ in fullness: what
they only point to (lines, total, contact) is pulled.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from shared.domain.cart import Cart, Item, Totals
from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, clock_key, sequence_key
from shared.domain.checkout import Order
from shared.domain.instants import parse_instant, to_rfc3339
from shared.domain.money import Money, currency_code, parse_decimal, parse_money
from shared.domain.reversal import Reversal
from shared.providers.authentication import fresh, hmac_signature
from shared.providers.mapping import overridden
from shared.providers.payload import Leaves, first_text, mapping, objects, quantity, read_json, recovery_link, text
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
    Listed,
    PullFailed,
    TokenGrant,
    client_credentials,
    credential,
    read_each,
    root,
)

CART_EVENTS = frozenset({"cart.created", "cart.updated", "cart.merged"})
ITEM_EVENTS = frozenset({"cart.item-added", "cart.item-updated", "cart.item-deleted"})
CART_ENDED = frozenset({"cart.closed", "cart.deleted"})
ORDER_EVENTS = frozenset({"order.created", "order.updated"})
PLACED = frozenset({"CREATED", "CONFIRMED", "SHIPPED", "COMPLETED"})
"""Order statuses of an order that was placed. ``IN_CHECKOUT`` is not paid yet, ``DECLINED`` was refused."""

_TYPE_HEADERS = ("x-event-type", "emporix-event-type", "x-emporix-event-type")
_TOLERANCE = timedelta(minutes=5)
_ANONYMOUS = "an anonymous cart without contact"


_API = "https://api.emporix.io"
_CARTS_TO_A_PAGE = 60


class EmporixApi:
    """Cart and customer service behind client credentials; ``carts/search`` lists a tenant's open carts by page number.

    The search knows nothing of a time: carts older than asked for are left out by whoever reads the page.
    """

    limit = Limit(50, timedelta(seconds=10))
    lists = True
    filters = frozenset({"customer_id", "legal_entity_id"})

    def access(self, source: SourceContext) -> Access:
        """A token of the tenant. Raises PullFailed."""
        scope = f"tenant={credential(source, 'tenant')}"
        return TokenGrant(client_credentials(f"{root(source, _API)}/oauth/token", source, scope=scope))

    def content(self, pull: Pull, source: SourceContext) -> ApiRequest:
        """A cart or a customer. Raises PullFailed."""
        try:
            return ApiRequest("GET", root(source, _API) + PROVIDER.content_path(pull, source))
        except (NotUnderstood, KeyError) as unknown:
            raise PullFailed(f"cannot be asked for: {unknown}") from unknown

    def read_content(self, content: Any, pull: Pull, at: datetime, source: SourceContext) -> Normalised:
        """What the cart or customer says."""
        return PROVIDER.from_content(content, pull, at, source)

    def page(self, query: BackfillQuery, cursor: str | None, source: SourceContext) -> ApiRequest:
        """Open carts, oldest first, so that a new cart comes last. Raises PullFailed."""
        wanted = ["status:OPEN"]
        for name, field in (("customer_id", "customerId"), ("legal_entity_id", "legalEntityId")):
            if name in query.filters:
                wanted.append(f"{field}:{_searched(query.filters[name])}")
        tenant = quote(credential(source, "tenant"), safe="", errors="replace")
        page = f"pageNumber={int(cursor or 1)}&pageSize={_CARTS_TO_A_PAGE}&sort=metadata.createdAt:asc"
        url = f"{root(source, _API)}/cart/{tenant}/carts/search?{page}"
        return ApiRequest("POST", url, body=json.dumps({"q": " ".join(wanted)}).encode())

    def read_page(
        self,
        content: Any,
        query: BackfillQuery,  # noqa: ARG002 - interface
        cursor: str | None,
        at: datetime,
        source: SourceContext,
    ) -> ApiPage:
        """The page's carts; a short page is the last."""
        if not isinstance(content, list):
            raise NotUnderstood("the answer is not a list of carts")
        listed = PROVIDER.page_of_carts(content, at, source)
        following = str(int(cursor or 1) + 1) if len(content) >= _CARTS_TO_A_PAGE else None
        return ApiPage(listed.normalised, following, listed.unread)


def _searched(value: str) -> str:
    """A value inside a search expression. Raises PullFailed for one that would change the expression."""
    if re.fullmatch(r"[A-Za-z0-9_.@-]{1,128}", value) is None:
        raise PullFailed("a filter holds characters that the search does not take")
    return value


class Emporix:
    """The Emporix adapter."""

    name = "emporix"
    api = EmporixApi()
    checkout_hosts: frozenset[str] = frozenset()
    description = Description(
        title="Emporix",
        authentication=(
            "strategy http: HMAC-SHA256 of the canonical JSON in emporix-event-signature; "
            "strategy svix: svix-id, svix-timestamp, svix-signature"
        ),
        credentials=(
            CredentialField(
                "secret",
                "strategy http: the configuration's secretKey; svix: the endpoint's whsec_ secret",
                generated=True,
            ),
            CredentialField(
                "api", "tenant, client_id and client_secret, to read carts and customers, and for backfill"
            ),
        ),
        setup=(
            "Webhook service: subscribe to cart.created, cart.updated, cart.item-added, cart.item-updated, "
            "cart.item-deleted, cart.merged, cart.closed, order.created and order.updated, each with its own "
            "destination url/{event} (or one url and a custom header x-event-type). Set recovery_url_template, "
            "for instance https://shop.example.com/cart?id={cart_id}: Emporix sends no link."
        ),
        declares_abandonment=False,
        events=(*sorted(CART_EVENTS | ITEM_EVENTS | CART_ENDED - {"cart.deleted"}), *sorted(ORDER_EVENTS)),
        reading=Reading(
            pages=(
                "GitHub emporix/api-references: webhook service, event schemas, cart OpenAPI and changelog",
                "developer.emporix.io: webhooks, HMAC configuration",
                "docs.svix.com: verifying payloads, retries",
            ),
            read="facts of 22 November 2026 or before; the day was not noted",
            order_fields=("id of order.created, order.updated",),
            contact_fields=(
                "customer.email, addresses[].contactPhone",
                "shippingAddress.contactPhone, customerId",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove the body by the strategy whose headers it carries. Raises AuthenticationFailed."""
        secrets = source.credentials.secrets
        if "svix-signature" in request.headers or "webhook-signature" in request.headers:
            _svix(request, secrets)
        else:
            given = request.headers.get("emporix-event-signature")
            hmac_signature(given, secrets, _signed_text(request.body))

    def read(self, request: WebhookRequest, source: SourceContext) -> Any:  # noqa: ARG002 - interface
        """The JSON object posted, or the array of a search answer."""
        document = read_json(request.body)
        if not isinstance(document, dict | list):
            raise NotUnderstood("the body is neither a JSON object nor an array")
        return document

    def normalise(self, payload: Any, request: WebhookRequest, source: SourceContext) -> Normalised:
        """A cart or order event, or a page of carts as several changes. Raises NotUnderstood."""
        if isinstance(payload, list):
            return self.page_of_carts(payload, request.arrived_at, source).whole()
        event, body = _event(payload, request)
        digest = hashlib.sha256(request.body).digest()[:16]
        if event in ORDER_EVENTS:
            normalised = self._order(body, request, digest, source)
        elif event in ITEM_EVENTS:
            normalised = self._item_event(body, request, digest, source)
        elif event in CART_EVENTS or event in CART_ENDED:
            normalised = self._cart_event(event, body, request, digest, source)
        elif event.startswith(("cart.", "order.")) and event != "order.deleted":
            raise NotUnderstood("unknown cart or order event")
        else:
            return Normalised(ignored="the event is not about a checkout")
        normalised = overridden(normalised, payload, source)
        if event in CART_EVENTS and any(_anonymous(own.leaves) and not _ends(own) for own in normalised.changes):
            return Normalised(ignored=_ANONYMOUS)
        return normalised

    def from_content(self, content: Any, pull: Pull, fetched_at: datetime, source: SourceContext) -> Normalised:
        """What a pulled cart or customer says; ``content`` is the API's answer as ``read_json`` gives it, None
        where it is gone.

        A cart takes its place by its own version, so that a late answer never overwrites a newer event, and behind the
        events of that version, which tell less; a customer fills gaps only. Raises NotUnderstood.
        """
        if content is None:
            return Normalised(ignored="the content no longer exists")
        if not isinstance(content, dict):
            raise NotUnderstood("the pulled content is not a JSON object")
        at = parse_instant(pull.reference.get("at"))
        if pull.kind == "customer":
            return self._customer(content, pull, at, source)
        cart_id = text(content.get("id")) or pull.reference.get("cart_id")
        if not cart_id:
            raise NotUnderstood("the cart has no id")
        leaves = self._cart_leaves(content, cart_id, source)
        if _closed(content):
            return _ended(content, cart_id, leaves, _digest(content), at or fetched_at)
        if _anonymous(leaves.found):
            return Normalised(ignored=_ANONYMOUS)
        cart = _cart(content, source)
        return self._snapshot(content, cart_id, leaves, cart, _digest(content), at=at, fetched_at=fetched_at)

    @staticmethod
    def content_path(pull: Pull, source: SourceContext) -> str:
        """The API path under which the pull's content is read. Raises NotUnderstood where no tenant is known."""
        tenant = source.credentials.api.get("tenant") or pull.reference.get("tenant")
        if not tenant:
            raise NotUnderstood("credentials.api names no tenant")
        own = _quoted(tenant)
        if pull.kind == "customer":
            return f"/customer/{own}/customers/{_quoted(pull.reference['customer_id'])}"
        return f"/cart/{own}/carts/{_quoted(pull.reference['cart_id'])}"

    def _cart_event(
        self, event: str, body: Mapping[str, Any], request: WebhookRequest, digest: bytes, source: SourceContext
    ) -> Normalised:
        cart_id = first_text(body.get("id"), body.get("cartId"))
        if cart_id is None:
            raise NotUnderstood("the cart has no id")
        published_at = _published_at(request)
        leaves = self._cart_leaves(body, cart_id, source)
        if event in CART_ENDED or _closed(body):
            return _ended(body, cart_id, leaves, digest, published_at or request.arrived_at, _event_id(request))
        cart = _cart(body, source)
        asked_at = published_at or request.arrived_at
        return self._snapshot(
            body, cart_id, leaves, cart, digest, at=published_at, event_id=_event_id(request), asked_at=asked_at
        )

    def _item_event(
        self, body: Mapping[str, Any], request: WebhookRequest, digest: bytes, source: SourceContext
    ) -> Normalised:
        """A changed line: activity at a cart whose contents are elsewhere. It carries no version to compare."""
        cart_id = text(body.get("cartId"))
        if cart_id is None:
            raise NotUnderstood("the item event names no cart")
        at = _published_at(request)
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("cart_id", cart_id)
        _recovery_link(leaves, cart_id, source)
        change = CheckoutChange(
            external_id=cart_id,
            signal=Signal.ACTIVITY,
            order_key=NO_ORDER,
            body_digest=digest,
            event_id=_event_id(request),
            occurred_at=at,
            leaves=leaves.found,
        )
        pull = _pull("cart", at or request.arrived_at, cart_id=cart_id, tenant=text(body.get("tenant")))
        return Normalised((change,), pulls=(pull,), missing=("items", "customer.email", "customer.phone"))

    def _snapshot(
        self,
        body: Mapping[str, Any],
        cart_id: str,
        leaves: Leaves,
        cart: Cart | None,
        digest: bytes,
        *,
        at: datetime | None = None,
        event_id: str | None = None,
        fetched_at: datetime | None = None,
        asked_at: datetime | None = None,
    ) -> Normalised:
        """A cart as it stands: an event's, or with ``fetched_at`` the API's.

        With ``asked_at`` what it lacks is to be pulled.
        """
        modified_at = _modified_at(body) or at
        change = CheckoutChange(
            external_id=cart_id,
            signal=Signal.ACTIVITY,
            order_key=_order_key(body, digest, fetched_at),
            body_digest=digest,
            event_id=event_id,
            occurred_at=modified_at,
            leaves=leaves.found,
            cart=cart,
        )
        contact = tuple(name for name in ("customer.phone", "customer.email") if name not in leaves.found)
        missing = ("items",) if cart is None else ("totals.total",) if cart.totals.total is None else ()
        wanted: list[Pull] = []
        customer_id = leaves.found.get("customer.id")
        if asked_at is not None:
            if missing:
                wanted.append(_pull("cart", modified_at or asked_at, cart_id=cart_id, tenant=text(body.get("tenant"))))
            if contact and isinstance(customer_id, str):
                wanted.append(_pull("customer", modified_at or asked_at, cart_id=cart_id, customer_id=customer_id))
        assumed = ("currency",) if cart is not None and cart.currency_assumed else ()
        return Normalised((change,), pulls=tuple(wanted), missing=(*missing, *contact), assumed=assumed)

    def page_of_carts(self, carts: list[Any], asked_at: datetime, source: SourceContext) -> Listed:
        """The carts of a search answer. Those without contact, and those closed, are left out.

        Raises NotUnderstood where it holds something else.
        """
        read, unread = read_each(carts, lambda body: self._listed_cart(mapping(body), asked_at, source))
        found = [one for one in read if one is not None]
        if not found:
            return Listed(Normalised(ignored="no open cart with a customer or a contact on the page"), unread)
        normalised = Normalised(
            changes=tuple(change for one in found for change in one.changes),
            pulls=tuple(pull for one in found for pull in one.pulls if pull.kind == "customer"),
            missing=tuple(sorted({name for one in found for name in one.missing})),
            assumed=tuple(sorted({name for one in found for name in one.assumed})),
        )
        return Listed(normalised, unread)

    def _listed_cart(self, body: Mapping[str, Any], asked_at: datetime, source: SourceContext) -> Normalised | None:
        """One cart of a list; None where it is of nobody, or closed. Raises NotUnderstood."""
        cart_id = text(body.get("id"))
        if cart_id is None:
            raise NotUnderstood("a cart of the page has no id")
        leaves = self._cart_leaves(body, cart_id, source)
        if _anonymous(leaves.found) or _closed(body):
            return None
        cart = _cart(body, source)
        said = self._snapshot(body, cart_id, leaves, cart, _digest(body), fetched_at=asked_at, asked_at=asked_at)
        return replace(said, changes=tuple(replace(own, part=body) for own in said.changes))

    def _order(
        self, body: Mapping[str, Any], request: WebhookRequest, digest: bytes, source: SourceContext
    ) -> Normalised:
        """An order: placed, waiting for its payment, or declined."""
        order_id, status = text(body.get("id")), (text(body.get("status")) or "").upper()
        if order_id is None:
            raise NotUnderstood("the order has no id")
        signals = {"IN_CHECKOUT": Signal.PAYMENT_STARTED, "DECLINED": Signal.PAYMENT_FAILED}
        signal = Signal.PURCHASED if status in PLACED else signals.get(status)
        if signal is None:
            raise NotUnderstood("the order's status is missing or unknown")
        cart_id = text(body.get("cartId"))
        backs: tuple[Reversal, ...] = ()
        if status == "DECLINED":
            backs = (Reversal(order_id, cancelled=True, at=parse_instant(body.get("lastStatusChange"))),)
        if cart_id is None and signal is not Signal.PURCHASED:
            return Normalised(ignored="an order that is not placed and names no cart", reversals=backs)
        created_at = parse_instant(body.get("created")) or parse_instant(mapping(body.get("metadata")).get("createdAt"))
        placed_at = created_at
        changed_at = parse_instant(body.get("lastStatusChange"))
        if status == "CREATED" and changed_at is not None and (created_at is None or changed_at > created_at):
            placed_at = changed_at
        cart = _ordered_cart(body, source)
        change = CheckoutChange(
            external_id=cart_id or f"order:{order_id}",
            signal=signal,
            order_key=NO_ORDER,
            body_digest=digest,
            event_id=_event_id(request),
            occurred_at=_modified_at(body) or _published_at(request),
            order=None
            if signal is not Signal.PURCHASED
            else Order(order_id, placed_at, cart.total() if cart else None, stands_at=changed_at or created_at),
            leaves=self._order_leaves(body, cart_id, source).found,
            cart=cart,
            join_contact=cart_id is None,
        )
        assumed = ("currency",) if cart is not None and cart.currency_assumed else ()
        return Normalised((change,), assumed=assumed, reversals=backs)

    def _customer(
        self, content: Mapping[str, Any], pull: Pull, at: datetime | None, source: SourceContext
    ) -> Normalised:
        """Contact from the customer service, for the cart that named the customer. Not an act of the shopper."""
        cart_id = pull.reference.get("cart_id")
        if not cart_id:
            raise NotUnderstood("the pull names no cart")
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("customer.id", content.get("customerNumber"), content.get("id"), pull.reference.get("customer_id"))
        leaves.email(content.get("contactEmail"), content.get("email"))
        leaves.phone(content.get("contactPhone"), content.get("phone"))
        leaves.text("customer.first_name", content.get("firstName"))
        leaves.text("customer.last_name", content.get("lastName"))
        leaves.text("customer.company", content.get("company"))
        leaves.text("customer.locale", content.get("preferredLanguage"))
        change = CheckoutChange(
            external_id=cart_id,
            signal=Signal.ACTIVITY,
            order_key=NO_ORDER,
            body_digest=_digest(content),
            occurred_at=at,
            leaves=leaves.found,
        )
        return Normalised((change,))

    def _cart_leaves(self, body: Mapping[str, Any], cart_id: str, source: SourceContext) -> Leaves:
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("cart_id", cart_id)
        leaves.text("customer.id", body.get("customerId"))
        leaves.text("customer.legal_entity_id", body.get("legalEntityId"))
        customer = mapping(body.get("customer"))
        leaves.email(body.get("contactEmail"), body.get("email"), customer.get("email"))
        addresses = objects(body.get("addresses"))
        billing = [own for own in addresses if (text(own.get("type")) or "").upper() == "BILLING"]
        shipping = [own for own in addresses if own not in billing]
        _people(leaves, customer, shipping[:1], billing[:1], body.get("countryCode"))
        _common(leaves, body)
        leaves.moment("started_at", parse_instant(mapping(body.get("metadata")).get("createdAt")))
        leaves.moment("expires_at", parse_instant(body.get("validUntil")))
        _recovery_link(leaves, cart_id, source)
        return leaves

    def _order_leaves(self, body: Mapping[str, Any], cart_id: str | None, source: SourceContext) -> Leaves:
        leaves = Leaves(source, self.checkout_hosts)
        customer = mapping(body.get("customer"))
        leaves.text("cart_id", cart_id)
        leaves.text("customer.id", customer.get("id"), body.get("customerId"))
        leaves.text("customer.legal_entity_id", body.get("legalEntityId"))
        leaves.email(customer.get("email"), body.get("email"))
        leaves.text("customer.company", customer.get("company"))
        shipping, billing = mapping(body.get("shippingAddress")), mapping(body.get("billingAddress"))
        _people(leaves, customer, [shipping], [billing], body.get("countryCode"))
        _common(leaves, body)
        if cart_id is not None:
            _recovery_link(leaves, cart_id, source)
        return leaves


def canonical_json(value: Any) -> str:
    """The text that the http strategy signs: keys sorted at every level, no spaces, numbers as JavaScript writes them.

    The vendor's example parses the body and hands it to a stable stringify; a whole number loses its decimals there.
    One that was sent without decimals keeps every digit: as doubles, neighbours beyond 2^53 would be the same text, and
    the signature of one would prove the other.
    """
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_json_text(name)}:{canonical_json(part)}" for name, part in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(canonical_json(part) for part in value) + "]"
    if isinstance(value, str):
        return _json_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) else _number(value)
    return value.digits if isinstance(value, _Whole) else json.dumps(value)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A whole number as its digits were sent; zero has no sign."""

    digits: str

    @classmethod
    def read(cls, written: str) -> "_Whole":
        """Of JSON, which allows no leading zeros."""
        return cls("0" if written == "-0" else written)


def _json_text(value: str) -> str:
    """A string as JavaScript writes it: as it is, but a lone surrogate escaped."""
    written = json.dumps(value, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match.group()):04x}", written)


def _number(value: float) -> str:
    """A double as ECMAScript's Number::toString writes it."""
    if value in {float("inf"), float("-inf")}:
        return "null"
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    point = len(shown) + int(exponent)
    if len(shown) <= point <= 21:
        plain = shown + "0" * (point - len(shown))
    elif 0 < point <= 21:
        plain = f"{shown[:point]}.{shown[point:]}"
    elif -6 < point <= 0:
        plain = f"0.{'0' * -point}{shown}"
    else:
        fraction = f".{shown[1:]}" if len(shown) > 1 else ""
        plain = f"{shown[0]}{fraction}e{point - 1:+d}"
    return f"-{plain}" if sign else plain


def _signed_text(body: bytes) -> bytes:
    """What the http strategy signed. A body that is not JSON has no canonical form: its bytes stand for themselves."""
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=_Whole.read)
        return canonical_json(document).encode("utf-8", "surrogatepass")
    except RecursionError as deep:
        raise AuthenticationFailed("nested too deeply to be signed") from deep
    except ValueError:
        return body


def _svix(request: WebhookRequest, secrets: Iterable[str]) -> None:
    """Prove a Svix signature: any of the header's ``v1`` elements under any of the keys, and its time."""
    prefix = "svix" if "svix-signature" in request.headers else "webhook"
    message_id = request.headers.get(f"{prefix}-id")
    timestamp = request.headers.get(f"{prefix}-timestamp")
    if not message_id or timestamp is None:
        raise AuthenticationFailed("missing message id or timestamp")
    fresh(timestamp, request.arrived_at, _TOLERANCE)
    signed = f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + request.body
    expected = [hmac.new(key, signed, hashlib.sha256).digest() for key in map(_svix_key, secrets) if key]
    matched = False
    for element in request.headers[f"{prefix}-signature"].split():
        version, _, written = element.partition(",")
        given = _base64(written) if version == "v1" else None
        for own in expected:
            matched |= given is not None and hmac.compare_digest(given, own)
    if not matched:
        raise AuthenticationFailed("wrong signature")


def _svix_key(secret: str) -> bytes | None:
    """The key inside ``whsec_<base64>``; None for what is no such secret."""
    return _base64(secret.strip().removeprefix("whsec_"))


def _base64(written: str) -> bytes | None:
    try:
        return base64.b64decode(written, validate=True) or None
    except (ValueError, binascii.Error):
        return None


def _event(payload: Mapping[str, Any], request: WebhookRequest) -> tuple[str, Mapping[str, Any]]:
    """The event's type and its own body. Raises NotUnderstood where nothing tells the type.

    The short bodies of created, merged and closed are alike, so that only the URL or a header can tell them apart; a
    full cart and an order are known by their shape.
    """
    named = first_text(request.event, *(request.headers.get(name) for name in _TYPE_HEADERS))
    enclosed = payload.get("payload") if "payload" in payload else payload.get("data")
    body = payload
    if isinstance(enclosed, dict) and "id" not in payload and "cartId" not in payload:
        body = enclosed
        named = named or first_text(*(payload.get(name) for name in ("type", "eventType", "event_type", "event")))
    if named is not None:
        return named.lower().replace("/", "."), body
    if isinstance(body.get("entries"), list) and "status" in body:
        return "order.updated", body
    if isinstance(body.get("items"), list):
        return "cart.updated", body
    raise NotUnderstood("the event's type is neither in the URL nor in a header, and the body is short")


def _event_id(request: WebhookRequest) -> str | None:
    return first_text(request.headers.get("svix-id"), request.headers.get("webhook-id"))


def _published_at(request: WebhookRequest) -> datetime | None:
    return parse_instant(request.headers.get("emporix-event-publish-time"))


def _modified_at(body: Mapping[str, Any]) -> datetime | None:
    metadata = mapping(body.get("metadata"))
    return parse_instant(metadata.get("modifiedAt")) or parse_instant(metadata.get("createdAt"))


def _order_key(body: Mapping[str, Any], digest: bytes, fetched_at: datetime | None = None) -> OrderKey:
    """By the cart's version; by its time where the configuration excludes the version; else it compares with none.

    What was fetched comes after the events of the same version, among itself by the time of fetching.
    """
    version = parse_decimal(mapping(body.get("metadata")).get("version"))
    modified_at = _modified_at(body)
    if version is not None and 0 <= version < 10**18:
        key = sequence_key(int(version), digest)
    elif modified_at is not None:
        key = clock_key(modified_at, digest)
    else:
        return NO_ORDER
    if fetched_at is None:
        return key
    return OrderKey(f"{key.value.split('.', 1)[0]}.~{clock_key(fetched_at, digest).value}")


def _ended(
    body: Mapping[str, Any], cart_id: str, leaves: Leaves, digest: bytes, at: datetime, event_id: str | None = None
) -> Normalised:
    """A cart that is closed: bought, as its order will tell, or given up. Nothing of its version comes after that."""
    key = _order_key(body, digest)
    if not key.value:
        key = clock_key(at, digest)
    change = CheckoutChange(
        external_id=cart_id,
        signal=Signal.ENDED,
        order_key=OrderKey(f"{key.value.split('.', 1)[0]}.~~"),
        body_digest=digest,
        event_id=event_id,
        occurred_at=_modified_at(body) or at,
        leaves=leaves.found,
    )
    return Normalised((change,))


def _closed(body: Mapping[str, Any]) -> bool:
    return (text(body.get("status")) or "").upper() == "CLOSED"


def _ends(change: CheckoutChange) -> bool:
    return change.signal is Signal.ENDED


def _digest(content: Any) -> bytes:
    """What stands in for the digest of a body that was pulled."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).digest()[:16]


def _pull(kind: str, at: datetime, **reference: str | None) -> Pull:
    return Pull(kind, {"at": to_rfc3339(at), **{name: value for name, value in reference.items() if value is not None}})


def _anonymous(leaves: Mapping[str, Any]) -> bool:
    return not any(name in leaves for name in ("customer.id", "customer.email", "customer.phone"))


def _quoted(part: str) -> str:
    """A part of a URL's path or query."""
    return quote(part, safe="", errors="replace")


def _recovery_link(leaves: Leaves, cart_id: str, source: SourceContext) -> None:
    """The link of the source's template: ``{cart_id}`` (also ``{id}``, ``{external_id}``, doubled braces) is the cart.

    Emporix sends none.
    """
    leaves.checkout_url(recovery_link(source.settings.recovery_url_template, cart_id))


def _people(
    leaves: Leaves,
    customer: Mapping[str, Any],
    shipping: list[Mapping[str, Any]],
    billing: list[Mapping[str, Any]],
    country: Any,
) -> None:
    """Addresses, and the customer's name and phone from the customer, else the first address that has them."""
    for leaf, sent in (("shipping_address", shipping), ("billing_address", billing)):
        for address in sent:
            leaves.address(leaf, _address(address))
    for holder in (customer, *shipping, *billing):
        first, last = _name(holder)
        if first or last:
            leaves.text("customer.first_name", first)
            leaves.text("customer.last_name", last)
            break
    for holder in (customer, *shipping, *billing):
        if "customer.phone" not in leaves.found:
            region = first_text(holder.get("country"), country)
            leaves.phone(holder.get("contactPhone"), holder.get("phone"), country=region)


def _name(holder: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """First and last name; of a lone full name its first word and the rest."""
    first, last = text(holder.get("firstName")), text(holder.get("lastName"))
    if first or last:
        return first, last
    whole, _, rest = (first_text(holder.get("contactName"), holder.get("name")) or "").partition(" ")
    return text(whole), text(rest)


def _address(sent: Mapping[str, Any]) -> dict[str, Any]:
    """An address by the contract's names. ``country`` is an alpha-2 code at Emporix; anything longer is a name."""
    first, last = _name(sent)
    country = text(sent.get("country"))
    coded = country is not None and len(country) == 2
    extra = (
        text(sent.get(name)) for name in ("streetAppendix", "extraLine1", "extraLine2", "extraLine3", "extraLine4")
    )
    return {
        "first_name": first,
        "last_name": last,
        "company": sent.get("companyName"),
        "phone": sent.get("contactPhone"),
        "address1": " ".join(filter(None, (text(sent.get("street")), text(sent.get("streetNumber"))))),
        "address2": ", ".join(filter(None, extra)),
        "city": sent.get("city"),
        "province": sent.get("state"),
        "country": None if coded else country,
        "country_code": country if coded else None,
        "postal_code": sent.get("zipCode"),
    }


def _common(leaves: Leaves, body: Mapping[str, Any]) -> None:
    """What a cart and an order say alike."""
    channel = mapping(body.get("channel"))
    leaves.text("attribution.referrer", channel.get("source"))


def _cart(body: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """The snapshot of a cart; None where the body is short. Events carry no total: it is then that of the lines."""
    lines = body.get("items")
    calculated = mapping(body.get("calculatedPrice"))
    final = mapping(calculated.get("finalPrice"))
    if not isinstance(lines, list) and not final and body.get("totalPrice") is None:
        return None
    own = currency_code(body.get("currency"))
    currency = own or source.currency
    total = parse_money(final.get("grossValue"), currency) or _amount(body.get("totalPrice"), currency)
    before = parse_money(mapping(calculated.get("price")).get("grossValue"), currency)
    reduced = mapping(calculated.get("totalDiscount"))
    shipping = mapping(calculated.get("totalShipping")) or mapping(calculated.get("shipping"))
    totals = Totals(
        subtotal=before or _amount(body.get("subTotalPrice"), currency),
        discount=parse_money(first_text(reduced.get("grossValue"), reduced.get("amount")), currency),
        shipping=parse_money(shipping.get("grossValue"), currency),
        tax=parse_money(final.get("taxValue"), currency),
        total=total,
    )
    return Cart(
        currency=currency,
        currency_assumed=own is None,
        items=tuple(_item(line, currency) for line in objects(lines)),
        totals=totals,
        discount_codes=_codes(body.get("discounts")),
        cart_type=text(body.get("type")),
        items_known=isinstance(lines, list),
    )


def _amount(sent: Any, currency: str) -> Money | None:
    """An amount: ``{amount, currency}`` on carts, a bare number on orders. Another currency's is not taken."""
    if isinstance(sent, dict):
        if currency_code(sent.get("currency")) not in {None, currency}:
            return None
        return parse_money(sent.get("amount"), currency)
    return parse_money(sent, currency)


def _item(line: Mapping[str, Any], currency: str) -> Item:
    price, line_price = mapping(line.get("price")), mapping(line.get("linePrice"))
    unit = parse_money(price.get("effectiveAmount"), currency)
    if unit is None:
        unit = parse_money(mapping(line.get("unitPrice")).get("grossValue"), currency)
    final = mapping(mapping(line.get("calculatedPrice")).get("finalPrice"))
    candidates = (
        parse_money(line_price.get("effectiveAmount"), currency),
        parse_money(line_price.get("amount"), currency),
        _amount(line.get("itemPrice"), currency),
        parse_money(final.get("grossValue"), currency),
    )
    total = next((amount for amount in candidates if amount is not None), None)
    return _line(line, unit, parse_money(price.get("originalAmount"), currency), total, line.get("quantity"))


def _line(line: Mapping[str, Any], unit: Money | None, original: Money | None, total: Money | None, units: Any) -> Item:
    product, variant = mapping(line.get("product")), mapping(line.get("variant"))
    images = (text(image.get("url")) for image in objects(product.get("images")))
    return Item(
        quantity=quantity(units),
        id=text(line.get("id")),
        product_id=first_text(product.get("id"), _product_of(line.get("itemYrn"))),
        variant_id=text(variant.get("id")),
        sku=first_text(product.get("sku"), product.get("code")),
        title=_localized(product.get("name")) or _localized(product.get("localizedName")),
        variant_title=_localized(variant.get("name")),
        unit_price=unit,
        compare_at_price=original if original is not None and unit is not None and original > unit else None,
        total=total,
        image_url=next(filter(None, images), None),
    )


def _product_of(yrn: Any) -> str | None:
    """The product inside ``urn:yaas:saasag:caasproduct:product:<tenant>;<product>``."""
    known = text(yrn)
    return text(known.rsplit(";", 1)[-1]) if known is not None and ";" in known else None


def _localized(value: Any) -> str | None:
    """A text, or a map of texts by language: English where it is there, else the first."""
    if isinstance(value, dict):
        return first_text(value.get("en"), *value.values())
    return text(value)


def _codes(sent: Any) -> tuple[str, ...]:
    """Codes of the discounts that hold."""
    codes = (text(entry.get("code")) for entry in objects(sent) if entry.get("valid") is not False)
    return tuple(dict.fromkeys(code for code in codes if code is not None))


def _ordered_cart(body: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """The snapshot of an order: ``totalPrice`` is a bare number, units are ``orderedAmount`` or ``amount``."""
    entries = body.get("entries")
    if not isinstance(entries, list) and body.get("totalPrice") is None:
        return None
    own = currency_code(body.get("currency"))
    currency = own or source.currency
    tax = mapping(mapping(body.get("tax")).get("total"))
    included = tax.get("inclusive")
    reductions = [_amount(entry, currency) for entry in objects(body.get("discounts"))]
    known = [amount for amount in reductions if amount is not None]
    totals = Totals(
        subtotal=_amount(body.get("subTotalPrice"), currency),
        discount=Money(sum(amount.minor for amount in known), currency) if known else None,
        shipping=_amount(mapping(body.get("shipping")).get("total"), currency),
        tax=_amount(tax, currency) if tax else None,
        total=_amount(body.get("totalPrice"), currency),
        tax_included=included if isinstance(included, bool) else None,
    )
    return Cart(
        currency=currency,
        currency_assumed=own is None,
        items=tuple(_entry(entry, currency) for entry in objects(entries)),
        totals=totals,
        discount_codes=_codes(body.get("discounts")),
        items_known=isinstance(entries, list),
    )


def _entry(entry: Mapping[str, Any], currency: str) -> Item:
    price = mapping(entry.get("price"))
    unit = _amount(entry.get("unitPrice"), currency)
    if unit is None:
        unit = parse_money(price.get("effectiveAmount"), currency)
    units = next(
        (entry[name] for name in ("orderedAmount", "amount") if parse_decimal(entry.get(name)) is not None), None
    )
    original = parse_money(price.get("originalAmount"), currency)
    return _line(entry, unit, original, _amount(entry.get("totalPrice"), currency), units)


PROVIDER = Emporix()
