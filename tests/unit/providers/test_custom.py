"""Merchant-defined webhooks: any JSON, any proof."""

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from standardwebhooks import Webhook

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, Status
from shared.domain.merchant import SourceCredentials
from shared.domain.money import Money
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, apply
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

NOW = int(ARRIVED_AT.timestamp())
BODY = '{"external_id": "é", "total": 1.50}'.encode()
TOKEN = "a-token-of-256-bit"


@pytest.fixture
def bench() -> Bench:
    bench = Bench("custom")
    bench.credentials = SourceCredentials(secrets=(SECRET,), url_token=TOKEN)
    return bench


def mapped(bench: Bench) -> Bench:
    return bench.configure(mapping=bench.sample("mapped.mapping"), money_unit="minor")


def test_the_contracts_own_names_need_no_mapping(bench: Bench) -> None:
    assert bench.checkout(bench.sample_bytes("checkout")) == bench.expected("checkout")
    assert bench.change(bench.sample_bytes("checkout")).event_id == "ev_1"


def test_a_mapping_reads_a_shape_of_its_own(bench: Bench) -> None:
    assert mapped(bench).checkout(bench.sample_bytes("mapped")) == bench.expected("mapped")


def refused(bench: Bench, headers: dict[str, str], body: bytes = BODY, **query: str) -> None:
    with pytest.raises(AuthenticationFailed):
        bench.authenticate(bench.request(body, headers, query=query))


class TestToken:
    """Without signature settings the token in the URL is the proof."""

    def test_the_token_is_compared(self, bench: Bench) -> None:
        bench.authenticate(bench.request(BODY, query={"token": TOKEN}))
        for wrong in ("", TOKEN[:-1], TOKEN.upper(), SECRET, "\ud800"):
            refused(bench, {}, token=wrong)
        refused(bench, {})

    @pytest.mark.parametrize("own", [None, ""])
    def test_a_source_without_one_takes_nothing(self, bench: Bench, own: str | None) -> None:
        bench.credentials = SourceCredentials(url_token=own)
        refused(bench, {}, token="")

    def test_it_is_no_proof_where_a_signature_is_wanted(self, bench: Bench) -> None:
        bench.configure(signature={"header": "X-Sig", "algorithm": "sha256", "encoding": "hex"})
        refused(bench, {}, token=TOKEN)


class TestSharedSecret:
    @pytest.mark.parametrize("given", [SECRET, f"Bearer {SECRET}"])
    def test_it_stands_in_a_header(self, bench: Bench, given: str) -> None:
        bench.configure(signature={"header": "X-My-Secret", "algorithm": "plain"})
        bench.authenticate(bench.request(BODY, {"x-my-secret": given}))

    @pytest.mark.parametrize("given", ["", "wrong", f"Basic {SECRET}", hmac.digest(b"x", BODY, "sha256").hex()])
    def test_anything_else_is_refused(self, bench: Bench, given: str) -> None:
        bench.configure(signature={"header": "X-My-Secret", "algorithm": "plain"})
        refused(bench, {"X-My-Secret": given})

    def test_two_hold_during_a_rotation(self, bench: Bench) -> None:
        bench.configure(signature={"header": "X-My-Secret", "algorithm": "plain"})
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            bench.authenticate(bench.request(BODY, {"X-My-Secret": secret}))


def signed(message: bytes, algorithm: str, encoding: str, secret: str = SECRET) -> str:
    digest = hmac.digest(secret.encode(), message, algorithm)
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()


class TestHmac:
    @pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
    @pytest.mark.parametrize("encoding", ["hex", "base64"])
    def test_every_algorithm_and_encoding(self, bench: Bench, algorithm: str, encoding: str) -> None:
        bench.configure(signature={"header": "X-Sig", "algorithm": algorithm, "encoding": encoding})
        good = signed(BODY, algorithm, encoding)
        bench.authenticate(bench.request(BODY, {"X-SIG": good}))
        bench.authenticate(bench.request(BODY, {"X-Sig": f"{algorithm}={good}"}))
        refused(bench, {"X-Sig": good}, BODY + b" ")
        refused(bench, {"X-Sig": signed(BODY, algorithm, encoding, "other")})
        refused(bench, {"X-Other": good})
        refused(bench, {"X-Sig": "not a signature \ud800"})

    def test_the_defaults_are_those_of_the_api(self, bench: Bench) -> None:
        bench.configure(signature={"header": "X-Sig"})
        bench.authenticate(bench.request(BODY, {"X-Sig": signed(BODY, "sha256", "hex")}))

    @pytest.mark.parametrize("at", [str(NOW), str(NOW * 1000), "2026-11-21T10:04:59Z", str(NOW - 300)])
    def test_a_signed_timestamp_is_fresh(self, bench: Bench, at: str) -> None:
        self.with_timestamp(bench)
        good = signed(f"{at}.".encode() + BODY, "sha256", "base64")
        bench.authenticate(bench.request(BODY, {"X-Sig": good, "X-Time": at}))

    @pytest.mark.parametrize("at", [str(NOW - 301), str(NOW + 301), "", "soon", "9" * 16, "-1", "9" * 5000])
    def test_a_stale_or_unreadable_one_is_refused(self, bench: Bench, at: str) -> None:
        self.with_timestamp(bench)
        refused(bench, {"X-Sig": signed(f"{at}.".encode() + BODY, "sha256", "base64"), "X-Time": at})

    def test_a_missing_or_changed_one_is_refused(self, bench: Bench) -> None:
        self.with_timestamp(bench)
        good = signed(f"{NOW}.".encode() + BODY, "sha256", "base64")
        refused(bench, {"X-Sig": good})
        refused(bench, {"X-Sig": good, "X-Time": str(NOW + 1)})

    @staticmethod
    def with_timestamp(bench: Bench) -> None:
        bench.configure(
            signature={
                "header": "X-Sig",
                "algorithm": "sha256",
                "encoding": "base64",
                "signed_parts": ["timestamp", ".", "body"],
                "timestamp_header": "X-Time",
            }
        )

    def test_other_headers_and_literals_may_be_signed(self, bench: Bench) -> None:
        bench.configure(signature={"header": "X-Sig", "signed_parts": ["v0:", "header:X-Id", ":", "body"]})
        headers = {"X-Id": "id-1", "X-Sig": signed(b"v0:id-1:" + BODY, "sha256", "hex")}
        bench.authenticate(bench.request(BODY, headers))
        refused(bench, {"X-Sig": headers["X-Sig"]})

    @pytest.mark.parametrize(
        "broken",
        [
            {"header": "", "algorithm": "sha256"},
            {"algorithm": "sha256"},
            {"header": "X-Sig", "algorithm": "md5"},
            {"header": "X-Sig", "algorithm": "none"},
            {"header": "X-Sig", "encoding": "rot13"},
            {"header": "X-Sig", "signed_parts": ["timestamp"]},
            {"header": "X-Sig", "signed_parts": "body"},
            {"header": "X-Sig", "signed_parts": ["timestamp", "body"]},
            {"header": "X-Sig", "signed_parts": ["body", "body"]},
            {"header": "X-Sig", "timestamp_header": "X-Time"},
            {"header": "X-Sig", "signed_parts": ["body"], "timestamp_header": "X-Time"},
        ],
    )
    def test_settings_that_cannot_be_meant_prove_nothing(self, bench: Bench, broken: dict[str, Any]) -> None:
        bench.configure(signature=broken)
        refused(bench, {"X-Sig": signed(BODY, "sha256", "hex")})
        refused(bench, {"X-Sig": signed(BODY, "sha256", "hex"), "X-Time": str(NOW)})
        refused(bench, {"X-Sig": signed(BODY + BODY, "sha256", "hex"), "X-Time": str(NOW)})

    def test_a_timestamp_may_be_signed_by_its_headers_name(self, bench: Bench) -> None:
        signature = {"header": "X-Sig", "signed_parts": ["header:x-time", ".", "body"], "timestamp_header": "X-Time"}
        bench.configure(signature=signature)
        for at, good in ((NOW, True), (NOW - 900, False)):
            headers = {"X-Sig": signed(f"{at}.".encode() + BODY, "sha256", "hex"), "X-Time": str(at)}
            if good:
                bench.authenticate(bench.request(BODY, headers))
            else:
                refused(bench, headers)

    @pytest.mark.parametrize("secrets", [(), ("",)])
    def test_a_source_without_a_secret_takes_nothing(self, bench: Bench, secrets: tuple[str, ...]) -> None:
        bench.credentials = SourceCredentials(secrets=secrets, url_token=TOKEN)
        bench.configure(signature={"header": "X-Sig"})
        refused(bench, {"X-Sig": signed(BODY, "sha256", "hex", "")})


class TestStandardWebhooks:
    KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    def headers(self, prefix: str = "webhook", age: int = 0, key: str = KEY, body: bytes = BODY) -> dict[str, str]:
        """As the published library signs."""
        at = ARRIVED_AT - timedelta(seconds=age)
        signature = Webhook(key).sign("msg_1", at, body.decode())
        return {
            f"{prefix}-id": "msg_1",
            f"{prefix}-timestamp": str(NOW - age),
            f"{prefix}-signature": f"v1a,xyz {signature}",
        }

    @pytest.fixture
    def keyed(self, bench: Bench) -> Bench:
        bench.credentials = SourceCredentials(secrets=("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", self.KEY))
        return bench

    @pytest.mark.parametrize("prefix", ["webhook", "svix"])
    @pytest.mark.parametrize("configured", [False, True])
    def test_the_librarys_signature_holds(self, keyed: Bench, prefix: str, configured: bool) -> None:
        if configured:
            keyed.configure(signature={"header": f"{prefix}-signature", "encoding": "base64"})
        keyed.authenticate(keyed.request(BODY, self.headers(prefix)))

    def test_a_secret_of_another_form_is_the_key_itself(self, bench: Bench) -> None:
        key = "whsec_" + base64.b64encode(SECRET.encode()).decode()
        bench.authenticate(bench.request(BODY, self.headers(key=key)))

    @pytest.mark.parametrize("age", [301, -301])
    def test_a_stale_one_is_refused(self, keyed: Bench, age: int) -> None:
        refused(keyed, self.headers(age=age))

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_every_header_is_needed_and_signed(self, keyed: Bench, name: str) -> None:
        refused(keyed, {own: value for own, value in self.headers().items() if own != name})
        refused(keyed, self.headers() | {name: "1"})

    def test_another_body_or_key_is_refused(self, keyed: Bench) -> None:
        refused(keyed, self.headers(), b"{}")
        refused(keyed, self.headers(key="whsec_" + base64.b64encode(b"k" * 24).decode()))

    def test_the_message_id_is_the_events(self, bench: Bench) -> None:
        assert bench.change({"external_id": "1"}, self.headers()).event_id == "msg_1"
        assert bench.change({"external_id": "1", "event_id": "own"}, self.headers()).event_id == "own"


class TestMeaning:
    @pytest.mark.parametrize(
        ("fields", "signal"),
        [
            ({}, Signal.ACTIVITY),
            ({"status": "open"}, Signal.ACTIVITY),
            ({"status": "Payment_Pending"}, Signal.PAYMENT_STARTED),
            ({"status": "payment_failed"}, Signal.PAYMENT_FAILED),
            ({"status": "abandoned"}, Signal.ABANDONED),
            ({"status": "recovered"}, Signal.PURCHASED),
            ({"status": "deleted"}, Signal.ENDED),
            ({"abandoned_at": "2026-11-21T09:00:00Z"}, Signal.ABANDONED),
            ({"completed_at": 1795255080}, Signal.PURCHASED),
            ({"order": {"id": 7}}, Signal.PURCHASED),
            ({"order": {"id": None, "at": None}, "completed_at": None}, Signal.ACTIVITY),
            ({"status": "open", "order": {"id": 7}}, Signal.ACTIVITY),
        ],
    )
    def test_events(self, bench: Bench, fields: dict[str, Any], signal: Signal) -> None:
        assert bench.change({"external_id": "1", **fields}).signal is signal

    @pytest.mark.parametrize("status", [True, ["paid"], {"paid": True}])
    def test_a_status_that_is_no_word_is_not_guessed(self, bench: Bench, status: Any) -> None:
        """``paid: true`` read as activity would be a purchase that nobody heard of."""
        with pytest.raises(NotUnderstood):
            bench.change({"external_id": "1", "status": status})

    @pytest.mark.parametrize("paid", [False, None, "", [], {}])
    def test_an_expression_that_comes_to_nothing_says_nothing(self, bench: Bench, paid: Any) -> None:
        bench.configure(mapping={"external_id": "id", "status": "paid && 'completed'"})
        assert bench.change({"id": "1", "paid": paid}).signal is Signal.ACTIVITY
        assert bench.change({"id": "1", "paid": 1}).signal is Signal.PURCHASED

    @pytest.mark.parametrize(
        ("said", "meant"), [(True, True), ("true", True), (" True ", True), ("false", False), ("x", False), (1, False)]
    )
    def test_a_test_says_so(self, bench: Bench, said: Any, *, meant: bool) -> None:
        assert bench.change({"external_id": "1", "test": said}).test is meant

    def test_the_event_may_stand_in_the_url(self, bench: Bench) -> None:
        assert bench.change({"external_id": "1"}, event="completed").signal is Signal.PURCHASED
        assert bench.change({"external_id": "1", "status": "open"}, event="completed").signal is Signal.ACTIVITY

    def test_the_source_may_overrule_what_arrival_means(self, bench: Bench) -> None:
        assert bench.configure(on_arrival="abandoned").change({"external_id": "1"}).signal is Signal.ABANDONED
        declared = {"external_id": "1", "status": "abandoned"}
        assert bench.configure(on_arrival="timer").change(declared).signal is Signal.ACTIVITY

    def test_an_event_about_no_checkout_is_ignored(self, bench: Bench) -> None:
        assert bench.normalise({"status": "ignored"}).ignored is not None

    @pytest.mark.parametrize(
        "payload",
        [
            *({}, [], None, 7, "text", {"external_id": None}, {"external_id": {"a": 1}}, {"status": "completed"}),
            *({"external_id": "1", "status": "somehow"}, {"status": "completed", "cart_id": "c"}),
        ],
    )
    def test_an_unknown_shape_is_not_guessed(self, bench: Bench, payload: Any) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(payload)

    def test_a_mapping_that_does_not_fit_is_not_guessed(self, bench: Bench) -> None:
        bench.configure(mapping={"external_id": "join('', items)"})
        with pytest.raises(NotUnderstood):
            bench.normalise({"items": 7})

    def test_what_is_not_json_is_not_readable(self, bench: Bench) -> None:
        with pytest.raises(NotReadable):
            bench.normalise(b"id=1")

    def test_a_preview_tells_what_the_mapping_did_not_find(self, bench: Bench) -> None:
        payload = bench.sample("mapped")
        del payload["who"], payload["basket"]["lines"], payload["basket"]["cur"]
        told = mapped(bench).preview(payload)
        wanted = {"customer.email", "customer.phone", "shipping_address.country_code", "items", "currency"}
        assert set(told.missing) == wanted
        assert told.assumed == ("currency",)


class TestCurrency:
    """The contract's own object names the currency in each amount, and nowhere else."""

    @pytest.mark.parametrize(
        "cart",
        [
            {"totals": {"total": {"amount": "8.000", "currency": "KWD"}}},
            {"items": [{"title": "Mug", "quantity": 2, "unit_price": {"amount": "4.000", "currency": "kwd"}}]},
            {"totals": {"tax": None}, "items": [{"quantity": 1, "total": {"amount": "8", "currency": "KWD"}}]},
        ],
    )
    def test_amounts_that_name_their_own_are_in_it(self, bench: Bench, cart: dict[str, Any]) -> None:
        shown = bench.checkout({"external_id": "1", **cart})
        assert shown["totals"]["total"] == {"amount": "8.000", "currency": "KWD"}
        assert shown["currency_assumed"] is False

    def test_what_is_told_beside_them_stands_and_another_is_not_added_to_it(self, bench: Bench) -> None:
        lines = [
            {"title": own, "quantity": 1, "unit_price": {"amount": "1", "currency": own}} for own in ("USD", "EUR")
        ]
        shown = bench.checkout({"external_id": "1", "currency": "EUR", "items": lines})
        assert [own["unit_price"] for own in shown["items"]] == [None, {"amount": "1.00", "currency": "EUR"}]
        assert shown["totals"]["total"] is None

    def test_orders_and_refunds_alike(self, bench: Bench) -> None:
        paid = {
            "external_id": "1",
            "status": "paid",
            "order": {"id": "o", "total": {"amount": "9.50", "currency": "USD"}},
        }
        assert bench.checkout(paid)["order"]["total"] == {"amount": "9.50", "currency": "USD"}
        shown = bench.checkout(paid | {"currency": "INR", "totals": {"total": "800"}})
        assert (shown["totals"]["total"]["currency"], shown["order"]["total"]["currency"]) == ("INR", "USD")
        refund = {"id": "r", "amount": {"amount": "9.50", "currency": "USD"}}
        (reversal,) = bench.normalise({"status": "refunded", "order": {"id": "o"}, "refund": refund}).reversals
        assert [own.amounts for own in reversal.refunds] == [(Money(950, "USD"),)]


class TestIdsOfNothing:
    """What a template writes where there is no id would be one checkout, one cart or one shopper for everybody."""

    @pytest.mark.parametrize("nothing", ["null", "undefined", "None", "NaN", "[object Object]"])
    def test_a_checkout_so_named_is_kept_and_not_merged(self, bench: Bench, nothing: str) -> None:
        with pytest.raises(NotUnderstood):
            bench.change({"external_id": nothing})

    @pytest.mark.parametrize("nothing", ["null", "undefined", "0", 0, "none"])
    def test_a_customer_so_named_is_nobody(self, bench: Bench, nothing: Any) -> None:
        assert "customer.id" not in bench.change({"external_id": "1", "customer": {"id": nothing}}).leaves

    def test_an_order_is_joined_by_no_such_cart(self, bench: Bench) -> None:
        paid = {"status": "paid", "order": {"id": "o-1"}, "join_token": "undefined", "cart_id": "null"}
        assert bench.change(paid).join_tokens == ()
        assert "cart_id" not in bench.change({"external_id": "1", "cart_id": "undefined"}).leaves
        with pytest.raises(NotUnderstood):
            bench.change({"status": "paid", "order": {"id": "undefined"}})

    def test_a_name_is_what_it_says(self, bench: Bench) -> None:
        leaves = bench.change({"external_id": "0", "customer": {"last_name": "Null", "id": "007"}}).leaves
        assert (leaves["customer.last_name"], leaves["customer.id"]) == ("Null", "007")


class TestPurchase:
    def test_one_that_names_no_checkout_is_joined(self, bench: Bench) -> None:
        change = bench.change({"status": "paid", "order": {"id": "o-1"}, "join_token": "t", "cart_id": "c"})
        assert (change.external_id, change.join_tokens, change.join_contact) == ("order:o-1", ("t", "c"), True)
        assert change.order_key.value == ""

    def test_one_that_does_is_not(self, bench: Bench) -> None:
        change = bench.change({"external_id": "1", "status": "paid", "order": {"id": "o-1"}, "cart_id": "c"})
        assert (change.external_id, change.join_tokens, change.join_contact) == ("1", (), False)

    def test_its_total_is_the_orders_else_the_carts(self, bench: Bench) -> None:
        payload = {"external_id": "1", "status": "paid", "currency": "USD", "totals": {"total": "10.00"}}
        assert bench.checkout(payload)["order"]["total"] == {"amount": "10.00", "currency": "USD"}
        own = payload | {"order": {"id": "o", "total": "9.50"}}
        assert bench.checkout(own)["order"]["total"] == {"amount": "9.50", "currency": "USD"}


def played(bench: Bench, *changes: CheckoutChange) -> Checkout:
    checkout: Checkout | None = None
    for at, change in enumerate(changes):
        moment = ARRIVED_AT + timedelta(seconds=at)
        arrival = Arrival(bench.merchant.id, bench.source.id, "custom", moment, Settings())
        checkout = apply(checkout, change, arrival).checkout
    assert checkout is not None
    return checkout


class TestOrder:
    @pytest.mark.parametrize(
        ("older", "newer"),
        [
            ({"sequence": 9}, {"sequence": "10"}),
            ({"updated_at": "2026-11-21T09:00:00.1Z"}, {"updated_at": "2026-11-21T09:00:00.2Z"}),
            ({"updated_at": NOW - 2}, {"updated_at": NOW - 1}),
        ],
    )
    def test_an_older_event_moves_nothing(self, bench: Bench, older: dict[str, Any], newer: dict[str, Any]) -> None:
        first = bench.change({"external_id": "1", "stage": "new", **newer})
        second = bench.change({"external_id": "1", "stage": "old", **older})
        assert played(bench, first, second).text("stage") == "new"
        assert played(bench, second, first).text("stage") == "new"

    def test_without_time_or_counter_the_later_arrival_stands(self, bench: Bench) -> None:
        events = [bench.change({"external_id": "1", "stage": stage}) for stage in ("a", "b", "a")]
        assert played(bench, *events).text("stage") == "a"

    def test_completion_stands_whatever_comes_before_or_after(self, bench: Bench) -> None:
        bought = bench.change({"external_id": "1", "status": "completed", "updated_at": NOW - 50})
        other = bench.change({"external_id": "1", "status": "open", "updated_at": NOW - 10})
        for events in ((bought, other), (other, bought)):
            assert played(bench, *events).status is Status.COMPLETED


class TestLinks:
    def test_the_template_makes_a_link_where_none_is_sent(self, bench: Bench) -> None:
        bench.configure(recovery_url_template="https://shop.example.com/resume?c={cart_id}&x={{ external_id }}")
        payload = {"external_id": "a b/c", "cart_id": "7&8"}
        assert bench.checkout(payload)["checkout_url"] == "https://shop.example.com/resume?c=7%268&x=a%20b%2Fc"
        sent = payload | {"checkout_url": "https://shop.example.com/own"}
        assert bench.checkout(sent)["checkout_url"] == "https://shop.example.com/own"


def test_changed_settings_change_nothing_of_another_source(bench: Bench) -> None:
    other = Bench("custom")
    other.settings = replace(other.settings, mapping={"external_id": "ref"})
    assert other.change({"ref": "r"}).external_id == "r"
    assert bench.change({"external_id": "e"}).external_id == "e"


def test_digest_stands_in_for_an_event_id(bench: Bench) -> None:
    change = bench.change(b'{"external_id": "1"}')
    assert change.event_id is None
    assert change.body_digest == hashlib.sha256(b'{"external_id": "1"}').digest()[:16]


@settings(deadline=None)  # a busy machine is no failure
@given(mutations(Bench("custom").sample("checkout")))
def test_every_body_is_taken_or_refused_in_order(payload: Any) -> None:
    try:
        Bench("custom").preview(payload)
    except (NotUnderstood, NotReadable):
        return


@settings(deadline=None)  # a busy machine is no failure
@given(mutations(Bench("custom").sample("mapped")))
def test_every_mapped_body_is_taken_or_refused_in_order(payload: Any) -> None:
    try:
        mapped(Bench("custom")).preview(payload)
    except (NotUnderstood, NotReadable):
        return
