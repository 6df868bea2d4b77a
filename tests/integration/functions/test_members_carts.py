"""A member's cart before any checkout, and the checkout that it becomes: one order and one recovery."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from shared.domain.checkout import Status
from shared.domain.metrics import cohort_of
from shared.store.facts import FactStore
from shared.workflows.insight.metrics import Metrics, altogether
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
