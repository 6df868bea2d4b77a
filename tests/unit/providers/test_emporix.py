"""Emporix: cart and order events under both strategies of delivery, search pages, and what is pulled."""

import base64
import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.merchant import SourceCredentials
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, apply
from shared.providers.emporix import Emporix, canonical_json
from shared.providers.provider import AuthenticationFailed, Normalised, NotReadable, NotUnderstood, Pull
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

SIGNATURE = "emporix-event-signature"
CART = "6852c1aa9f1e2d3c4b5a6978"
EVENTS = {
    "cart-created": "cart.created",
    "cart-updated": "cart.updated",
    "cart-merged": "cart.merged",
    "cart-item-added": "cart.item-added",
    "cart-closed": "cart.closed",
    "order-created": "order.created",
    "order-updated-in-checkout": "order.updated",
    "order-updated-declined": "order.updated",
}


@pytest.fixture
def bench() -> Bench:
    return Bench("emporix")


def canonical_signature(body: str, secret: str = SECRET) -> str:
    """Base64 of the HMAC over a canonical text that the test wrote itself."""
    return base64.b64encode(hmac.new(secret.encode(), body.encode(), hashlib.sha256).digest()).decode()


def fetched(bench: Bench, content: Any, pull: Pull, after: timedelta = timedelta(seconds=2)) -> Normalised:
    provider = bench.provider
    assert isinstance(provider, Emporix)
    return provider.from_content(content, pull, ARRIVED_AT + after, bench.context)


def played(bench: Bench, *changes: CheckoutChange) -> Checkout:
    """The checkout after the events, a second apart."""
    checkout: Checkout | None = None
    for second, change in enumerate(changes):
        at = ARRIVED_AT + timedelta(seconds=second)
        arrival = Arrival(bench.merchant.id, bench.source.id, "emporix", at, Settings())
        checkout = apply(checkout, change, arrival).checkout
    assert checkout is not None
    return checkout


@pytest.mark.parametrize("name", EVENTS)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name), event=EVENTS[name]) == bench.expected(name)


def test_a_search_page_becomes_a_list_of_checkouts(bench: Bench) -> None:
    shown = bench.preview(bench.sample_bytes("carts-search")).checkouts
    assert [{name: value for name, value in own.items() if name != "id"} for own in shown] == bench.sample(
        "carts-search.expected"
    )


class TestCanonicalJson:
    @pytest.mark.parametrize(
        ("sent", "signed"),
        [
            ('{"b": 1, "a": {"d": [3, {"z": 1, "y": 2}], "c": null}}', '{"a":{"c":null,"d":[3,{"y":2,"z":1}]},"b":1}'),
            ("[1.0, 1.50, -0.0, 42.008, 0.1, 100]", "[1,1.5,0,42.008,0.1,100]"),
            ("[1e21, 1e20, 123456789012345680000, 1e-6, 1e-7, 1.5e-9]", None),
            (
                '{"ä": "K\\u00f6ln", "z": "a/b", "é": "\\"\\\\\\n\\u0007"}',
                '{"z":"a/b","ä":"Köln","é":"\\"\\\\\\n\\u0007"}',
            ),
            ('{"\\ud83d\\ude00": 1, "\\uffee": 2}', '{"😀":1,"\uffee":2}'),
            ('"\\ud800"', '"\\ud800"'),
            ("[true, false, null, []]", "[true,false,null,[]]"),
        ],
    )
    def test_it_is_written_as_a_javascript_stable_stringify_writes_it(self, sent: str, signed: str | None) -> None:
        expected = signed or "[1e+21,100000000000000000000,123456789012345680000,0.000001,1e-7,1.5e-9]"
        assert canonical_json(json.loads(sent)) == expected

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers_keep_their_value(self, value: float) -> None:
        assert float(canonical_json(value)) == value

    @given(
        st.recursive(
            st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_it_says_what_the_body_says(self, value: Any) -> None:
        assert json.loads(canonical_json(value)) == value


class TestHttpStrategy:
    body = '{"siteCode": "DE-main", "id": "c1",\n "total": 10.0, "metadata": {"version": 2, "createdAt": "x"}}'
    canonical = '{"id":"c1","metadata":{"createdAt":"x","version":2},"siteCode":"DE-main","total":10}'

    def test_the_canonical_form_is_proved_not_the_bytes(self, bench: Bench) -> None:
        request = bench.request(self.body.encode(), {SIGNATURE: canonical_signature(self.canonical)})
        bench.authenticate(request)

    @pytest.mark.parametrize(
        "given",
        [
            None,
            "",
            "é",
            canonical_signature(canonical, "wrong"),
            canonical_signature(body),
            canonical_signature(canonical.replace("10", "11")),
            hmac.new(SECRET.encode(), canonical.encode(), hashlib.sha256).hexdigest(),
        ],
    )
    def test_anything_else_is_refused(self, bench: Bench, given: str | None) -> None:
        headers = {} if given is None else {SIGNATURE: given}
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(self.body.encode(), headers))

    @pytest.mark.parametrize("number", [2**53 + 1, 10**30 + 1, -(2**60) - 1])
    def test_every_digit_of_a_whole_number_is_proved(self, bench: Bench, number: int) -> None:
        for sent in (number - 1, number, number + 1):
            request = bench.request(
                f'{{"id": {sent}}}'.encode(), {SIGNATURE: canonical_signature(f'{{"id":{number}}}')}
            )
            if sent == number:
                bench.authenticate(request)
            else:
                with pytest.raises(AuthenticationFailed):
                    bench.authenticate(request)

    def test_a_whole_number_is_what_was_sent_as_one(self, bench: Bench) -> None:
        sent, canonical = '{"b": -0, "a": 9007199254740993.0, "c": 12e0}', '{"a":9007199254740992,"b":0,"c":12}'
        bench.authenticate(bench.request(sent.encode(), {SIGNATURE: canonical_signature(canonical)}))
        digits = "9" * 5_000
        bench.authenticate(bench.request(f"[{digits}]".encode(), {SIGNATURE: canonical_signature(f"[{digits}]")}))

    def test_both_secrets_of_a_rotation_hold(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            signature = canonical_signature(self.canonical, secret)
            bench.authenticate(bench.request(self.body.encode(), {SIGNATURE: signature}))

    @pytest.mark.parametrize("secrets", [(), ("",)])
    def test_without_a_secret_nothing_passes(self, bench: Bench, secrets: tuple[str, ...]) -> None:
        bench.credentials = SourceCredentials(secrets=secrets)
        signature = canonical_signature(self.canonical, "")
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(self.body.encode(), {SIGNATURE: signature}))

    def test_a_signed_body_that_is_not_json_is_told_apart_from_a_forged_one(self, bench: Bench) -> None:
        request = bench.request(b"hello", {SIGNATURE: canonical_signature("hello")})
        bench.authenticate(request)
        with pytest.raises(NotReadable):
            bench.provider.read(request, bench.context)

    def test_nesting_beyond_reason_is_refused(self, bench: Bench) -> None:
        body = b"[" * 100_000 + b"]" * 100_000
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(body, {SIGNATURE: canonical_signature("x")}))


class TestSvixStrategy:
    key = b"0123456789abcdef01234567"
    secret = "whsec_" + base64.b64encode(key).decode()
    body = b'{"id": "c1"}'

    @pytest.fixture
    def svix(self, bench: Bench) -> Bench:
        bench.credentials = SourceCredentials(secrets=(self.secret,))
        return bench

    def headers(self, at: datetime = ARRIVED_AT, key: bytes = key, body: bytes = body) -> dict[str, str]:
        stamp = str(int(at.timestamp()))
        mac = hmac.new(key, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(mac).decode()
        return {"svix-id": "msg_1", "svix-timestamp": stamp, "svix-signature": signature}

    def test_the_raw_bytes_are_proved(self, svix: Bench) -> None:
        svix.authenticate(svix.request(self.body, self.headers()))

    def test_as_the_vendors_library_signs(self, svix: Bench) -> None:
        from svix.webhooks import Webhook

        signature = Webhook(self.secret).sign("msg_1", ARRIVED_AT, self.body.decode())
        headers = {"svix-id": "msg_1", "svix-timestamp": str(int(ARRIVED_AT.timestamp())), "svix-signature": signature}
        svix.authenticate(svix.request(self.body, headers))

    def test_one_good_signature_among_several_is_enough(self, svix: Bench) -> None:
        headers = self.headers()
        headers["svix-signature"] = "v2,abc v1,AAAA x " + headers["svix-signature"]
        svix.authenticate(svix.request(self.body, headers))

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_a_stale_one_is_refused(self, svix: Bench, minutes: int) -> None:
        headers = self.headers(ARRIVED_AT + timedelta(minutes=minutes))
        with pytest.raises(AuthenticationFailed):
            svix.authenticate(svix.request(self.body, headers))

    @pytest.mark.parametrize(
        "change",
        [
            {"svix-id": "msg_2"},
            {"svix-id": ""},
            {"svix-timestamp": "1"},
            {"svix-timestamp": "now"},
            {"svix-signature": ""},
            {"svix-signature": "v1,"},
            {"svix-signature": "v1,é"},
            {"svix-signature": "v1a,AAAA"},
        ],
    )
    def test_what_does_not_fit_is_refused(self, svix: Bench, change: dict[str, str]) -> None:
        with pytest.raises(AuthenticationFailed):
            svix.authenticate(svix.request(self.body, self.headers() | change))

    def test_another_key_body_or_no_secret(self, svix: Bench) -> None:
        for request in (
            svix.request(self.body, self.headers(key=b"another-key-another-key!")),
            svix.request(self.body + b" ", self.headers()),
        ):
            with pytest.raises(AuthenticationFailed):
                svix.authenticate(request)
        svix.credentials = SourceCredentials(secrets=("", "not base64!"))
        with pytest.raises(AuthenticationFailed):
            svix.authenticate(svix.request(self.body, self.headers(key=b"")))

    def test_the_message_id_is_the_event_id(self, svix: Bench) -> None:
        body = svix.sample("cart-updated")
        assert svix.change(body, self.headers(), event="cart.updated").event_id == "msg_1"


class TestMeaning:
    @pytest.mark.parametrize(
        ("name", "signal"),
        [
            ("cart-created", Signal.ACTIVITY),
            ("cart-updated", Signal.ACTIVITY),
            ("cart-merged", Signal.ACTIVITY),
            ("cart-item-added", Signal.ACTIVITY),
            ("cart-closed", Signal.ENDED),
            ("order-created", Signal.PURCHASED),
            ("order-updated-in-checkout", Signal.PAYMENT_STARTED),
            ("order-updated-declined", Signal.PAYMENT_FAILED),
        ],
    )
    def test_documented_events(self, bench: Bench, name: str, signal: Signal) -> None:
        assert bench.change(bench.sample(name), event=EVENTS[name]).signal is signal

    @pytest.mark.parametrize("status", ["CREATED", "CONFIRMED", "SHIPPED", "COMPLETED", "created"])
    def test_an_order_is_a_purchase_once_placed(self, bench: Bench, status: str) -> None:
        body = bench.sample("order-created") | {"status": status}
        assert bench.change(body, event="order.updated").signal is Signal.PURCHASED

    @pytest.mark.parametrize(
        "event", ["order.deleted", "customer.created", "customer.updated", "product.updated", "quote.created"]
    )
    def test_events_about_something_else_are_ignored(self, bench: Bench, event: str) -> None:
        assert bench.normalise({"id": "1", "siteCode": "main"}, event=event).ignored

    @pytest.mark.parametrize(
        ("body", "event"),
        [
            ({"id": "c1", "currency": "EUR"}, None),
            ({}, "cart.updated"),
            ({"itemId": "1"}, "cart.item-added"),
            ({"id": "c1"}, "cart.unheard-of"),
            ({"id": "EON1", "status": "PONDERED"}, "order.created"),
            ({"id": "EON1"}, "order.created"),
            ({"status": "CREATED"}, "order.created"),
            ([{"name": "no cart"}], None),
            (["x"], None),
            ("text", None),
        ],
    )
    def test_what_is_not_understood_is_set_aside(self, bench: Bench, body: Any, event: str | None) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body, event=event)

    def test_the_type_may_come_in_a_header_or_an_envelope_or_the_shape(self, bench: Bench) -> None:
        short = bench.sample("cart-closed")
        assert bench.change(short, {"X-Event-Type": "cart.closed"}).signal is Signal.ENDED
        assert bench.change({"type": "cart.closed", "payload": short}).signal is Signal.ENDED
        assert bench.change(bench.sample("cart-updated")).signal is Signal.ACTIVITY
        assert bench.change(bench.sample("order-created")).signal is Signal.PURCHASED

    @pytest.mark.parametrize("customer", [None, "", "  "])
    def test_an_anonymous_cart_without_contact_is_ignored(self, bench: Bench, customer: str | None) -> None:
        body = bench.sample("cart-updated") | {"customerId": customer, "addresses": []}
        normalised = bench.normalise(body, event="cart.updated")
        assert normalised.ignored == "an anonymous cart without contact"
        assert not normalised.changes
        mapped = bench.configure(mapping={"customer.email": "mixins.contact.email"})
        known = body | {"mixins": {"contact": {"email": "lena@example.com"}}}
        assert mapped.change(known, event="cart.updated").leaves["customer.email"] == "lena@example.com"

    def test_a_guest_who_left_a_phone_is_kept(self, bench: Bench) -> None:
        body = bench.sample("cart-updated") | {"customerId": None}
        assert bench.change(body, event="cart.updated").leaves["customer.phone"] == "+4915112345678"

    def test_a_cart_closed_by_an_update_has_ended(self, bench: Bench) -> None:
        body = bench.sample("cart-updated") | {"status": "CLOSED", "orderId": "EON1"}
        assert bench.change(body, event="cart.updated").signal is Signal.ENDED

    def test_an_order_without_a_cart_is_joined_by_contact(self, bench: Bench) -> None:
        change = bench.change(bench.sample("order-created") | {"cartId": None}, event="order.created")
        assert change.external_id == "order:EON1042"
        assert change.join_contact
        waiting = bench.sample("order-updated-in-checkout") | {"cartId": None}
        assert bench.normalise(waiting, event="order.updated").ignored

    def test_the_order_was_placed_when_it_left_the_checkout(self, bench: Bench) -> None:
        body = bench.sample("order-created") | {"lastStatusChange": "2025-06-18T14:40:00Z"}
        order = bench.change(body, event="order.updated").order
        assert order is not None
        assert order.at == datetime(2025, 6, 18, 14, 40, tzinfo=UTC)
        shipped = bench.change(body | {"status": "SHIPPED"}, event="order.updated").order
        assert shipped is not None
        assert shipped.at == datetime(2025, 6, 18, 14, 20, 4, 880_000, tzinfo=UTC)


class TestOrdering:
    def cart(self, bench: Bench, version: int, units: int) -> CheckoutChange:
        body = bench.sample("cart-updated")
        body["metadata"]["version"] = version
        body["items"] = [body["items"][0] | {"quantity": units}]
        return bench.change(body, event="cart.updated")

    def test_versions_are_compared_as_numbers(self, bench: Bench) -> None:
        cart = played(bench, self.cart(bench, 10, 3), self.cart(bench, 9, 2)).cart
        assert cart is not None
        assert cart.item_count() == 3

    def test_a_late_update_does_not_reopen_a_closed_cart(self, bench: Bench) -> None:
        closed = bench.change(bench.sample("cart-closed"), event="cart.closed")
        assert played(bench, closed, self.cart(bench, 8, 1)).status is Status.EXPIRED

    def test_a_purchase_wins_over_closing_in_either_order(self, bench: Bench) -> None:
        closed = bench.change(bench.sample("cart-closed"), event="cart.closed")
        order = bench.change(bench.sample("order-created"), event="order.created")
        opened = self.cart(bench, 6, 1)
        assert played(bench, opened, closed, order).status is Status.COMPLETED
        assert played(bench, opened, order, closed).status is Status.COMPLETED

    def test_an_order_waiting_for_payment_is_no_purchase(self, bench: Bench) -> None:
        waiting = bench.change(bench.sample("order-updated-in-checkout"), event="order.updated")
        assert played(bench, self.cart(bench, 6, 1), waiting).status is Status.OPEN
        declined = bench.change(bench.sample("order-updated-declined"), event="order.updated")
        assert played(bench, declined).reason is Reason.PAYMENT_FAILED

    def test_without_a_version_the_carts_time_decides(self, bench: Bench) -> None:
        body = bench.sample("cart-updated")
        body["metadata"] = {"modifiedAt": "2025-06-18T13:52:31.902Z"}
        assert bench.change(body, event="cart.updated").order_key.value.startswith("01750254751902000.")
        body["metadata"] = None
        assert bench.change(body, event="cart.updated").order_key.value == ""

    def test_a_closing_without_any_clock_still_ends_the_cart(self, bench: Bench) -> None:
        closed = bench.change({"id": CART, "customerId": "45620911"}, event="cart.closed")
        assert played(bench, self.cart(bench, 6, 1), closed).status is Status.EXPIRED


class TestPulls:
    def test_what_a_body_only_points_to_is_asked_for(self, bench: Bench) -> None:
        created = bench.normalise(bench.sample("cart-created"), event="cart.created").pulls
        assert [pull.kind for pull in created] == ["cart", "customer"]
        assert created[1].reference["customer_id"] == "45620911"
        added = bench.normalise(bench.sample("cart-item-added"), event="cart.item-added").pulls
        assert [(pull.kind, pull.reference["cart_id"], pull.reference["tenant"]) for pull in added] == [
            ("cart", CART, "exampleshop")
        ]
        assert not bench.normalise(bench.sample("cart-closed"), event="cart.closed").pulls
        assert not bench.normalise(bench.sample("order-created"), event="order.created").pulls

    def test_their_paths(self, bench: Bench) -> None:
        provider = bench.provider
        assert isinstance(provider, Emporix)
        bench.credentials = SourceCredentials(secrets=(SECRET,), api={"tenant": "exampleshop"})
        cart, customer = Pull("cart", {"cart_id": "a/b"}), Pull("customer", {"cart_id": "a", "customer_id": "45?x"})
        assert provider.content_path(cart, bench.context) == "/cart/exampleshop/carts/a%2Fb"
        assert provider.content_path(customer, bench.context) == "/customer/exampleshop/customers/45%3Fx"
        bench.credentials = SourceCredentials()
        with pytest.raises(NotUnderstood):
            provider.content_path(cart, bench.context)

    def test_the_pulled_cart_brings_the_total_of_the_same_version(self, bench: Bench) -> None:
        event = bench.normalise(bench.sample("cart-updated"), event="cart.updated")
        (content,) = bench.sample("carts-search")
        (pulled,) = fetched(bench, content, event.pulls[0]).changes
        cart = played(bench, *event.changes, pulled).cart
        assert cart is not None
        total = cart.total()
        assert total is not None
        assert total.amount() == "72.99"
        # and the event of the same version, arriving once more or late, does not take it away
        again = played(bench, pulled, *event.changes).cart
        assert again is not None
        assert again.totals.total == total

    def test_an_older_answer_does_not_overwrite_a_newer_event(self, bench: Bench) -> None:
        (content,) = bench.sample("carts-search")
        newer = bench.sample("cart-updated")
        newer["metadata"]["version"] = 7
        newer["items"] = newer["items"][:1]
        event = bench.normalise(newer, event="cart.updated")
        (pulled,) = fetched(bench, content, event.pulls[0]).changes
        cart = played(bench, *event.changes, pulled).cart
        assert cart is not None
        assert len(cart.items) == 1

    def test_a_pull_is_no_activity_of_the_shopper(self, bench: Bench) -> None:
        (content,) = bench.sample("carts-search")
        change = fetched(bench, content, Pull("cart", {"cart_id": CART})).changes[0]
        assert change.occurred_at == datetime(2025, 6, 18, 13, 52, 31, 902_000, tzinfo=UTC)

    def test_what_was_fetched_while_the_cart_was_closed_does_not_reopen_it(self, bench: Bench) -> None:
        (content,) = bench.sample("carts-search")
        content["metadata"]["version"] = 9
        closed = bench.change(bench.sample("cart-closed"), event="cart.closed")
        pulled = fetched(bench, content, Pull("cart", {"cart_id": CART})).changes
        assert played(bench, closed, *pulled).status is Status.EXPIRED
        assert fetched(bench, content | {"status": "CLOSED"}, Pull("cart", {})).changes[0].signal is Signal.ENDED

    def test_the_customer_fills_the_contact_in(self, bench: Bench) -> None:
        event = bench.normalise(bench.configure(country="DE").sample("cart-created"), event="cart.created")
        pull = next(own for own in event.pulls if own.kind == "customer")
        (change,) = fetched(bench, bench.sample("customer-content"), pull).changes
        checkout = played(bench, *event.changes, change)
        assert checkout.text("customer.email") == "lena.fuchs@example.com"
        assert checkout.text("customer.phone") == "+4915112345678"
        assert checkout.text("customer.first_name") == "Lena"
        assert checkout.order_key == event.changes[0].order_key.value

    def test_nothing_comes_of_nothing(self, bench: Bench) -> None:
        assert fetched(bench, None, Pull("cart", {"cart_id": CART})).ignored
        (content,) = bench.sample("carts-search")
        assert fetched(bench, content | {"customerId": None}, Pull("cart", {})).ignored
        for content, pull in (([], Pull("cart", {})), ({}, Pull("cart", {})), ({}, Pull("customer", {}))):
            with pytest.raises(NotUnderstood):
                fetched(bench, content, pull)


class TestPages:
    def test_anonymous_and_closed_carts_are_left_out(self, bench: Bench) -> None:
        (cart,) = bench.sample("carts-search")
        page = [cart | {"id": "a", "customerId": None}, cart | {"id": "b", "status": "CLOSED"}, cart | {"id": "c"}]
        normalised = bench.normalise(page)
        assert [change.external_id for change in normalised.changes] == ["c"]
        assert [pull.kind for pull in normalised.pulls] == ["customer"]
        assert bench.normalise(page[:2]).ignored
        assert bench.normalise([]).ignored


class TestAwkwardValues:
    def shown(self, bench: Bench, **changes: Any) -> dict[str, Any]:
        return bench.checkout(bench.sample("cart-updated") | changes, event="cart.updated")

    def line(self, bench: Bench, **changes: Any) -> dict[str, Any]:
        lines = [bench.sample("cart-updated")["items"][0] | changes]
        (item,) = self.shown(bench, items=lines)["items"]
        shown: dict[str, Any] = item
        return shown

    @pytest.mark.parametrize(
        "template",
        [
            "https://shop.example.com/cart?cart={cart_id}",
            "https://shop.example.com/cart?cart={{ cart_id }}",
            "http://shop.example.com/cart?cart={id}",
        ],
    )
    def test_the_link_is_made_from_the_sources_template(self, bench: Bench, template: str) -> None:
        shown = self.shown(bench.configure(recovery_url_template=template))
        assert shown["recovery_url"] == f"https://shop.example.com/cart?cart={CART}"

    def test_a_template_cannot_be_left_by_an_id(self, bench: Bench) -> None:
        bench.configure(recovery_url_template="https://shop.example.com/c/{cart_id}")
        assert self.shown(bench, id="../x?y=1#z")["checkout_url"] == "https://shop.example.com/c/..%2Fx%3Fy%3D1%23z"

    def test_float_noise_is_rounded_to_the_currency(self, bench: Bench) -> None:
        assert self.line(bench, linePrice={"amount": 19.990000000000002})["total"]["amount"] == "19.99"
        assert self.line(bench, price=None)["unit_price"]["amount"] == "49.99"

    def test_a_quantity_by_weight(self, bench: Bench) -> None:
        assert self.line(bench, quantity=1.25)["quantity"] == 1.25

    def test_a_reduced_price_is_compared_with_the_original(self, bench: Bench) -> None:
        item = self.line(bench, price={"originalAmount": 59.99, "effectiveAmount": 49.99, "currency": "EUR"})
        assert item["compare_at_price"] == {"amount": "59.99", "currency": "EUR"}

    def test_a_name_in_another_language_only(self, bench: Bench) -> None:
        product = {"id": "p", "name": None, "localizedName": {"de": "Kessel 🫖"}}
        assert self.line(bench, product=product)["title"] == "Kessel 🫖"

    def test_free_of_charge_is_a_real_price(self, bench: Bench) -> None:
        item = self.line(bench, price={"effectiveAmount": 0}, linePrice={"effectiveAmount": 0})
        assert item["unit_price"] == item["total"] == {"amount": "0.00", "currency": "EUR"}

    def test_an_empty_cart_and_thirty_lines(self, bench: Bench) -> None:
        assert self.shown(bench, items=[])["item_count"] == 0
        lines = bench.sample("cart-updated")["items"] * 15
        assert len(self.shown(bench, items=lines)["items"]) == 30

    def test_only_a_postcode_and_blank_texts(self, bench: Bench) -> None:
        shown = self.shown(bench, addresses=[{"zipCode": "50968", "street": " ", "contactPhone": "", "country": None}])
        address = {name: value for name, value in shown["shipping_address"].items() if value is not None}
        assert address == {"postal_code": "50968"}
        assert shown["customer"]["phone"] is None

    def test_billing_and_shipping_are_told_apart(self, bench: Bench) -> None:
        addresses = [{"type": "BILLING", "city": "Bonn"}, {"type": "SHIPPING", "city": "Köln"}]
        shown = self.shown(bench, addresses=addresses)
        assert (shown["billing_address"]["city"], shown["shipping_address"]["city"]) == ("Bonn", "Köln")

    def test_a_local_phone_takes_the_addresses_country_then_the_carts(self, bench: Bench) -> None:
        addresses = [{"contactPhone": "0151 12345678"}]
        assert self.shown(bench, addresses=addresses)["customer"]["phone"] == "+4915112345678"
        assert self.shown(bench, addresses=addresses, countryCode="FR")["customer"]["phone"] is None

    def test_no_currency_is_assumed(self, bench: Bench) -> None:
        body = bench.sample("cart-updated") | {"currency": ""}
        assert bench.normalise(body, event="cart.updated").assumed == ("currency",)

    def test_business_customers(self, bench: Bench) -> None:
        assert self.shown(bench, legalEntityId="le-7")["customer"]["legal_entity_id"] == "le-7"

    def test_a_discount_that_does_not_hold_is_no_code(self, bench: Bench) -> None:
        assert self.shown(bench, discounts=[{"code": "OLD", "valid": False}, {"code": ""}])["discount_codes"] == []


_SAMPLES = {name: Bench("emporix").sample(name) for name in [*EVENTS, "carts-search"]}


@pytest.mark.parametrize("name", _SAMPLES)
def test_every_authentic_body_is_understood_or_refused(name: str) -> None:
    bench = Bench("emporix").configure(recovery_url_template="https://shop.example.com/{cart_id}")
    pulls = [Pull(kind, {"cart_id": CART, "at": "2026-11-21T10:00:00Z"}) for kind in ("cart", "customer")]

    @settings(deadline=None, max_examples=60)
    @given(mutations(copy.deepcopy(_SAMPLES[name])))
    def holds(body: Any) -> None:
        for event in (None, EVENTS.get(name)):
            try:
                shown = bench.preview(body, event=event)
            except (NotUnderstood, NotReadable):
                continue
            json.dumps(shown.checkouts)
        for pull in pulls:
            try:
                fetched(bench, body, pull)
            except NotUnderstood:
                continue
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(body, {SIGNATURE: "AAAA"}))

    holds()
