"""Stripe Checkout: sessions that expire, are recovered and are paid."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
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

NOW = int(ARRIVED_AT.timestamp())
SAMPLES = (
    "checkout-session-expired",
    "checkout-session-completed",
    "checkout-session-async-payment-failed",
    "checkout-session-async-payment-succeeded",
)


@pytest.fixture
def bench() -> Bench:
    return Bench("stripe")


def signature(body: bytes, at: int | str = NOW, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def event(event_type: str = "checkout.session.expired", /, at: Any = NOW - 60, **session: Any) -> dict[str, Any]:
    """An event that happened ``at``, with changed parts of its session."""
    payload: dict[str, Any] = Bench("stripe").sample("checkout-session-expired")
    payload |= {"type": event_type, "created": at}
    payload["data"]["object"] |= session
    return payload


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


class TestAuthentication:
    BODY = '{"id": "evt_1", "name": "é"}'.encode()

    def authenticate(self, bench: Bench, header: str | None, body: bytes = BODY) -> None:
        bench.authenticate(bench.request(body, {} if header is None else {"Stripe-Signature": header}))

    @pytest.mark.parametrize("age", [0, 300, -300])
    def test_a_signature_holds_for_five_minutes(self, bench: Bench, age: int) -> None:
        self.authenticate(bench, f"t={NOW - age},v1={signature(self.BODY, NOW - age)},v0=abc")

    @pytest.mark.parametrize("age", [301, -301, 86_400])
    def test_a_stale_one_is_refused(self, bench: Bench, age: int) -> None:
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, f"t={NOW - age},v1={signature(self.BODY, NOW - age)}")

    def test_one_of_several_signatures_is_enough(self, bench: Bench) -> None:
        self.authenticate(bench, f"t={NOW}, v1={'0' * 64}, v1={signature(self.BODY)}")

    def test_two_secrets_hold_during_a_rotation(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            self.authenticate(bench, f"t={NOW},v1={signature(self.BODY, secret=secret)}")

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "t=,v1=",
            f"t={NOW}",
            f"v1={signature(BODY)}",
            f"t={NOW},v0={signature(BODY)}",
            f"t={NOW},v1={signature(BODY)[:-1]}",
            f"t={NOW},v1={signature(BODY, secret='other')}",
            f"t={NOW + 1},v1={signature(BODY)}",
            f"t=-{NOW},v1={signature(BODY, f'-{NOW}')}",
            f"t={'9' * 16},v1={signature(BODY, '9' * 16)}",
            f"t={'9' * 5000},v1={signature(BODY)}",
            f"t=٣,v1={signature(BODY)}",
            f"t={NOW},v1=\ud800",
            "nonsense",
        ],
    )
    def test_anything_else_is_refused(self, bench: Bench, header: str | None) -> None:
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, header)

    def test_the_exact_bytes_are_signed(self, bench: Bench) -> None:
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, f"t={NOW},v1={signature(self.BODY)}", self.BODY + b" ")

    @pytest.mark.parametrize("secrets", [(), ("",)])
    def test_a_source_without_a_secret_takes_nothing(self, bench: Bench, secrets: tuple[str, ...]) -> None:
        bench.credentials = SourceCredentials(secrets=secrets)
        with pytest.raises(AuthenticationFailed):
            self.authenticate(bench, f"t={NOW},v1={signature(self.BODY, secret='')}")


class TestMeaning:
    @pytest.mark.parametrize(
        ("event_type", "session", "signal"),
        [
            ("checkout.session.expired", {}, Signal.ABANDONED),
            ("checkout.session.completed", {"payment_status": "paid"}, Signal.PURCHASED),
            ("checkout.session.completed", {"payment_status": "no_payment_required"}, Signal.PURCHASED),
            ("checkout.session.completed", {"payment_status": "unpaid"}, Signal.PURCHASED),
            ("checkout.session.async_payment_succeeded", {}, Signal.PURCHASED),
            ("checkout.session.async_payment_failed", {}, Signal.PAYMENT_FAILED),
        ],
    )
    def test_session_events(self, bench: Bench, event_type: str, session: dict[str, Any], signal: Signal) -> None:
        assert bench.change(event(event_type, **session)).signal is signal

    @pytest.mark.parametrize(
        "event_type", ["payment_intent.succeeded", "charge.refunded", "invoice.paid", "customer.created", "ping"]
    )
    def test_other_events_are_ignored(self, bench: Bench, event_type: str) -> None:
        payload = event(event_type) | {"data": {"object": {"id": "x_1", "object": "other"}}}
        assert bench.normalise(payload).ignored is not None

    def test_a_session_without_a_purchase_is_ignored(self, bench: Bench) -> None:
        assert bench.normalise(event("checkout.session.completed", mode="setup")).ignored is not None

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"type": None},
            event("checkout.session.somehow_new"),
            event(id=None),
            event(id=""),
            event(object="payment_link"),
            event(object={}),
            event() | {"data": None},
            event() | {"data": {"object": "cs_1"}},
            {"type": "checkout.session.expired", "object": "v2.core.event"},
        ],
    )
    def test_an_unknown_shape_is_not_guessed(self, bench: Bench, payload: dict[str, Any]) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(payload)

    def test_what_is_not_json_is_not_readable(self, bench: Bench) -> None:
        with pytest.raises(NotReadable):
            bench.normalise(b"webhook_id=1")

    def test_the_source_may_wait_after_an_expiry(self, bench: Bench) -> None:
        change = bench.configure(on_arrival="timer").change(event())
        assert (change.signal, change.abandoned_at) == (Signal.ACTIVITY, None)

    def test_an_expiry_carries_the_vendors_time(self, bench: Bench) -> None:
        shown = bench.checkout(event(at=NOW - 120))
        assert shown["status"] == "abandoned"
        assert shown["abandoned_at"] == "2026-11-21T09:58:00Z"

    def test_a_test_mode_event_is_a_test(self, bench: Bench) -> None:
        assert bench.change(event()).test
        assert not bench.change(event() | {"livemode": True}).test


def played(bench: Bench, *changes: CheckoutChange) -> list[Checkout]:
    """The checkouts after the events, by external id as they first appeared."""
    arrival = Arrival(bench.merchant.id, bench.source.id, "stripe", ARRIVED_AT, Settings())
    checkouts: dict[str, Checkout] = {}
    for change in changes:
        checkouts[change.external_id] = apply(checkouts.get(change.external_id), change, arrival).checkout
    return list(checkouts.values())


class TestRecovery:
    """The recovery link makes a new session; its purchase ends the old one."""

    def events(self, bench: Bench) -> tuple[CheckoutChange, CheckoutChange]:
        expired = bench.change(event(at=NOW - 7200, id="cs_1") | {"id": "evt_1"})
        bought = event("checkout.session.completed", id="cs_2", recovered_from="cs_1", created=NOW - 600)
        return expired, bench.change(bought | {"id": "evt_2"})

    @pytest.mark.parametrize("late", [False, True])
    def test_the_expired_session_is_recovered_in_either_order(self, bench: Bench, late: bool) -> None:
        expired, bought = self.events(bench)
        (checkout,) = played(bench, *((bought, expired) if late else (expired, bought)))
        assert checkout.external_id == "cs_1"
        assert checkout.status is Status.RECOVERED
        assert checkout.order is not None
        assert checkout.completed_at == ARRIVED_AT - timedelta(seconds=60)

    def test_its_purchase_alone_tells_of_the_abandonment(self, bench: Bench) -> None:
        _, bought = self.events(bench)
        (checkout,) = played(bench, bought)
        assert checkout.status is Status.RECOVERED
        assert checkout.abandoned_at == ARRIVED_AT - timedelta(seconds=600)

    def test_a_recovered_session_that_expires_too_is_a_checkout_of_its_own(self, bench: Bench) -> None:
        assert bench.change(event(id="cs_2", recovered_from="cs_1")).external_id == "cs_2"

    def test_a_direct_purchase_is_completed(self, bench: Bench) -> None:
        (checkout,) = played(bench, bench.change(event("checkout.session.completed", id="cs_3", recovered_from=None)))
        assert checkout.status is Status.COMPLETED

    def test_a_transfer_that_fails_after_the_order_changes_nothing(self, bench: Bench) -> None:
        ordered = bench.change(event("checkout.session.completed", payment_status="unpaid") | {"id": "evt_1"})
        failed = bench.change(event("checkout.session.async_payment_failed") | {"id": "evt_2"})
        (checkout,) = played(bench, ordered, failed)
        assert checkout.status is Status.COMPLETED

    @pytest.mark.parametrize(
        ("session", "order_id"),
        [
            ({"payment_intent": "pi_1"}, "pi_1"),
            ({"payment_intent": {"id": "pi_2", "object": "payment_intent"}}, "pi_2"),
            ({"payment_intent": None, "subscription": "sub_1"}, "sub_1"),
            ({"payment_intent": None}, "cs_test_a1ExampleSession0001"),
        ],
    )
    def test_orders_are_named_by_their_payment(self, bench: Bench, session: dict[str, Any], order_id: str) -> None:
        order = bench.change(event("checkout.session.completed", **session)).order
        assert order is not None
        assert order.id == order_id


class TestMoney:
    @pytest.mark.parametrize(
        ("currency", "sent", "amount"),
        [
            ("usd", 4200, "42.00"),
            ("inr", 63000, "630.00"),
            ("jpy", 5300, "5300"),
            ("krw", 15000, "15000"),
            ("kwd", 12340, "12.340"),
            ("bhd", 1230, "1.230"),
            ("isk", 50000, "500"),
            ("ugx", 500000, "5000"),
            ("mga", 5000, "5000.00"),
            ("huf", 129900, "1299.00"),
            ("clp", 9990, "9990"),
            ("usd", 0, "0.00"),
        ],
    )
    def test_minor_units_are_stripes(self, bench: Bench, currency: str, sent: int, amount: str) -> None:
        total = bench.checkout(event(currency=currency, amount_total=sent))["totals"]["total"]
        assert total == {"amount": amount, "currency": currency.upper()}

    def test_unknown_amounts_are_not_zero(self, bench: Bench) -> None:
        assert bench.change(event(amount_total=None, amount_subtotal=None)).cart is None
        assert bench.checkout(event(total_details=None))["totals"]["shipping"] is None

    def test_a_missing_currency_is_assumed(self, bench: Bench) -> None:
        payload = event(currency=None)
        assert bench.checkout(payload)["currency_assumed"]
        assert "currency" in bench.preview(payload).assumed

    def test_the_shopper_saw_the_presented_amount(self, bench: Bench) -> None:
        presented = {"presentment_amount": 3899, "presentment_currency": "eur"}
        shown = bench.checkout(event(presentment_details=presented))
        assert shown["totals"]["total"] == {"amount": "38.99", "currency": "EUR"}
        assert shown["shop_totals"]["total"] == {"amount": "42.00", "currency": "USD"}

    def test_older_versions_converted_the_session_itself(self, bench: Bench) -> None:
        converted = {"amount_subtotal": 4550, "amount_total": 4550, "fx_rate": "1.08", "source_currency": "cad"}
        shown = bench.checkout(event(currency_conversion=converted))
        assert shown["totals"]["total"] == {"amount": "42.00", "currency": "USD"}
        assert shown["shop_totals"]["total"] == {"amount": "45.50", "currency": "CAD"}

    def test_no_lines_is_not_an_empty_cart(self, bench: Bench) -> None:
        cart = bench.change(event()).cart
        assert cart is not None
        assert not cart.is_empty()
        assert "items" in bench.preview(event()).missing

    def test_codes_are_what_shoppers_type(self, bench: Bench) -> None:
        discounts = [
            {"coupon": "c_1", "promotion_code": {"id": "promo_1", "code": "DIWALI"}},
            {"promotion_code": "promo_2"},
        ]
        assert bench.checkout(event(discounts=discounts))["discount_codes"] == ["DIWALI"]

    def test_expanded_products(self, bench: Bench) -> None:
        product = {"id": "prod_1", "name": "Mug", "images": ["https://files.example.com/mug.png"], "url": None}
        line = {"id": "li_1", "quantity": 30, "amount_total": 30, "price": {"id": "price_1", "product": product}}
        shown = bench.checkout(event(line_items={"data": [line] * 30}))
        assert shown["item_count"] == 900
        first = shown["items"][0]
        assert (first["title"], first["product_id"], first["variant_id"]) == ("Mug", "prod_1", "price_1")
        assert first["image_url"] == "https://files.example.com/mug.png"
        assert first["unit_price"] is None


class TestAwkwardValues:
    @pytest.mark.parametrize(
        ("promotions", "email"), [("opt_in", "granted"), ("opt_out", "denied"), (None, "unknown"), ([], "unknown")]
    )
    def test_consent_is_for_mail(self, bench: Bench, promotions: Any, email: str) -> None:
        consent = bench.checkout(event(consent={"promotions": promotions}))["consent"]
        assert consent["channels"] == {"email": email, "sms": "unknown", "whatsapp": "unknown"}
        assert consent["marketing"] == email

    @pytest.mark.parametrize(
        "details", [None, {}, {"email": "", "phone": " "}, {"address": {"line1": "", "city": None}}]
    )
    def test_nothing_is_known_of_the_shopper(self, bench: Bench, details: Any) -> None:
        shown = bench.checkout(event(customer_details=details))
        assert set(shown["customer"].values()) == {None}
        assert shown["billing_address"] is None

    def test_the_merchant_may_know_the_mail(self, bench: Bench) -> None:
        shown = bench.checkout(event(customer_details=None, customer_email="A@B.example"))
        assert shown["customer"]["email"] == "a@b.example"

    def test_a_local_phone_takes_the_country_of_the_address(self, bench: Bench) -> None:
        details = {"phone": "06 12 34 56 78", "address": {"country": "FR", "postal_code": "13001"}}
        shown = bench.checkout(event(customer_details=details))
        assert shown["customer"]["phone"] == "+33612345678"
        assert shown["billing_address"]["postal_code"] == "13001"

    @pytest.mark.parametrize("place", ["shipping", "shipping_details"])
    def test_where_older_versions_put_the_shipping_address(self, bench: Bench, place: str) -> None:
        details: dict[str, Any] = {"name": "Cher", "address": {"line1": "1 High St", "country": "GB", "state": None}}
        shown = bench.checkout(event(**{place: details}, at=NOW))
        assert shown["shipping_address"]["address1"] == "1 High St"
        assert (shown["shipping_address"]["first_name"], shown["shipping_address"]["last_name"]) == ("Cher", None)

    def test_a_link_of_another_host_is_kept_but_not_followed(self, bench: Bench) -> None:
        for url, followed in [
            ("https://buy.stripe.com/r/x", "https://buy.stripe.com/r/x"),
            ("https://pay.example.org/r/x", None),
        ]:
            shown = bench.checkout(event(after_expiration={"recovery": {"enabled": True, "url": url}}))
            assert (shown["checkout_url"], shown["recovery_url"]) == (url, followed)

    def test_without_recovery_there_is_no_link(self, bench: Bench) -> None:
        shown = bench.checkout(event(after_expiration=None))
        assert (shown["checkout_url"], shown["expires_at"]) == (None, None)
        assert "checkout_url" in bench.preview(event(after_expiration=None)).missing

    @pytest.mark.parametrize("created", [None, "soon", -5, 0, 10**40, 10**11])
    def test_an_unusable_time_is_the_arrivals(self, bench: Bench, created: Any) -> None:
        assert bench.checkout(event(at=created))["abandoned_at"] == "2026-11-21T10:00:00Z"

    def test_attribution_and_metadata(self, bench: Bench) -> None:
        shown = bench.checkout(event(metadata={"utm_medium": "email", "fbclid": "x", "size": 9}, client_reference_id=7))
        assert shown["attribution"]["utm_medium"] == "email"
        assert "click_ids" not in shown["attribution"]
        assert shown["attributes"] == {"utm_medium": "email", "size": "9", "client_reference_id": "7"}


def test_event_order_is_stripes_clock(bench: Bench) -> None:
    earlier, later = (bench.change(event(at=NOW - age)) for age in (60, 59))
    assert earlier.order_key.value < later.order_key.value
    assert earlier.occurred_at == datetime.fromtimestamp(NOW - 60, UTC)


@settings(deadline=None)  # a busy machine is no failure
@given(
    mutations(Bench("stripe").sample("checkout-session-async-payment-failed"))
    | mutations(Bench("stripe").sample("checkout-session-completed"))
)
def test_every_body_is_taken_or_refused_in_order(payload: Any) -> None:
    try:
        Bench("stripe").preview(payload)
    except (NotUnderstood, NotReadable):
        return
