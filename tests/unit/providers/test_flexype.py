"""FlexyPe: three generations of one session stream."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.merchant import SourceCredentials
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, Effect, apply
from shared.providers.flexype import STAGES
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

HEADER = "X-Flexype-Authorization"
FLAT = ("acr", "acr-completed")
ENVELOPES = ("acr-checkout", "abandoned-checkout")


@pytest.fixture
def bench() -> Bench:
    return Bench("flexype")


def arrival(bench: Bench, after: timedelta = timedelta()) -> Arrival:
    return Arrival(bench.merchant.id, bench.source.id, "flexype", ARRIVED_AT + after, Settings())


def played(bench: Bench, *events: tuple[CheckoutChange, timedelta]) -> Checkout:
    """The checkout after the events, each with its time of arrival."""
    checkout: Checkout | None = None
    for change, after in events:
        checkout = apply(checkout, change, arrival(bench, after)).checkout
    assert checkout is not None
    return checkout


@pytest.mark.parametrize("name", [*FLAT, *ENVELOPES])
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


def test_the_flat_form_of_2025_09_says_the_same_and_has_an_event_id(bench: Bench) -> None:
    headers = {"X-Webhook-Version": "2025-09", "X-Event-Id": "evt_9", "X-Webhook-Id": "wh_1"}
    assert bench.checkout(bench.sample_bytes("acr"), headers) == bench.expected("acr")
    assert bench.change(bench.sample_bytes("acr"), headers).event_id == "evt_9"
    assert bench.change(bench.sample_bytes("acr")).event_id is None


class TestAuthentication:
    def test_the_secret_is_compared(self, bench: Bench) -> None:
        bench.authenticate(bench.request(b"{}", {HEADER: SECRET}))

    @pytest.mark.parametrize("given", [None, "", "wrong", SECRET.upper(), SECRET + " ", "\ud800", "é"])
    def test_anything_else_is_refused(self, bench: Bench, given: str | None) -> None:
        headers = {} if given is None else {HEADER: given}
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(b"{}", headers))

    def test_two_secrets_hold_during_a_rotation(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            bench.authenticate(bench.request(b"{}", {HEADER: secret}))

    @pytest.mark.parametrize("secrets", [(), ("",)])
    def test_a_source_without_a_secret_takes_nothing(self, bench: Bench, secrets: tuple[str, ...]) -> None:
        bench.credentials = SourceCredentials(secrets=secrets)
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(b"{}", {HEADER: ""}))


def flat(state: Any) -> dict[str, Any]:
    return {**Bench("flexype").sample("acr"), "session_state": state}


def enveloped(event_type: str | None, state: str | None, at: str | None = "2026-11-21T09:59:00Z") -> dict[str, Any]:
    payload: dict[str, Any] = Bench("flexype").sample("acr-checkout")
    payload |= {"event_type": event_type, "event_time": at}
    payload["payload"]["session_state"] = state
    return payload


class TestMeaning:
    @pytest.mark.parametrize("state", STAGES)
    def test_flat_states(self, bench: Bench, state: str) -> None:
        meant = {"PAYMENT_INITIATED": Signal.PAYMENT_STARTED, "COMPLETED": Signal.PURCHASED}
        change = bench.change(flat(state))
        assert change.signal is meant.get(state, Signal.ACTIVITY)
        assert change.leaves["stage"] == state.lower()

    @pytest.mark.parametrize(
        ("event_type", "state", "signal"),
        [
            ("ACR_CHECKOUT", "ADDRESS_LOADED", Signal.ACTIVITY),
            ("ACR_CHECKOUT", "PAYMENT_INITIATED", Signal.PAYMENT_STARTED),
            ("ACR_CHECKOUT", "COMPLETED", Signal.PURCHASED),
            ("ACR_CHECKOUT", None, Signal.ACTIVITY),
            ("ACR", "PHONE_ENTERED", Signal.ACTIVITY),
            ("ABANDONED_CHECKOUT", "PHONE_ENTERED", Signal.ABANDONED),
            ("ABANDONED_CHECKOUT", None, Signal.ABANDONED),
            ("ABANDONED_CHECKOUT", "COMPLETED", Signal.PURCHASED),
            ("abandoned_checkout", "phone_entered", Signal.ABANDONED),
        ],
    )
    def test_enveloped_events(self, bench: Bench, event_type: str, state: str | None, signal: Signal) -> None:
        assert bench.change(enveloped(event_type, state)).signal is signal

    @pytest.mark.parametrize(
        "event_type", ["ABANDONED_SESSION", "ASR", "PRODUCT_VIEWED", "COLLECTION_VIEWED", "NEW_CUSTOMER"]
    )
    def test_events_without_a_checkout_are_ignored(self, bench: Bench, event_type: str) -> None:
        for payload in (bench.sample("abandoned-session") | {"event_type": event_type}, {"event_type": event_type}):
            normalised = bench.normalise(payload)
            assert normalised.ignored is not None
            assert not normalised.changes

    def test_a_flat_browsing_session_is_ignored(self, bench: Bench) -> None:
        body = {"merchant_id": "m", "user": {"phone": "1"}, "cart_items": [], "pages": ["/"], "last_page_visited": None}
        assert bench.normalise(body).ignored is not None

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            flat(None),
            flat(""),
            flat("ORDER_PLACED"),
            flat("ACR") | {"checkout_url": "https://shop.example.com/"},
            flat("INITIATED") | {"checkout_url": None},
            enveloped("ORDER_PAID", "COMPLETED"),
            enveloped("ACR_CHECKOUT", "ORDER_PLACED"),
            enveloped(None, None),
            enveloped("ACR_CHECKOUT", "INITIATED") | {"payload": None, "checkout_url": None},
            enveloped("ACR_CHECKOUT", "INITIATED") | {"payload": ["?"]},
            {"event_type": "ACR_CHECKOUT", "event_time": "2026-11-21T09:59:00Z", "payload": {"user": {}}},
        ],
    )
    def test_an_unknown_shape_is_not_guessed(self, bench: Bench, payload: dict[str, Any]) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(payload)

    @pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff", b"{", b"NaN"])
    def test_what_is_not_json_is_not_readable(self, bench: Bench, body: bytes) -> None:
        with pytest.raises(NotReadable):
            bench.normalise(body)

    @pytest.mark.parametrize("name", ["acr", *ENVELOPES])
    def test_the_source_may_overrule_what_arrival_means(self, bench: Bench, name: str) -> None:
        body = bench.sample_bytes(name)
        assert bench.configure(on_arrival="abandoned").change(body).signal is Signal.ABANDONED
        assert bench.configure(on_arrival="timer").change(body).signal is Signal.ACTIVITY

    def test_a_completed_session_is_bought_whatever_the_source_says(self, bench: Bench) -> None:
        assert bench.configure(on_arrival="abandoned").change(flat("COMPLETED")).signal is Signal.PURCHASED


class TestOrder:
    """Flat bodies are ordered by stage within two minutes; envelopes by their own time; never one by the other."""

    def test_a_late_lower_stage_moves_nothing(self, bench: Bench) -> None:
        checkout = played(
            bench,
            (bench.change(flat("PAYMENT_LOADED")), timedelta()),
            (bench.change(flat("PHONE_ENTERED")), timedelta(seconds=30)),
        )
        assert checkout.text("stage") == "payment_loaded"

    def test_a_shopper_who_goes_back_is_believed_later(self, bench: Bench) -> None:
        checkout = played(
            bench,
            (bench.change(flat("PAYMENT_LOADED")), timedelta()),
            (bench.change(flat("ADDRESS_LOADED")), timedelta(minutes=3)),
        )
        assert checkout.text("stage") == "address_loaded"

    def test_an_older_envelope_moves_nothing_however_late(self, bench: Bench) -> None:
        newer = bench.change(enveloped("ACR_CHECKOUT", "ADDRESS_LOADED", "2026-11-21T09:59:00Z"))
        older = bench.change(enveloped("ACR_CHECKOUT", "PAYMENT_LOADED", "2026-11-21T09:58:59.999Z"))
        checkout = played(bench, (newer, timedelta()), (older, timedelta(minutes=10)))
        assert checkout.text("stage") == "address_loaded"

    def test_in_the_same_second_the_later_stage_stands(self, bench: Bench) -> None:
        events = [
            bench.change(enveloped("ACR_CHECKOUT", state) | {"event_id": state})
            for state in ("PHONE_ENTERED", "PAYMENT_LOADED")
        ]
        for first, second in (events, events[::-1]):
            checkout = played(bench, (first, timedelta()), (second, timedelta(seconds=1)))
            assert checkout.text("stage") == "payment_loaded"

    @pytest.mark.parametrize("state", STAGES[:-1])
    def test_a_shop_that_moves_to_envelopes_loses_no_event(self, bench: Bench, state: str) -> None:
        before = apply(None, bench.change(flat(state)), arrival(bench)).checkout
        change = bench.change(
            enveloped("ACR_CHECKOUT", "OTP_VERIFIED")
            | {"payload": bench.sample("acr") | {"session_state": "OTP_VERIFIED"}}
        )
        applied = apply(before, change, arrival(bench, timedelta(seconds=5)))
        assert applied.effect is Effect.MERGED
        assert applied.checkout.text("stage") == "otp_verified"

    def test_a_shop_that_moves_back_is_believed_after_the_reordering_window(self, bench: Bench) -> None:
        envelope = bench.change(
            enveloped("ACR_CHECKOUT", "PHONE_ENTERED")
            | {"payload": bench.sample("acr") | {"session_state": "INITIATED"}}
        )
        later = bench.change(flat("PAYMENT_LOADED"))
        assert played(bench, (envelope, timedelta()), (later, timedelta(minutes=3))).text("stage") == "payment_loaded"

    def test_without_a_time_the_stage_orders_envelopes_too(self, bench: Bench) -> None:
        for unusable in (None, "", "yesterday", "1795255200"):
            assert bench.change(enveloped("ACR_CHECKOUT", "INITIATED", unusable)).order_key.clockless

    @pytest.mark.parametrize("name", [*FLAT, *ENVELOPES])
    def test_completion_stands_whatever_comes_before_or_after(self, bench: Bench, name: str) -> None:
        completed = bench.change(flat("COMPLETED"))
        other = bench.change(bench.sample("acr-checkout") | {"payload": bench.sample("acr")})
        for events in ((completed, other), (other, completed)):
            checkout = played(bench, *((own, timedelta(minutes=3 * at)) for at, own in enumerate(events)))
            assert checkout.status is Status.COMPLETED

    def test_a_declared_abandonment_carries_the_vendors_time(self, bench: Bench) -> None:
        checkout = played(bench, (bench.change(bench.sample_bytes("abandoned-checkout")), timedelta()))
        assert checkout.reason is Reason.PROVIDER_DECLARED
        assert checkout.abandoned_at == datetime(2026, 11, 21, 9, 59, 45, 250_000, tzinfo=UTC)


class TestAwkwardValues:
    def user(self, **user: Any) -> dict[str, Any]:
        return flat("PHONE_ENTERED") | {"user": user}

    @pytest.mark.parametrize(
        ("user", "phone"),
        [
            ({"phone_no": "7777788888", "dial_code": "91"}, "+917777788888"),
            ({"phone_no": 7777788888, "dial_code": 91}, "+917777788888"),
            ({"phone_no": "7777788888", "dial_code": "+91"}, "+917777788888"),
            ({"phone_no": "917777788888", "dial_code": "91"}, "+917777788888"),
            ({"phone_no": "7777788888"}, "+917777788888"),
            ({"phone": "501234567", "dial_code": "971"}, "+971501234567"),
            ({"phone_with_dial_code": "917777788888"}, "+917777788888"),
            ({"phone_with_dial_code": "+971501234567"}, "+971501234567"),
            ({"phone_no": "501234567", "address": {"country_code": "AE"}}, "+971501234567"),
            ({"phone_no": "12", "dial_code": "91"}, None),
            ({"phone_no": "", "dial_code": "91"}, None),
            ({"phone_no": None}, None),
            ({}, None),
        ],
    )
    def test_phones(self, bench: Bench, user: dict[str, Any], phone: str | None) -> None:
        assert bench.checkout(self.user(**user))["customer"]["phone"] == phone

    def test_only_a_postal_code(self, bench: Bench) -> None:
        shown = bench.checkout(self.user(address={"postal_code": 391101, "city": " "}))
        assert {name: value for name, value in shown["shipping_address"].items() if value} == {"postal_code": "391101"}

    @pytest.mark.parametrize("address", [None, {}, "", [], {"address1": "", "city": None}])
    def test_no_address(self, bench: Bench, address: Any) -> None:
        assert bench.checkout(self.user(address=address))["shipping_address"] is None

    def test_an_empty_cart_is_known_to_be_empty_and_a_missing_one_is_not(self, bench: Bench) -> None:
        empty = bench.change(flat("INITIATED") | {"cart_items": []}).cart
        assert empty is not None
        assert empty.is_empty()
        unknown = flat("INITIATED")
        del unknown["cart_items"], unknown["total_payable"]
        assert bench.change(unknown).cart is None

    def test_zero_is_a_price_and_null_is_not(self, bench: Bench) -> None:
        payload: dict[str, Any] = flat("INITIATED") | {"total_payable": 0, "discount": "0"}
        payload["cart_items"][0] |= {"price": 0, "total_price": None}
        shown = bench.checkout(payload)
        assert shown["totals"]["total"] == {"amount": "0.00", "currency": "INR"}
        assert shown["totals"]["discount"] == {"amount": "0.00", "currency": "INR"}
        assert shown["items"][0]["unit_price"] == {"amount": "0.00", "currency": "INR"}
        assert bench.checkout(payload | {"discount": None})["totals"]["discount"] is None

    def test_the_currency_is_the_sources(self, bench: Bench) -> None:
        shown = bench.configure(currency="JPY").checkout(flat("INITIATED"))
        assert shown["totals"]["total"] == {"amount": "630", "currency": "JPY"}
        assert shown["currency_assumed"]
        assert bench.preview(flat("INITIATED")).assumed == ("currency",)

    def test_a_currency_that_is_sent_is_believed(self, bench: Bench) -> None:
        payload = enveloped("ACR_CHECKOUT", "INITIATED")
        payload["payload"]["currency"] = "aed"
        shown = bench.checkout(payload)
        assert shown["totals"]["total"] == {"amount": "949.50", "currency": "AED"}
        assert not shown["currency_assumed"]

    def test_thirty_lines_ids_beyond_doubles_and_emoji(self, bench: Bench) -> None:
        payload = flat("INITIATED")
        line = payload["cart_items"][0] | {"product_id": 2**53 + 1, "title": "नमस्ते 🛍️", "variant": None}
        shown = bench.checkout(payload | {"cart_items": [line] * 30})
        assert shown["item_count"] == 30
        assert shown["items"][29]["product_id"] == "9007199254740993"
        assert shown["items"][29]["title"] == "नमस्ते 🛍️"

    def test_click_ids_are_kept_only_where_the_merchant_wants_them(self, bench: Bench) -> None:
        body = bench.sample_bytes("acr")
        assert "click_ids" not in bench.checkout(body)["attribution"]
        kept = bench.configure(keep_click_ids=True).checkout(body)["attribution"]["click_ids"]
        assert set(kept) == {"fbclid", "fbc", "fbp"}

    def test_an_address_of_the_client_is_never_kept(self, bench: Bench) -> None:
        assert "1.1.1.1" not in str(bench.checkout(bench.sample_bytes("acr")))

    def test_an_envelope_may_name_its_session_itself(self, bench: Bench) -> None:
        payload = enveloped("ACR_CHECKOUT", "INITIATED")
        payload["payload"] |= {"checkout_url": "https://shop.example.com/checkout", "checkout_id": 77}
        assert bench.change(payload).external_id == "77"
        assert "external_id" in bench.preview(payload).assumed

    def test_the_sources_own_mapping_wins(self, bench: Bench) -> None:
        bench.configure(mapping={"customer.first_name": "payload.user.full_name", "external_id": "payload.ref"})
        payload = enveloped("ACR_CHECKOUT", "INITIATED")
        payload["payload"] |= {"checkout_url": None, "ref": "r-1"}
        shown = bench.checkout(payload)
        assert shown["external_id"] == "r-1"
        assert shown["customer"]["first_name"] == "Asha Rao"


@settings(deadline=None)  # a busy machine is no failure
@given(mutations(Bench("flexype").sample("acr")) | mutations(Bench("flexype").sample("abandoned-checkout")))
def test_every_body_is_taken_or_refused_in_order(payload: Any) -> None:
    bench = Bench("flexype")
    try:
        bench.preview(payload, {"X-Event-Id": "evt"})
    except (NotUnderstood, NotReadable):
        return
