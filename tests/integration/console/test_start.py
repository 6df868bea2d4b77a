"""The way to the first recovery, step by step."""

import re

from shared.delivery.exchange import Answer
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop

START = "/console/start"


def next_step(page: str) -> str:
    found = re.search(r"Next: <strong>([^<]+)</strong>", page)
    return found[1] if found else ""


def test_nothing_is_connected_yet(browser: Browser, operator: Api) -> None:
    browser.sign_in(new_merchant(operator)["token"])

    page = browser.get(START).text

    assert next_step(page) == "Connect a provider"
    assert 'href="/console/sources/new"' in page
    assert "Waiting for your first webhook" not in page


def test_the_first_webhook_is_waited_for_then_the_first_purchase(signed_in: Browser, shop: Shop) -> None:
    waiting = signed_in.get(START)
    assert "Waiting for your first webhook" in waiting.text
    assert 'data-live="1"' in waiting.text
    assert signed_in.get(START, if_none_match=waiting.headers["etag"].strip('"')).status == 304

    shop.webhook()
    arrived = signed_in.get(START, if_none_match=waiting.headers["etag"].strip('"'))
    assert arrived.status == 200
    assert "Waiting for your first webhook" not in arrived.text
    assert next_step(arrived.text) == "See the first purchase arrive"
    assert "no purchase did yet" in arrived.text

    shop.webhook(session_state="COMPLETED")
    assert next_step(signed_in.get(START).text) == "Add an endpoint"
    assert "no purchase did yet" not in signed_in.get(START).text


def test_a_test_event_is_sent_once_and_its_answer_is_shown(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    endpoint = shop.endpoint("checkout.abandoned")
    seed = re.search(r'name="once" value="([\w-]+)"', signed_in.get(START).text)
    assert seed
    shop.answer = lambda _: Answer(202)

    for _ in range(2):
        sent = signed_in.post("/console/start/test", {"once": seed[1], "endpoint_id": endpoint.id})
        assert "on its way" in sent.text
    shop.deliver()

    page = signed_in.get(START).text
    assert re.search(r"answered 202 after \d+ ms", page)
    rows = merchant("GET", "/v1/deliveries", query={"endpoint_id": endpoint.id}).json["data"]
    assert [own["event_type"] for own in rows] == ["endpoint.test"]
    assert f'href="/console/deliveries/{rows[0]["id"]}"' in page


def test_a_test_goes_to_an_endpoint_of_ones_own(signed_in: Browser, operator: Api, merchant: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    theirs = other("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json["id"]

    for named in (theirs, "../merchant", ""):
        assert "was not there any more" in signed_in.post("/console/start/test", {"endpoint_id": named}).text
    assert other("GET", "/v1/deliveries", query={"endpoint_id": theirs}).json["data"] == []


def test_who_may_only_look_sees_the_steps_and_no_button(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    endpoint = shop.endpoint("checkout.abandoned")
    looking = Browser(signed_in.handler)
    looking.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])

    page = looking.get(START).text

    assert page.count("<form") == 1
    assert "/sources/new" not in page
    assert looking.post("/console/start/test", {"endpoint_id": endpoint.id}).status == 403
