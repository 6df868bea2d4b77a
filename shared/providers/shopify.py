"""Shopify (shopify.dev: webhook topics, 2026-04 and older; Admin GraphQL ``abandonedCheckouts``).

A stream of checkouts; no topic means "abandoned", so our timer decides. Since 2026-04 a checkout is named by ``token``
and an order by ``checkout_token``; ids above 2^53 are kept digit for digit. Any field may be missing
(``include_fields``, no protected-customer-data approval).
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, clock_key
from shared.domain.checkout import CART_PREFIX, Order
from shared.domain.coupon import SHOPIFY_DISCOUNT
from shared.domain.instants import parse_instant, to_rfc3339
from shared.domain.money import Money, currency_code, parse_decimal, parse_money, total_of
from shared.domain.reversal import Refund, Reversal
from shared.providers.authentication import hmac_signature
from shared.providers.mapping import overridden
from shared.providers.payload import (
    CLICK_IDS,
    Leaves,
    first_text,
    mapping,
    objects,
    quantity,
    query_pairs,
    read_object,
    recovery_link,
    sequence,
    text,
)
from shared.providers.provider import (
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
    AccessRefused,
    ApiPage,
    ApiRequest,
    BackfillQuery,
    Limit,
    Listed,
    PullFailed,
    StaticAccess,
    TokenGrant,
    TryLater,
    client_credentials,
    credential,
    read_each,
    root,
)
from shared.providers.versions import Versions, in_header

CHECKOUT_CHANGED = frozenset({"checkouts/create", "checkouts/update"})
CHECKOUT_DELETED = "checkouts/delete"
CARTS = frozenset({"carts/create", "carts/update"})
ORDER_PLACED = frozenset({"orders/create", "orders/paid"})
"""``orders/updated`` is none: it also fires when a year-old order is edited."""
ORDER_CHANGED = frozenset({"orders/updated", "orders/cancelled", "orders/edited"})
REFUNDED = "refunds/create"
_FAILED = frozenset({"failure", "error"})
"""Of a refund's transaction; one that is ``pending`` counts: its success has no event of its own."""


API_VERSION = "2026-04"
_FIRST_PAGE = 10
_LINES = 50
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(\.myshopify\.com)?")
_MONEY = "{ shopMoney { amount currencyCode } presentmentMoney { amount currencyCode } }"
_ADDRESS = "{ firstName lastName company phone address1 address2 city province provinceCode zip country countryCodeV2 }"
_ABANDONED_CHECKOUTS = f"""
query AbandonedCheckouts($first: Int!, $after: String, $lines: Int!, $query: String) {{
  abandonedCheckouts(first: $first, after: $after, query: $query) {{
    nodes {{
      id name abandonedCheckoutUrl createdAt updatedAt completedAt note taxesIncluded discountCodes
      customAttributes {{ key value }}
      customer {{
        id firstName lastName locale
        defaultEmailAddress {{ emailAddress marketingState }}
        defaultPhoneNumber {{ phoneNumber marketingState }}
      }}
      shippingAddress {_ADDRESS}
      billingAddress {_ADDRESS}
      subtotalPriceSet {_MONEY} totalPriceSet {_MONEY} totalDiscountSet {_MONEY} totalTaxSet {_MONEY}
      totalDutiesSet {_MONEY}
      lineItems(first: $lines) {{
        nodes {{
          id title variantTitle sku quantity
          originalUnitPriceSet {_MONEY} originalTotalPriceSet {_MONEY} discountedTotalPriceSet {_MONEY}
          product {{ id handle }} variant {{ id }} image {{ url }}
        }}
        pageInfo {{ hasNextPage }}
      }}
    }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}
"""
"""Abandoned and recovered checkouts alike: without a filter on ``recovery_state`` the list holds both."""


class ShopifyApi:
    """Admin GraphQL ``abandonedCheckouts``. A cursor holds the place and how many checkouts fit into the query cost."""

    limit = Limit(2, timedelta(seconds=1))
    lists = True
    filters: frozenset[str] = frozenset()

    def access(self, source: SourceContext) -> Access:
        """The shop's token, or client credentials of an app of the same organisation. Raises PullFailed."""
        token = source.credentials.api.get("access_token", "").strip()
        if token or "client_id" not in source.credentials.api:
            return StaticAccess({"x-shopify-access-token": token or credential(source, "access_token")})
        url = f"{self._root(source)}/admin/oauth/access_token"
        return TokenGrant(client_credentials(url, source), header="x-shopify-access-token", prefix="")

    def content(self, pull: Pull, source: SourceContext) -> ApiRequest:  # noqa: ARG002 - interface
        """Nothing: Shopify's webhooks carry everything."""
        raise PullFailed("Shopify's webhooks point to nothing")

    def read_content(self, content: Any, pull: Pull, at: datetime, source: SourceContext) -> Normalised:  # noqa: ARG002
        """Nothing."""
        raise PullFailed("Shopify's webhooks point to nothing")

    def page(self, query: BackfillQuery, cursor: str | None, source: SourceContext) -> ApiRequest:
        """Checkouts updated since, by id. Raises PullFailed."""
        after, first = _place(cursor)
        variables = {
            "first": first,
            "after": after,
            "lines": _LINES,
            "query": f"updated_at:>='{to_rfc3339(query.since)}'",
        }
        body = json.dumps({"query": _ABANDONED_CHECKOUTS, "variables": variables}).encode()
        return ApiRequest("POST", f"{self._root(source)}/admin/api/{API_VERSION}/graphql.json", body=body)

    def read_page(
        self,
        content: Any,
        query: BackfillQuery,  # noqa: ARG002 - interface
        cursor: str | None,
        at: datetime,  # noqa: ARG002 - interface
        source: SourceContext,
    ) -> ApiPage:
        """The page's checkouts. A query that costs too much is asked again for half as many."""
        after, first = _place(cursor)
        payload = mapping(content)
        codes = {str(mapping(error.get("extensions")).get("code")) for error in objects(payload.get("errors"))}
        if "MAX_COST_EXCEEDED" in codes and first > 1:
            return ApiPage(Normalised(ignored="asked for too much at once"), _cursor(after, first // 2))
        if "THROTTLED" in codes:
            raise TryLater("the provider throttles", _restored_in(payload))
        if "ACCESS_DENIED" in codes:
            raise AccessRefused("the token may not read abandoned checkouts (read_orders, manage_abandoned_checkouts)")
        if "INTERNAL_SERVER_ERROR" in codes:
            raise TryLater("the provider failed inside the query")
        connection = mapping(mapping(payload.get("data")).get("abandonedCheckouts"))
        nodes = [_without_partial_lines(node) for node in objects(connection.get("nodes"))]
        if not isinstance(connection.get("nodes"), list):
            raise NotUnderstood("the GraphQL answer holds no abandoned checkouts")
        listed = PROVIDER.polled(nodes, source)
        info = mapping(connection.get("pageInfo"))
        end = text(info.get("endCursor"))
        following = _cursor(end, first) if info.get("hasNextPage") is True and end else None
        return ApiPage(listed.normalised, following, listed.unread)

    @staticmethod
    def _root(source: SourceContext) -> str:
        """The shop's own host. Raises PullFailed for anything that is no shop."""
        given = source.credentials.api.get("base_url")
        if given:
            return root(source, given)
        shop = credential(source, "shop").lower().removeprefix("https://").rstrip("/")
        if _SHOP.fullmatch(shop) is None:
            raise PullFailed("credentials.api.shop is not a myshopify.com host")
        return f"https://{shop.removesuffix('.myshopify.com')}.myshopify.com"


def _place(cursor: str | None) -> tuple[str | None, int]:
    """Where to go on, and how many checkouts to ask for."""
    if cursor is None:
        return None, _FIRST_PAGE
    first, _, after = cursor.partition(":")
    return after or None, int(first)


def _cursor(after: str | None, first: int) -> str:
    return f"{first}:{after or ''}"


def _without_partial_lines(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """A checkout with more lines than one answer holds keeps its totals, but no part of its lines as the whole."""
    if mapping(mapping(node.get("lineItems")).get("pageInfo")).get("hasNextPage") is not True:
        return node
    return {name: value for name, value in node.items() if name != "lineItems"}


def _restored_in(payload: Mapping[str, Any]) -> timedelta | None:
    """When the query's cost will be there again: the bucket restores points at a known rate."""
    cost = mapping(mapping(payload.get("extensions")).get("cost"))
    status = mapping(cost.get("throttleStatus"))
    wanted, there, rate = (
        parse_decimal(own)
        for own in (cost.get("requestedQueryCost"), status.get("currentlyAvailable"), status.get("restoreRate"))
    )
    if wanted is None or there is None or rate is None or rate <= 0:
        return None
    return min(max(timedelta(seconds=int((wanted - there) / rate)), timedelta(seconds=1)), timedelta(minutes=1))


class Shopify:
    """The Shopify adapter."""

    name = "shopify"
    api = ShopifyApi()
    coupon_link = SHOPIFY_DISCOUNT
    checkout_hosts = frozenset({"myshopify.com", "checkout.shopify.com"})
    versions = Versions("X-Shopify-API-Version", ("2026-04", "2026-07", "2026-10"), in_header("x-shopify-api-version"))
    description = Description(
        title="Shopify",
        authentication="HMAC-SHA256 of the raw body in X-Shopify-Hmac-Sha256, keyed with the app's client secret",
        credentials=(
            CredentialField(
                "secret", "the app's client secret (API secret key), which signs its webhooks", required=True
            ),
            CredentialField(
                "api",
                "shop (myshopify host) and access_token, or client_id and client_secret of an app installed there "
                "(read_orders, manage_abandoned_checkouts); for backfill only",
            ),
        ),
        setup=(
            "Subscribe the app to checkouts/create, checkouts/update, checkouts/delete, orders/create, "
            "orders/cancelled and refunds/create with this url (API version 2026-10 or older)."
        ),
        declares_abandonment=False,
        events=(
            *(*sorted(CHECKOUT_CHANGED), CHECKOUT_DELETED, *sorted(ORDER_PLACED)),
            *("orders/cancelled", "orders/updated", REFUNDED),
        ),
        reading=Reading(
            pages=(
                "shopify.dev: webhook topics, delivery structure, verification",
                "shopify.dev/changelog: 2026-04, removed checkout id (copy of 6 March 2026, read on 27 November)",
                "shopify.dev/changelog: webhooks up to 2026-10, no other break (excerpts, read on 27 November)",
                "shopify.dev: Admin GraphQL abandonedCheckouts, 2026-04",
            ),
            read="facts of 22 November 2026 or before; the day was not noted, but for the page with a date",
            order_fields=("id, admin_graphql_api_id of orders/*",),
            contact_fields=(
                "phone, email, contact_email, sms_marketing_phone",
                "customer, shipping_address, billing_address",
            ),
        ),
    )

    def authenticate(self, request: WebhookRequest, source: SourceContext) -> None:
        """Prove the raw body. Raises AuthenticationFailed."""
        hmac_signature(request.headers.get("x-shopify-hmac-sha256"), source.credentials.secrets, request.body)

    def read(self, request: WebhookRequest, source: SourceContext) -> dict[str, Any]:  # noqa: ARG002 - interface
        """The JSON object posted."""
        return read_object(request.body)

    def normalise(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """A webhook of a topic, or a page of abandoned checkouts as several changes. Raises NotUnderstood."""
        page = _page(payload)
        if page is not None:
            return self.polled(page, source).whole()
        topic = _topic(payload, request)
        if topic in CHECKOUT_CHANGED:
            normalised = self._checkout(payload, request, source)
        elif topic in ORDER_PLACED:
            normalised = self._order(payload, request, source)
        elif topic == CHECKOUT_DELETED:
            normalised = self._deleted(payload, request)
        elif topic in CARTS:
            return _with_contact(overridden(self._cart_event(payload, request, source), payload, source))
        elif topic == REFUNDED:
            return _refund_told(payload)
        elif topic in ORDER_CHANGED:
            return _order_changed(payload, topic)
        elif topic.startswith("checkouts/"):
            raise NotUnderstood("unknown checkouts topic")
        else:
            return Normalised(ignored="the topic is not about a checkout")
        return overridden(normalised, payload, source)

    def _checkout(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        external_id = first_text(payload.get("token"), payload.get("id"))
        if external_id is None:
            raise NotUnderstood("the checkout has neither token nor id")
        completed_at = parse_instant(payload.get("completed_at"))
        cart = _cart(payload, source)
        leaves = self._leaves(payload, source)
        leaves.text("name", payload.get("name"))
        leaves.moment("started_at", parse_instant(payload.get("created_at")))
        leaves.checkout_url(payload.get("abandoned_checkout_url"))
        change = _activity(external_id, payload, request, leaves, cart)
        # One whose time cannot be read is completed all the same.
        if text(payload.get("completed_at")) is not None:
            order = Order(_id(payload.get("order_id")), completed_at, cart.total() if cart else None)
            change = replace(change, signal=Signal.PURCHASED, order=order)
        return Normalised((change,), missing=_missing(change), assumed=_assumed(payload, cart))

    def _cart_event(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """A cart, named by its token, before any checkout; an emptied one is over. Raises NotUnderstood."""
        token = first_text(payload.get("token"), payload.get("id"))
        if token is None:
            raise NotUnderstood("the cart has neither token nor id")
        currency = next(filter(None, map(_currency_of_line, objects(payload.get("line_items")))), None)
        cart = _cart(payload if currency is None else {"currency": currency} | payload, source)
        leaves = self._leaves(payload, source)
        leaves.text("cart_id", token)
        leaves.moment("started_at", parse_instant(payload.get("created_at")))
        leaves.checkout_url(recovery_link(source.settings.recovery_url_template, token))
        change = _activity(f"{CART_PREFIX}{token}", payload, request, leaves, cart)
        if cart is not None and cart.items_known and not cart.items:
            change = replace(change, signal=Signal.ENDED)
        return Normalised((change,), missing=_missing(change), assumed=_assumed(payload, cart))

    def _order(self, payload: dict[str, Any], request: WebhookRequest, source: SourceContext) -> Normalised:
        """An order placed, under the checkout it names, else to be joined by cart or contact."""
        order_id = first_text(_id(payload.get("id")), _id(payload.get("admin_graphql_api_id")))
        if order_id is None:
            raise NotUnderstood("the order has no id")
        checkout_token, cart_token = text(payload.get("checkout_token")), text(payload.get("cart_token"))
        placed_at = first_instant(payload.get("created_at"), payload.get("processed_at"))
        cart = _cart(payload, source)
        change = CheckoutChange(
            external_id=checkout_token or f"order:{order_id}",
            signal=Signal.PURCHASED,
            order_key=NO_ORDER,
            body_digest=hashlib.sha256(request.body).digest()[:16],
            event_id=text(request.headers.get("x-shopify-webhook-id")),
            occurred_at=placed_at or _triggered_at(request),
            order=Order(order_id, placed_at, cart.total() if cart else None),
            leaves=self._leaves(payload, source).found,
            cart=cart,
            test=_is_test(payload, request),
            join_tokens=(cart_token,) if cart_token and not checkout_token else (),
            join_contact=not checkout_token,
        )
        return Normalised((change,), assumed=_assumed(payload, cart))

    @staticmethod
    def _deleted(payload: dict[str, Any], request: WebhookRequest) -> Normalised:
        """Deletion of a checkout. The vendor's sample names no token, and nothing else that an event could find."""
        external_id = text(payload.get("token"))
        if external_id is None:
            return Normalised(ignored="the deletion names no checkout token")
        digest = hashlib.sha256(request.body).digest()[:16]
        at = _triggered_at(request) or parse_instant(payload.get("updated_at"))
        change = CheckoutChange(
            external_id=external_id,
            signal=Signal.ENDED,
            order_key=clock_key(at or request.arrived_at, digest),
            body_digest=digest,
            event_id=text(request.headers.get("x-shopify-webhook-id")),
            occurred_at=at,
        )
        return Normalised((change,))

    def _leaves(self, payload: Mapping[str, Any], source: SourceContext) -> Leaves:
        """What a checkout and an order say alike."""
        customer = mapping(payload.get("customer"))
        shipping, billing = mapping(payload.get("shipping_address")), mapping(payload.get("billing_address"))
        default = mapping(customer.get("default_address"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("cart_id", payload.get("cart_token"))
        leaves.text("customer.id", _id(customer.get("id")))
        leaves.email(payload.get("email"), payload.get("contact_email"), customer.get("email"))
        _first_phone(
            leaves,
            (payload.get("phone"), _country(shipping) or _country(billing)),
            (payload.get("sms_marketing_phone"), _country(shipping) or _country(billing)),
            (shipping.get("phone"), _country(shipping)),
            (billing.get("phone"), _country(billing)),
            (customer.get("phone"), _country(default)),
            (default.get("phone"), _country(default)),
        )
        _names(leaves, customer, shipping, billing, default)
        leaves.text("customer.locale", payload.get("customer_locale"))
        leaves.text("customer.legal_entity_id", _id(mapping(payload.get("company")).get("id")))
        for channel, asked in (("email", "buyer_accepts_marketing"), ("sms", "buyer_accepts_sms_marketing")):
            standing = mapping(customer.get(f"{channel}_marketing_consent")).get("state")
            given = payload.get(asked)
            leaves.consent(channel, given if isinstance(given, bool) else _subscribed(standing))
        leaves.address("shipping_address", _address(shipping))
        leaves.address("billing_address", _address(billing))
        leaves.text("note", payload.get("note"))
        attributes = _pairs(payload.get("note_attributes"))
        leaves.attributes(attributes)
        leaves.attribution([*attributes, *query_pairs(payload.get("landing_site"))])
        keep = source.settings.keep_click_ids
        leaves.text("attribution.landing_page", _landing(payload.get("landing_site"), keep=keep))
        leaves.text("attribution.referrer", _landing(payload.get("referring_site"), keep=keep))
        return leaves

    def polled(self, page: list[Mapping[str, Any]], source: SourceContext) -> Listed:
        """The abandoned checkouts of one answer of the API. Raises NotUnderstood where it holds something else."""
        changes, unread = read_each(page, lambda node: self._node(node, source))
        if not changes:
            return Listed(Normalised(ignored="the page holds no checkout"), unread)
        assumed = {field for change in changes for field in _assumed({}, change.cart)}
        return Listed(Normalised(tuple(changes), assumed=tuple(sorted(assumed))), unread)

    def _node(self, node: Mapping[str, Any], source: SourceContext) -> CheckoutChange:
        """One ``AbandonedCheckout``. It has no token: orders join on the cart token inside its recovery URL."""
        external_id = _node_id(node)
        if external_id is None:
            raise NotUnderstood("a checkout of the page has no id")
        digest = hashlib.sha256(json.dumps(node, sort_keys=True, default=str).encode()).digest()[:16]
        updated_at = first_instant(node.get("updatedAt"), node.get("createdAt"))
        completed_at = parse_instant(node.get("completedAt"))
        cart = _polled_cart(node, source)
        signal = Signal.ACTIVITY if source.settings.on_arrival == "timer" else Signal.ABANDONED
        if text(node.get("completedAt")) is not None:
            signal = Signal.PURCHASED
        total = cart.total() if cart else None
        return CheckoutChange(
            external_id=external_id,
            signal=signal,
            order_key=NO_ORDER if updated_at is None else clock_key(updated_at, digest),
            body_digest=digest,
            occurred_at=updated_at,
            abandoned_at=updated_at if signal is Signal.ABANDONED else None,
            order=Order(None, completed_at, total) if signal is Signal.PURCHASED else None,
            leaves=self._node_leaves(node, source).found,
            cart=cart,
            join_tokens=(cart_token,) if (cart_token := _cart_token(node.get("abandonedCheckoutUrl"))) else (),
            part=node,
        )

    def _node_leaves(self, node: Mapping[str, Any], source: SourceContext) -> Leaves:
        customer = mapping(node.get("customer"))
        shipping, billing = mapping(node.get("shippingAddress")), mapping(node.get("billingAddress"))
        email, phone = mapping(customer.get("defaultEmailAddress")), mapping(customer.get("defaultPhoneNumber"))
        leaves = Leaves(source, self.checkout_hosts)
        leaves.text("name", node.get("name"))
        leaves.text("cart_id", _cart_token(node.get("abandonedCheckoutUrl")))
        leaves.text("customer.id", _id(customer.get("id")))
        leaves.email(email.get("emailAddress"), customer.get("email"))
        _first_phone(
            leaves,
            (phone.get("phoneNumber"), _country(shipping) or _country(billing)),
            (customer.get("phone"), _country(shipping) or _country(billing)),
            (shipping.get("phone"), _country(shipping)),
            (billing.get("phone"), _country(billing)),
        )
        _names(leaves, customer, shipping, billing)
        leaves.text("customer.locale", customer.get("locale"))
        leaves.consent("email", _subscribed(email.get("marketingState")))
        leaves.consent("sms", _subscribed(phone.get("marketingState")))
        leaves.address("shipping_address", _address(shipping))
        leaves.address("billing_address", _address(billing))
        leaves.checkout_url(node.get("abandonedCheckoutUrl"))
        leaves.text("note", node.get("note"))
        leaves.attributes(_pairs(node.get("customAttributes")))
        leaves.moment("started_at", parse_instant(node.get("createdAt")))
        return leaves


def _refund_told(payload: Mapping[str, Any]) -> Normalised:
    """One refund of an order. Raises NotUnderstood."""
    order_id = _id(payload.get("order_id"))
    if order_id is None or _id(payload.get("id")) is None:
        raise NotUnderstood("the refund names neither itself nor its order")
    return Normalised(
        ignored="a refund changes no checkout", reversals=(Reversal(order_id, refunds=tuple(_refunds([payload]))),)
    )


def _order_changed(payload: Mapping[str, Any], topic: str) -> Normalised:
    """An order as it is now: what is taken back of it, if anything. It is no new purchase."""
    order_id = first_text(_id(payload.get("id")), _id(payload.get("admin_graphql_api_id")))
    cancelled_at = parse_instant(payload.get("cancelled_at"))
    refunds = tuple(_refunds(objects(payload.get("refunds"))))
    # A subscription may leave the time of the cancellation out.
    cancelled = cancelled_at is not None or (topic == "orders/cancelled" and (order_id or "").isdigit())
    if order_id is None or not (cancelled or refunds):
        return Normalised(ignored="an order of which nothing is taken back")
    return Normalised(
        ignored="a later state of an order",
        reversals=(Reversal(order_id, refunds=refunds, cancelled=cancelled, at=cancelled_at),),
    )


def _refunds(sent: Iterable[Mapping[str, Any]]) -> Iterator[Refund]:
    """Refunds by id: the money given back, in the currency it was paid in and in the shop's.

    A refund without a transaction restocks, or corrects what was not paid yet: no money went back.
    """
    for refund in sent:
        name = _id(refund.get("id"))
        if name is None:
            continue
        tried = [own for own in objects(refund.get("transactions")) if text(own.get("kind")) == "refund"]
        back = [own for own in tried if text(own.get("status")) not in _FAILED]
        sums: dict[str, Money] = {}
        for own in back:
            for money in _told(own):
                sums[money.currency] = sums.get(money.currency, Money(0, money.currency)) + money
        if tried:
            yield Refund(name, tuple(sums.values()), failed=not back)


def _told(transaction: Mapping[str, Any]) -> Iterable[Money]:
    """A transaction's amount by currency: plain, and where money bags are sent, both of their sides."""
    currency = currency_code(transaction.get("currency"))
    plain = None if currency is None else parse_money(transaction.get("amount"), currency)
    bags = mapping(transaction.get("amount_set"))
    sides = (_bag_money(bags.get(side)) for side in ("presentment_money", "shop_money"))
    told = {own.currency: own for own in (*sides, plain) if own is not None}
    return told.values()


def _page(payload: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The nodes of a GraphQL answer, or None where the payload is a webhook. Raises NotUnderstood."""
    data = payload.get("data")
    if isinstance(data, dict):
        connection = data.get("abandonedCheckouts")
        if isinstance(connection, dict) and isinstance(connection.get("nodes"), list):
            return objects(connection["nodes"])
        if isinstance(connection, dict) and isinstance(connection.get("edges"), list):
            return [mapping(edge.get("node")) for edge in objects(connection["edges"])]
        single = mapping(data.get("node")) or mapping(mapping(data.get("abandonment")).get("abandonedCheckoutPayload"))
        if single:
            return [single]
    if "data" in payload or isinstance(payload.get("errors"), list):
        raise NotUnderstood("the GraphQL answer holds no abandoned checkouts")
    return [payload] if "abandonedCheckoutUrl" in payload else None


def _node_id(node: Mapping[str, Any]) -> str | None:
    return first_text(_id(node.get("id")), _id((text(node.get("name")) or "").lstrip("#")))


def _topic(payload: Mapping[str, Any], request: WebhookRequest) -> str:
    """The topic the vendor names, else what only one kind of body has. Raises NotUnderstood."""
    named = first_text(request.headers.get("x-shopify-topic"), request.event)
    if named is not None:
        topic = named.lower()
        for separator in "_-.":
            if "/" not in topic:
                topic = topic.replace(separator, "/", 1)
        return topic
    if "order_number" in payload or "financial_status" in payload:
        return "orders/create"
    if "abandoned_checkout_url" in payload or "cart_token" in payload:
        return "checkouts/update"
    if "line_items" in payload and text(payload.get("token")) and payload.get("token") == payload.get("id"):
        return "carts/update"
    raise NotUnderstood("neither a topic nor a known shape")


def _activity(
    external_id: str, payload: Mapping[str, Any], request: WebhookRequest, leaves: Leaves, cart: Cart | None
) -> CheckoutChange:
    """What a checkout and a cart say alike: somebody was there at ``updated_at``."""
    digest = hashlib.sha256(request.body).digest()[:16]
    updated_at = parse_instant(payload.get("updated_at"))
    return CheckoutChange(
        external_id=external_id,
        signal=Signal.ACTIVITY,
        order_key=_order_key(updated_at, request, digest),
        body_digest=digest,
        event_id=text(request.headers.get("x-shopify-webhook-id")),
        occurred_at=updated_at or _triggered_at(request),
        leaves=leaves.found,
        cart=cart,
        test=_is_test(payload, request),
    )


def _with_contact(cart: Normalised) -> Normalised:
    """The cart, where somebody is known to write to; Shopify itself names nobody, but a mapping may find one."""
    if any(own.leaves.keys() & {"customer.phone", "customer.email", "customer.id"} for own in cart.changes):
        return cart
    return Normalised(ignored="a cart event carries no contact; its checkout has events of its own")


def _currency_of_line(line: Mapping[str, Any]) -> str | None:
    """The currency of a cart's line as the shopper saw it: carts name no other."""
    bags = (mapping(mapping(line.get(f"{name}_set")).get("presentment_money")) for name in ("line_price", "price"))
    return next((code for own in bags if (code := currency_code(own.get("currency_code")))), None)


def _triggered_at(request: WebhookRequest) -> datetime | None:
    return parse_instant(request.headers.get("x-shopify-triggered-at"))


def _order_key(updated_at: datetime | None, request: WebhookRequest, digest: bytes) -> OrderKey:
    """By the signed ``updated_at`` (whole seconds), inside one second by the delivery's trigger time.

    A body without a clock (``include_fields``) takes its place by arrival.
    """
    triggered_at = _triggered_at(request)
    if updated_at is None:
        return clock_key(triggered_at or request.arrived_at, digest)
    key = clock_key(updated_at, digest)
    if triggered_at is None:
        return key
    clock, tie = key.value.split(".", 1)
    return OrderKey(f"{clock}.{clock_key(triggered_at, digest).value.split('.', 1)[0]}.{tie}")


def _is_test(payload: Mapping[str, Any], request: WebhookRequest) -> bool:
    """Test orders, and the admin's "send test notification" with its invented customer."""
    return payload.get("test") is True or request.headers.get("x-shopify-test", "").strip().lower() == "true"


def _id(value: Any) -> str | None:
    """A number digit for digit; of a global id (``gid://shopify/Customer/7890``) its last part, as webhooks have it."""
    known = text(value)
    if known is None or not known.startswith("gid://"):
        return known
    return text(known.split("?", 1)[0].rsplit("/", 1)[-1])


def first_instant(*values: Any) -> datetime | None:
    """The first value that is a time."""
    return next((at for value in values if (at := parse_instant(value)) is not None), None)


def _cart_token(url: Any) -> str | None:
    """The cart token in a recovery URL: ``/{shop}/checkouts/ac/{cart token}/recover``."""
    try:
        parts = urlsplit(text(url) or "").path.split("/")
    except ValueError:
        return None
    if "checkouts" not in parts:
        return None
    after = parts[parts.index("checkouts") + 1 :]
    return text(after[1]) if len(after) > 1 and after[0] in {"ac", "cn"} else None


def _country(address: Mapping[str, Any]) -> str | None:
    return first_text(address.get("country_code"), address.get("countryCodeV2"), address.get("countryCode"))


def _first_phone(leaves: Leaves, *candidates: tuple[Any, str | None]) -> None:
    """The first dialable phone, each read with its own address's country. Vendor samples hold undialable texts."""
    for number, country in candidates:
        if "customer.phone" not in leaves.found:
            leaves.phone(number, country=country)


def _names(leaves: Leaves, customer: Mapping[str, Any], *addresses: Mapping[str, Any]) -> None:
    """The customer's name from the first of them that has one: two people's names are never mixed."""
    for holder in (customer, *addresses):
        first, last = _name(holder)
        if first or last:
            leaves.text("customer.first_name", first)
            leaves.text("customer.last_name", last)
            return


def _name(holder: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """First and last name; of a lone full name its first word and the rest."""
    first = first_text(holder.get("first_name"), holder.get("firstName"))
    last = first_text(holder.get("last_name"), holder.get("lastName"))
    if first or last:
        return first, last
    whole, _, rest = (first_text(holder.get("name"), holder.get("displayName")) or "").partition(" ")
    return text(whole), text(rest)


def _address(sent: Mapping[str, Any]) -> dict[str, Any]:
    """An address of REST or GraphQL, by the contract's names."""
    first, last = _name(sent)
    return {
        "first_name": first,
        "last_name": last,
        "company": sent.get("company"),
        "phone": sent.get("phone"),
        "address1": sent.get("address1"),
        "address2": sent.get("address2"),
        "city": sent.get("city"),
        "province": sent.get("province"),
        "province_code": first_text(sent.get("province_code"), sent.get("provinceCode")),
        "country": sent.get("country"),
        "country_code": _country(sent),
        "postal_code": sent.get("zip"),
    }


def _pairs(sent: Any) -> list[tuple[Any, Any]]:
    """Attributes as name-value pairs: a list of objects (REST ``name``, GraphQL ``key``) or one object (older REST)."""
    if isinstance(sent, dict):
        return list(sent.items())
    return [(first_text(pair.get("name"), pair.get("key")), pair.get("value")) for pair in objects(sent)]


def _landing(url: Any, *, keep: bool) -> str | None:
    """A landing page or referrer, without ad click ids unless the merchant keeps them."""
    known = text(url)
    if known is None or keep or not any(name in CLICK_IDS for name, _ in query_pairs(known)):
        return known
    parts = urlsplit(known)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in CLICK_IDS]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def _subscribed(state: Any) -> bool | None:
    """Consent behind a GraphQL marketing state. Pending and not-asked say nothing."""
    return {"SUBSCRIBED": True, "UNSUBSCRIBED": False, "NOT_SUBSCRIBED": False}.get(str(text(state)).upper())


@dataclass(frozen=True, slots=True)
class _Prices:
    """Reads amounts in one currency: ``<name>_set`` where the payload has money bags, else the plain ``<name>``."""

    currency: str

    def read(self, holder: Mapping[str, Any], name: str) -> Money | None:
        bag = mapping(mapping(holder.get(f"{name}_set")).get("presentment_money"))
        if currency_code(bag.get("currency_code")) == self.currency:
            return parse_money(bag.get("amount"), self.currency)
        return parse_money(holder.get(name), self.currency)

    def shop(self, holder: Mapping[str, Any], name: str) -> Money | None:
        return _bag_money(mapping(holder.get(f"{name}_set")).get("shop_money"))


def _bag_money(bag: Any) -> Money | None:
    """One side of a money bag, REST or GraphQL."""
    own = mapping(bag)
    currency = currency_code(own.get("currency_code")) or currency_code(own.get("currencyCode"))
    return None if currency is None else parse_money(own.get("amount"), currency)


def _currency(payload: Mapping[str, Any]) -> str | None:
    """The currency of a webhook's amounts: of its money bags, else ``currency`` (one page shows it as an object)."""
    bags = (mapping(payload.get(f"{name}_set")) for name in ("total_price", "subtotal_price", "total_line_items_price"))
    presented = (currency_code(mapping(bag.get("presentment_money")).get("currency_code")) for bag in bags)
    named = payload.get("currency")
    plain = currency_code(mapping(named).get("currency")) if isinstance(named, dict) else currency_code(named)
    return next(filter(None, presented), None) or plain or currency_code(payload.get("presentment_currency"))


def _cart(payload: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """The snapshot of a checkout or order webhook; None where neither lines nor total were sent."""
    lines = payload.get("line_items")
    if not isinstance(lines, list) and payload.get("total_price") is None:
        return None
    own = _currency(payload)
    prices = _Prices(own or source.currency)
    return Cart(
        currency=prices.currency,
        currency_assumed=own is None,
        items=tuple(_item(line, prices) for line in objects(lines)),
        totals=_totals(payload, prices.read),
        shop_totals=_known(_totals(payload, prices.shop)),
        tax_lines=tuple(
            TaxLine(text(line.get("title")), _rate(line.get("rate")), prices.read(line, "price"))
            for line in objects(payload.get("tax_lines"))
        ),
        discount_codes=_codes(payload.get("discount_codes")),
        items_known=isinstance(lines, list),
    )


def _totals(payload: Mapping[str, Any], read: Callable[[Mapping[str, Any], str], Money | None]) -> Totals:
    shipping_lines = objects(payload.get("shipping_lines"))
    shipping = read(payload, "total_shipping_price") or total_of(read(line, "price") for line in shipping_lines)
    included = payload.get("taxes_included")
    return Totals(
        subtotal=read(payload, "subtotal_price"),
        discount=read(payload, "total_discounts"),
        shipping=shipping,
        tax=read(payload, "total_tax"),
        duties=read(payload, "total_duties"),
        total=read(payload, "total_price"),
        tax_included=included if isinstance(included, bool) else None,
    )


def _known(totals: Totals) -> Totals | None:
    """The shop's totals, or None where the provider gave none."""
    amounts = (totals.subtotal, totals.discount, totals.shipping, totals.tax, totals.duties, totals.total)
    return totals if any(amount is not None for amount in amounts) else None


def _item(line: Mapping[str, Any], prices: _Prices) -> Item:
    return Item(
        quantity=quantity(line.get("quantity")),
        id=first_text(_id(line.get("id")), line.get("key")),
        product_id=_id(line.get("product_id")),
        variant_id=_id(line.get("variant_id")),
        sku=text(line.get("sku")),
        title=first_text(line.get("presentment_title"), line.get("title")),
        variant_title=first_text(line.get("presentment_variant_title"), line.get("variant_title")),
        unit_price=prices.read(line, "price") or prices.read(line, "variant_price"),
        compare_at_price=prices.read(line, "compare_at_price"),
        total=prices.read(line, "line_price"),
        image_url=_image(line.get("image_url")),
        attributes=_texts(line.get("properties")),
    )


def _rate(value: Any) -> Any:
    """A tax rate as a fraction; what cannot be one is unknown."""
    rate = parse_decimal(value)
    return rate if rate is not None and 0 <= rate <= 10 and rate.as_tuple().exponent >= -9 else None  # type: ignore[operator]  # finite: the exponent is an int


def _image(value: Any) -> str | None:
    url = text(value)
    return f"https:{url}" if url is not None and url.startswith("//") else url


def _texts(sent: Any) -> dict[str, str]:
    """Line item properties as texts."""
    return {str(name): known for name, value in _pairs(sent) if name and (known := text(value)) is not None}


def _codes(sent: Any) -> tuple[str, ...]:
    """Discount codes: objects in webhooks, plain texts in GraphQL."""
    codes = (text(entry.get("code") if isinstance(entry, dict) else entry) for entry in sequence(sent))
    return tuple(dict.fromkeys(code for code in codes if code is not None))


def _polled_cart(node: Mapping[str, Any], source: SourceContext) -> Cart | None:
    """The snapshot of a GraphQL checkout: what the shopper saw, and the shop's own currency beside it."""
    connection = node.get("lineItems")
    lines = mapping(connection).get("nodes")
    if not isinstance(lines, list):
        edges = mapping(connection).get("edges")
        lines = [mapping(edge.get("node")) for edge in objects(edges)] if isinstance(edges, list) else None
    if lines is None and node.get("totalPriceSet") is None:
        return None
    totals = _polled_totals(node, "presentmentMoney")
    own = next((money.currency for money in (totals.total, totals.subtotal) if money is not None), None)
    return Cart(
        currency=own or source.currency,
        currency_assumed=own is None,
        items=tuple(_polled_item(line) for line in objects(lines)),
        totals=totals,
        shop_totals=_known(_polled_totals(node, "shopMoney")),
        tax_lines=tuple(
            TaxLine(text(line.get("title")), _rate(line.get("rate")), _presented(line.get("priceSet")))
            for line in objects(node.get("taxLines"))
        ),
        discount_codes=_codes(node.get("discountCodes")),
        items_known=lines is not None,
    )


def _polled_totals(node: Mapping[str, Any], side: str) -> Totals:
    included = node.get("taxesIncluded")

    def amount(name: str) -> Money | None:
        return _bag_money(mapping(node.get(name)).get(side))

    return Totals(
        subtotal=amount("subtotalPriceSet"),
        discount=amount("totalDiscountSet"),
        tax=amount("totalTaxSet"),
        duties=amount("totalDutiesSet"),
        total=amount("totalPriceSet"),
        tax_included=included if isinstance(included, bool) else None,
    )


def _presented(bag: Any) -> Money | None:
    """A money bag's amount as the shopper saw it, the shop's own where it holds no other."""
    own = mapping(bag)
    return _bag_money(own.get("presentmentMoney")) or _bag_money(own.get("shopMoney"))


def _polled_item(line: Mapping[str, Any]) -> Item:
    product, variant = mapping(line.get("product")), mapping(line.get("variant"))
    image = mapping(line.get("image"))
    return Item(
        quantity=quantity(line.get("quantity")),
        id=_id(line.get("id")),
        product_id=_id(product.get("id")),
        variant_id=_id(variant.get("id")),
        sku=first_text(line.get("sku"), variant.get("sku")),
        title=first_text(line.get("title"), product.get("title")),
        variant_title=first_text(line.get("variantTitle"), variant.get("title")),
        handle=text(product.get("handle")),
        unit_price=_presented(line.get("originalUnitPriceSet")),
        total=_presented(line.get("discountedTotalPriceSet")) or _presented(line.get("originalTotalPriceSet")),
        image_url=_image(first_text(image.get("url"), image.get("originalSrc"), image.get("src"))),
        product_url=text(product.get("onlineStoreUrl")),
        attributes=_texts(line.get("customAttributes")),
    )


def _assumed(payload: Mapping[str, Any], cart: Cart | None) -> tuple[str, ...]:
    """What was assumed: the currency, where none was named; the currency of plain amounts, where two were."""
    if cart is None:
        return ()
    if cart.currency_assumed:
        return ("currency",)
    presented = currency_code(payload.get("presentment_currency"))
    return ("totals",) if presented not in {None, cart.currency} else ()


def _missing(change: CheckoutChange) -> tuple[str, ...]:
    """What a message would need and the payload lacks: null for want of protected-data approval, or not typed yet."""
    return tuple(leaf for leaf in ("customer.phone", "customer.email", "checkout_url") if leaf not in change.leaves)


PROVIDER = Shopify()
