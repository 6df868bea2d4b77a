"""What each provider says was refunded or cancelled, in the shapes of its own pages."""

from typing import Any

import pytest

from shared.domain.change import Signal
from shared.domain.money import Money
from shared.domain.reversal import Refund, Reversal
from shared.providers.provider import NotUnderstood
from tests.unit.providers.conftest import Bench


def inr(minor: int) -> Money:
    return Money(minor, "INR")


def told(provider: str, sample: str, headers: dict[str, str] | None = None) -> Reversal:
    bench = Bench(provider)
    (one,) = bench.normalise(bench.sample(sample), headers or {}).reversals
    return one


def topic(name: str) -> dict[str, str]:
    return {"X-Shopify-Topic": name}


class TestShopify:
    def test_a_refund_names_its_order_and_what_went_back(self) -> None:
        own = told("shopify", "refunds-create", topic("refunds/create"))
        assert own == Reversal("5908123456789", refunds=(Refund("930284510293", (inr(38_250),)),))

    def test_an_order_shows_the_same_refund(self) -> None:
        assert told("shopify", "orders-updated", topic("orders/updated")) == told(
            "shopify", "refunds-create", topic("refunds/create")
        )

    def test_a_cancelled_order_is_taken_back_whole(self) -> None:
        own = told("shopify", "orders-cancelled", topic("orders/cancelled"))
        assert own.cancelled
        assert own.at is not None
        assert own.order_id == "5908123456789"

    @pytest.mark.parametrize("name", ["orders/updated", "orders/edited"])
    def test_an_order_of_which_nothing_is_taken_back_is_ignored(self, name: str) -> None:
        bench = Bench("shopify")
        said = bench.normalise(bench.sample("orders-create"), topic(name))
        assert (said.ignored is not None, said.reversals, said.changes) == (True, (), ())

    def test_a_refund_without_money_is_none(self) -> None:
        bench = Bench("shopify")
        restocked = bench.sample("refunds-create") | {"transactions": []}
        assert [own.refunds for own in bench.normalise(restocked, topic("refunds/create")).reversals] == [()]

    def test_transactions_add_up_and_failed_ones_do_not_count(self) -> None:
        bench = Bench("shopify")
        body = bench.sample("refunds-create")
        (one,) = body["transactions"]
        body["transactions"] = [one, one | {"id": 2}, one | {"id": 3, "status": "failure"}, one | {"kind": "void"}]
        (own,) = bench.normalise(body, topic("refunds/create")).reversals
        assert own.refunds == (Refund("930284510293", (inr(76_500),)),)
        body["transactions"] = [one | {"status": "failure"}]
        (own,) = bench.normalise(body, topic("refunds/create")).reversals
        assert own.refunds == (Refund("930284510293", failed=True),)

    def test_both_sides_of_a_money_bag_are_told(self) -> None:
        bench = Bench("shopify")
        body = bench.sample("refunds-create")
        body["transactions"][0]["amount_set"]["presentment_money"] = {"amount": "4.10", "currency_code": "EUR"}
        (own,) = bench.normalise(body, topic("refunds/create")).reversals
        assert set(own.refunds[0].amounts) == {Money(410, "EUR"), inr(38_250)}

    def test_a_refund_of_nothing_is_set_aside(self) -> None:
        with pytest.raises(NotUnderstood):
            Bench("shopify").normalise({"id": 1}, topic("refunds/create"))


UPDATED = {"X-WC-Webhook-Topic": "order.updated"}


class TestWooCommerce:
    def order(self, **changed: Any) -> tuple[Reversal, ...]:
        bench = Bench("woocommerce")
        return bench.normalise(bench.sample("order-updated-processing") | changed, UPDATED).reversals

    def test_a_part(self) -> None:
        own = told("woocommerce", "order-updated-partly-refunded", UPDATED)
        assert (own.order_id, own.cancelled) == ("3181", False)
        assert own.refunds == (Refund("3205", (Money(-1_000, "EUR"),)),)

    def test_an_order_refunded_by_hand_lists_no_refund_and_is_taken_back_whole(self) -> None:
        assert not told("woocommerce", "order-updated-refunded", UPDATED).cancelled
        (own,) = self.order(status="refunded")
        assert own.cancelled

    def test_a_cancelled_order(self) -> None:
        assert told("woocommerce", "order-updated-cancelled", UPDATED).cancelled

    def test_a_failed_payment_takes_back_what_was_paid_only(self) -> None:
        assert [own.cancelled for own in self.order(status="failed")] == [True]
        assert self.order(status="failed", date_paid_gmt=None) == ()

    @pytest.mark.parametrize("status", ["checkout-draft", "pending", "on-hold", "processing", "completed"])
    def test_nothing_else_takes_anything_back(self, status: str) -> None:
        assert self.order(status=status) == ()

    def test_the_refund_of_long_ago_is_no_purchase_but_a_refund(self) -> None:
        bench = Bench("woocommerce")
        said = bench.normalise(bench.sample("order-updated-refunded"), UPDATED)
        assert said.ignored is not None
        assert [len(own.refunds) for own in said.reversals] == [2]


class TestStripe:
    def test_a_charge_tells_the_sum_so_far(self) -> None:
        assert told("stripe", "charge-refunded") == Reversal("pi_3ExampleIntent0002", refunded=(Money(1_000, "USD"),))

    def test_a_refund_tells_itself(self) -> None:
        refunds = (Refund("re_3ExampleRefund0002", (Money(1_000, "USD"),)),)
        assert told("stripe", "refund-created") == Reversal("pi_3ExampleIntent0002", refunds=refunds)

    def test_a_refund_that_failed(self) -> None:
        assert told("stripe", "refund-failed").refunds[0].failed

    @pytest.mark.parametrize("kind", ["refund.updated", "charge.refund.updated"])
    @pytest.mark.parametrize(("status", "failed"), [("succeeded", False), ("pending", False), ("canceled", True)])
    def test_the_states_of_a_refund(self, kind: str, status: str, failed: bool) -> None:
        bench = Bench("stripe")
        event = bench.sample("refund-created") | {"type": kind}
        event["data"]["object"]["status"] = status
        (own,) = bench.normalise(event).reversals
        assert own.refunds[0].failed is failed

    def test_of_a_charge_without_a_payment_intent_nothing_is_known(self) -> None:
        bench = Bench("stripe")
        event = bench.sample("charge-refunded")
        event["data"]["object"]["payment_intent"] = None
        said = bench.normalise(event)
        assert (said.ignored is not None, said.reversals) == (True, ())


class TestCashfree:
    def test_a_refund(self) -> None:
        assert told("cashfree", "refund-status") == Reversal(
            "shop_7712_ord_0001842", refunds=(Refund("11325632", (inr(49_900),)),)
        )

    @pytest.mark.parametrize(("status", "failed"), [("CANCELLED", [True]), ("PENDING", []), ("ONHOLD", [])])
    def test_one_that_is_not_made(self, status: str, failed: list[bool]) -> None:
        bench = Bench("cashfree")
        body = bench.sample("refund-status")
        body["data"]["refund"]["refund_status"] = status
        assert [own.refunds[0].failed for own in bench.normalise(body).reversals] == failed

    def test_what_is_given_back_without_an_order_takes_nothing_back(self) -> None:
        bench = Bench("cashfree")
        assert not bench.normalise(bench.sample("refund-status") | {"type": "AUTO_REFUND_STATUS_WEBHOOK"}).reversals


class TestRazorpay:
    def test_a_refund_is_in_minor_units_whatever_the_carts_are_in(self) -> None:
        bench = Bench("razorpay").configure(money_unit="major")
        (own,) = bench.normalise(bench.sample("refund-processed")).reversals
        assert own == Reversal("order_Qa1b000", refunds=(Refund("rfnd_Qb2c000", (inr(20_000),)),))

    @pytest.mark.parametrize(
        ("event", "captured", "failed"),
        [
            ("refund.failed", True, [True]),
            ("refund.created", True, []),
            ("refund.speed_changed", True, []),
            ("refund.processed", False, []),
        ],
    )
    def test_its_other_events(self, event: str, captured: bool, failed: list[bool]) -> None:
        bench = Bench("razorpay")
        body = bench.sample("refund-processed") | {"event": event}
        body["payload"]["payment"]["entity"]["captured"] = captured
        assert [own.refunds[0].failed for own in bench.normalise(body).reversals] == failed


ORDER = "0a7f4b52-3c1e-4c27-8c2f-7d0d8f6f7a10"


class TestWix:
    def test_a_cancelled_order(self) -> None:
        own = told("wix", "order-canceled")
        assert (own.order_id, own.cancelled) == (ORDER, True)

    def test_an_order_shows_the_sum_refunded_so_far_in_its_own_currency(self) -> None:
        assert told("wix", "order-payment-status-updated") == Reversal(ORDER, refunded=(Money(1_250, "USD"),))

    def test_a_completed_refund_names_no_currency(self) -> None:
        bench = Bench("wix").configure(currency="USD")
        said = bench.normalise(bench.sample("order-transactions-refund-completed"))
        amounts = (Money(1_250, "USD"),)
        assert said.assumed == ("currency",)
        assert said.reversals == (
            Reversal(ORDER, refunds=(*[Refund("5d9f1c11-9f5e-4a0e-8a0c-2f0a1b2c3d4e", amounts)] * 2,)),
        )

    def test_an_order_bought_and_partly_refunded_is_both(self) -> None:
        bench = Bench("wix")
        own = bench.sample("order-payment-status-updated")
        said = bench.normalise(own)
        assert [change.signal for change in said.changes] == [Signal.PURCHASED]
        assert not bench.normalise(bench.sample("order-approved")).reversals


class TestOthers:
    def test_emporix_declines_an_order_that_was_placed(self) -> None:
        own = told("emporix", "order-updated-called-off", {"x-event-type": "order.updated"})
        assert (own.order_id, own.cancelled) == ("EON1042", True)

    @pytest.mark.parametrize(("status", "off"), [(5, True), (4, True), (14, False), (2, False), (None, False)])
    def test_bigcommerce_names_the_orders_new_status(self, status: int | None, off: bool) -> None:
        bench = Bench("bigcommerce")
        body = bench.sample("order-status-updated")
        body["data"]["status"]["new_status_id"] = status
        assert [own.order_id for own in bench.normalise(body).reversals] == (["318"] if off else [])

    def test_custom_by_its_own_names(self) -> None:
        assert told("custom", "refund") == Reversal("A-1001", refunds=(Refund("R-7", (inr(10_000),)),))

    def test_custom_by_mapping(self) -> None:
        bench = Bench("custom").configure(
            money_unit="minor",
            mapping={
                "status": "kind == 'money-back' && 'refunded' || kind == 'storno' && 'cancelled' || 'open'",
                "order.id": "bon",
                "refund.id": "slip",
                "refund.amount": "cents",
                "refund.total": "cents_so_far",
                "refund.at": "at",
                "currency": "cur",
            },
        )

        def said(**body: Any) -> Reversal:
            (own,) = bench.normalise(body).reversals
            return own

        assert said(kind="money-back", bon=7, slip=1, cents=250, cur="EUR") == Reversal(
            "7", refunds=(Refund("1", (Money(250, "EUR"),)),)
        )
        assert said(kind="money-back", bon=7, cents_so_far=250) == Reversal("7", refunded=(inr(250),))
        assert said(kind="money-back", bon=7).cancelled
        assert said(kind="storno", bon=7, cents=250).cancelled
        with pytest.raises(NotUnderstood):
            bench.normalise({"kind": "storno"})

    def test_custom_by_the_event_in_the_url(self) -> None:
        bench = Bench("custom")
        body = {"external_id": "b-1", "refund": {"amount": "1.00"}, "event_id": "e-1"}
        (own,) = bench.normalise(body, event="refunded").reversals
        assert own == Reversal(None, "b-1", refunds=(Refund("e-1", (inr(100),)),))
