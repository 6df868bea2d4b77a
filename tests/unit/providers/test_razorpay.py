"""Razorpay: an unsigned abandoned cart in a unit nobody publishes, and signed webhooks of orders and payments."""

import hashlib
import hmac
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared.domain.change import Signal
from shared.domain.merchant import SourceCredentials
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, Effect, apply
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

SAMPLES = ("abandoned-cart", "order-paid", "payment-captured", "payment-pending-cod")
TOKEN = "u" * 43


@pytest.fixture
def bench() -> Bench:
    return Bench("razorpay").configure(money_unit="minor")


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Razorpay-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


class TestAuthentication:
    def test_the_urls_token_proves_an_unsigned_webhook(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(url_token=TOKEN)
        bench.authenticate(bench.request(b"{}", query={"token": TOKEN}))

    @pytest.mark.parametrize("given", [None, "", "wrong", TOKEN[:-1], TOKEN + "u", "é", "\ud800"])
    def test_any_other_token_is_refused(self, bench: Bench, given: str | None) -> None:
        bench.credentials = SourceCredentials(url_token=TOKEN)
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(b"{}", query={} if given is None else {"token": given}))

    @pytest.mark.parametrize("own", [None, ""])
    def test_a_source_without_a_token_refuses_all(self, bench: Bench, own: str | None) -> None:
        bench.credentials = SourceCredentials(url_token=own)
        for query in ({}, {"token": ""}, {"token": TOKEN}):
            with pytest.raises(AuthenticationFailed):
                bench.authenticate(bench.request(b"{}", query=query))

    def test_a_signature_is_hex_over_the_body(self, bench: Bench) -> None:
        body = bench.sample_bytes("order-paid")
        bench.authenticate(bench.request(body, signature(body)))
        bench.credentials = SourceCredentials(secrets=("new", SECRET))
        bench.authenticate(bench.request(body, signature(body)))

    def test_a_wrong_signature_is_not_saved_by_the_token(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=(SECRET,), url_token=TOKEN)
        for headers in (signature(b"other"), signature(b"{}", "wrong"), {"X-Razorpay-Signature": ""}):
            with pytest.raises(AuthenticationFailed):
                bench.authenticate(bench.request(b"{}", headers, query={"token": TOKEN}))

    def test_a_signature_without_a_secret_is_refused(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(url_token=TOKEN)
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(b"{}", signature(b"{}", "")))


class TestMeaning:
    @pytest.mark.parametrize(
        ("event", "method", "bought"),
        [
            ("order.paid", "upi", True),
            ("payment.captured", "card", True),
            ("payment.pending", "cod", True),
            ("payment.pending", "upi", False),
            ("payment.authorized", "card", False),
            ("payment.failed", "card", False),
            ("refund.created", "card", False),
        ],
    )
    def test_event(self, bench: Bench, event: str, method: str, bought: bool) -> None:
        payment = {"id": "pay_1", "order_id": "order_1", "amount": 100, "currency": "INR", "method": method}
        body = {"entity": "event", "event": event, "payload": {"payment": {"entity": payment}}}
        said = bench.normalise(body)
        assert [change.signal for change in said.changes] == ([Signal.PURCHASED] if bought else [])
        assert (said.ignored is None) == bought

    def test_order_paid_and_payment_captured_are_one_purchase(self, bench: Bench) -> None:
        paid, captured = (bench.change(bench.sample_bytes(name)) for name in ("order-paid", "payment-captured"))
        assert paid.external_id == captured.external_id == "order:order_Qa1b000"
        assert paid.order == captured.order

    def test_a_purchase_joins_by_the_notes_and_then_by_contact(self, bench: Bench) -> None:
        cart = bench.change(bench.sample_bytes("abandoned-cart"))
        paid = bench.change(bench.sample_bytes("order-paid"), {"x-razorpay-event-id": "evt_1"})
        assert paid.join_tokens == (cart.leaves["cart_id"],)
        assert paid.join_contact
        assert paid.event_id == "evt_1"

    def test_orders_are_in_minor_units_whatever_the_abandoned_carts_are_in(self, bench: Bench) -> None:
        order = bench.configure(money_unit="major").change(bench.sample_bytes("order-paid")).order
        assert order is not None
        assert order.total is not None
        assert order.total.amount() == "1349.10"

    def test_a_cart_without_a_clock_is_replaced_by_whichever_arrives_later(self, bench: Bench) -> None:
        arrival = Arrival(bench.merchant.id, bench.source.id, "razorpay", ARRIVED_AT, Settings())
        first = apply(None, bench.change(bench.sample("abandoned-cart")), arrival).checkout
        second = bench.sample("abandoned-cart")
        second["line_items"][0]["quantity"] = 3
        applied = apply(first, bench.change(second), arrival)
        assert applied.effect is Effect.MERGED
        assert applied.checkout.cart is not None
        assert applied.checkout.cart.items[0].quantity == 3

    def test_a_source_may_run_its_own_timer(self, bench: Bench) -> None:
        change = bench.configure(on_arrival="timer").change(bench.sample_bytes("abandoned-cart"))
        assert change.signal is Signal.ACTIVITY

    @pytest.mark.parametrize("body", [{}, {"phone": "+919845098450"}, {"event": "order.paid", "payload": {}}])
    def test_unknown_shapes_are_not_guessed(self, bench: Bench, body: Any) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body)

    def test_money_is_not_guessed_without_its_unit(self) -> None:
        bench = Bench("razorpay")
        assert bench.provider.description.required_settings == ("money_unit",)
        with pytest.raises(NotUnderstood, match="money_unit"):
            bench.normalise(bench.sample_bytes("abandoned-cart"))


class TestAwkwardValues:
    def test_major_units(self, bench: Bench) -> None:
        shown = bench.configure(money_unit="major").checkout(bench.sample_bytes("abandoned-cart"))
        assert shown["items"][0]["unit_price"] == {"amount": "149900.00", "currency": "INR"}

    def test_a_blank_currency_is_the_sources(self, bench: Bench) -> None:
        body = {**bench.sample("abandoned-cart"), "currency": ""}
        assert bench.normalise(body).assumed == ("currency",)
        shown = bench.configure(currency="JPY").checkout(body)
        assert shown["currency_assumed"]
        assert shown["items"][0]["unit_price"] == {"amount": "149900", "currency": "JPY"}

    def test_only_a_phone_and_a_zip(self, bench: Bench) -> None:
        body = {"token": "t", "phone": "9845098450", "customer": {"Shipping_address": {"Zip": "570001", "City": ""}}}
        shown = bench.checkout(body)
        assert shown["customer"]["phone"] == "+919845098450"
        assert shown["shipping_address"]["postal_code"] == "570001"
        assert shown["totals"]["total"] is None
        assert bench.normalise(body).missing == ("checkout_url", "items")

    def test_totals_without_lines_are_not_an_empty_cart(self, bench: Bench) -> None:
        cart = bench.change({"token": "t", "line_items": None, "line_items_total": "100"}).cart
        assert cart is not None
        assert not cart.is_empty()

    def test_a_free_line_an_offer_and_thirty_lines(self, bench: Bench) -> None:
        lines = [{"name": "Gift 🎁", "price": 0, "quantity": 1}, {"name": "B", "price": 900, "offer_price": 0}]
        shown = bench.checkout({"token": 9007199254740993, "currency": "INR", "line_items": lines * 15})
        assert shown["external_id"] == "9007199254740993"
        assert shown["item_count"] == 30
        assert shown["items"][0]["unit_price"] == {"amount": "0.00", "currency": "INR"}
        assert shown["items"][1]["unit_price"] == {"amount": "0.00", "currency": "INR"}
        assert shown["items"][1]["compare_at_price"] == {"amount": "9.00", "currency": "INR"}

    def test_click_ids_only_where_kept(self, bench: Bench) -> None:
        body = {**bench.sample("abandoned-cart"), "utm_parameters": {"fbclid": "abc", "utm_source": ""}}
        assert "click_ids" not in bench.checkout(body)["attribution"]
        assert bench.configure(keep_click_ids=True).checkout(body)["attribution"]["click_ids"] == {"fbclid": "abc"}


@pytest.mark.timed
@pytest.mark.parametrize("name", SAMPLES[:2])
def test_any_authentic_body_has_an_answer(name: str) -> None:
    bench = Bench("razorpay").configure(money_unit="minor")

    @settings(max_examples=60, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow])
    @given(mutations(bench.sample(name)))
    def holds(body: Any) -> None:
        with suppress(NotUnderstood):
            bench.preview(body)

    holds()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"1", b"[" * 100_000])
def test_any_bytes_have_an_answer(bench: Bench, body: bytes) -> None:
    with pytest.raises((NotReadable, NotUnderstood)):
        bench.normalise(body)
