"""BigCommerce: light webhooks, and the carts, checkouts and orders pulled for them."""

import base64
import contextlib
import copy
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, Status
from shared.domain.merchant import SourceCredentials
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, Effect, apply
from shared.providers.bigcommerce import BigCommerce
from shared.providers.provider import AuthenticationFailed, Normalised, NotReadable, NotUnderstood, Pull
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

CART = "3f0b6a0e-8a52-4a0e-b7c7-c1f2f9b4d001"
LIGHT = (
    *("cart-created", "cart-updated", "cart-coupon-applied", "cart-abandoned", "cart-converted", "cart-deleted"),
    *("channel-cart-updated", "cart-line-item-updated"),
)
CONTENT = ("cart-content", "checkout-content")


@pytest.fixture
def bench() -> Bench:
    return Bench("bigcommerce")


def webhook(scope: str, at: int = 1_750_161_000, **data: Any) -> dict[str, Any]:
    body = {"scope": scope, "store_id": "1", "data": data, "hash": f"{scope}{at}{data}", "created_at": at}
    return body | {"producer": "stores/ab12cd34ef"}


def fetched(bench: Bench, content: Any, pull: Pull, after: timedelta = timedelta(seconds=2)) -> Normalised:
    provider = bench.provider
    assert isinstance(provider, BigCommerce)
    return provider.from_content(content, pull, ARRIVED_AT + after, bench.context)


def played(bench: Bench, *changes: CheckoutChange) -> Checkout:
    """The checkout after the events, a second apart."""
    checkout: Checkout | None = None
    for second, change in enumerate(changes):
        at = ARRIVED_AT + timedelta(seconds=second)
        arrival = Arrival(bench.merchant.id, bench.source.id, "bigcommerce", at, Settings())
        checkout = apply(checkout, change, arrival).checkout
    assert checkout is not None
    return checkout


@pytest.mark.parametrize("name", [*LIGHT, *CONTENT])
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


class TestAuthentication:
    body = b'{"scope":"store/cart/abandoned"}'

    def headers(self, at: datetime = ARRIVED_AT, secret: str = SECRET, body: bytes = body) -> dict[str, str]:
        stamp = str(int(at.timestamp()))
        mac = hmac.new(secret.encode(), f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
        signature = "v1," + base64.b64encode(mac).decode()
        return {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": signature}

    def test_the_signature_keyed_with_the_client_secret(self, bench: Bench) -> None:
        bench.authenticate(bench.request(self.body, self.headers()))

    def test_as_the_vendor_shows_with_the_library(self, bench: Bench) -> None:
        from standardwebhooks.webhooks import Webhook

        library = Webhook(base64.b64encode(SECRET.encode()).decode())
        signature = library.sign("msg_1", ARRIVED_AT, self.body.decode())
        bench.authenticate(bench.request(self.body, self.headers() | {"webhook-signature": signature}))

    def test_one_good_signature_among_several_is_enough(self, bench: Bench) -> None:
        headers = self.headers()
        headers["webhook-signature"] = "v2,abc v1,AAAA x " + headers["webhook-signature"]
        bench.authenticate(bench.request(self.body, headers))

    def test_the_custom_header(self, bench: Bench) -> None:
        bench.authenticate(bench.request(self.body, {"X-Checkback-Secret": SECRET}))
        bench.configure(signature={"header": "X-Own"})
        bench.authenticate(bench.request(self.body, {"X-Own": SECRET}))

    def test_the_custom_header_stands_beside_a_signature_of_the_apps_own(self, bench: Bench) -> None:
        headers = self.headers(secret="the client secret that was not given") | {"X-Checkback-Secret": SECRET}
        bench.authenticate(bench.request(self.body, headers))

    @pytest.mark.parametrize("minutes", [-6, 6])
    def test_a_stale_signature_is_refused(self, bench: Bench, minutes: int) -> None:
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(self.body, self.headers(ARRIVED_AT + timedelta(minutes=minutes))))

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-Checkback-Secret": ""},
            {"X-Checkback-Secret": "wrong"},
            {"X-Checkback-Secret": "é"},
            {"webhook-signature": "v1,AAAA"},
            {"webhook-id": "msg_1", "webhook-timestamp": "1795255200"},
            {"webhook-id": "msg_1", "webhook-timestamp": "1795255200", "webhook-signature": ""},
            {"webhook-id": "msg_1", "webhook-timestamp": "1795255200", "webhook-signature": "v1, v1,é v1a,AAAA"},
            {"webhook-id": "msg_1", "webhook-timestamp": "soon", "webhook-signature": "v1,AAAA"},
        ],
    )
    def test_anything_else_is_refused(self, bench: Bench, headers: dict[str, str]) -> None:
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(self.body, headers))

    def test_another_body_or_id_is_refused(self, bench: Bench) -> None:
        for request in (
            bench.request(self.body + b" ", self.headers()),
            bench.request(self.body, self.headers() | {"webhook-id": "msg_2"}),
            bench.request(self.body, self.headers(secret="wrong")),
        ):
            with pytest.raises(AuthenticationFailed):
                bench.authenticate(request)

    def test_both_secrets_of_a_rotation_hold_and_none_fails_closed(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            bench.authenticate(bench.request(self.body, self.headers(secret=secret)))
            bench.authenticate(bench.request(self.body, {"X-Checkback-Secret": secret}))
        for secrets in ((), ("",)):
            bench.credentials = SourceCredentials(secrets=secrets)
            for headers in (self.headers(secret=""), {"X-Checkback-Secret": ""}):
                with pytest.raises(AuthenticationFailed):
                    bench.authenticate(bench.request(self.body, headers))


class TestMeaning:
    @pytest.mark.parametrize(
        ("scope", "data", "signal"),
        [
            ("store/cart/created", {"id": CART}, Signal.ACTIVITY),
            ("store/cart/updated", {"id": CART}, Signal.ACTIVITY),
            ("store/cart/couponApplied", {"id": CART, "couponId": 1}, Signal.ACTIVITY),
            ("store/cart/lineItem/created", {"id": "line", "cartId": CART}, Signal.ACTIVITY),
            ("store/cart/lineItem/deleted", {"id": "line", "cart_id": CART}, Signal.ACTIVITY),
            ("store/cart/abandoned", {"id": CART, "token": "t"}, Signal.ABANDONED),
            ("store/cart/converted", {"id": CART, "orderId": 318}, Signal.PURCHASED),
            ("store/cart/deleted", {"id": CART}, Signal.ENDED),
            ("store/channel/1/cart/updated", {"cart_id": CART}, Signal.ACTIVITY),
            ("store/channel/667/cart/abandoned", {"cart_id": CART}, Signal.ABANDONED),
            ("store/channel/1/cart/converted", {"cart_id": CART, "order_id": 318}, Signal.PURCHASED),
            ("store/channel/1/cart/lineItem/updated", {"cart_id": CART, "id": "line"}, Signal.ACTIVITY),
        ],
    )
    def test_cart_scopes(self, bench: Bench, scope: str, data: dict[str, Any], signal: Signal) -> None:
        change = bench.change(webhook(scope, **data))
        assert (change.external_id, change.signal) == (CART, signal)

    @pytest.mark.parametrize(
        "scope",
        [
            *("store/customer/created", "store/product/updated", "store/cart/metafield/created"),
            *("store/order/statusUpdated", "store/order/updated", "store/app/uninstalled"),
        ],
    )
    def test_other_scopes_are_ignored(self, bench: Bench, scope: str) -> None:
        normalised = bench.normalise(webhook(scope, id=7))
        assert normalised.ignored
        assert not normalised.changes

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"scope": None, "data": {"id": CART}},
            webhook("store/cart/updated"),
            webhook("store/cart/updated", id=""),
            webhook("store/cart/lineItem/updated", id="only the line's"),
            webhook("store/cart/pondered", id=CART),
            webhook("store/order/created"),
            {"scope": "store/cart/updated", "data": "x"},
        ],
    )
    def test_what_names_no_cart_is_set_aside(self, bench: Bench, body: dict[str, Any]) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body)

    def test_not_json(self, bench: Bench) -> None:
        with pytest.raises(NotReadable):
            bench.normalise(b"scope=store/cart/updated")

    def test_the_merchants_own_timer_may_decide_instead(self, bench: Bench) -> None:
        change = bench.configure(on_arrival="timer").change(bench.sample("cart-abandoned"))
        assert change.signal is Signal.ACTIVITY
        assert change.abandoned_at is None

    def test_the_hash_is_the_event_id_and_the_seconds_the_time(self, bench: Bench) -> None:
        change = bench.change(bench.sample("cart-abandoned"))
        assert change.event_id == "5d9c3c1b0a2f4e6d8c7b6a5948372615e4f3d2c1"
        assert change.occurred_at == change.abandoned_at == datetime(2025, 6, 17, 13, 0, tzinfo=UTC)

    def test_a_repeated_webhook_is_a_duplicate(self, bench: Bench) -> None:
        change = bench.change(bench.sample("cart-abandoned"))
        arrival = Arrival(bench.merchant.id, bench.source.id, "bigcommerce", ARRIVED_AT, Settings())
        assert apply(played(bench, change), change, arrival).effect is Effect.DUPLICATE

    @pytest.mark.parametrize("at", [None, "", "soon", -1, 0, 10**40, 1e308, True])
    def test_a_time_that_is_none_gives_way_to_the_arrival(self, bench: Bench, at: Any) -> None:
        change = bench.change(bench.sample("cart-updated") | {"created_at": at})
        assert change.occurred_at is None


class TestOrdering:
    def test_a_cart_updated_after_its_abandonment_is_open_again(self, bench: Bench) -> None:
        abandoned = bench.change(webhook("store/cart/abandoned", 1_750_165_200, id=CART))
        updated = bench.change(webhook("store/cart/updated", 1_750_165_260, id=CART))
        late = bench.change(webhook("store/cart/updated", 1_750_161_000, id=CART))
        assert played(bench, abandoned, updated).status is Status.OPEN
        assert played(bench, abandoned, late).status is Status.ABANDONED

    def test_the_last_item_removed_ends_the_cart_whatever_arrives_first(self, bench: Bench) -> None:
        updated = bench.change(webhook("store/cart/updated", 1_750_161_000, id=CART))
        deleted = bench.change(webhook("store/cart/deleted", 1_750_161_000, id=CART))
        assert played(bench, updated, deleted).status is Status.EXPIRED
        assert played(bench, deleted, updated).status is Status.EXPIRED

    def test_a_conversion_wins_over_everything(self, bench: Bench) -> None:
        converted = bench.change(bench.sample("cart-converted"))
        assert played(bench, bench.change(bench.sample("cart-deleted")), converted).order is not None
        later = bench.change(webhook("store/cart/updated", 1_790_000_000, id=CART))
        assert played(bench, converted, later).status is Status.COMPLETED


class TestPulls:
    def pulls(self, bench: Bench, name: str = "cart-updated") -> dict[str, Pull]:
        return {pull.kind: pull for pull in bench.normalise(bench.sample(name)).pulls}

    def test_what_is_asked_for(self, bench: Bench) -> None:
        assert set(self.pulls(bench)) == set(self.pulls(bench, "cart-abandoned")) == {"cart", "checkout"}
        assert set(self.pulls(bench, "cart-converted")) == {"order"}
        assert not self.pulls(bench, "cart-deleted")
        assert set(self.pulls(bench, "order-created")) == {"order"}
        assert not bench.normalise(bench.sample("order-created")).changes

    def test_their_paths(self, bench: Bench) -> None:
        provider = bench.provider
        assert isinstance(provider, BigCommerce)
        paths = {
            kind: provider.content_path(pull, bench.context)
            for kind, pull in (self.pulls(bench) | self.pulls(bench, "order-created")).items()
        }
        assert paths == {
            "cart": f"/stores/ab12cd34ef/v3/carts/{CART}?include=redirect_urls",
            "checkout": f"/stores/ab12cd34ef/v3/checkouts/{CART}",
            "order": "/stores/ab12cd34ef/v2/orders/318",
        }
        assert provider.content_path(Pull("cart", {"cart_id": "../x?", "store_hash": "a/b"}), bench.context) == (
            "/stores/a%2Fb/v3/carts/..%2Fx%3F?include=redirect_urls"
        )
        bench.credentials = SourceCredentials(api={"store_hash": "own"})
        assert provider.content_path(self.pulls(bench)["checkout"], bench.context).startswith("/stores/own/")
        bench.credentials = SourceCredentials()
        with pytest.raises(NotUnderstood):
            provider.content_path(Pull("cart", {"cart_id": "x"}), bench.context)

    def test_the_content_fills_the_abandoned_cart_and_leaves_it_abandoned(self, bench: Bench) -> None:
        abandoned = bench.change(bench.sample("cart-abandoned"))
        pulls = self.pulls(bench, "cart-abandoned")
        (cart,) = fetched(bench, bench.sample("cart-content"), pulls["cart"]).changes
        (around,) = fetched(bench, bench.sample("checkout-content"), pulls["checkout"]).changes
        checkout = played(bench, abandoned, cart, around)
        assert checkout.status is Status.ABANDONED
        assert checkout.text("customer.phone") == "+15124725470"
        assert checkout.pair("checkout_url")[1] is not None
        assert checkout.cart is not None
        total = checkout.cart.total()
        assert total is not None
        assert total.as_json() == {"amount": "161.98", "currency": "USD"}

    def test_a_shopper_who_came_back_before_the_content_was_read_is_not_abandoned(self, bench: Bench) -> None:
        content = bench.sample("cart-content")
        content["data"]["updated_time"] = "2025-06-17T13:00:20+00:00"
        abandoned = bench.change(bench.sample("cart-abandoned"))
        (cart,) = fetched(bench, content, self.pulls(bench, "cart-abandoned")["cart"]).changes
        assert played(bench, abandoned, cart).status is Status.OPEN

    def test_the_later_answer_of_the_same_second_counts(self, bench: Bench) -> None:
        event = bench.change(bench.sample("cart-updated"))
        pull = self.pulls(bench)["cart"]
        one, two = bench.sample("cart-content"), bench.sample("cart-content")
        two["data"]["line_items"]["physical_items"][0]["quantity"] = 5
        for first, second in ((one, two), (two, one)):
            (early,) = fetched(bench, first, pull, timedelta(seconds=2)).changes
            (late,) = fetched(bench, second, pull, timedelta(seconds=3)).changes
            cart = played(bench, event, early, late).cart
            assert cart == late.cart == played(bench, event, late, early).cart

    def test_an_answer_to_an_old_question_does_not_reopen_what_was_abandoned_since(self, bench: Bench) -> None:
        pull = self.pulls(bench)["cart"]
        (content,) = fetched(bench, bench.sample("cart-content"), pull).changes
        checkout = played(bench, bench.change(bench.sample("cart-abandoned")), content)
        assert checkout.status is Status.ABANDONED
        assert checkout.cart is not None

    def test_an_anonymous_cart_without_contact_is_ignored(self, bench: Bench) -> None:
        content = bench.sample("cart-content")
        content["data"] |= {"email": "", "customer_id": 0}
        assert fetched(bench, content, Pull("cart", {})).ignored == "an anonymous cart without contact"
        content["data"]["customer_id"] = 42
        assert fetched(bench, content, Pull("cart", {})).changes[0].leaves["customer.id"] == "42"

    def test_the_order_names_its_cart_and_contact(self, bench: Bench) -> None:
        pull = self.pulls(bench, "order-created")["order"]
        (change,) = fetched(bench, bench.sample("order-content"), pull).changes
        assert (change.external_id, change.signal) == (CART, Signal.PURCHASED)
        assert change.order is not None
        assert change.order.id == "318"
        assert change.order.at == datetime(2025, 6, 17, 14, 0, 44, tzinfo=UTC)
        assert change.order.total is not None
        assert change.order.total.as_json() == {"amount": "161.98", "currency": "USD"}
        assert change.leaves["customer.phone"] == "+15124725470"
        assert not change.join_contact

    def test_an_order_without_a_cart_is_joined_by_contact_unless_its_conversion_told(self, bench: Bench) -> None:
        order = bench.sample("order-content") | {"cart_id": None}
        (change,) = fetched(bench, order, self.pulls(bench, "order-created")["order"]).changes
        assert change.external_id == "order:318"
        assert change.join_contact
        (change,) = fetched(bench, order, self.pulls(bench, "cart-converted")["order"]).changes
        assert change.external_id == CART

    @pytest.mark.parametrize(
        ("status", "placed"), [(0, False), (6, False), (1, True), (5, True), (7, True), (11, True)]
    )
    def test_an_incomplete_or_declined_order_is_none(self, bench: Bench, status: int, placed: bool) -> None:
        order = bench.sample("order-content") | {"status_id": status}
        normalised = fetched(bench, order, Pull("order", {}))
        assert bool(normalised.changes) is placed
        assert (normalised.ignored is None) is placed

    def test_nothing_comes_of_nothing(self, bench: Bench) -> None:
        assert fetched(bench, None, Pull("cart", {})).ignored
        contents: tuple[tuple[Any, str], ...] = (
            ([], "cart"),
            ({}, "cart"),
            ({"data": []}, "checkout"),
            ({}, "order"),
            ({"id": 1}, "order"),
        )
        for content, kind in contents:
            with pytest.raises(NotUnderstood):
                fetched(bench, content, Pull(kind, {}))


class TestAwkwardContent:
    def shown(self, bench: Bench, **changes: Any) -> dict[str, Any]:
        content = bench.sample("cart-content")
        content["data"] |= changes
        return bench.checkout(content)

    def test_a_currency_without_decimals_and_one_that_is_missing(self, bench: Bench) -> None:
        assert self.shown(bench, currency={"code": "jpy"}, cart_amount=1200)["totals"]["total"] == {
            "amount": "1200",
            "currency": "JPY",
        }
        shown = self.shown(bench, currency=None)
        assert (shown["totals"]["total"]["currency"], shown["currency_assumed"]) == ("INR", True)

    def test_the_older_cart_with_and_without_tax(self, bench: Bench) -> None:
        shown = self.shown(bench, cart_amount=None, cart_amount_inc_tax=150.25, cart_amount_ex_tax=140)
        assert shown["totals"]["total"]["amount"] == "150.25"

    def test_a_null_total_is_derived_and_zero_is_real(self, bench: Bench) -> None:
        assert self.shown(bench, cart_amount=None)["totals"]["total"]["amount"] == "159.90"
        assert self.shown(bench, cart_amount=0)["totals"]["total"]["amount"] == "0.00"

    def test_an_empty_cart_thirty_lines_and_emoji(self, bench: Bench) -> None:
        assert self.shown(bench, line_items={"physical_items": []})["item_count"] == 0
        line = {"id": "x", "name": "Caddy 🧺", "quantity": 1, "product_id": 9007199254740993, "sale_price": 0}
        shown = self.shown(bench, line_items={"physical_items": [line] * 30})
        assert shown["item_count"] == 30
        assert shown["items"][0]["title"] == "Caddy 🧺"
        assert shown["items"][0]["product_id"] == "9007199254740993"
        assert shown["items"][0]["unit_price"]["amount"] == "0.00"

    def test_a_link_to_another_host_gives_way_to_nothing(self, bench: Bench) -> None:
        shown = self.shown(bench, redirect_urls={"checkout_url": "https://evil.example/cart.php"})
        assert shown["recovery_url"] is None

    def test_without_links_the_sources_template_counts(self, bench: Bench) -> None:
        bench.configure(recovery_url_template="https://shop.example.com/cart?id={cart_id}")
        assert self.shown(bench, redirect_urls=None)["recovery_url"] == f"https://shop.example.com/cart?id={CART}"

    def test_only_a_phone(self, bench: Bench) -> None:
        content = bench.sample("checkout-content")
        content["data"]["cart"]["email"] = ""
        content["data"] |= {"billing_address": {"phone": "9876543210", "email": " "}, "consignments": None}
        shown = bench.checkout(content)
        assert shown["customer"]["phone"] == "+919876543210"
        assert shown["customer"]["email"] is None
        assert shown["shipping_address"] is None


_SAMPLES = {name: Bench("bigcommerce").sample(name) for name in [*LIGHT, *CONTENT, "order-content"]}


@pytest.mark.parametrize("name", _SAMPLES)
def test_every_authentic_body_is_understood_or_refused(name: str) -> None:
    bench = Bench("bigcommerce")
    reference = {"cart_id": CART, "order_id": "318", "event": "abandoned", "at": "2026-11-21T10:00:00Z"}

    @settings(deadline=None, max_examples=60)
    @given(mutations(copy.deepcopy(_SAMPLES[name])))
    def holds(body: Any) -> None:
        with contextlib.suppress(NotUnderstood, NotReadable):
            json.dumps(bench.preview(body).checkouts)
        for kind in ("cart", "checkout", "order"):
            try:
                changes = fetched(bench, body, Pull(kind, reference)).changes
            except NotUnderstood:
                continue
            for change in changes:
                played(bench, change)

    holds()
