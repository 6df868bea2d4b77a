"""Two merchants, with what they have: sources, stand-ins for their endpoints, a campaign each."""

from typing import Any

from infra.local.shop import Shop
from tests.chaos.providers import SHOPIFY_SECRET
from tests.chaos.shoppers import FIRST_STEP, IDLE, SECOND_STEP, Market
from tests.chaos.vendors import Vendors

_SETTINGS = {
    "idle_after": f"PT{IDLE:.0f}S",
    "payment_pending_after": f"PT{IDLE:.0f}S",
    "quiet_hours": None,
    "consent": "unknown_allowed",
    "holdout_percent": 0,
    "min_step_gap": "PT0S",
}
_FEED = ["checkout.abandoned", "checkout.recovered", "checkout.completed", "checkout.superseded"]


def opened(stack: dict[str, Any], vendors: Vendors) -> list[Market]:
    """One merchant at FlexyPe and Shopify with two BSPs; one with a shop of its own too, a BSP and a hook."""
    return [_first(_Shop(stack, vendors)), _second(_Shop(stack, vendors))]


class _Shop:
    """A merchant being set up."""

    def __init__(self, stack: dict[str, Any], vendors: Vendors) -> None:
        self.shop = Shop(stack, _SETTINGS)
        self.names: dict[str, str] = {}
        self._vendors = vendors

    def feed(self, name: str, types: list[str] | None = None) -> str:
        """An endpoint told of these events (all), behind which this stand-in is."""
        settings = {"retry_schedule": ["PT1S"] * 8, "timeout": "PT6S"}
        url = f"{self._vendors.url}/feed/{name}"
        return self._named(self.shop.endpoint(url, types or [*_FEED, "checkout.updated"], settings=settings), name)

    def bsp(self, kind: str, name: str) -> str:
        """An endpoint that sends messages."""
        settings: dict[str, Any] = {
            "bearer_token": "a-token",
            "base_url": f"{self._vendors.url}/send/{name}",
            "timeout": "PT2S",
        }
        if kind == "gupshup":
            settings |= {"source": "917834811114", "app_name": "SweetShop"}
        made = self.shop.call("POST", "/v1/endpoints", json={"kind": kind, "settings": settings})
        return self._named(made, name)

    def campaign(self, steps: list[dict[str, Any]]) -> None:
        """What is sent after an abandonment."""
        self.shop.call("POST", "/v1/campaigns", json={"name": "Come back", "steps": steps})

    def _named(self, made: dict[str, Any], name: str) -> str:
        endpoint_id: str = made["id"]
        self.names[endpoint_id] = name
        return endpoint_id


def _first(own: _Shop) -> Market:
    sources = {
        "flexype": own.shop.source(),
        "shopify": own.shop.source("shopify", credentials={"secret": SHOPIFY_SECRET}),
    }
    own.feed("one")
    own.campaign(
        [
            _step(own.bsp("gupshup", "one-gupshup"), FIRST_STEP, "id", 1),
            _step(own.bsp("360dialog", "one-360dialog"), SECOND_STEP, "name", 2),
        ]
    )
    return Market(own.shop, sources, own.names)


def _second(own: _Shop) -> Market:
    sources = {"flexype": own.shop.source(), "custom": own.shop.source("custom")}
    own.feed("two", _FEED)
    own.feed("two-bsp", ["checkout.abandoned", "checkout.recovered"])
    hook = own.feed("two-steps", ["checkout.recovered"])
    own.campaign(
        [
            {"after": f"PT{FIRST_STEP:.0f}S", "endpoint_id": hook},
            _step(own.bsp("aisensy", "two-aisensy"), SECOND_STEP, "campaign", 2),
        ]
    )
    return Market(own.shop, sources, own.names)


def _step(endpoint_id: str, after: float, named: str, number: int) -> dict[str, Any]:
    return {"after": f"PT{after:.0f}S", "endpoint_id": endpoint_id, "template": {named: f"step_{number}"}}
