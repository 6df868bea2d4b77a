"""One purchase is one order row, whoever tells it and through however many webhooks; and it can be taken back."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from shared.domain.checkout import Checkout
from shared.domain.money import Money
from shared.store.wire import from_stream
from tests.integration.shop import Shop
from tests.integration.till import Till


@dataclass(frozen=True)
class Post:
    """One webhook: a sample, with parts changed."""

    sample: str
    headers: dict[str, str] = field(default_factory=dict)
    event: str | None = None
    changed: Callable[[Any], Any] = lambda body: body


@dataclass(frozen=True)
class Case:
    """What a provider posts of one purchase, and of what is taken back of it."""

    provider: str
    told: tuple[Post, ...]
    """Of the same purchase, each by itself enough."""
    backs: tuple[Post, ...]
    reversed: tuple[Money, ...]
    before: tuple[Post, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


def shopify(sample: str, topic: str) -> Post:
    return Post(sample, {"X-Shopify-Topic": topic, "X-Shopify-Webhook-Id": f"{sample}-{topic}"})


def without_order_id(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"order_id": None, "token": "8a2f7c3d9b1e4f60a5c7d8e9f0a1b2c3"}


def woo(sample: str) -> Post:
    return Post(sample, {"X-WC-Webhook-Topic": "order.updated"})


MOST_ORDERS = 8
EMPORIX = {"x-event-type": "order.updated"}
CASES = [
    Case(
        "shopify",
        (
            shopify("orders-create", "orders/create"),
            shopify("orders-create", "orders/paid"),
            Post(
                "checkouts-update-completed",
                {"X-Shopify-Topic": "checkouts/update", "X-Shopify-Webhook-Id": "c"},
                changed=without_order_id,
            ),
        ),
        (shopify("refunds-create", "refunds/create"), shopify("orders-updated", "orders/updated")),
        (Money(38_250, "INR"),),
    ),
    Case(
        "woocommerce",
        (woo("order-updated-processing"), woo("order-updated-partly-refunded")),
        (woo("order-updated-partly-refunded"),),
        (Money(1_000, "EUR"),),
    ),
    Case(
        "stripe",
        (Post("checkout-session-completed"),),
        (Post("charge-refunded"), Post("refund-created")),
        (Money(1_000, "USD"),),
    ),
    Case("cashfree", (Post("payment-success"),), (Post("refund-status"),), (Money(49_900, "INR"),)),
    Case(
        "razorpay",
        (Post("order-paid"), Post("payment-captured")),
        (Post("refund-processed"),),
        (Money(20_000, "INR"),),
        settings={"money_unit": "minor"},
    ),
    Case(
        "wix",
        (Post("abandoned-checkout-recovered"), Post("order-approved")),
        (Post("order-payment-status-updated"), Post("order-transactions-refund-completed")),
        (Money(1_250, "USD"),),
        before=(Post("abandoned-checkout-created"),),
        settings={"currency": "USD"},
    ),
    Case(
        "emporix",
        (Post("order-created", {"x-event-type": "order.created"}), Post("order-created", EMPORIX)),
        (Post("order-updated-called-off", EMPORIX),),
        (Money(5_489, "EUR"),),
    ),
    Case(
        "custom",
        (
            Post("checkout", changed=lambda own: own | {"status": "paid", "order": {"id": "A-1001"}}),
            Post("checkout", changed=lambda own: own | {"status": "paid", "event_id": "again"}),
        ),
        (Post("refund"),),
        (Money(10_000, "INR"),),
    ),
    Case("flexype", (Post("acr-completed"), Post("acr-completed", {"X-Event-Id": "again"})), (), ()),
    Case("shopflo", (Post("order-completed"),), (), ()),
    Case("bigcommerce", (Post("cart-converted"),), (), ()),
]


def post(till: Till, own: Post) -> None:
    body = own.changed(till.sample(own.sample))
    assert till.posts(body, own.headers, event=own.event).status in {"accepted", "duplicate"}


def bought(till: Till) -> list[Checkout]:
    """The checkouts of this source that were bought."""
    found = till.shop.stores.checkouts.get_many(own["chk"] for own in till.orders() if own["src"] == till.source_id)
    return list(found.values())


def some_orders(posts: tuple[Post, ...]) -> list[tuple[Post, ...]]:
    """Every order of arrival where they are few, else the first, the last and some by lot, the same at each run."""
    every = list(itertools.permutations(posts))
    if len(every) <= MOST_ORDERS:
        return every
    return [every[0], every[-1], *Random(len(posts)).sample(every[1:-1], MOST_ORDERS - 2)]


@pytest.mark.parametrize("case", CASES, ids=lambda own: own.provider)
def test_one_purchase_is_one_order_row_and_can_be_taken_back(case: Case, shop: Shop) -> None:
    for order in some_orders((*case.told, *case.backs)):
        shop.wait(seconds=1)
        till = Till(shop, case.provider, **case.settings)
        for own in (*case.before, *order):
            post(till, own)
        shop.settle()
        (checkout,) = bought(till)
        assert checkout.order is not None
        assert tuple(own for own in checkout.order.reversed if own.minor) == case.reversed, order
        assert len([own for own in till.orders() if own["src"] == till.source_id]) == 1, order


@pytest.mark.parametrize("case", [own for own in CASES if len(own.told) > 1], ids=lambda own: own.provider)
def test_the_purchase_is_told_once_and_calls_off_other_carts_once_more_at_most(case: Case, shop: Shop) -> None:
    """The order's id may bring an e-mail address that the checkout had not: whose carts are called off too."""
    till = Till(shop, case.provider, **case.settings)
    for own in (*case.before, *case.told, *case.told):
        post(till, own)
    marks = [from_stream(own["dynamodb"]["NewImage"])["te"] for own in shop.stream()]
    assert marks.count("ordered") <= 2
    assert sum(marks.count(own) for own in ("recovered", "completed")) == 1
