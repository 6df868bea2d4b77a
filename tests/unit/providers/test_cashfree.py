"""Cashfree: published payment webhooks, and abandoned carts whose bodies are not published."""

import base64
import contextlib
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared.domain.change import Signal
from shared.domain.merchant import SourceCredentials
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

SAMPLES = ("payment-success", "payment-failed", "payment-user-dropped", "abandoned-checkout")
ECOM360 = {"x-webhook-topic": "abandonedCheckout", "x-webhook-version": "v1", "User-Agent": "Ecom360-v1"}
BODY = b'{"data":{"order":{"order_amount":170.00}},"type":"WEBHOOK"}'


@pytest.fixture
def bench() -> Bench:
    return Bench("cashfree")


def mac(message: bytes, secret: str = SECRET, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), message, algorithm).digest()


def signed(
    body: bytes = BODY, secret: str = SECRET, late: timedelta = timedelta(), attempt: str | None = None
) -> dict[str, str]:
    """The headers of One Click Checkout and payment webhooks."""
    stamp = str(int((ARRIVED_AT - late).timestamp() * 1000))
    signature = base64.b64encode(mac(stamp.encode() + body, secret)).decode()
    attempts = {} if attempt is None else {"x-webhook-attempt": attempt}
    return {"x-webhook-timestamp": stamp, "x-webhook-signature": signature, **attempts}


def payment(kind: str, status: str | None, **parts: Any) -> dict[str, Any]:
    data = {"order": {"order_id": "o-1", "order_amount": 10}, "payment": {"payment_status": status}}
    return {"type": kind, "event_time": "2026-11-21T15:00:00+05:30", "data": {**data, **parts}}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


def test_the_ecom360_sample_becomes_the_expected_checkout(bench: Bench) -> None:
    name = "ecom360-abandoned-checkout"
    assert bench.checkout(bench.sample_bytes(name), ECOM360) == bench.expected(name)
    assert bench.checkout(bench.sample_bytes(name), event="abandonedCheckout") == bench.expected(name)


class TestAuthentication:
    def test_timestamp_and_raw_body_are_signed(self, bench: Bench) -> None:
        bench.authenticate(bench.request(BODY, signed()))

    def test_the_exact_bytes_count(self, bench: Bench) -> None:
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY.replace(b"170.00", b"170"), signed()))

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"x-webhook-signature": signed()["x-webhook-signature"]},
            {"x-webhook-timestamp": signed()["x-webhook-timestamp"]},
            {**signed(), "x-webhook-timestamp": "1"},
            {**signed(), "x-webhook-signature": "not base64!"},
            signed(secret="another"),
        ],
    )
    def test_anything_else_is_refused(self, bench: Bench, headers: dict[str, str]) -> None:
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY, headers))

    def test_old_and_new_secret_count_during_rotation(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", SECRET))
        bench.authenticate(bench.request(BODY, signed()))
        bench.authenticate(bench.request(BODY, signed(secret="new")))

    def test_no_secret_refuses_even_the_empty_one(self, bench: Bench) -> None:
        for secrets in ((), ("",)):
            bench.credentials = SourceCredentials(secrets=secrets)
            with pytest.raises(AuthenticationFailed):
                bench.authenticate(bench.request(BODY, signed(secret="")))

    @pytest.mark.parametrize("late", [timedelta(minutes=6), timedelta(minutes=-6), timedelta(days=1)])
    def test_a_first_attempt_is_fresh(self, bench: Bench, late: timedelta) -> None:
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY, signed(late=late)))
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY, signed(late=late, attempt="1")))

    @pytest.mark.parametrize("attempt", ["2", "4", "99", "-1", "x"])
    def test_saying_that_it_is_a_retry_makes_no_old_webhook_new(self, bench: Bench, attempt: str) -> None:
        """The header is not signed: whoever repeats a webhook writes into it what they like."""
        bench.authenticate(bench.request(BODY, signed(late=timedelta(minutes=4), attempt=attempt)))
        for late in (timedelta(minutes=6), timedelta(minutes=42), timedelta(hours=25)):
            with pytest.raises(AuthenticationFailed):
                bench.authenticate(bench.request(BODY, signed(late=late, attempt=attempt)))

    @pytest.mark.parametrize("prefix", ["", "sha256="])
    def test_ecom360_signs_the_body_in_either_encoding(self, bench: Bench, prefix: str) -> None:
        raw = mac(BODY)
        for signature in (raw.hex(), base64.b64encode(raw).decode()):
            given = prefix + signature if prefix == "" or signature == raw.hex() else signature
            bench.authenticate(bench.request(BODY, {**ECOM360, "x-webhook-signature": given}))
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY + b" ", {**ECOM360, "x-webhook-signature": raw.hex()}))
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY, ECOM360))

    def test_the_topic_header_does_not_undo_the_timestamp(self, bench: Bench) -> None:
        headers = {**signed(late=timedelta(hours=2)), **ECOM360}
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(BODY, headers))

    def test_what_cashfree_does_not_publish_is_a_setting(self, bench: Bench) -> None:
        bench.configure(
            signature={"header": "X-Sign", "algorithm": "sha512", "encoding": "hex", "signed_parts": ["body"]}
        )
        bench.authenticate(bench.request(BODY, {"x-sign": mac(BODY, algorithm="sha512").hex()}))
        for wrong in ({"algorithm": "md5"}, {"signed_parts": ["timestamp"]}, {"signed_parts": ["nonce", "body"]}):
            with pytest.raises(AuthenticationFailed):
                bench.configure(signature=wrong).authenticate(bench.request(BODY, signed()))


class TestPayments:
    @pytest.mark.parametrize(
        ("kind", "status", "signal"),
        [
            ("PAYMENT_SUCCESS_WEBHOOK", "SUCCESS", Signal.PURCHASED),
            ("PAYMENT_SUCCESS_WEBHOOK", "PENDING", Signal.PAYMENT_STARTED),
            ("PAYMENT_SUCCESS_WEBHOOK", "FAILED", Signal.PAYMENT_FAILED),
            ("PAYMENT_FAILED_WEBHOOK", "FAILED", Signal.PAYMENT_FAILED),
            ("PAYMENT_FAILED_WEBHOOK", None, Signal.PAYMENT_FAILED),
            ("PAYMENT_FAILED_WEBHOOK", "SUCCESS", Signal.PAYMENT_STARTED),
            ("PAYMENT_USER_DROPPED_WEBHOOK", "USER_DROPPED", Signal.ABANDONED),
            ("PAYMENT_USER_DROPPED_WEBHOOK", None, Signal.ABANDONED),
        ],
    )
    def test_event(self, bench: Bench, kind: str, status: str | None, signal: Signal) -> None:
        assert bench.change(payment(kind, status)).signal is signal

    @pytest.mark.parametrize(
        "kind",
        [
            *("WEBHOOK", "PAYMENT_CHARGES_WEBHOOK", "REFUND_STATUS_WEBHOOK", "AUTO_REFUND_STATUS_WEBHOOK"),
            *("SETTLEMENT_SUCCESS", "DISPUTE_CREATED", "SUBSCRIPTION_STATUS_CHANGED", "PAYMENT_LINK_EVENT"),
        ],
    )
    def test_other_things_are_ignored(self, bench: Bench, kind: str) -> None:
        assert bench.normalise({"type": kind, "data": {}}).ignored

    @pytest.mark.parametrize(
        "body",
        [
            payment("PAYMENT_SUCCESS_WEBHOOK", None),
            payment("PAYMENT_SUCCESS_WEBHOOK", "MAYBE"),
            payment("PAYMENT_SUCCESS_WEBHOOK", "SUCCESS", order={}),
            payment("SOMETHING_NEW", "SUCCESS"),
        ],
    )
    def test_unknown_shapes_are_not_guessed(self, bench: Bench, body: Any) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body)

    def test_the_attempts_of_an_order_are_one_checkout_and_each_an_event(self, bench: Bench) -> None:
        first = bench.change(payment("PAYMENT_FAILED_WEBHOOK", "FAILED"), {"x-idempotency-key": "k-1"})
        paid = bench.change(payment("PAYMENT_SUCCESS_WEBHOOK", "SUCCESS"), {"x-idempotency-key": "k-2"})
        assert first.external_id == paid.external_id == "o-1"
        assert first.event_id != paid.event_id
        assert paid.join_tokens == (first.leaves["join_token"],)
        assert paid.join_contact

    def test_a_late_authorisation_is_no_duplicate_of_its_pending(self, bench: Bench) -> None:
        pending = bench.change(payment("PAYMENT_SUCCESS_WEBHOOK", "PENDING"), {"x-idempotency-key": "k"})
        final = bench.change(payment("PAYMENT_SUCCESS_WEBHOOK", "SUCCESS"), {"x-idempotency-key": "k"})
        assert pending.event_id != final.event_id

    def test_the_numeric_payment_id_of_2022_identifies_the_event(self, bench: Bench) -> None:
        body = payment(
            "PAYMENT_SUCCESS_WEBHOOK", "SUCCESS", payment={"cf_payment_id": 2**60, "payment_status": "SUCCESS"}
        )
        assert bench.change(body).event_id == f"{2**60}:PAYMENT_SUCCESS:SUCCESS"

    def test_a_drop_may_start_a_timer_instead(self, bench: Bench) -> None:
        body = payment("PAYMENT_USER_DROPPED_WEBHOOK", "USER_DROPPED")
        assert bench.configure(on_arrival="timer").change(body).signal is Signal.ACTIVITY

    def test_totals_without_lines_are_not_an_empty_cart(self, bench: Bench) -> None:
        cart = bench.change(payment("PAYMENT_FAILED_WEBHOOK", "FAILED")).cart
        assert cart is not None
        assert not cart.is_empty()
        assert cart.currency_assumed


class TestAbandonedCarts:
    def test_only_a_phone(self, bench: Bench) -> None:
        shown = bench.checkout(
            {"type": "ABANDONED_CHECKOUT_WEBHOOK", "data": {"cartId": 9007199254740993, "phone": 9845012345}}
        )
        assert shown["external_id"] == "9007199254740993"
        assert shown["customer"]["phone"] == "+919845012345"
        assert shown["items"] == []
        assert shown["totals"]["total"] is None

    def test_only_a_zip_of_the_address(self, bench: Bench) -> None:
        data = {"checkout_id": "c", "email": "a@b.in", "address": {"zip": "110001", "city": "", "state": None}}
        address = bench.checkout({"type": "ABANDONED_CHECKOUT_WEBHOOK", "data": data})["shipping_address"]
        assert {name for name, value in address.items() if value is not None} == {"postal_code"}

    def test_what_is_assumed_and_missing_is_told(self, bench: Bench) -> None:
        said = bench.normalise(
            {"type": "ABANDONED_CHECKOUT_WEBHOOK", "data": {"checkout_id": "c", "phone": "9845012345"}}
        )
        assert "fields" in said.assumed
        assert set(said.missing) == {"checkout_url", "items"}

    @pytest.mark.parametrize(
        "body",
        [
            {"type": "ABANDONED_CHECKOUT_WEBHOOK"},
            {"type": "ABANDONED_CHECKOUT_WEBHOOK", "data": {"phone": "9845012345"}},
            {"type": "ABANDONED_CHECKOUT_WEBHOOK", "data": {"checkout_id": "c", "items": []}},
            {"checkout_id": "c", "phone": "9845012345"},
            {},
        ],
    )
    def test_what_does_not_fit_is_quarantined(self, bench: Bench, body: Any) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body)

    def test_the_sources_mapping_wins_over_the_defaults(self, bench: Bench) -> None:
        bench.configure(
            mapping={
                "external_id": "d.ref",
                "customer.phone": "d.msisdn",
                "items": "d.rows[].{title: n, unit_price: p, quantity: q}",
                "totals.total": "d.sum",
                "checkout_url": "d.go",
            },
            money_unit="minor",
        )
        body = {
            "type": "ABANDONED_CHECKOUT_WEBHOOK",
            "d": {"ref": 77, "msisdn": "9845012345", "rows": [{"n": "A", "p": 1050, "q": 2}], "sum": "2100"},
        }
        shown = bench.checkout(body)
        assert shown["external_id"] == "77"
        assert shown["status"] == "abandoned"
        assert shown["customer"]["phone"] == "+919845012345"
        assert shown["items"][0]["unit_price"] == {"amount": "10.50", "currency": "INR"}
        assert shown["totals"]["total"] == {"amount": "21.00", "currency": "INR"}

    @pytest.mark.parametrize("kind", [None, "ABANDONED_CHECKOUT_WEBHOOK", "CHECKOUT_DROPPED_WEBHOOK"])
    def test_a_mapping_that_finds_the_checkout_makes_any_name_of_the_event_do(
        self, bench: Bench, kind: str | None
    ) -> None:
        bench.configure(mapping={"external_id": "ref", "customer.email": "who"})
        body = {"ref": "r-1", "who": "a@b.in"} | ({"type": kind} if kind else {})
        assert bench.checkout(body)["external_id"] == "r-1"
        with pytest.raises(NotUnderstood):
            bench.normalise({"who": "a@b.in"} | ({"type": kind} if kind else {}))

    def test_the_request_id_tells_repeats(self, bench: Bench) -> None:
        body = bench.sample_bytes("ecom360-abandoned-checkout")
        assert bench.change(body, {**ECOM360, "x-request-id": "r-1"}).event_id == "r-1"
        assert bench.change(body, ECOM360).event_id is None


@pytest.mark.timed
@pytest.mark.parametrize("name", [*SAMPLES, "ecom360-abandoned-checkout"])
def test_any_authentic_body_has_an_answer(name: str) -> None:
    bench = Bench("cashfree")
    headers = ECOM360 if name.startswith("ecom") else {}

    @settings(max_examples=40, deadline=timedelta(seconds=5), suppress_health_check=[HealthCheck.too_slow])
    @given(mutations(bench.sample(name)))
    def holds(body: Any) -> None:
        with contextlib.suppress(NotUnderstood):
            bench.preview(body, headers)

    holds()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[]", b"1", b'"x"', b"[" * 100_000, json.dumps({"a": 1}).encode()]
)
def test_any_bytes_have_an_answer(bench: Bench, body: bytes) -> None:
    with pytest.raises((NotReadable, NotUnderstood)):
        bench.normalise(body)


def test_the_digest_stands_for_the_body(bench: Bench) -> None:
    body = bench.sample_bytes("payment-success")
    assert bench.change(body).body_digest == hashlib.sha256(body).digest()[:16]
