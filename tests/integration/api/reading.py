"""Checkouts of several providers that other people's clients read, and the function that answers those clients."""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from functions.merchant_api import services
from functions.reading import composition
from shared.domain.cart import Cart, Item, TaxLine, Totals
from shared.domain.checkout import Checkout, Status
from shared.domain.ids import MerchantId, SourceId, checkout_digest
from shared.domain.money import Money
from tests.integration.api.conftest import Answer, Api

PROVIDERS = ("flexype", "shopify", "wix", "razorpay", "stripe", "custom")

_OF_WIX = "/ecom/v1/abandoned-checkout"
WIX = {
    "get": ("GET", f"{_OF_WIX}/{{id}}"),
    "delete": ("DELETE", f"{_OF_WIX}/{{id}}"),
    "query": ("POST", f"{_OF_WIX}/query"),
    "search": ("POST", f"{_OF_WIX}/search"),
    "activities": ("POST", f"{_OF_WIX}/{{id}}/activities"),
    "add-activity": ("POST", f"{_OF_WIX}s/{{id}}/add-activity"),
}


@dataclass(frozen=True)
class Reader:
    """Somebody else's client, with the merchant's token."""

    token: str

    def shopify(
        self, query: str, variables: Mapping[str, Any] | None = None, *, version: str = "2026-10", **more: Any
    ) -> Answer:
        """One GraphQL query."""
        body = json.dumps({"query": query, "variables": variables} | more)
        return self.posted(body, version)

    def posted(self, body: str, version: str = "2026-10") -> Answer:
        """Any body at Shopify's address."""
        path = f"/admin/api/{version}/graphql.json"
        return _asked(
            "POST",
            "/admin/api/{version}/graphql.json",
            path,
            {"version": version},
            {"X-Shopify-Access-Token": self.token},
            body,
        )

    def wix(self, operation: str, body: Any = None, *, named: str = "", raw: str | None = None) -> Answer:
        """One of Wix' operations."""
        method, route = WIX[operation]
        text = raw if raw is not None or body is None else json.dumps(body)
        path = route.replace("{id}", named)
        return _asked(
            method, route, path, {"id": named} if "{id}" in route else {}, {"Authorization": self.token}, text
        )


def _asked(
    method: str, route: str, path: str, parameters: Mapping[str, str], headers: Mapping[str, str], body: str | None
) -> Answer:
    event = {
        "version": "2.0",
        "routeKey": f"{method} {route}",
        "rawPath": path,
        "pathParameters": dict(parameters),
        "headers": {"Content-Type": "application/json", **headers},
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "request-1"},
        "isBase64Encoded": False,
    } | ({} if body is None else {"body": body})
    answer = importlib.import_module("functions.reading.handler").handler(event, None)
    return Answer(answer["statusCode"], answer["headers"], answer["body"])


def reader(merchant: Api) -> Reader:
    """The merchant's own token in another client."""
    composition.services.cache_clear()
    assert merchant.credential is not None
    return Reader(merchant.credential)


def stored(merchant: Api, checkouts: Sequence[Mapping[str, Any]], left: datetime | None = None) -> list[Checkout]:
    """Abandoned checkouts of all sorts of providers, each begun an hour before it was left."""
    own = services.services()
    found = own.merchants.get(MerchantId(merchant("GET", "/v1/merchant").json["id"]))
    assert found is not None
    made = []
    for number, more in enumerate(checkouts):
        at = more.get("last_activity_at") or left or own.now() - timedelta(hours=3)
        name = str(more.get("external_id", number))
        given: dict[str, Any] = {
            "merchant_id": found.value.id,
            "source_id": SourceId("src_1"),
            "provider": PROVIDERS[number % len(PROVIDERS)],
            "external_id": name,
            "digest": checkout_digest(found.value.id, SourceId("src_1"), name),
            "status": Status.ABANDONED,
            "version": 1,
            "order_key": "1",
            "ordered_at": at,
            "created_at": at - timedelta(hours=1),
            "updated_at": at,
            "last_activity_at": at,
            "idle_ms": 1_800_000,
            "first_abandoned_at": at,
            "abandoned_at": at,
            "leaves": {
                "customer.phone": "+917777788888",
                "customer.first_name": "Asha",
                "shipping_address.city": "Vadodara",
                "shipping_address.country": ("India", "IN"),
                "checkout_url": ("https://tea.example/cart/1", "https://tea.example/cart/1"),
                "attributes": {"gift": "yes"},
            },
            "cart": a_cart(),
        }
        checkout = Checkout(**(given | dict(more)))
        own.checkouts.replace(None, checkout, None, found.value.settings)
        made.append(checkout)
    return made


def a_cart(lines: int = 2) -> Cart:
    """Two lines in rupees, of which a code takes something off."""
    items = tuple(
        Item(Decimal(2), product_id=f"p{number}", variant_id=f"v{number}", title=f"Tea {number}", unit_price=_inr(100))
        for number in range(lines)
    )
    totals = Totals(_inr(200 * lines), _inr(50), None, _inr(18), None, _inr(200 * lines - 50), tax_included=True)
    return Cart(
        "INR",
        items=items,
        totals=totals,
        tax_lines=(TaxLine("GST", Decimal("0.18"), _inr(18)),),
        discount_codes=("BACK10",),
    )


def _inr(rupees: int) -> Money:
    return Money(rupees * 100, "INR")
