"""A member's cart before any checkout, and the checkout that it becomes: one order and one recovery."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.checkout import Status
from shared.domain.instants import to_rfc3339
from shared.domain.metrics import cohort_of
from shared.store.facts import FactStore
from shared.workflows.insight.metrics import Metrics, altogether
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import Shop
from tests.integration.till import Till

CART = "7c1f0f9a-0000-4f3f-9a37-3c2b1d6e0a99"
"""Wix' abandoned checkout of a member's cart: it has a cart and no checkout."""
CHECKOUT = "6d1f0f9a-5a9a-4f3f-9a37-3c2b1d6e0a01"


def changed(claims: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """A claim set whose event is another's."""
    envelope = json.loads(claims["data"])
    event = json.loads(envelope["data"])
    change(event)
    return claims | {"data": json.dumps(envelope | {"data": json.dumps(event)})}


def as_cart(event: dict[str, Any]) -> None:
    """The same event of the member's cart, an hour before."""
    entity = event["createdEvent"]["entity"] if "createdEvent" in event else event["actionEvent"]["body"]
    entity = entity.get("abandonedCheckout", entity)
    entity |= {"id": CART, "createdDate": "2026-11-20T08:12:41.101Z"}
    del entity["checkoutId"]
    event |= {"id": f"of-the-cart-{event['slug']}", "entityId": CART}


def sums(shop: Shop) -> Any:
    day = cohort_of(shop.now, shop.merchant.timezone)
    metrics = Metrics(FactStore(shop.table), lambda: shop.now)
    return altogether(metrics.cohorts(shop.merchant, day.replace(day=day.day - 2), day)).sums


def told_of(shop: Shop) -> Counter[tuple[str, str]]:
    shop.settle()
    shop.deliver()
    return Counter((own["type"], own["data"]["checkout"]["external_id"]) for own in shop.told())


def test_a_members_cart_is_left_and_bought_without_a_checkout_of_its_own(shop: Shop) -> None:
    till = Till(shop, "wix", currency="USD")
    till.posts(changed(till.sample("abandoned-checkout-created"), as_cart))
    shop.settle()
    assert till.checkout(CART).status is Status.ABANDONED
    till.posts(till.sample("order-approved"))
    till.posts(changed(till.sample("abandoned-checkout-recovered"), as_cart))
    shop.settle()
    assert till.checkout(CART).status is Status.RECOVERED
    assert len(till.orders()) == 1
    assert sums(shop).count("recovered") == 1


def test_a_members_cart_that_becomes_a_checkout_gives_way_to_it(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded", "checkout.recovered", "checkout.completed")
    till = Till(shop, "wix", currency="USD")
    till.posts(changed(till.sample("abandoned-checkout-created"), as_cart))
    assert told_of(shop) == Counter({("checkout.abandoned", CART): 1})
    till.posts(till.sample("abandoned-checkout-created"))
    assert told_of(shop) == Counter(
        {("checkout.abandoned", CART): 1, ("checkout.abandoned", CHECKOUT): 1, ("checkout.superseded", CART): 1}
    )
    assert sums(shop).count("abandoned") == 1

    till.posts(till.sample("order-approved"))
    till.posts(till.sample("abandoned-checkout-recovered"))
    till.posts(changed(till.sample("abandoned-checkout-recovered"), as_cart))
    assert Counter(own for own in told_of(shop) if "recovered" in own[0]) == Counter(
        {("checkout.recovered", CHECKOUT): 1}
    )
    assert (sums(shop).count("recovered"), len(till.orders())) == (1, 1)


def test_the_carts_recovery_that_overtakes_dispatch_is_the_same_purchase(shop: Shop) -> None:
    """Nothing was announced yet: the cart stands as abandoned when its checkout is bought."""
    till = Till(shop, "wix", currency="USD")
    till.posts(changed(till.sample("abandoned-checkout-created"), as_cart))
    till.posts(till.sample("abandoned-checkout-created"))
    till.posts(till.sample("order-approved"))
    receipt = till.posts(changed(till.sample("abandoned-checkout-recovered"), as_cart))
    shop.settle()
    assert receipt.status == "duplicate"
    assert till.checkout(CART).status is Status.SUPERSEDED
    assert (sums(shop).count("recovered"), len(till.orders())) == (1, 1)


def test_emporix_carts_are_the_checkouts_that_their_orders_end(shop: Shop) -> None:
    till = Till(shop, "emporix")
    cart = till.sample("cart-updated")
    till.posts(cart, {"x-event-type": "cart.updated"})
    order = till.sample("order-created") | {"cartId": cart["id"]}
    till.posts(order, {"x-event-type": "order.created"})
    till.posts(till.sample("cart-closed") | {"id": cart["id"]}, {"x-event-type": "cart.closed"})
    shop.settle()
    assert till.checkout(cart["id"]).status.purchased
    assert len([own for own in shop.rows() if own["pk"].startswith("C#") and own["sk"] == "C"]) == 1
    assert len(till.orders()) == 1


def test_a_carts_event_that_comes_after_its_checkouts_leaves_the_checkout_the_one_to_come_back_to(shop: Shop) -> None:
    """The cart was left an hour before: what was left last counts, whatever arrives last."""
    shop.endpoint("checkout.abandoned", "checkout.superseded", "checkout.recovered", "checkout.completed")
    till = Till(shop, "wix", currency="USD")
    of_checkout, of_cart = (
        till.sample("abandoned-checkout-created"),
        changed(till.sample("abandoned-checkout-created"), as_cart),
    )
    for claims in (of_checkout, of_cart, of_checkout, of_cart):
        till.posts(claims)
        assert told_of(shop) == Counter({("checkout.abandoned", CHECKOUT): 1})
    assert (till.checkout(CHECKOUT).status, till.checkout(CART).status) == (Status.ABANDONED, Status.SUPERSEDED)
    assert sums(shop).count("abandoned") == 1

    till.posts(changed(till.sample("abandoned-checkout-recovered"), as_cart))
    till.posts(till.sample("abandoned-checkout-recovered"))
    till.posts(till.sample("order-approved"))
    assert told_of(shop) == Counter({("checkout.abandoned", CHECKOUT): 1, ("checkout.recovered", CHECKOUT): 1})
    assert (sums(shop).count("recovered"), len(till.orders())) == (1, 1)


SHOPIFYS_CART = "hWN4q2Zk8tR1vYx0bLm7cPd5"
MEMBER = {"email": "asha@example.com"}
KNOWN_BY = {"customer.email": "customer.email"}
"""Shopify's own carts name nobody; a shop whose app adds the member maps it."""


class Cart:
    """A Shopify shop whose carts name the member, and what it posts."""

    def __init__(self, shop: Shop) -> None:
        self.till = Till(shop, "shopify", mapping=KNOWN_BY)
        self.shop = shop

    def changes(self, **parts: Any) -> str:
        at = to_rfc3339(self.shop.now)
        body = self.till.sample("carts-update") | {"customer": MEMBER, "updated_at": at} | parts
        return self._post(body, "carts/update")

    def begins(self, **parts: Any) -> str:
        own = {"cart_token": SHOPIFYS_CART, "customer": MEMBER, "updated_at": to_rfc3339(self.shop.now)}
        return self._post(self.till.sample("checkouts-create") | own | parts, "checkouts/create")

    def bought(self, **parts: Any) -> str:
        own = {"cart_token": SHOPIFYS_CART, "checkout_token": self.token, "created_at": to_rfc3339(self.shop.now)}
        return self._post(self.till.sample("orders-create") | own | parts, "orders/create")

    @property
    def token(self) -> str:
        return str(self.till.sample("checkouts-create")["token"])

    def _post(self, body: Any, topic: str) -> str:
        return self.till.posts(body, {"X-Shopify-Topic": topic}).status

    def standing(self) -> dict[str, str]:
        found = [own for own in self.shop.rows() if own["pk"].startswith("C#") and own["sk"] == "C"]
        return {own["xid"]: own["st"] for own in found}


def test_a_shopify_cart_that_names_nobody_is_no_checkout(shop: Shop) -> None:
    cart = Cart(shop)
    assert cart.changes(customer=None) == "ignored"
    assert cart.standing() == {}


def test_a_members_shopify_cart_is_left_and_bought_as_one(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.recovered")
    cart = Cart(shop)
    assert [cart.changes(), cart.changes()] == ["accepted", "duplicate"]
    shop.wait(minutes=31)
    shop.sweep()
    name = f"cart:{SHOPIFYS_CART}"
    assert told_of(shop) == Counter({("checkout.abandoned", name): 1})
    shop.wait(minutes=5)
    cart.bought(checkout_token=None)
    assert told_of(shop) == Counter({("checkout.abandoned", name): 1, ("checkout.recovered", name): 1})
    assert len(cart.till.orders()) == 1


@pytest.mark.parametrize("first", ["cart", "checkout"])
def test_a_shopify_cart_that_becomes_a_checkout_is_told_and_bought_as_that(shop: Shop, first: str) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded", "checkout.recovered", "checkout.completed")
    cart = Cart(shop)
    for post in (cart.changes, cart.begins) if first == "cart" else (cart.begins, cart.changes):
        post()
        post()
    shop.wait(minutes=31)
    shop.sweep()
    assert told_of(shop) == Counter({("checkout.abandoned", cart.token): 1})
    assert cart.standing() == {cart.token: "abandoned", f"cart:{SHOPIFYS_CART}": "superseded"}
    assert sums(shop).count("abandoned") == 1
    shop.wait(minutes=5)
    cart.changes(line_items=[])
    cart.bought(checkout_token=None)
    cart.bought()
    assert told_of(shop) == Counter({("checkout.abandoned", cart.token): 1, ("checkout.recovered", cart.token): 1})
    assert (sums(shop).count("recovered"), len(cart.till.orders())) == (1, 1)


def test_a_shopify_cart_of_which_was_told_gives_way_to_its_checkout(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded", "checkout.recovered", "checkout.completed")
    cart, name = Cart(shop), f"cart:{SHOPIFYS_CART}"
    cart.changes()
    shop.wait(minutes=31)
    shop.sweep()
    assert told_of(shop) == Counter({("checkout.abandoned", name): 1})
    cart.begins()
    shop.wait(minutes=31)
    shop.sweep()
    assert told_of(shop) == Counter(
        {("checkout.abandoned", name): 1, ("checkout.abandoned", cart.token): 1, ("checkout.superseded", name): 1}
    )
    cart.bought()
    told = told_of(shop)
    assert (told["checkout.recovered", cart.token], told["checkout.recovered", name]) == (1, 0)
    assert (sums(shop).count("abandoned"), sums(shop).count("recovered"), len(cart.till.orders())) == (1, 1, 1)


def messages(shop: Shop) -> int:
    """How many messages of the campaign went out, an hour later."""
    shop.settle()
    shop.wait(hours=1)
    shop.sweep()
    shop.deliver()
    return sum(own.event_type == "campaign.step" for own in shop.deliveries())


def test_the_shopper_who_was_written_to_about_the_cart_is_not_written_to_anew_about_its_checkout(shop: Shop) -> None:
    an_hour_after(shop, shop.endpoint("endpoint.test").id)
    cart = Cart(shop)
    cart.changes()
    shop.wait(minutes=31)
    shop.sweep()
    assert messages(shop) == 1
    cart.begins()
    cart.changes()
    shop.wait(minutes=31)
    shop.sweep()
    assert messages(shop) == 1
    assert cart.standing() == {cart.token: "abandoned", f"cart:{SHOPIFYS_CART}": "superseded"}
    cart.bought()
    cart.changes(line_items=[])
    assert messages(shop) == 1
    assert cart.standing()[cart.token] == "recovered"
    assert (sums(shop).count("recovered"), len(cart.till.orders())) == (1, 1)
