"""Shopflo: an unsigned abandoned checkout with a microsecond clock."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared.domain.change import Signal
from shared.domain.merchant import SourceCredentials
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import SECRET, Bench, mutations

SAMPLES = ("checkout-abandoned", "order-completed")
TOKEN = "u" * 43


@pytest.fixture
def bench() -> Bench:
    return Bench("shopflo")


def abandoned(**parts: Any) -> dict[str, Any]:
    return {"event_name": "checkout_abandoned", "checkout_id": "c-1", **parts}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


class TestAuthentication:
    def test_the_urls_token(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(url_token=TOKEN)
        bench.authenticate(bench.request(b"{}", query={"token": TOKEN}))

    @pytest.mark.parametrize("headers", [{"Authorization": SECRET}, {"Authorization": f"Bearer {SECRET}"}])
    def test_or_a_header_with_the_secret(self, bench: Bench, headers: dict[str, str]) -> None:
        bench.authenticate(bench.request(b"{}", headers))
        bench.credentials = SourceCredentials(secrets=("new", SECRET))
        bench.authenticate(bench.request(b"{}", headers))

    def test_under_a_name_of_the_merchants_own(self, bench: Bench) -> None:
        bench.configure(signature={"header": "X-Shop-Secret"})
        bench.authenticate(bench.request(b"{}", {"x-shop-secret": SECRET}))
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(b"{}", {"authorization": SECRET}))

    @pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "u", "é"])
    @pytest.mark.parametrize("header", [None, "", "Bearer ", "Bearer wrong", "wrong"])
    def test_anything_else_is_refused(self, bench: Bench, token: str | None, header: str | None) -> None:
        headers = {} if header is None else {"authorization": header}
        request = bench.request(b"{}", headers, query={} if token is None else {"token": token})
        for credentials in (
            SourceCredentials(),
            SourceCredentials(secrets=("",), url_token=""),
            SourceCredentials(secrets=(SECRET,), url_token=TOKEN),
        ):
            bench.credentials = credentials
            with pytest.raises(AuthenticationFailed):
                bench.authenticate(request)


class TestMeaning:
    @pytest.mark.parametrize(
        ("event", "signal"),
        [
            ("checkout_abandoned", Signal.ABANDONED),
            ("order_completed", Signal.PURCHASED),
            ("order_placed", Signal.PURCHASED),
            ("added_to_cart_ui", None),
            ("store_page_view", None),
        ],
    )
    def test_event(self, bench: Bench, event: str, signal: Signal | None) -> None:
        said = bench.normalise({"event_name": event, "checkout_id": "c", "order_id": 1})
        assert [change.signal for change in said.changes] == ([signal] if signal else [])
        assert (said.ignored is None) == (signal is not None)

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"event_name": "checkout_stepped", "checkout_id": "c"},
            {"event_name": "checkout_abandoned"},
            {"event_name": "order_completed", "checkout_id": "c"},
        ],
    )
    def test_unknown_shapes_are_not_guessed(self, bench: Bench, body: Any) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body)

    def test_a_source_may_run_its_own_timer(self, bench: Bench) -> None:
        assert bench.configure(on_arrival="timer").change(abandoned()).signal is Signal.ACTIVITY

    def test_microseconds_order_events(self, bench: Bench) -> None:
        first, second = (
            bench.change(abandoned(updated_at=f"2026-11-21T09:00:00.00000{digit}Z")).order_key.value for digit in (1, 2)
        )
        assert first < second

    def test_an_order_names_its_checkout_its_cart_or_only_the_shopper(self, bench: Bench) -> None:
        order = {"event_name": "order_completed", "order_id": 5}
        named = bench.change({**order, "checkout_id": "c-1"})
        assert (named.external_id, named.join_tokens, named.join_contact) == ("c-1", (), False)
        carted = bench.change({**order, "cart_token": "t?key=k"})
        assert (carted.external_id, carted.join_tokens, carted.join_contact) == ("order:5", ("t",), True)
        assert carted.join_tokens == (bench.change(abandoned(cart_token="t?key=other")).leaves["cart_id"],)
        assert bench.change(order).join_contact


class TestAwkwardValues:
    @pytest.mark.parametrize(
        ("flag", "marketing", "whatsapp"),
        [
            (True, "granted", "unknown"),
            (False, "denied", "denied"),
            (None, "unknown", "unknown"),
            ("", "unknown", "unknown"),
        ],
    )
    def test_consent(self, bench: Bench, flag: Any, marketing: str, whatsapp: str) -> None:
        consent = bench.checkout(abandoned(customer={"marketing_consent": flag}))["consent"]
        assert consent["marketing"] == marketing
        assert consent["channels"]["whatsapp"] == whatsapp

    def test_only_a_zip_null_addresses_and_blank_texts(self, bench: Bench) -> None:
        shown = bench.checkout(
            abandoned(shipping_address={"zip": 411001, "city": ""}, billing_address=None, email="", customer=None)
        )
        assert shown["shipping_address"]["postal_code"] == "411001"
        assert shown["shipping_address"]["city"] is None
        assert shown["billing_address"] is None
        assert shown["customer"]["email"] is None

    def test_an_empty_cart_and_a_free_one(self, bench: Bench) -> None:
        empty = bench.change(abandoned(line_items=[], currency="INR")).cart
        assert empty is not None
        assert empty.is_empty()
        free = bench.checkout(abandoned(line_items=[{"price": "0.00", "quantity": 1}], currency="INR", total_price=0))
        assert free["totals"]["total"] == {"amount": "0.00", "currency": "INR"}

    def test_float_noise_other_currencies_and_many_lines(self, bench: Bench) -> None:
        body = abandoned(
            line_items=[{"price": "10.1", "id": 2**60}] * 30, currency="usd", total_price=303.0000000000001
        )
        shown = bench.checkout(body)
        assert shown["item_count"] == 30
        assert shown["items"][0]["id"] == str(2**60)
        assert shown["totals"]["total"] == {"amount": "303.00", "currency": "USD"}

    def test_the_link_is_read_from_the_notes_where_it_stands_nowhere_else(self, bench: Bench) -> None:
        notes = [
            {"name": "shopflo_checkout_url", "value": "https://checkout.shopflo.co/?tokenId=1"},
            {"name": "gift", "value": "y"},
        ]
        shown = bench.checkout(abandoned(note_attributes=notes))
        assert shown["checkout_url"] == shown["recovery_url"] == "https://checkout.shopflo.co/?tokenId=1"
        assert shown["attributes"] == {"gift": "y"}


@pytest.mark.timed
@pytest.mark.parametrize("name", SAMPLES)
def test_any_authentic_body_has_an_answer(name: str) -> None:
    bench = Bench("shopflo")

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
