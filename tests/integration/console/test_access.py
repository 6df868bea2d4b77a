"""Who gets in, for how long, and what they may do there."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import time_machine

from functions.console import composition
from shared.store.conditions import Key
from tests.integration.api.conftest import Api, http_event, new_merchant
from tests.integration.console.conftest import Browser, Page


def another(browser: Browser) -> Browser:
    """Another person's browser, at the same console."""
    return Browser(browser.handler)


def signed_out(page: Page) -> bool:
    return "Merchant token" in page.text


@pytest.fixture
def made(operator: Api) -> dict[str, Any]:
    """A merchant with its token."""
    return new_merchant(operator, name="Tea <b>House</b>")


def test_a_token_opens_a_session_that_no_script_and_no_other_site_gets_hold_of(
    browser: Browser, made: dict[str, Any]
) -> None:
    page = browser.sign_in(made["token"])

    assert page.status == 200
    assert "Tea &lt;b&gt;House&lt;/b&gt;" in page.text
    raw = browser.handler(_sign_in_event(made["token"]), None)
    (cookie,) = raw["cookies"]
    assert cookie.startswith("__Host-checkback=mer_")
    for attribute in ("Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=43200"):
        assert f"; {attribute}" in cookie
    assert "Domain" not in cookie


def _sign_in_event(token: str) -> dict[str, Any]:
    headers = {"sec-fetch-site": "same-origin"}
    return http_event("POST", "/console/sign-in", {}, headers, None, urlencode({"token": token}).encode())


def test_neither_token_nor_session_stands_in_a_page_an_address_or_the_table(
    browser: Browser, made: dict[str, Any]
) -> None:
    browser.sign_in(made["token"])
    secret = (browser.cookie or "").partition(".")[2]
    for path in ("", "/start", "/checkouts", "/deliveries", "/endpoints", "/campaigns"):
        browser.get(f"/console{path}")

    table = composition.services().table
    rows = table.query(Key("pk").eq(f"M#{made['id']}"), limit=50).items
    assert len(secret) == 43
    for text in (*browser.seen, browser.address, repr(rows)):
        assert secret not in text
        assert made["token"] not in text


@pytest.mark.parametrize("token", ["", "cbk_" + "a" * 43, "the-admin-key", "mer_x.y"])
def test_nothing_but_a_living_token_signs_in(browser: Browser, token: str) -> None:
    page = browser.sign_in(token)

    assert page.status == 403
    assert browser.cookie is None
    assert "no token of a merchant" in page.text


def test_tries_are_counted_by_address(browser: Browser) -> None:
    statuses = [browser.sign_in("cbk_" + "a" * 43).status for _ in range(22)]

    assert statuses == [403] * 20 + [429] * 2


def tries_from(browser: Browser, peer: str, forwarded: str) -> int:
    """The status of one more wrong try."""
    form = urlencode({"token": "cbk_" + "a" * 43}).encode()
    headers = {"sec-fetch-site": "same-origin", "x-forwarded-for": forwarded}
    event = http_event("POST", "/console/sign-in", {}, headers, None, form)
    event["requestContext"]["http"]["sourceIp"] = peer
    status: int = browser.handler(event, None)["statusCode"]
    return status


def test_whoever_names_another_address_is_counted_by_their_own(browser: Browser) -> None:
    statuses = [tries_from(browser, "198.51.100.7", f"203.0.113.{number}") for number in range(21)]

    assert statuses == [403] * 20 + [429]


def test_behind_the_front_each_visitor_is_counted_and_not_the_front(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRONT_ONLY", "on")
    monkeypatch.setattr("shared.aws.front._is_known", lambda _: True)
    front = "198.51.100.7"
    mine = [tries_from(browser, front, f"10.0.0.{number}, 203.0.113.9, {front}") for number in range(21)]
    assert mine == [403] * 20 + [429]
    assert tries_from(browser, front, "203.0.113.9") == 429
    assert tries_from(browser, "198.51.100.8", "203.0.113.9, 198.51.100.8") == 429
    assert tries_from(browser, front, f"203.0.113.10, {front}") == 403
    assert tries_from(browser, front, "") == 403


def test_of_ipv6_a_network_is_counted(browser: Browser) -> None:
    statuses = [tries_from(browser, f"2001:db8:1:2::{number:x}", "") for number in range(1, 22)]

    assert statuses == [403] * 20 + [429]
    assert tries_from(browser, "2001:db8:1:3::1", "") == 403


def test_no_page_is_framed_unless_the_stage_says_by_whom(
    browser: Browser, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "frame-ancestors 'none'" in browser.get("/console/sign-in").headers["content-security-policy"]
    monkeypatch.setenv("CONSOLE_FRAME_ANCESTORS", "https://admin.example https://shop.example")

    policy = browser.get("/console/sign-in").headers["content-security-policy"]
    (cookie,) = browser.handler(_sign_in_event(made["token"]), None)["cookies"]

    assert policy.endswith("frame-ancestors https://admin.example https://shop.example")
    assert cookie.endswith("Secure; HttpOnly; SameSite=None; Partitioned")
    assert cookie.startswith("__Host-")
    for path in ("/sign-in/operator", "/operator"):
        policy = browser.get(f"/console{path}").headers["content-security-policy"]
        assert "frame-ancestors https" not in policy or "Merchant token" in browser.seen[-1]
    browser.sign_in(made["token"])
    foreign = browser.ask("POST", "/console/sign-out", {"sec_fetch_site": "cross-site"}, {})
    assert foreign.status == 403
    assert not signed_out(browser.get("/console"))


def test_a_session_ends_with_its_token(browser: Browser, made: dict[str, Any], operator: Api) -> None:
    browser.sign_in(made["token"])
    merchant = operator.as_(made["token"])
    (row,) = merchant("GET", "/v1/tokens").json["data"]
    assert merchant("DELETE", f"/v1/tokens/{row['id']}").status == 204

    page = browser.get("/console/checkouts")

    assert signed_out(page)
    assert "Your session is over" in page.text
    assert "next=%2Fconsole%2Fcheckouts" in browser.address


def test_a_session_ends_after_twelve_hours(browser: Browser, made: dict[str, Any]) -> None:
    with time_machine.travel("2026-11-28T06:00:00Z", tick=False) as clock:
        browser.sign_in(made["token"])
        clock.shift(timedelta(hours=11, minutes=59))
        assert not signed_out(browser.get("/console"))
        clock.shift(timedelta(minutes=1))
        assert signed_out(browser.get("/console"))


def test_signing_out_ends_one_session_and_everywhere_all(browser: Browser, made: dict[str, Any]) -> None:
    other, third = another(browser), another(browser)
    for own in (browser, other, third):
        own.sign_in(made["token"])
    kept = browser.cookie

    browser.post("/console/sign-out")
    browser.cookie = kept
    assert signed_out(browser.get("/console"))
    assert not signed_out(other.get("/console"))

    other.post("/console/sign-out-everywhere")
    assert signed_out(third.get("/console"))


def test_a_signed_out_deep_link_leads_there_after_signing_in(browser: Browser, made: dict[str, Any]) -> None:
    browser.get("/console/deliveries?status=failed")
    page = browser.post(browser.address, {"token": made["token"]})

    assert page.status == 200
    assert browser.address == "/console/deliveries?status=failed"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/console",
        "/v1/merchant",
        "/consoleevil",
        "/console/..//evil",
        "/console/../r/a-link-of-another-shop",
        "/console/%2e%2E/r/a-link-of-another-shop",
        "/console/checkouts/..",
    ],
)
def test_signing_in_leads_nowhere_else(browser: Browser, made: dict[str, Any], wanted: str) -> None:
    browser.post(f"/console/sign-in?next={quote(wanted, safe='')}", {"token": made["token"]})

    assert browser.address == "/console"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
)
def test_a_form_of_another_site_does_nothing(browser: Browser, made: dict[str, Any], headers: dict[str, str]) -> None:
    browser.sign_in(made["token"])
    for path in ("/sign-in", "/sign-out", "/sign-out-everywhere", "/enter/x"):
        page = browser.ask("POST", f"/console{path}", headers, {"token": made["token"]})
        assert page.status == 403
        assert page.cookies == []

    assert not signed_out(browser.get("/console"))


def test_an_origin_of_ours_is_enough_where_the_browser_says_no_more(browser: Browser, made: dict[str, Any]) -> None:
    form = {"token": made["token"]}
    page = browser.ask("POST", "/console/sign-in", {"origin": "https://api.checkback.example"}, form)

    assert not signed_out(page)


def test_a_portal_link_is_used_by_its_button_alone_and_once(
    browser: Browser, made: dict[str, Any], operator: Api
) -> None:
    asked = {"merchant_id": made["id"], "capabilities": ["all"]}
    link = operator("POST", "/v1/portal-links", asked).json["url"]
    preview = another(browser)
    for _ in range(3):
        assert "This link signs you in once" in preview.get(link).text
    assert preview.cookie is None

    assert not signed_out(browser.post(link))
    spent = another(browser).post(link)

    assert spent.status == 403
    assert "This link was used" in spent.text


def test_a_portal_link_lasts_ten_minutes(browser: Browser, made: dict[str, Any], operator: Api) -> None:
    with time_machine.travel("2026-11-28T06:00:00Z", tick=False) as clock:
        merchant = operator.as_(made["token"])
        answer = merchant("POST", "/v1/portal-links", {"capabilities": ["read"]})
        assert answer.status == 201
        assert answer.json["expires_at"].startswith("2026-11-28T06:10:00")
        clock.shift(timedelta(minutes=10))
        assert browser.post(answer.json["url"]).status == 403


def test_a_session_that_may_only_read_does_nothing_whatever_its_pages_show(
    browser: Browser, made: dict[str, Any], operator: Api
) -> None:
    merchant = operator.as_(made["token"])
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json["id"]
    browser.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])

    assert browser.get(f"/console/endpoints/{endpoint}").status == 200
    refused = browser.post(f"/console/endpoints/{endpoint}/disable")

    assert refused.status == 403
    assert "may only read" in refused.text
    assert merchant("GET", f"/v1/endpoints/{endpoint}").json["status"] == "active"


def test_a_links_session_ends_with_the_token_that_asked_for_it(
    browser: Browser, made: dict[str, Any], operator: Api
) -> None:
    merchant = operator.as_(made["token"])
    second = merchant("POST", "/v1/tokens").json
    used, unused = (
        operator.as_(second["token"])("POST", "/v1/portal-links", {"capabilities": ["all"]}).json["url"]
        for _ in range(2)
    )
    browser.post(used)
    merchant("DELETE", f"/v1/tokens/{second['id']}")

    assert signed_out(browser.get("/console"))
    assert signed_out(another(browser).post(unused))


def test_links_that_nobody_used_end_with_all_sessions(browser: Browser, made: dict[str, Any], operator: Api) -> None:
    merchant = operator.as_(made["token"])
    link = merchant("POST", "/v1/portal-links", {"capabilities": ["all"]}).json["url"]
    merchant("DELETE", "/v1/console-sessions")

    assert browser.post(link).status == 403


def test_a_repeated_request_for_a_link_makes_the_same_link(made: dict[str, Any], operator: Api) -> None:
    merchant = operator.as_(made["token"])
    asked = {"capabilities": ["all"]}
    first, again = (
        merchant("POST", "/v1/portal-links", asked, headers={"idempotency-key": "one"}).json["url"] for _ in range(2)
    )

    assert first == again


@pytest.mark.parametrize(
    ("asked", "status"),
    [({"capabilities": ["all"]}, 422), ({"merchant_id": "mer_x", "capabilities": ["all"]}, 404), ({}, 422)],
)
def test_the_operator_names_a_merchant_there_is(operator: Api, asked: dict[str, Any], status: int) -> None:
    assert operator("POST", "/v1/portal-links", asked).status == status


def test_a_merchant_makes_links_for_itself_alone(made: dict[str, Any], operator: Api) -> None:
    other = new_merchant(operator)["id"]
    asked = {"merchant_id": other, "capabilities": ["all"]}

    assert operator.as_(made["token"])("POST", "/v1/portal-links", asked).status == 422


def test_the_api_itself_takes_no_session(browser: Browser, made: dict[str, Any], operator: Api) -> None:
    browser.sign_in(made["token"])

    assert operator.as_(browser.cookie)("GET", "/v1/merchant").status == 401
