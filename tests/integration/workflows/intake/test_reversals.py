"""Refunds and cancellations: partial, repeated, in another currency, late, early and larger than the order."""

import itertools
import json
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.checkout import Checkout, Order, Status
from shared.domain.metrics import EVERYTHING, Sums, figures
from shared.domain.money import Money
from shared.store.facts import FactStore
from shared.workflows.insight.metrics import Metrics, altogether
from tests.integration.shop import MERCHANT, Shop
from tests.integration.till import Till, living
from tests.unit.domain.sessions import NOON

TODAY = date(2026, 11, 21)


def inr(minor: int) -> Money:
    return Money(minor, "INR")


def cart(name: str, **more: Any) -> dict[str, Any]:
    customer = {"email": f"{name.lower()}@example.com"}
    totals = {"total": "630.00"}
    return {"external_id": name, "status": "open", "currency": "INR", "totals": totals, "customer": customer, **more}


def paid(name: str, **more: Any) -> dict[str, Any]:
    return cart(name, **{"status": "paid", "order": {"id": f"o-{name}"}, **more})


def refund(name: str, number: str, amount: str | None, **more: Any) -> dict[str, Any]:
    return {
        "status": "refunded",
        "order": {"id": f"o-{name}"},
        "currency": "INR",
        "refund": {"id": number, "amount": amount},
        **more,
    }


def cancelled(name: str) -> dict[str, Any]:
    return {"status": "cancelled", "order": {"id": f"o-{name}"}}


def bought(till: Till, name: str, **more: Any) -> None:
    """A shopper leaves a cart and comes back within the hour."""
    till.posts(cart(name, **more))
    till.shop.wait(minutes=31)
    till.shop.sweep()
    till.shop.settle()
    till.shop.wait(minutes=20)
    till.posts(paid(name, **more))
    till.shop.settle()


def order_of(till: Till, name: str) -> Order:
    order = till.checkout(name).order
    assert order is not None
    return order


def sums(shop: Shop, first: date = TODAY, last: date = TODAY) -> Sums:
    return altogether(Metrics(FactStore(shop.table), lambda: shop.now).cohorts(shop.merchant, first, last)).sums


@pytest.fixture
def till(shop: Shop) -> Till:
    return Till(shop)


class TestARefund:
    def test_is_shown_by_the_checkout_told_to_subscribers_and_taken_off_the_revenue(self, till: Till) -> None:
        shop = till.shop
        shop.endpoint("checkout.reversed")
        bought(till, "a")
        receipt = till.posts(refund("a", "r1", "100.00"))
        assert (receipt.status, receipt.checkout_ids) == ("accepted", (till.checkout("a").id,))
        shop.settle()
        shop.deliver()

        checkout = till.checkout("a")
        assert checkout.status is Status.RECOVERED
        assert order_of(till, "a").reversed == (inr(10_000),)
        (told,) = shop.told()
        assert (told["type"], told["sequence"]) == ("checkout.reversed", checkout.version)
        assert told["data"]["checkout"]["order"]["reversed"] == [{"amount": "100.00", "currency": "INR"}]
        assert told["messaging"] == {"may_send": False, "reason": "purchased"}
        assert figures(sums(shop)).net_revenue == (inr(53_000),)
        assert sums(shop).count("reversed") == 1

    def test_counts_once_however_often_it_is_told(self, till: Till) -> None:
        till.shop.endpoint("checkout.reversed")
        bought(till, "a")
        answers = [till.posts(refund("a", "r1", "100.00", event_id=f"e{at}")).status for at in range(3)]
        till.shop.settle()
        till.shop.deliver()
        assert answers == ["accepted", "duplicate", "duplicate"]
        assert order_of(till, "a").reversed == (inr(10_000),)
        assert len(till.shop.told()) == 1

    def test_adds_up_with_the_next_and_never_beyond_the_order(self, till: Till) -> None:
        bought(till, "a")
        for number, amount in (("r1", "100.00"), ("r2", "30.00"), ("r3", "9000.00")):
            till.posts(refund("a", number, amount))
            till.shop.settle()
        assert order_of(till, "a").reversed == (inr(63_000),)
        assert figures(sums(till.shop)).net_revenue == (inr(0),)

    def test_in_another_currency_is_never_added(self, till: Till) -> None:
        bought(till, "a")
        till.posts(refund("a", "r1", "10.00", currency="EUR"))
        till.posts(refund("a", "r2", "10.00"))
        till.shop.settle()
        assert order_of(till, "a").reversed == (Money(1_000, "EUR"), inr(1_000))
        assert figures(sums(till.shop)).net_revenue == (Money(-1_000, "EUR"), inr(62_000))
        till.posts(cancelled("a"))
        till.shop.settle()
        assert figures(sums(till.shop)).net_revenue == (inr(0),)

    def test_after_the_horizon_corrects_the_cohort_whose_sums_were_written_down(self, till: Till) -> None:
        bought(till, "a")
        till.shop.wait(days=20)
        assert figures(sums(till.shop)).net_revenue == (inr(63_000),)
        till.posts(refund("a", "r1", "100.00"))
        till.shop.settle()
        assert figures(sums(till.shop)).net_revenue == (inr(53_000),)

    def test_of_an_order_that_nobody_remembers_changes_nothing(self, till: Till) -> None:
        bought(till, "a")
        till.shop.wait(days=60)
        till.posts(refund("a", "r1", "100.00"))
        till.shop.settle()
        assert figures(sums(till.shop)).net_revenue == (inr(63_000),)

    def test_before_the_order_waits_for_it(self, till: Till) -> None:
        shop = till.shop
        shop.endpoint("checkout.recovered", "checkout.reversed")
        receipt = till.posts(refund("a", "r1", "100.00"))
        assert (receipt.status, receipt.checkout_ids) == ("accepted", ())
        assert shop.stream() == []
        till.posts(cart("a"))
        shop.wait(minutes=31)
        shop.sweep()
        till.posts(paid("a"))
        shop.settle()
        shop.deliver()
        assert order_of(till, "a").reversed == (inr(10_000),)
        assert Counter(own["type"] for own in shop.told()) == Counter({"checkout.recovered": 1, "checkout.reversed": 1})

    def test_of_an_order_without_an_id_is_found_by_its_checkout(self, till: Till) -> None:
        nameless = paid("a", order={}, completed_at="2026-11-21T12:00:00Z")
        till.posts(nameless)
        till.posts({"status": "refunded", "external_id": "a", "refund": {"amount": "1.00"}, "currency": "INR"})
        till.shop.settle()
        assert order_of(till, "a").reversed == (inr(100),)

    def test_the_sum_so_far_counts_where_it_is_more(self, till: Till) -> None:
        bought(till, "a")
        till.posts(refund("a", "r1", "100.00"))
        till.posts(refund("a", "r2", None, refund={"total": "250.00"}))
        till.posts(refund("a", "r3", None, refund={"total": "50.00"}))
        till.shop.settle()
        assert order_of(till, "a").reversed == (inr(25_000),)


class TestACancellation:
    def test_takes_all_back_and_brings_no_message_back(self, till: Till) -> None:
        shop = till.shop
        shop.endpoint()
        bought(till, "a")
        till.posts(cancelled("a"))
        till.posts(cart("a", event_id="late"))
        shop.settle()
        shop.wait(days=2)
        shop.sweep()
        shop.settle()
        shop.deliver()
        checkout = till.checkout("a")
        assert checkout.status is Status.RECOVERED
        assert order_of(till, "a").cancelled
        assert Counter(own["type"] for own in shop.told())["checkout.abandoned"] <= 1
        assert figures(sums(shop)).net_revenue == (inr(0),)

    def test_of_a_purchase_that_was_never_abandoned_is_in_no_revenue(self, till: Till) -> None:
        till.posts(paid("a"))
        till.posts(cancelled("a"))
        till.shop.settle()
        assert order_of(till, "a").reversed == (inr(63_000),)
        assert figures(sums(till.shop)).net_revenue == ()
        assert sums(till.shop).count("direct") == 1

    def test_of_a_test_order_is_in_no_figure(self, till: Till) -> None:
        bought(till, "a", test=True)
        till.posts(cancelled("a"))
        till.shop.settle()
        assert sums(till.shop) == Sums()

    def test_of_the_second_order_of_a_checkout_touches_the_first_no_more_than_its_total_did(self, till: Till) -> None:
        """One order counts per checkout."""
        bought(till, "a")
        till.posts(paid("a", order={"id": "o-split"}))
        till.posts({"status": "cancelled", "order": {"id": "o-split"}})
        till.shop.settle()
        assert order_of(till, "a").reversed == ()
        assert figures(sums(till.shop)).net_revenue == (inr(63_000),)


EVENTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "paid": paid,
    "paid again": lambda name: paid(name, note="gift"),
    "r1": lambda name: refund(name, "r1", "100.00"),
    "r2": lambda name: refund(name, "r2", "30.00"),
    "foreign": lambda name: refund(name, "r3", "1.00", currency="EUR"),
    "so far": lambda name: refund(name, "x", None, refund={"total": "200.00"}),
}


def played(shop: Shop, names: tuple[str, ...], *, settling: bool) -> Checkout:
    """A new source and shopper; the cart is left, and then it all arrives in this order."""
    till = Till(shop)
    shopper = till.source_id.removeprefix("src_")
    till.posts(cart(shopper))
    shop.wait(minutes=31)
    shop.sweep()
    for name in names:
        till.posts(EVENTS[name](shopper))
        if settling:
            shop.settle()
    shop.settle()
    assert len([own for own in till.orders() if own["src"] == till.source_id]) == 1
    return till.checkout(shopper)


def result(checkout: Checkout) -> Any:
    order = checkout.order
    assert order is not None
    return checkout.status, order.total, tuple(own for own in order.reversed if own.minor), order.cancelled


def test_any_order_of_arrival_ends_the_same(shop: Shop) -> None:
    for settling in (True, False):
        told = ("paid", "r1", "so far") if settling else ("paid", "r1", "foreign")
        ends = {result(played(shop, names, settling=settling)) for names in itertools.permutations(told)}
        back = (inr(20_000),) if settling else (Money(100, "EUR"), inr(10_000))
        assert ends == {(Status.RECOVERED, inr(63_000), back, False)}


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=8), st.booleans())
def test_repeats_and_other_orders_of_arrival_end_the_same(shop: Shop, names: list[str], settling: bool) -> None:
    told = ("paid", *names)
    assert result(played(shop, told, settling=settling)) == result(played(shop, told[::-1] + told, settling=False))


def test_an_erased_shoppers_order_takes_nothing_in_any_more(till: Till) -> None:
    from shared.store import keys
    from shared.store.orders import order_forgotten

    bought(till, "a")
    till.posts(refund("a", "r1", "100.00"))
    key = keys.order(till.source_id, "id:o-a")
    till.shop.table.update(order_forgotten(key, MERCHANT))
    before = till.shop.table.get(key)
    assert before is not None
    assert "rb" not in before
    assert till.posts(refund("a", "r2", "100.00")).status == "duplicate"
    assert till.shop.table.get(key) == before


def test_what_waits_for_its_order_holds_nobodys_name_and_goes_by_itself(till: Till) -> None:
    till.posts(refund("a", "r-named-asha", "100.00", customer={"phone": "+919999999999"}))
    (row,) = [own for own in living(till.shop) if own["pk"].startswith("O#")]
    assert set(row) == {"pk", "sk", "mer", "src", "lp", "ls", "ttl", "rb", "rn"}
    assert "asha" not in json.dumps(row, default=str)
    till.shop.wait(days=38)
    assert [own for own in living(till.shop) if own["pk"].startswith("O#")] == []


def test_a_played_month_equals_the_table_made_by_hand(till: Till) -> None:
    """30 days. Day by day: what was left, bought back, taken back; and what the figures must say on the 31st."""
    shop = till.shop
    by_hand = {  # day: (total, [(days later, refund or None for a cancellation)])
        0: [("630.00", [(0, "100.00")])],
        1: [("200.00", [(2, None)])],
        3: [("50.00", [(10, "20.00"), (12, "20.00")]), ("1000.00", [])],
        8: [("75.50", [(15, "100.00")])],
        20: [("10.00", [(1, "2.50"), (1, "2.50"), (3, None)])],
        27: [("99.99", [(1, "0.99")])],
    }
    due: dict[int, list[dict[str, Any]]] = {}
    for day in range(30):
        for at, (total, backs) in enumerate(by_hand.get(day, [])):
            name = f"day{day}-{at}"
            bought(till, name, totals={"total": total})
            for number, (later, amount) in enumerate(backs):
                told = cancelled(name) if amount is None else refund(name, f"r{number}", amount)
                due.setdefault(day + later, []).extend([told, told])
        for told in due.pop(day, []):
            till.posts(told)
        shop.settle()
        shop.clock.move_to(NOON + timedelta(days=day + 1))
    assert due == {}

    # recovered 630.00 + 200.00 + 50.00 + 1000.00 + 75.50 + 10.00 + 99.99; taken back 100.00 + 200.00 + 40.00 + 75.50
    # (not 100.00: the order was worth no more) + 10.00 (cancelled, not 15.00) + 0.99
    month = sums(shop, TODAY, TODAY + timedelta(days=29))
    assert month.amounts["recovered"] == {"INR": 206_549}
    assert month.amounts["reversed"] == {"INR": 42_649}
    assert figures(month).net_revenue == (inr(163_900),)
    assert (month.count("recovered"), month.count("reversed")) == (7, 6)
    per_day = {
        own.day.day: own.sums[EVERYTHING].amounts.get("reversed", {}).get("INR", 0)
        for own in Metrics(FactStore(shop.table), lambda: shop.now).cohorts(
            shop.merchant, TODAY, TODAY + timedelta(days=29)
        )
        if EVERYTHING in own.sums
    }
    assert per_day == {21: 10_000, 22: 20_000, 24: 4_000, 29: 7_550, 11: 1_000, 18: 99}
