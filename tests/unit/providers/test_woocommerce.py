"""WooCommerce: orders that begin as drafts of a checkout."""

import base64
import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, Status
from shared.domain.merchant import SourceCredentials
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, apply
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

SAMPLES = {
    "order-updated-draft": "order.updated",
    "order-updated-processing": "order.updated",
    "order-created": "order.created",
    "order-deleted": "order.deleted",
}
PING = b"webhook_id=17"


@pytest.fixture
def bench() -> Bench:
    return Bench("woocommerce")


def topic(name: str) -> dict[str, str]:
    return {"X-WC-Webhook-Topic": name}


UPDATED = topic("order.updated")


def signature(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


def order(status: Any = "checkout-draft", **fields: Any) -> dict[str, Any]:
    payload: dict[str, Any] = Bench("woocommerce").sample("order-updated-draft")
    return payload | {"status": status} | fields


@pytest.mark.parametrize(("name", "sent_as"), SAMPLES.items())
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str, sent_as: str) -> None:
    assert bench.checkout(bench.sample_bytes(name), topic(sent_as)) == bench.expected(name)


class TestAuthentication:
    BODY = '{"id": 1, "name": "é"}'.encode()

    def authenticate(self, bench: Bench, given: str | None, body: bytes = BODY) -> None:
        bench.authenticate(bench.request(body, {} if given is None else {"X-WC-Webhook-Signature": given}))

    def test_the_exact_bytes_are_signed(self, bench: Bench) -> None:
        self.authenticate(bench, signature(self.BODY))
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, signature(self.BODY), self.BODY + b"\n")

    @pytest.mark.parametrize(
        "given", [None, "", "?", "\ud800", signature(BODY)[:-4], signature(BODY, "other"), signature(b""), SECRET]
    )
    def test_anything_else_is_refused(self, bench: Bench, given: str | None) -> None:
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, given)

    def test_two_secrets_hold_during_a_rotation(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            self.authenticate(bench, signature(self.BODY, secret))

    @pytest.mark.parametrize("secrets", [(), ("",)])
    def test_a_source_without_a_secret_takes_nothing(self, bench: Bench, secrets: tuple[str, ...]) -> None:
        bench.credentials = SourceCredentials(secrets=secrets)
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, signature(self.BODY, ""))


class TestPing:
    """Saving a webhook posts an unsigned form; WooCommerce wants a 200."""

    def test_it_is_let_in_and_ignored(self, bench: Bench) -> None:
        bench.authenticate(bench.request(PING))
        normalised = bench.normalise(PING)
        assert normalised.ignored is not None
        assert not normalised.changes

    @pytest.mark.parametrize(
        "body", [b"webhook_id=", b"webhook_id=x", b"webhook_id=1&id=2", b"webhook_id=1\n", b"", b' {"webhook_id":1}']
    )
    def test_nothing_else_goes_unsigned(self, bench: Bench, body: bytes) -> None:
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(body))


class TestMeaning:
    @pytest.mark.parametrize(
        ("status", "signal"),
        [
            ("checkout-draft", Signal.ACTIVITY),
            ("pending", Signal.PAYMENT_STARTED),
            ("failed", Signal.PAYMENT_FAILED),
            ("on-hold", Signal.PURCHASED),
            ("processing", Signal.PURCHASED),
            ("completed", Signal.PURCHASED),
            ("cancelled", Signal.ENDED),
            ("trash", Signal.ENDED),
            ("wc-processing", Signal.PURCHASED),
        ],
    )
    @pytest.mark.parametrize("sent_as", ["order.created", "order.updated", "order.restored", ""])
    def test_statuses(self, bench: Bench, status: str, signal: Signal, sent_as: str) -> None:
        assert bench.change(order(status), topic(sent_as)).signal is signal

    def test_a_deleted_order_is_over(self, bench: Bench) -> None:
        change = bench.change({"id": 3181}, topic("order.deleted"))
        assert (change.external_id, change.signal) == ("3181", Signal.ENDED)

    def test_an_emptied_draft_is_over(self, bench: Bench) -> None:
        assert bench.change(order(line_items=[]), UPDATED).signal is Signal.ENDED
        assert bench.change(order("pending", line_items=[]), UPDATED).signal is Signal.PAYMENT_STARTED

    def test_a_plugins_status_is_bought_once_it_is_paid(self, bench: Bench) -> None:
        assert bench.change(order("shipped", date_paid_gmt="2026-11-21T09:00:00"), UPDATED).signal is Signal.PURCHASED
        with pytest.raises(NotUnderstood):
            bench.normalise(order("awaiting-approval"), UPDATED)

    def test_a_refund_tells_of_a_recent_order_only(self, bench: Bench) -> None:
        recent = order("refunded", date_paid_gmt="2026-11-20T09:00:00")
        assert bench.change(recent, UPDATED).signal is Signal.PURCHASED
        assert bench.normalise(order("refunded", date_paid_gmt="2026-10-20T09:00:00"), UPDATED).ignored is not None

    @pytest.mark.parametrize(
        "sent_as", ["product.updated", "customer.created", "coupon.deleted", "action.woocommerce_add_to_cart"]
    )
    def test_other_topics_are_ignored(self, bench: Bench, sent_as: str) -> None:
        assert bench.normalise({"id": 1, "status": "publish"}, topic(sent_as)).ignored is not None

    @pytest.mark.parametrize("made", ["admin", "subscription"])
    def test_an_order_nobody_checked_out_is_ignored_until_it_is_paid(self, bench: Bench, made: str) -> None:
        assert bench.normalise(order("pending", created_via=made), UPDATED).ignored is not None
        assert bench.change(order("processing", created_via=made), UPDATED).signal is Signal.PURCHASED

    def test_an_order_being_written_is_ignored(self, bench: Bench) -> None:
        assert bench.normalise(order("auto-draft"), UPDATED).ignored is not None

    @pytest.mark.parametrize(
        ("payload", "sent_as"),
        [
            ({}, "order.updated"),
            ({"id": None}, "order.deleted"),
            (order(id=""), "order.updated"),
            (order(None), "order.updated"),
            (order(["pending"]), "order.updated"),
            (order(), "order.somehow_new"),
            ({"id": 7, "email": "a@b.example"}, ""),
        ],
    )
    def test_an_unknown_shape_is_not_guessed(self, bench: Bench, payload: Any, sent_as: str) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(payload, topic(sent_as))

    def test_what_is_not_json_is_not_readable(self, bench: Bench) -> None:
        with pytest.raises(NotReadable):
            bench.normalise(b"webhook_id=1&x=2", UPDATED)


def played(bench: Bench, *changes: CheckoutChange) -> Checkout:
    checkout: Checkout | None = None
    for at, change in enumerate(changes):
        moment = ARRIVED_AT + timedelta(seconds=at)
        arrival = Arrival(bench.merchant.id, bench.source.id, "woocommerce", moment, Settings())
        checkout = apply(checkout, change, arrival).checkout
    assert checkout is not None
    return checkout


class TestOrder:
    def at(self, bench: Bench, status: str, second: int, **fields: Any) -> CheckoutChange:
        return bench.change(order(status, date_modified_gmt=f"2026-11-21T09:59:{second:02d}", **fields), UPDATED)

    def test_an_older_state_moves_nothing(self, bench: Bench) -> None:
        newer = self.at(bench, "failed", 30, customer_note="newer")
        older = self.at(bench, "checkout-draft", 29, customer_note="older")
        checkout = played(bench, newer, older)
        assert (checkout.text("stage"), checkout.text("note")) == ("failed", "newer")

    def test_in_the_same_second_the_later_status_stands(self, bench: Bench) -> None:
        events = [self.at(bench, status, 30) for status in ("checkout-draft", "pending")]
        for first, second in (events, events[::-1]):
            assert played(bench, first, second).status is Status.PAYMENT_PENDING

    def test_a_payment_that_fails_may_be_tried_again(self, bench: Bench) -> None:
        checkout = played(
            bench, self.at(bench, "pending", 1), self.at(bench, "failed", 2), self.at(bench, "pending", 3)
        )
        assert checkout.status is Status.PAYMENT_PENDING

    @pytest.mark.parametrize("status", ["checkout-draft", "pending", "failed", "cancelled", "trash"])
    def test_completion_stands_whatever_comes_before_or_after(self, bench: Bench, status: str) -> None:
        bought, other = self.at(bench, "processing", 10), self.at(bench, status, 20)
        for events in ((bought, other), (other, bought)):
            assert played(bench, *events).status is Status.COMPLETED

    def test_a_deletion_counts_from_its_arrival(self, bench: Bench) -> None:
        deleted = bench.change({"id": 3181}, topic("order.deleted"))
        assert played(bench, self.at(bench, "checkout-draft", 30), deleted).status is Status.EXPIRED
        bought = self.at(bench, "processing", 30)
        assert played(bench, bought, deleted).status is Status.COMPLETED

    def test_the_order_was_placed_when_it_was_paid(self, bench: Bench) -> None:
        change = bench.change(
            order("completed", date_paid_gmt="2026-11-21T08:00:00", date_modified_gmt="2026-11-21T09:59:00"), UPDATED
        )
        assert change.order is not None
        assert change.order.at is not None
        assert change.order.at.hour == 8

    def test_cash_on_delivery_was_placed_when_it_changed(self, bench: Bench) -> None:
        change = bench.change(order("processing", date_modified_gmt="2026-11-21T09:59:00"), UPDATED)
        assert change.order is not None
        assert change.order.at == change.occurred_at


class TestAwkwardValues:
    def test_a_guest_has_no_id(self, bench: Bench) -> None:
        assert bench.checkout(order(customer_id=0), UPDATED)["customer"]["id"] is None
        assert bench.checkout(order(customer_id=2**53 + 1), UPDATED)["customer"]["id"] == "9007199254740993"

    @pytest.mark.parametrize(
        ("billing", "shipping", "phone"),
        [
            ({"phone": "06 12 34 56 78", "country": "FR"}, {}, "+33612345678"),
            ({"phone": "(512) 555-0143", "country": "US"}, {}, "+15125550143"),
            ({"phone": "+49 1512 3456789", "country": "FR"}, {}, "+4915123456789"),
            ({"phone": "98470 12345"}, {}, "+919847012345"),
            ({"phone": "", "country": "FR"}, {"phone": "0151 23456789", "country": "DE"}, "+4915123456789"),
            ({"phone": "call me", "country": "FR"}, {}, None),
            ({}, None, None),
            (None, None, None),
        ],
    )
    def test_a_local_phone_takes_the_billing_country(
        self, bench: Bench, billing: Any, shipping: Any, phone: Any
    ) -> None:
        shown = bench.checkout(order(billing=billing, shipping=shipping), UPDATED)
        assert shown["customer"]["phone"] == phone

    def test_only_a_postal_code(self, bench: Bench) -> None:
        shown = bench.checkout(order(billing={"postcode": "13001", "email": ""}, shipping={"city": ""}), UPDATED)
        assert shown["billing_address"]["postal_code"] == "13001"
        assert shown["shipping_address"] is None
        assert set(shown["customer"].values()) == {None}

    @pytest.mark.parametrize(
        ("state", "pair"),
        [("KL", (None, "KL")), ("PA-2", (None, "PA-2")), ("Dublin", ("Dublin", None)), ("", (None, None))],
    )
    def test_states_are_codes_or_names(self, bench: Bench, state: str, pair: tuple[str | None, str | None]) -> None:
        shown = bench.checkout(order(billing={"state": state, "city": "x"}), UPDATED)["billing_address"]
        assert (shown["province"], shown["province_code"]) == pair

    @pytest.mark.parametrize(
        ("currency", "total", "amount"),
        [("EUR", "43.90", "43.90"), ("JPY", "4390", "4390"), ("JPY", "4390.00", "4390"), ("KWD", "4.395", "4.395")],
    )
    def test_money_is_in_major_units(self, bench: Bench, currency: str, total: str, amount: str) -> None:
        shown = bench.checkout(order(currency=currency, total=total), UPDATED)["totals"]["total"]
        assert shown == {"amount": amount, "currency": currency}

    def test_the_noise_of_a_division_is_rounded(self, bench: Bench) -> None:
        body = bench.sample_bytes("order-updated-draft").replace(b'"price": 13,', b'"price": 12.333333333333334,')
        assert bench.checkout(body, UPDATED)["items"][0]["unit_price"]["amount"] == "12.33"

    def test_a_free_order_costs_nothing_and_an_unknown_one_is_unknown(self, bench: Bench) -> None:
        assert bench.checkout(order(total="0.00"), UPDATED)["totals"]["total"] == {"amount": "0.00", "currency": "EUR"}
        unknown = order(line_items=None, total=None, discount_total=None)
        assert bench.change(unknown, UPDATED).cart is None

    def test_a_missing_currency_is_assumed(self, bench: Bench) -> None:
        assert bench.checkout(order(currency=""), UPDATED)["currency_assumed"]
        assert "currency" in bench.preview(order(currency=""), UPDATED).assumed

    def test_thirty_lines_of_parts_of_a_unit(self, bench: Bench) -> None:
        line = order()["line_items"][0] | {"quantity": 0.25, "name": "Käse 🧀", "variation_id": 2**60}
        shown = bench.checkout(order(line_items=[line] * 30), UPDATED)
        assert shown["item_count"] == 7.5
        assert shown["items"][29]["title"] == "Käse 🧀"
        assert shown["items"][29]["variant_id"] == str(2**60)

    def test_the_hash_of_a_cart_is_no_cart_id(self, bench: Bench) -> None:
        """Two shoppers with the same contents have the same ``cart_hash``."""
        assert bench.checkout(order(), UPDATED)["cart_id"] is None

    def test_a_link_is_followed_to_the_merchants_own_shop_only(self, bench: Bench) -> None:
        url = "http://shop.example.com/checkout/order-pay/1/?key=k"
        shown = bench.checkout(order(payment_url=url), UPDATED)
        assert shown["recovery_url"] == "https://shop.example.com/checkout/order-pay/1/?key=k"
        assert bench.checkout(order(), UPDATED)["recovery_url"] is None

    def test_addresses_of_the_client_are_never_kept(self, bench: Bench) -> None:
        assert "203.0.113.40" not in str(bench.checkout(order(), UPDATED))

    def test_the_legacy_api_version(self, bench: Bench) -> None:
        legacy = {
            "order": {
                "id": 645,
                "order_number": 645,
                "created_at": "2026-11-21T09:00:00Z",
                "updated_at": "2026-11-21T09:30:00Z",
                "status": "pending",
                "currency": "USD",
                "total": "79.87",
                "subtotal": "63.97",
                "total_tax": "5.90",
                "total_shipping": "10.00",
                "total_discount": "0.00",
                "note": "Hi",
                "customer_id": 2,
                "billing_address": {
                    "first_name": "John",
                    "email": "j@example.com",
                    "phone": "(555) 555-5555",
                    "country": "US",
                },
                "shipping_address": {"first_name": "John", "city": "San Francisco", "state": "CA", "country": "US"},
                "line_items": [{"id": 504, "total": "43.98", "price": "21.99", "quantity": 2, "name": "T-Shirt"}],
                "coupon_lines": [],
            }
        }
        shown = bench.checkout(legacy, UPDATED)
        assert (shown["external_id"], shown["status"], shown["name"]) == ("645", "payment_pending", "645")
        assert shown["totals"]["subtotal"] == {"amount": "63.97", "currency": "USD"}
        assert shown["totals"]["shipping"] == {"amount": "10.00", "currency": "USD"}
        assert shown["customer"]["email"] == "j@example.com"
        assert shown["started_at"] == "2026-11-21T09:00:00Z"
        assert shown["shipping_address"]["province_code"] == "CA"

    def test_the_sources_own_mapping_wins(self, bench: Bench) -> None:
        bench.configure(mapping={"consent.channels.whatsapp": "meta_data[?key=='wa_optin'] | [0].value == 'yes'"})
        shown = bench.checkout(order(meta_data=[{"key": "wa_optin", "value": "yes"}]), UPDATED)
        assert shown["consent"]["channels"]["whatsapp"] == "granted"


@settings(deadline=None)  # a busy machine is no failure
@given(
    mutations(Bench("woocommerce").sample("order-created"))
    | mutations(Bench("woocommerce").sample("order-updated-processing"))
)
def test_every_body_is_taken_or_refused_in_order(payload: Any) -> None:
    try:
        Bench("woocommerce").preview(payload, UPDATED)
    except (NotUnderstood, NotReadable):
        return
