"""What the pages show, and what nobody can make them show."""

import re
from pathlib import Path
from typing import Any

import pytest

from functions.console import answers
from functions.console.words import REASONS, money
from shared.aws import clients
from shared.domain.checkout import Status
from shared.domain.gate import REASONS as REFUSALS
from shared.store.deliveries import DeliveryStatus
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_checkouts import checkout
from tests.integration.api.test_deliveries import delivery
from tests.integration.conftest import Stage
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop, stranger

HERE = Path(__file__).parents[3]
HOSTILE = "<img src=x onerror=alert(1)>\u202e{{7*7}}"


def abandoned(shop: Shop) -> str:
    """A shopper left, and an endpoint was told."""
    shop.endpoint("checkout.abandoned")
    shop.abandon()
    shop.settle()
    return f"chk_{shop.digest()}"


def test_why_a_shopper_got_no_message_is_three_clicks_away(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    checkout = abandoned(shop)
    merchant("POST", f"/v1/checkouts/{checkout}/discard")

    listed = signed_in.get("/console/checkouts")
    assert f'href="/console/checkouts/{checkout}"' in listed.text
    page = signed_in.get(f"/console/checkouts/{checkout}")

    assert "No message goes out now" in page.text
    assert re.search(r"Because [a-z][^<]{8,}\.", page.text)
    assert "Discarded by you" in page.text


def test_where_nothing_forbids_a_message_and_none_is_planned_the_page_says_so(
    signed_in: Browser, shop: Shop, merchant: Api
) -> None:
    merchant("PATCH", "/v1/merchant", {"settings": {"consent": "unknown_allowed"}})
    checkout = f"/console/checkouts/{abandoned(shop)}"

    page = signed_in.get(checkout).text
    assert "A message may go out now" in page
    assert "But none is planned: no <a" in page
    assert "Your endpoints were told of it, and may write on their own." in page

    step = {"after": "PT1H", "endpoint_id": str(shop.deliveries()[0].endpoint_id)}
    merchant("POST", "/v1/campaigns", {"name": "Come back", "steps": [step]})
    second = shop.webhook(session="second", user=stranger(2))[1]["checkout_id"]
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    planned = signed_in.get(f"/console/checkouts/{second}").text
    assert "Message planned" in planned
    assert "none is planned" not in planned


def test_the_overview_says_why_messages_were_not_sent(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    shop.endpoint("checkout.abandoned")
    step = {"after": "PT1H", "endpoint_id": merchant("GET", "/v1/endpoints").json["data"][0]["id"]}
    merchant("POST", "/v1/campaigns", {"name": "Come back", "steps": [step]})
    shop.abandon()
    shop.settle()
    merchant("PATCH", "/v1/merchant", {"settings": {"minimum_total": [{"amount": "999999.00", "currency": "INR"}]}})
    shop.wait(minutes=61)
    shop.sweep()
    shop.settle()
    shop.deliver()
    shop.settle()

    total = merchant("GET", "/v1/metrics/recovery").json["total"]
    assert total["not_sent_reasons"] == {"below_minimum_total": total["not_sent"]} == {"below_minimum_total": 1}
    page = signed_in.get("/console").text
    assert "the cart is worth less than the minimum you set</th><td" in page


def test_a_contact_is_masked_until_asked_for_and_stands_in_no_address(signed_in: Browser, shop: Shop) -> None:
    checkout = abandoned(shop)
    phone = shop.checkout().text("customer.phone")
    assert phone

    for path in ("/checkouts", f"/checkouts/{checkout}"):
        assert phone not in signed_in.get(f"/console{path}").text
    assert phone in signed_in.get(f"/console/checkouts/{checkout}?contact=shown").text

    found = signed_in.post("/console/checkouts", {"contact": phone})
    assert f"/console/checkouts/{checkout}" in found.text
    assert phone not in found.text
    assert "phone" not in signed_in.address


def test_what_merchants_and_shoppers_write_is_text(signed_in: Browser, merchant: Api, shop: Shop) -> None:
    checkout = abandoned(shop)
    merchant("PATCH", "/v1/merchant", {"name": "<script>alert(1)</script>"})
    made = merchant(
        "POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/", "name": "<img src=x>"}
    ).json
    step = {"after": "PT1H", "endpoint_id": made["id"]}
    campaign = merchant("POST", "/v1/campaigns", {"name": "<svg/onload=x>", "steps": [step]}).json["id"]
    paths = ("", "/start", "/checkouts", "/deliveries", "/endpoints", "/campaigns")
    changed = (f"/campaigns/{campaign}?days=30", f"/campaigns/{campaign}/change", "/campaigns/new?template=three")
    for path in (*paths, *changed, f"/endpoints/{made['id']}", f"/checkouts/{checkout}", "/checkouts?status=<script>"):
        text = signed_in.get(f"/console{path}").text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "<svg/onload" not in text


def test_no_page_has_a_script_a_style_or_a_handler_inside(signed_in: Browser, shop: Shop) -> None:
    checkout = abandoned(shop)
    delivery = shop.deliveries()[0].id
    paths = ("", "/start", "/checkouts", f"/checkouts/{checkout}", "/deliveries", f"/deliveries/{delivery}")
    campaigns = ("/campaigns", "/campaigns/new", "/campaigns/new?template=discount", "/campaigns/quiet-hours")
    for path in (*paths, *campaigns, "/endpoints", "/sign-in", "/nowhere"):
        page = signed_in.get(f"/console{path}")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", page.text), path
        assert "'unsafe" not in page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


def test_another_merchants_things_are_not_there(browser: Browser, shop: Shop, operator: Api) -> None:
    checkout, delivery = abandoned(shop), shop.deliveries()[0]
    browser.sign_in(new_merchant(operator)["token"])

    for path in (f"/checkouts/{checkout}", f"/deliveries/{delivery.id}", f"/endpoints/{delivery.endpoint_id}"):
        assert browser.get(f"/console{path}").status == 404, path
    for path in (f"/checkouts/{checkout}/discard", f"/endpoints/{delivery.endpoint_id}/disable"):
        assert browser.post(f"/console{path}").status == 404, path
    assert shop.checkout().status is Status.ABANDONED


def test_buttons_do_what_the_api_does(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    checkout = abandoned(shop)
    endpoint = shop.deliveries()[0].endpoint_id

    assert "The endpoint is off" in signed_in.post(f"/console/endpoints/{endpoint}/disable").text
    assert merchant("GET", f"/v1/endpoints/{endpoint}").json["status"] == "disabled"
    assert "Conflict" in signed_in.post(f"/console/endpoints/{endpoint}/test").text
    assert "The endpoint is on" in signed_in.post(f"/console/endpoints/{endpoint}/enable").text
    assert "A test event is on its way" in signed_in.post(f"/console/endpoints/{endpoint}/test").text
    assert "It begins in a moment" in signed_in.post(f"/console/endpoints/{endpoint}/recover").text
    assert "counts as bought" in signed_in.post(f"/console/checkouts/{checkout}/complete").text
    assert shop.checkout().status is Status.RECOVERED


def test_a_delivery_that_failed_is_tried_again_by_its_button(browser: Browser, merchant: Api, stage: Stage) -> None:
    browser.sign_in(merchant.credential or "")
    endpoint = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json["id"]
    failed = delivery(merchant, endpoint, 1, DeliveryStatus.FAILED)

    page = browser.post(f"/console/deliveries/{failed.id}/retry")

    assert "tried once more" in page.text
    assert len(clients.sqs().receive_message(QueueUrl=stage.retries_url)["Messages"]) == 1
    assert browser.post(f"/console/deliveries/{failed.id}/retry").status == 409


def test_a_delivery_names_its_endpoint_as_the_merchant_does(browser: Browser, merchant: Api) -> None:
    browser.sign_in(merchant.credential or "")
    asked = {"kind": "webhook", "name": "Our <b>BSP</b>", "url": "https://bsp.example.com/"}
    endpoint = merchant("POST", "/v1/endpoints", asked).json["id"]
    sent = delivery(merchant, endpoint, 1, DeliveryStatus.FAILED)

    page = browser.get(f"/console/deliveries/{sent.id}").text
    assert f'<a href="/console/endpoints/{endpoint}"><bdi>Our &lt;b&gt;BSP&lt;/b&gt;</bdi></a>' in page

    merchant("DELETE", f"/v1/endpoints/{endpoint}")
    assert f"removed <code>{endpoint}</code>" in browser.get(f"/console/deliveries/{sent.id}").text


def test_whatever_a_shopper_is_known_by_a_hostile_one_is_text(browser: Browser, merchant: Api) -> None:
    browser.sign_in(merchant.credential or "")
    known: Any = {"customer__id": "7", "customer__email": "<b>@tea.example", "customer__phone": "+917777788888"}
    written: Any = {"customer__first_name": HOSTILE, "stage": HOSTILE, "join_token": "cart-1"}
    made = checkout(merchant, HOSTILE, **known, **written)
    path = f"/console/checkouts/chk_{made.digest}"

    for page in (browser.post("/console/checkouts", {"contact": "+917777788888"}), browser.get(path)):
        assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in browser.get(path).text
    assert "&lt;b&gt;@tea.example" in browser.get(f"{path}?contact=shown").text
    assert "No checkout of this shopper" in browser.post("/console/checkouts", {"contact": "x@tea.example"}).text
    assert "counts as bought" in browser.post(f"{path}/complete").text


def test_what_did_not_change_is_not_sent_again(signed_in: Browser, shop: Shop) -> None:
    abandoned(shop)
    first = signed_in.get("/console/checkouts")
    tag = first.headers["etag"].strip('"')

    assert f'"if-none-match": "{tag}"' in first.text
    assert signed_in.get("/console/checkouts", if_none_match=tag).status == 304
    shop.webhook(session_id="another-session")
    assert signed_in.get("/console/checkouts", if_none_match=tag).status == 200


def test_every_refusal_of_the_gate_has_words() -> None:
    assert {own.value for own in REFUSALS} <= REASONS.keys()


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ({"amount": "1234567.50", "currency": "INR"}, "1,234,567.50 INR"),
        ({"amount": "1980", "currency": "JPY"}, "1,980 JPY"),
        ({"amount": "-12.345", "currency": "KWD"}, "-12.345 KWD"),
        ({"amount": "-0.500", "currency": "BHD"}, "-0.500 BHD"),
        (None, "-"),
    ],
)
def test_money_has_the_decimals_of_its_currency(amount: Any, shown: str) -> None:
    assert money(amount) == shown


def test_times_and_amounts_are_right_without_a_script_and_told_for_one(signed_in: Browser, shop: Shop) -> None:
    page = signed_in.get(f"/console/checkouts/{abandoned(shop)}")

    assert re.search(r'<time datetime="[^"]+Z" title="[^"]+" data-zone="Asia/Kolkata">[^<]+ IST</time>', page.text)
    assert re.search(r'<data class="money" value="[0-9.]+" data-currency="INR">[0-9,.]+ INR</data>', page.text)


def test_files_are_kept_for_ever_under_names_of_their_contents(signed_in: Browser) -> None:
    page = signed_in.get("/console")
    named = re.findall(r'(?:href|src)="(/console/static/[^"]+)"', page.text)

    assert len(named) == 4
    for name in named:
        file = signed_in.get(name)
        assert file.status == 200
        assert "immutable" in file.headers["cache-control"]
        assert file.headers["content-encoding"] == "gzip"
    assert sum(len(content) for _, content in answers.files().values()) + len(page.text) < 150_000
    assert signed_in.get("/console/static/..%2fhandler.py").status == 404


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("htmx.min.js", "htmx.org/dist/htmx.min.js"),
        ("pico.min.css", "@picocss/pico/css/pico.classless.min.css"),
    ],
)
def test_vendored_files_are_the_locked_packages_own(ours: str, theirs: str) -> None:
    package = HERE / "tests/npm/node_modules" / theirs
    if not package.exists():
        pytest.skip("the npm packages are not installed")

    assert (HERE / "functions/console/static" / ours).read_bytes() == package.read_bytes()
