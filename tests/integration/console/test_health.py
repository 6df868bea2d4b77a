"""One page says whether sources are heard of and endpoints answer."""

import re

from shared.delivery.exchange import Answer
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop


def named(shop: Shop, merchant: Api, event_type: str, name: str) -> None:
    """An endpoint with a name."""
    made = shop.endpoint(event_type)
    assert merchant("PATCH", f"/v1/endpoints/{made.id}", {"name": name}).status == 200


def cells(page: str) -> list[str]:
    """The cells of the page's tables as text."""
    found = re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", own).split()) for own in found]


def test_who_sent_and_who_answers(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    named(shop, merchant, "checkout.abandoned", "<b>BSP")
    shop.abandon()
    shop.settle()
    shop.deliver()

    page = signed_in.get("/console/health").text

    assert 'data-live="6"' in page  # it reads much: every half a minute is enough
    assert "No purchase" in cells(page)[2]
    assert cells(page)[3:5] == ["100.0 %", "0"]
    assert "0 of 1" in cells(page)
    assert re.search(r"\d+ ms", page)
    assert "&lt;b&gt;BSP" in page
    assert "<b>BSP" not in page
    assert "Keys that stop" not in page


def test_what_fails_is_counted_and_stands_first(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    named(shop, merchant, "checkout.completed", "well")
    named(shop, merchant, "checkout.abandoned", "ill")
    shop.answer = lambda _: Answer(500)
    shop.abandon()
    shop.settle()
    shop.deliver()

    page = signed_in.get("/console/health").text

    assert page.index("<bdi>ill</bdi>") < page.index("<bdi>well</bdi>")
    assert "failing since" in page
    assert "1 of 1" in cells(page)


def test_the_overview_asks_for_what_is_not_well_and_health_says_it(
    signed_in: Browser, shop: Shop, merchant: Api
) -> None:
    asked = re.search(
        r'hx-get="([^"]+)" hx-trigger="load, refresh" hx-select="#wellness > \*"', signed_in.get("/console").text
    )
    assert asked
    said = signed_in.get(asked[1]).text.partition('id="wellness"')[2].partition("<h2>Sources")[0]
    assert "nothing arrived from it lately" in said
    assert "there is none, so nothing has anywhere to go" in said

    named(shop, merchant, "checkout.abandoned", "<b>BSP")
    shop.webhook()
    said = signed_in.get(asked[1]).text
    assert "One thing is not well" in said
    assert "checkouts arrive and no purchase" in said

    shop.webhook(session_state="COMPLETED")
    assert "All is well" in signed_in.get(asked[1]).text

    shop.answer = lambda _: Answer(500)
    (endpoint,) = merchant("GET", "/v1/endpoints").json["data"]
    merchant("POST", f"/v1/endpoints/{endpoint['id']}/test")
    shop.deliver()
    said = signed_in.get(asked[1]).text
    assert "&lt;b&gt;BSP</bdi></a>: it fails since <time" in said


def test_what_its_merchant_switched_off_is_not_ill(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    endpoint = shop.endpoint("checkout.abandoned")
    shop.webhook(session_state="COMPLETED")

    merchant("POST", f"/v1/endpoints/{endpoint.id}/disable")

    page = signed_in.get("/console/health").text
    assert "All is well" in page
    assert "switched off by you" in page


def test_a_new_merchant_is_told_what_to_set_up(browser: Browser, operator: Api) -> None:
    browser.sign_in(new_merchant(operator)["token"])

    page = browser.get("/console/health").text

    assert "No provider is connected" in page
    assert "No endpoint yet" in page


def test_a_key_that_stops_to_count_is_named(browser: Browser, operator: Api) -> None:
    merchant = operator.as_(new_merchant(operator)["token"])
    browser.sign_in(merchant.credential or "")
    body = {"kind": "webhook", "url": "https://bsp.example.com/", "settings": {"signatures": ["v1a"]}}
    made = merchant("POST", "/v1/endpoints", body).json
    assert "Keys that stop" not in browser.get("/console/health").text

    merchant("POST", f"/v1/endpoints/{made['id']}/rotate-secret", {"overlap": "P2D"})

    assert "The older signing key holds until" in browser.get("/console/health").text
