"""Shopify: webhooks of 2026-04 and before, and pages of the Admin GraphQL API."""

import base64
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
from shared.providers.provider import AuthenticationFailed, NotReadable, NotUnderstood
from tests.unit.providers.conftest import ARRIVED_AT, SECRET, Bench, mutations

SIGNATURE = "X-Shopify-Hmac-Sha256"
WEBHOOKS = {
    "checkouts-create": "checkouts/create",
    "checkouts-update-completed": "checkouts/update",
    "orders-create": "orders/create",
}
PAGE = "graphql-abandoned-checkouts"


@pytest.fixture
def bench() -> Bench:
    return Bench("shopify")


def topic(name: str, **more: str) -> dict[str, str]:
    return {"X-Shopify-Topic": name, **more}


def signed(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def played(bench: Bench, *changes: CheckoutChange) -> Checkout:
    """The checkout after the events, a second apart."""
    checkout: Checkout | None = None
    for second, change in enumerate(changes):
        at = ARRIVED_AT + timedelta(seconds=second)
        arrival = Arrival(bench.merchant.id, bench.source.id, "shopify", at, Settings())
        checkout = apply(checkout, change, arrival).checkout
    assert checkout is not None
    return checkout


@pytest.mark.parametrize("name", WEBHOOKS)
def test_the_sample_becomes_the_expected_checkout(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name), topic(WEBHOOKS[name])) == bench.expected(name)


@pytest.mark.parametrize("name", WEBHOOKS)
def test_a_preview_knows_the_sample_without_its_topic(bench: Bench, name: str) -> None:
    assert bench.checkout(bench.sample_bytes(name)) == bench.expected(name)


def test_a_page_becomes_a_list_of_checkouts(bench: Bench) -> None:
    shown = bench.preview(bench.sample_bytes(PAGE)).checkouts
    assert [{name: value for name, value in own.items() if name != "id"} for own in shown] == bench.sample(
        f"{PAGE}.expected"
    )


class TestAuthentication:
    body = b'{"token": "a",  "x": 1}\n'

    def test_the_raw_bytes_are_proved(self, bench: Bench) -> None:
        bench.authenticate(bench.request(self.body, {SIGNATURE: signed(self.body)}))

    @pytest.mark.parametrize(
        "given",
        [
            None,
            "",
            "x",
            "é",
            signed(body, "wrong"),
            signed(json.dumps(json.loads(body)).encode()),
            hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        ],
    )
    def test_anything_else_is_refused(self, bench: Bench, given: str | None) -> None:
        headers = {} if given is None else {SIGNATURE: given}
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(self.body, headers))

    def test_both_secrets_of_a_rotation_hold(self, bench: Bench) -> None:
        bench.credentials = SourceCredentials(secrets=("new", "old"))
        for secret in ("new", "old"):
            bench.authenticate(bench.request(self.body, {SIGNATURE: signed(self.body, secret)}))

    @pytest.mark.parametrize("secrets", [(), ("",)])
    def test_without_a_secret_nothing_passes(self, bench: Bench, secrets: tuple[str, ...]) -> None:
        bench.credentials = SourceCredentials(secrets=secrets)
        with pytest.raises(AuthenticationFailed):
            bench.authenticate(bench.request(self.body, {SIGNATURE: signed(self.body, "")}))


class TestMeaning:
    @pytest.mark.parametrize(
        ("name", "sample", "signal"),
        [
            ("checkouts/create", "checkouts-create", Signal.ACTIVITY),
            ("checkouts/update", "checkouts-create", Signal.ACTIVITY),
            ("CHECKOUTS_UPDATE", "checkouts-create", Signal.ACTIVITY),
            ("checkouts/update", "checkouts-update-completed", Signal.PURCHASED),
            ("orders/create", "orders-create", Signal.PURCHASED),
            ("orders/paid", "orders-create", Signal.PURCHASED),
        ],
    )
    def test_topics_about_a_checkout(self, bench: Bench, name: str, sample: str, signal: Signal) -> None:
        assert bench.change(bench.sample(sample), topic(name)).signal is signal

    @pytest.mark.parametrize(
        "name",
        [
            *("carts/create", "carts/update", "orders/updated", "orders/cancelled", "products/update"),
            *("customers/data_request", "customers/redact", "shop/redact", "app/uninstalled"),
        ],
    )
    def test_topics_about_something_else_are_ignored(self, bench: Bench, name: str) -> None:
        normalised = bench.normalise(bench.sample("carts-update"), topic(name))
        assert normalised.ignored
        assert not normalised.changes

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            ({}, topic("checkouts/update")),
            ({"token": None, "id": ""}, topic("checkouts/create")),
            ({"token": "a"}, topic("checkouts/unheard-of")),
            ({"checkout_token": "a"}, topic("orders/create")),
            ({"hello": "world"}, {}),
            ({"errors": [{"message": "Throttled"}]}, {}),
            ({"data": None, "errors": []}, {}),
            ({"data": {"abandonedCheckouts": {"nodes": [{"name": None}]}}}, {}),
        ],
    )
    def test_what_has_no_checkout_in_it_is_set_aside(
        self, bench: Bench, body: dict[str, Any], headers: dict[str, str]
    ) -> None:
        with pytest.raises(NotUnderstood):
            bench.normalise(body, headers)

    def test_not_json(self, bench: Bench) -> None:
        with pytest.raises(NotReadable):
            bench.normalise(b"topic=checkouts", topic("checkouts/update"))

    def test_a_deleted_checkout_ends_where_the_deletion_names_it(self, bench: Bench) -> None:
        change = bench.change({"token": "8a2f", "id": 7}, topic("checkouts/delete"))
        assert (change.external_id, change.signal) == ("8a2f", Signal.ENDED)
        assert bench.normalise(bench.sample("checkouts-delete"), topic("checkouts/delete")).ignored

    def test_the_event_id_is_the_deliverys(self, bench: Bench) -> None:
        headers = topic("checkouts/create", **{"X-Shopify-Webhook-Id": "b54557e4", "X-Shopify-Event-Id": "98880550"})
        assert bench.change(bench.sample("checkouts-create"), headers).event_id == "b54557e4"

    def test_a_test_notification_is_marked(self, bench: Bench) -> None:
        headers = topic("orders/create", **{"X-Shopify-Test": "true"})
        assert bench.change(bench.sample("orders-create"), headers).test
        assert bench.change(bench.sample("orders-create") | {"test": True}, topic("orders/create")).test


class TestOrdering:
    def at(self, bench: Bench, updated_at: str, total: str, **headers: str) -> CheckoutChange:
        body = bench.sample("checkouts-create") | {"updated_at": updated_at, "total_price": total}
        return bench.change(body, topic("checkouts/update", **headers))

    def test_an_older_body_that_arrives_later_changes_nothing(self, bench: Bench) -> None:
        newer = self.at(bench, "2026-11-21T15:29:59+05:30", "2.00")
        older = self.at(bench, "2026-11-21T09:59:58Z", "1.00")
        cart = played(bench, newer, older).cart
        assert cart is not None
        total = cart.total()
        assert total is not None
        assert total.amount() == "2.00"

    def test_within_a_second_the_trigger_time_decides(self, bench: Bench) -> None:
        first = self.at(bench, "2026-11-21T09:59:59Z", "1.00", **{"X-Shopify-Triggered-At": "2026-11-21T09:59:59.2Z"})
        then = self.at(bench, "2026-11-21T09:59:59Z", "2.00", **{"X-Shopify-Triggered-At": "2026-11-21T09:59:59.7Z"})
        assert first.order_key.value < then.order_key.value

    def test_a_body_without_a_clock_takes_its_place_by_arrival(self, bench: Bench) -> None:
        body = {"token": "8a2f"}
        change = bench.change(body, topic("checkouts/update"))
        assert change.occurred_at is None
        assert change.order_key.value.startswith(f"{int(ARRIVED_AT.timestamp() * 1_000_000):017d}")


class TestOrders:
    def test_an_order_ends_the_checkout_whose_token_it_names(self, bench: Bench) -> None:
        opened = bench.change(bench.sample("checkouts-create"), topic("checkouts/create"))
        bought = bench.change(bench.sample("orders-create"), topic("orders/create"))
        assert bought.external_id == opened.external_id
        assert played(bench, opened, bought).status is Status.COMPLETED
        assert not bought.join_tokens
        assert not bought.join_contact

    def test_without_the_token_it_is_joined_by_cart_then_contact(self, bench: Bench) -> None:
        change = bench.change(bench.sample("orders-create") | {"checkout_token": None}, topic("orders/create"))
        assert change.external_id == "order:5908123456789"
        assert change.join_tokens == ("hWN4q2Zk8tR1vYx0bLm7cPd5",)
        assert change.join_contact
        draft = bench.sample("orders-create") | {"checkout_token": None, "cart_token": None}
        assert bench.change(draft, topic("orders/create")).join_tokens == ()

    def test_the_order_compares_with_no_checkout_event_and_has_its_own_time(self, bench: Bench) -> None:
        change = bench.change(bench.sample("orders-create"), topic("orders/create"))
        assert change.order_key.value == ""
        assert change.order is not None
        assert change.order.id == "5908123456789"
        assert change.order.at == datetime(2026, 4, 10, 2, 59, 43, tzinfo=UTC)

    def test_completion_wins_over_a_later_update(self, bench: Bench) -> None:
        bought = bench.change(bench.sample("checkouts-update-completed"), topic("checkouts/update"))
        late = bench.sample("checkouts-create") | {"updated_at": "2026-11-21T10:00:00Z"}
        assert played(bench, bought, bench.change(late, topic("checkouts/update"))).status is Status.COMPLETED

    def test_what_the_shopper_saw_and_the_shops_own_currency(self, bench: Bench) -> None:
        body = bench.sample("orders-create") | {
            "currency": "INR",
            "presentment_currency": "JPY",
            "total_price_set": {
                "shop_money": {"amount": "765.00", "currency_code": "INR"},
                "presentment_money": {"amount": "1377", "currency_code": "JPY"},
            },
        }
        shown = bench.checkout(body, topic("orders/create"))
        assert shown["totals"]["total"] == {"amount": "1377", "currency": "JPY"}
        assert shown["shop_totals"]["total"] == {"amount": "765.00", "currency": "INR"}


class TestAwkwardValues:
    def shown(self, bench: Bench, **changes: Any) -> dict[str, Any]:
        return bench.checkout(bench.sample("checkouts-create") | changes, topic("checkouts/update"))

    def test_ids_beyond_a_double_are_kept_digit_for_digit(self, bench: Bench) -> None:
        raw = bench.sample_bytes("checkouts-create").replace(b"7890123456789,", b"9007199254740993123,", 1)
        raw = raw.replace(b"44012345678901", b"36028797018963969")
        shown = bench.checkout(raw, topic("checkouts/create"))
        assert shown["customer"]["id"] == "9007199254740993123"
        assert shown["items"][0]["variant_id"] == "36028797018963969"

    def test_the_id_of_before_2026_04_is_no_second_name(self, bench: Bench) -> None:
        assert self.shown(bench, id=74081273662531)["external_id"] == "8a2f7c3d9b1e4f60a5c7d8e9f0a1b2c3"

    def test_without_protected_data_the_checkout_is_kept(self, bench: Bench) -> None:
        body = dict.fromkeys(("email", "phone", "customer", "shipping_address", "billing_address"))
        normalised = bench.normalise(bench.sample("checkouts-create") | body, topic("checkouts/update"))
        assert "customer.phone" in normalised.missing
        shown = self.shown(bench, **body)
        assert shown["status"] == "open"
        assert shown["customer"]["email"] is None
        assert shown["shipping_address"] is None

    def test_only_a_phone(self, bench: Bench) -> None:
        shown = self.shown(
            bench, email="", customer=None, shipping_address=None, billing_address=None, phone="9876543210"
        )
        assert shown["customer"]["phone"] == "+919876543210"

    def test_the_first_dialable_phone_counts(self, bench: Bench) -> None:
        shipping = {"phone": "555-555-SHIP", "country_code": "US"}
        billing = {"phone": "(512) 472-5470", "country_code": "US"}
        shown = self.shown(bench, shipping_address=shipping, billing_address=billing)
        assert shown["customer"]["phone"] == "+15124725470"
        assert shown["shipping_address"]["phone"] is None

    def test_only_a_zip(self, bench: Bench) -> None:
        shown = self.shown(bench, shipping_address={"zip": "560025", "city": ""})
        address = shown["shipping_address"]
        assert {name: value for name, value in address.items() if value is not None} == {"postal_code": "560025"}

    def test_an_empty_cart_and_a_zero_total(self, bench: Bench) -> None:
        assert self.shown(bench, line_items=[], total_price="0.00")["items"] == []
        line = bench.sample("checkouts-create")["line_items"][0] | {"price": "0.00", "line_price": "0.00"}
        shown = self.shown(bench, line_items=[line], total_price="0.00")
        assert shown["totals"]["total"] == {"amount": "0.00", "currency": "INR"}
        assert shown["items"][0]["total"] == {"amount": "0.00", "currency": "INR"}

    def test_a_null_total_is_derived_and_not_zero(self, bench: Bench) -> None:
        assert self.shown(bench, total_price=None)["totals"]["total"] == {"amount": "850.00", "currency": "INR"}

    def test_thirty_lines(self, bench: Bench) -> None:
        lines = bench.sample("checkouts-create")["line_items"] * 30
        assert self.shown(bench, line_items=lines)["item_count"] == 60

    @pytest.mark.parametrize(("sent", "amount"), [("1000", "1000"), ("1000.00", "1000"), ("999.6", "1000")])
    def test_a_currency_without_decimals(self, bench: Bench, sent: str, amount: str) -> None:
        shown = self.shown(bench, currency="JPY", presentment_currency="JPY", total_price=sent)
        assert shown["totals"]["total"] == {"amount": amount, "currency": "JPY"}

    def test_a_currency_as_an_object(self, bench: Bench) -> None:
        shown = self.shown(bench, currency={"currency": "USD"}, presentment_currency=None)
        assert shown["totals"]["total"] == {"amount": "765.00", "currency": "USD"}

    def test_no_currency_at_all_is_assumed(self, bench: Bench) -> None:
        body = bench.sample("checkouts-create") | {"currency": None, "presentment_currency": ""}
        assert bench.normalise(body, topic("checkouts/update")).assumed == ("currency",)
        assert bench.checkout(body, topic("checkouts/update"))["currency_assumed"] is True

    def test_two_currencies_and_plain_amounts_are_told(self, bench: Bench) -> None:
        body = bench.sample("checkouts-create") | {"presentment_currency": "AED"}
        assert bench.normalise(body, topic("checkouts/update")).assumed == ("totals",)

    def test_unicode_and_properties_survive(self, bench: Bench) -> None:
        line = bench.sample("checkouts-create")["line_items"][0] | {
            "title": "फ़िल्टर ☕️",
            "presentment_title": "",
            "properties": [{"name": "Grind", "value": "पतला"}, {"name": "_empty", "value": ""}],
        }
        shown = self.shown(bench, line_items=[line], note="  ")
        assert shown["items"][0]["title"] == "फ़िल्टर ☕️"
        assert shown["items"][0]["attributes"] == {"Grind": "पतला"}
        assert shown["note"] is None

    def test_consent_is_kept_per_channel(self, bench: Bench) -> None:
        shown = self.shown(bench, buyer_accepts_marketing=None, buyer_accepts_sms_marketing=True)
        assert shown["consent"]["channels"] == {"email": "unknown", "sms": "granted", "whatsapp": "unknown"}
        customer = {"email_marketing_consent": {"state": "not_subscribed"}}
        shown = self.shown(bench, buyer_accepts_marketing=None, buyer_accepts_sms_marketing=None, customer=customer)
        assert shown["consent"]["channels"] == {"email": "denied", "sms": "unknown", "whatsapp": "unknown"}

    def test_click_ids_stay_only_where_the_merchant_keeps_them(self, bench: Bench) -> None:
        landing = "/p?utm_source=ig&fbclid=IwZX"
        shown = self.shown(bench, landing_site=landing)["attribution"]
        assert shown["landing_page"] == "/p?utm_source=ig"
        assert "click_ids" not in shown
        shown = self.shown(bench.configure(keep_click_ids=True), landing_site=landing)["attribution"]
        assert shown["landing_page"] == landing
        assert shown["click_ids"] == {"fbclid": "IwZX"}

    def test_a_link_to_another_host_is_kept_but_not_followed(self, bench: Bench) -> None:
        shown = self.shown(bench, abandoned_checkout_url="https://evil.example/recover")
        assert shown["checkout_url"] == "https://evil.example/recover"
        assert shown["recovery_url"] is None

    def test_shipping_is_known_once_chosen(self, bench: Bench) -> None:
        shown = self.shown(bench, shipping_lines=[{"title": "Standard", "price": "49.00"}])
        assert shown["totals"]["shipping"] == {"amount": "49.00", "currency": "INR"}

    def test_a_mapping_overrides(self, bench: Bench) -> None:
        bench.configure(mapping={"customer.phone": "custom.whatsapp"})
        shown = self.shown(bench, custom={"whatsapp": "+91 98765 43210"})
        assert shown["customer"]["phone"] == "+919876543210"


class TestPages:
    def node(self, bench: Bench) -> dict[str, Any]:
        node: dict[str, Any] = bench.sample(PAGE)["data"]["abandonedCheckouts"]["nodes"][0]
        return node

    def page(self, *nodes: dict[str, Any]) -> dict[str, Any]:
        return {"data": {"abandonedCheckouts": {"edges": [{"cursor": "x", "node": own} for own in nodes]}}}

    def test_edges_and_several_checkouts(self, bench: Bench) -> None:
        other = self.node(bench) | {"id": "gid://shopify/AbandonedCheckout/9007199254740993"}
        changes = bench.normalise(self.page(self.node(bench), other)).changes
        assert [change.external_id for change in changes] == ["74081273662531", "9007199254740993"]
        assert len({change.body_digest for change in changes}) == 2

    def test_a_completed_one_is_a_purchase(self, bench: Bench) -> None:
        (change,) = bench.normalise(self.page(self.node(bench) | {"completedAt": "2026-04-10T03:00:00Z"})).changes
        assert change.signal is Signal.PURCHASED

    def test_the_merchants_own_timer_may_decide_instead(self, bench: Bench) -> None:
        (change,) = bench.configure(on_arrival="timer").normalise(bench.sample(PAGE)).changes
        assert change.signal is Signal.ACTIVITY
        assert change.abandoned_at is None

    def test_an_empty_page(self, bench: Bench) -> None:
        assert bench.normalise({"data": {"abandonedCheckouts": {"nodes": []}}}).ignored

    def test_presented_and_shop_money_are_not_mixed(self, bench: Bench) -> None:
        bag = {
            "shopMoney": {"amount": "765.0", "currencyCode": "INR"},
            "presentmentMoney": {"amount": "9.21", "currencyCode": "USD"},
        }
        shown = bench.preview(self.page(self.node(bench) | {"totalPriceSet": bag})).checkouts[0]
        assert shown["totals"]["total"] == {"amount": "9.21", "currency": "USD"}
        in_shop_money = shown["shop_totals"]
        assert in_shop_money is not None
        assert in_shop_money["total"] == {"amount": "765.00", "currency": "INR"}

    def test_a_customer_reduced_to_an_address(self, bench: Bench) -> None:
        shown = bench.preview(self.page(self.node(bench) | {"customer": None})).checkouts[0]
        assert shown["customer"]["first_name"] == "Asha"
        assert shown["customer"]["phone"] == "+918022223333"


def test_a_cart_whose_member_is_known_is_a_checkout_that_has_not_begun(bench: Bench) -> None:
    bench.configure(
        mapping={"customer.email": "member.mail"}, recovery_url_template="https://shop.example.com/cart/{cart_id}"
    )
    cart = bench.sample("carts-update") | {"member": {"mail": "Asha@Example.com"}}
    change = bench.change(cart, topic("carts/update"))
    assert (change.external_id, change.signal) == (f"cart:{cart['token']}", Signal.ACTIVITY)
    assert change.leaves["customer.email"] == "asha@example.com"
    assert change.leaves["checkout_url"] == (f"https://shop.example.com/cart/{cart['token']}",) * 2
    assert change.cart is not None
    assert (change.cart.currency, change.cart.currency_assumed, len(change.cart.items)) == (
        "INR",
        False,
        len(cart["line_items"]),
    )
    emptied = bench.change(cart | {"line_items": []}, topic("carts/update"))
    assert emptied.signal is Signal.ENDED
    assert bench.normalise(cart | {"member": None}, topic("carts/update")).ignored


def test_a_retry_is_a_duplicate(bench: Bench) -> None:
    headers = topic("checkouts/create", **{"X-Shopify-Webhook-Id": "b54557e4"})
    change = bench.change(bench.sample("checkouts-create"), headers)
    arrival = Arrival(bench.merchant.id, bench.source.id, "shopify", ARRIVED_AT, Settings())
    assert apply(played(bench, change), change, arrival).effect is Effect.DUPLICATE


_SAMPLES = {name: Bench("shopify").sample(name) for name in [*WEBHOOKS, "carts-update", "checkouts-delete", PAGE]}


@pytest.mark.parametrize("name", _SAMPLES)
def test_every_authentic_body_is_understood_or_refused(name: str) -> None:
    bench = Bench("shopify")
    named = WEBHOOKS.get(name, "checkouts/delete" if name == "checkouts-delete" else "checkouts/update")

    @settings(deadline=None, max_examples=60)
    @given(mutations(copy.deepcopy(_SAMPLES[name])))
    def holds(body: Any) -> None:
        for headers in ({}, topic(named)):
            try:
                shown = bench.preview(body, headers)
            except (NotUnderstood, NotReadable):
                continue
            json.dumps(shown.checkouts)

    holds()
