"""Asking providers' APIs, as data: what is sent, and what answers mean."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.change import NO_ORDER, CheckoutChange, Signal, sequence_key
from shared.domain.merchant import SourceCredentials
from shared.providers import registry
from shared.providers.provider import NotUnderstood, Pull, SourceContext
from shared.providers.pull import (
    AccessRefused,
    ApiAnswer,
    ApiRequest,
    BackfillQuery,
    ProviderApi,
    PullFailed,
    StaticAccess,
    TokenGrant,
    TryLater,
    api_of,
    asked_wait,
    content_of,
    json_of,
)
from shared.workflows.intake.merge import deferred
from shared.workflows.intake.pull import combined
from tests.unit.providers.conftest import ARRIVED_AT, Bench

QUERY = BackfillQuery(ARRIVED_AT - timedelta(days=2))


def answer(status: int, body: Any = None, complete: bool = True, **headers: str) -> ApiAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ApiAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw, complete)


def asked(name: str, **api: str) -> tuple[ProviderApi, SourceContext]:
    bench = Bench(name)
    bench.credentials = SourceCredentials(api=api)
    found = api_of(bench.provider)
    assert found is not None
    return found, bench.context


class TestAnswers:
    @pytest.mark.parametrize("status", [204, 404, 410])
    def test_gone_is_no_failure_for_a_content_but_one_for_a_list(self, status: int) -> None:
        assert content_of(answer(status, b"")) is None
        with pytest.raises((PullFailed, TryLater)):
            json_of(answer(status, b""))

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
    def test_what_may_pass_is_for_later(self, status: int) -> None:
        with pytest.raises(TryLater) as later:
            json_of(answer(status, retry_after="7"))
        assert later.value.after == timedelta(seconds=7)

    @pytest.mark.parametrize("status", [301, 400, 402, 403, 405, 422])
    def test_what_stays_is_a_failure(self, status: int) -> None:
        with pytest.raises(PullFailed, match=str(status)):
            json_of(answer(status))

    def test_401_is_about_the_credentials(self) -> None:
        with pytest.raises(AccessRefused):
            content_of(answer(401))

    def test_half_an_answer_is_none(self) -> None:
        with pytest.raises(TryLater):
            json_of(answer(200, b'{"a": 1', complete=False))
        with pytest.raises(TryLater):
            json_of(answer(200, b"<html>busy</html>"))

    def test_ids_and_money_come_digit_for_digit(self) -> None:
        assert str(json_of(answer(200, b'{"n": 44.90, "id": 90071992547409931}'))["n"]) == "44.90"

    @given(st.text(max_size=30))
    def test_a_wait_is_never_negative_nor_longer_than_a_day(self, value: str) -> None:
        wait = asked_wait({"retry-after": value})
        assert wait is None or timedelta() <= wait <= timedelta(days=1)


class TestTokens:
    grant = TokenGrant(ApiRequest("POST", "https://api.example/oauth/token"))

    def test_a_token_is_used_until_a_minute_before_its_end(self) -> None:
        access, lasts = self.grant.access(answer(200, {"access_token": "t-1", "expires_in": 3600}))
        assert access == StaticAccess({"authorization": "Bearer t-1"})
        assert lasts == timedelta(minutes=59)

    @pytest.mark.parametrize("expires", [None, 0, -5, 30, "soon"])
    def test_a_token_without_a_believable_end_is_asked_for_again_after_a_minute(self, expires: Any) -> None:
        _, lasts = self.grant.access(answer(200, {"access_token": "t-1", "expires_in": expires}))
        assert lasts == timedelta(minutes=1)

    @pytest.mark.parametrize("status", [400, 401, 403])
    def test_a_wrong_client_is_refused(self, status: int) -> None:
        with pytest.raises(AccessRefused):
            self.grant.access(answer(status, {"error": "invalid_client"}))

    def test_an_answer_without_a_token_is_a_failure(self) -> None:
        with pytest.raises(PullFailed):
            self.grant.access(answer(200, {"token": "x"}))

    def test_access_never_shows_its_secret(self) -> None:
        assert "t-1" not in repr(StaticAccess({"authorization": "Bearer t-1"}))
        assert "s3cret" not in repr(ApiRequest("POST", "https://a.example", body=b"client_secret=s3cret"))


class TestRequests:
    def test_bigcommerce_reads_by_id_with_the_stores_token(self) -> None:
        api, source = asked("bigcommerce", access_token="bc", store_hash="ab12")
        assert api.access(source) == StaticAccess({"x-auth-token": "bc"})
        request = api.content(Pull("cart", {"cart_id": "../c?1"}), source)
        assert (request.method, request.url) == (
            "GET",
            "https://api.bigcommerce.com/stores/ab12/v3/carts/..%2Fc%3F1?include=redirect_urls",
        )

    def test_emporix_asks_for_a_token_of_its_tenant(self) -> None:
        api, source = asked("emporix", tenant="shop", client_id="c", client_secret="s")
        grant = api.access(source)
        assert isinstance(grant, TokenGrant)
        assert grant.request.url == "https://api.emporix.io/oauth/token"
        assert parse_qs(grant.request.body.decode()) == {
            "grant_type": ["client_credentials"],
            "client_id": ["c"],
            "client_secret": ["s"],
            "scope": ["tenant=shop"],
        }

    def test_emporix_searches_by_customer_and_company(self) -> None:
        api, source = asked("emporix", tenant="shop", client_id="c", client_secret="s")
        query = BackfillQuery(QUERY.since, {"customer_id": "77", "legal_entity_id": "le-1"})
        assert json.loads(api.page(query, None, source).body) == {"q": "status:OPEN customerId:77 legalEntityId:le-1"}
        with pytest.raises(PullFailed):
            api.page(BackfillQuery(QUERY.since, {"customer_id": "77 OR status:CLOSED"}), None, source)

    @pytest.mark.parametrize("shop", ["a-shop", "A-Shop.myshopify.com", "https://a-shop.myshopify.com/"])
    def test_a_shopify_shop_is_always_its_myshopify_host(self, shop: str) -> None:
        api, source = asked("shopify", shop=shop, access_token="t")
        assert api.page(QUERY, None, source).url == "https://a-shop.myshopify.com/admin/api/2026-04/graphql.json"

    @pytest.mark.parametrize("shop", ["evil.example", "a.myshopify.com.evil.example", "a/b", "a@b.myshopify.com", ""])
    def test_nothing_else_gets_a_shopify_token(self, shop: str) -> None:
        api, source = asked("shopify", shop=shop, access_token="t")
        with pytest.raises(PullFailed, match="shop"):
            api.page(QUERY, None, source)

    def test_wix_takes_a_token_of_the_app_as_it_is(self) -> None:
        api, source = asked("wix", client_id="app", client_secret="s", instance_id="site")
        grant = api.access(source)
        assert isinstance(grant, TokenGrant)
        assert json.loads(grant.request.body)["instance_id"] == "site"
        access, _ = grant.access(answer(200, {"access_token": "OauthNG.x", "expires_in": 14400}))
        assert access == StaticAccess({"authorization": "OauthNG.x"})

    @pytest.mark.parametrize("name", ["bigcommerce", "emporix", "shopify", "wix"])
    def test_a_missing_credential_is_named(self, name: str) -> None:
        api, source = asked(name)
        with pytest.raises(PullFailed, match=r"credentials\.api\.\w+ is not set"):
            api.access(source)

    @pytest.mark.parametrize("name", ["bigcommerce", "emporix", "wix", "shopify"])
    def test_a_stand_in_may_answer_for_the_provider(self, name: str) -> None:
        given = dict.fromkeys(("store_hash", "tenant", "client_id", "client_secret", "access_token", "shop"), "x")
        api, source = asked(name, **given, base_url="https://sandbox.example/")
        request = api.page(QUERY, None, source) if api.lists else api.content(Pull("cart", {"cart_id": "c"}), source)
        assert request.url.startswith("https://sandbox.example/")

    @pytest.mark.parametrize("name", ["cashfree", "custom", "flexype", "razorpay", "shopflo", "stripe", "woocommerce"])
    def test_a_provider_that_sends_everything_has_nothing_to_be_asked(self, name: str) -> None:
        assert api_of(registry.provider(name)) is None


class TestPages:
    def test_shopify_keeps_no_part_of_the_lines_as_the_whole(self) -> None:
        api, source = asked("shopify", shop="s", access_token="t")
        content = Bench("shopify").sample("graphql-abandoned-checkouts")
        content["data"]["abandonedCheckouts"]["nodes"][0]["lineItems"]["pageInfo"] = {"hasNextPage": True}
        (change,) = api.read_page(content, QUERY, None, ARRIVED_AT, source).normalised.changes
        assert change.cart is not None
        assert not change.cart.items_known
        assert change.cart.totals.total is not None

    @pytest.mark.parametrize("name", ["shopify", "wix", "emporix"])
    @pytest.mark.parametrize("content", [None, 1, "x", {}, {"data": {}}, {"abandonedCheckouts": 3}])
    def test_what_is_no_page_is_not_taken_for_an_empty_one(self, name: str, content: Any) -> None:
        api, source = asked(name)
        with pytest.raises(NotUnderstood):
            api.read_page(content, QUERY, None, ARRIVED_AT, source)

    def test_one_odd_checkout_does_not_hide_its_page(self) -> None:
        api, source = asked("wix")
        known = Bench("wix").sample("get-abandoned-checkout")["abandonedCheckout"]
        page = api.read_page(
            {"abandonedCheckouts": [{"status": "ODD", "id": "1"}, known]}, QUERY, None, ARRIVED_AT, source
        )
        assert [change.external_id for change in page.normalised.changes] == [known["id"]]


class TestCombining:
    def change(self, order: int | None, **given: Any) -> CheckoutChange:
        key = NO_ORDER if order is None else sequence_key(order, b"walk")
        return CheckoutChange("c-1", given.pop("signal", Signal.ACTIVITY), key, b"d" * 16, **given)

    def test_newer_wins_and_older_fills(self) -> None:
        contact = self.change(None, leaves={"customer.email": "a@example.com", "name": "old"})
        cart = self.change(4, leaves={"name": "new"}, signal=Signal.ABANDONED)
        (one,) = combined([cart, contact])
        assert one.leaves == {"customer.email": "a@example.com", "name": "new"}
        assert (one.signal, one.order_key) == (Signal.ABANDONED, cart.order_key)

    def test_a_shopper_seen_coming_back_is_believed(self) -> None:
        (one,) = combined([self.change(4, signal=Signal.ABANDONED), self.change(5)])
        assert one.signal is Signal.ACTIVITY

    def test_only_a_declared_abandonment_waits_for_its_contents(self) -> None:
        bought = self.change(4, signal=Signal.PURCHASED)
        assert deferred(bought) is bought
        waiting = deferred(self.change(4, signal=Signal.ABANDONED, abandoned_at=ARRIVED_AT, occurred_at=ARRIVED_AT))
        assert (waiting.signal, waiting.order_key, waiting.abandoned_at) == (Signal.ACTIVITY, NO_ORDER, None)
        assert waiting.occurred_at == ARRIVED_AT
