"""Endpoints in the browser: made, tested, changed, their secrets turned over, their templates written, removed."""

import re
from html import unescape
from typing import Any

import pytest

from functions.console import endpoint_form
from functions.merchant_api import services
from shared.destinations import registry
from shared.domain.instants import to_rfc3339
from shared.store.deliveries import DeliveryStatus, Recorded
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_deliveries import delivery
from tests.integration.console.conftest import Browser
from tests.integration.console.test_campaigns import filled_in
from tests.integration.console.test_pages import abandoned
from tests.integration.shop import Shop

URL = "https://bsp.example.com/hooks"
SECRET = "a-secret-of-the-merchants-own"


def made(merchant: Api, **given: Any) -> dict[str, Any]:
    answer = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": URL} | given)
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_new_endpoints_secret_is_shown_once_and_a_double_click_makes_one(signed_in: Browser, merchant: Api) -> None:
    assert "Add one." in signed_in.get("/console/endpoints").text
    assert "/console/endpoints/new/webhook" in signed_in.get("/console/endpoints/new").text
    ticked = {f"event.{own}": "yes" for own in ("checkout.abandoned", "checkout.recovered")}
    typed = filled_in(signed_in.get("/console/endpoints/new/webhook"))
    typed = {name: own for name, own in typed.items() if not name.startswith("event.")} | ticked
    typed |= {"name": "BSP <b>", "url": URL, "headers": "X-Team = checkout", "settings.bearer_token": SECRET}

    pages = [signed_in.post("/console/endpoints/new/webhook", typed) for _ in range(2)]

    (endpoint,) = merchant("GET", "/v1/endpoints").json["data"]
    assert endpoint["event_types"] == ["checkout.abandoned", "checkout.recovered"]
    assert endpoint["headers"] == {"X-Team": "***"}
    for page in pages:
        assert "whsec_" in page.text
        assert "<b>" not in page.text
    shown = signed_in.get(f"/console/endpoints/{endpoint['id']}").text
    changing = signed_in.get(f"/console/endpoints/{endpoint['id']}/change").text
    for text in (shown, changing):
        assert "whsec_" not in text
        assert SECRET not in text


def test_the_answer_to_a_test_event_is_shown_on_the_endpoints_page(signed_in: Browser, merchant: Api) -> None:
    endpoint = made(merchant)
    at = f"/console/endpoints/{endpoint['id']}"

    sent = signed_in.post(f"{at}/test", {"once": "one"})
    assert "The test event is on its way" in sent.text
    again = signed_in.post(f"{at}/test", {"once": "one"})
    assert "The test event is on its way" in again.text
    assert len(merchant("GET", "/v1/deliveries", query={"endpoint_id": endpoint["id"]}).json["data"]) == 1


def test_how_an_endpoint_answers_is_drawn_and_stands_in_a_table(signed_in: Browser, merchant: Api) -> None:
    endpoint = made(merchant)
    took = {1: (DeliveryStatus.DELIVERED, 120), 2: (DeliveryStatus.DELIVERED, 180), 3: (DeliveryStatus.FAILED, 900)}
    for number, (status, latency) in took.items():
        sent = delivery(merchant, endpoint["id"], number, DeliveryStatus.PENDING)
        attempt = {
            "at": to_rfc3339(sent.created_at),
            "status_code": 200,
            "latency_ms": latency,
            "response_body": None,
            "outcome": "delivered" if status is DeliveryStatus.DELIVERED else "retry",
            "reason": None,
            "next_attempt_at": None,
        }
        services.services().deliveries.record(sent, Recorded(status, None, attempt))

    page = signed_in.get(f"/console/endpoints/{endpoint['id']}")

    assert page.text.count('<rect class="whole"') in {7, 8}
    cells = re.findall(r'<td class="number">([^<]+)</td>', page.text.partition("How it answers")[2])
    assert cells[:5] == ["3", "66.7 %", "180 ms", "900 ms", "900 ms"]
    assert "Of all deliveries made in these 7 days (3)" in page.text
    by_hour = signed_in.get(f"/console/endpoints/{endpoint['id']}?period=P1D")
    assert by_hour.text.count('<rect class="whole"') in {24, 25}


def test_a_change_keeps_secrets_and_a_second_one_at_once_loses_nothing(signed_in: Browser, merchant: Api) -> None:
    endpoint = made(merchant, headers={"X-Team": "a"}, settings={"bearer_token": SECRET, "timeout": "PT9S"})
    at = f"/console/endpoints/{endpoint['id']}/change"
    typed = {name: own for name, own in filled_in(signed_in.get(at)).items() if name != "drop_headers"}
    assert typed["settings.timeout"] == "PT9S"
    theirs = {"name": "Theirs", "event_types": ["checkout.recovered"]}
    merchant("PATCH", f"/v1/endpoints/{endpoint['id']}", theirs)

    stale = signed_in.post(at, typed | {"name": "Mine", "rate_max": "5", "rate_per": "PT1S"})
    assert stale.status == 422
    assert "Somebody else changed this endpoint meanwhile" in stale.text
    assert 'id="name-newer">It is now: <bdi>Theirs</bdi>' in stale.text
    assert 'id="events-newer">It is now: <bdi>checkout.recovered</bdi>' in stale.text
    assert "settings.timeout-newer" not in stale.text
    kept = {name: own for name, own in filled_in(stale).items() if name != "drop_headers"}
    assert (kept["name"], kept["rate_max"]) == ("Mine", "5")

    assert "The endpoint is changed" in signed_in.post(at, kept).text
    now = merchant("GET", f"/v1/endpoints/{endpoint['id']}").json
    assert (now["name"], now["settings"]["rate_limit"]) == ("Mine", {"max": 5, "per": "PT1S"})
    assert now["settings"]["bearer_token"] == "***"
    assert now["headers"] == {"X-Team": "***"}

    wrong = filled_in(signed_in.get(at)) | {"url": "http://10.0.0.1/", "retry_schedule": "soon", "settings.filter": "{"}
    assert 'id="settings.filter-wrong"' in signed_in.post(at, wrong).text
    refused = signed_in.post(at, wrong | {"settings.filter": ""})
    assert refused.status == 422
    assert 'id="retry_schedule-wrong"' in refused.text
    assert filled_in(refused)["url"] == "http://10.0.0.1/"


def test_a_secret_is_turned_over_and_shown_once(signed_in: Browser, merchant: Api) -> None:
    endpoint = made(merchant)
    at = f"/console/endpoints/{endpoint['id']}"

    page = signed_in.post(f"{at}/rotate", {"overlap": "PT1H", "once": "one"})

    assert "A new signing secret" in page.text
    assert "whsec_" in page.text
    assert endpoint["signing_secret"] not in page.text
    assert signed_in.post(f"{at}/rotate", {"overlap": "forever"}).status == 422


def test_a_removed_endpoint_is_gone_once_one_is_sure(signed_in: Browser, merchant: Api) -> None:
    endpoint = made(merchant)
    at = f"/console/endpoints/{endpoint['id']}"

    assert "Nothing was done" in signed_in.post(f"{at}/remove").text
    assert "The endpoint is removed" in signed_in.post(f"{at}/remove", {"sure": "yes"}).text
    assert signed_in.get(at).status == 404


def test_a_template_is_written_beside_what_it_makes(signed_in: Browser, merchant: Api, shop: Shop) -> None:
    abandoned(shop)
    phone = shop.checkout().text("customer.phone") or ""
    endpoint = made(merchant)
    at = f"/console/endpoints/{endpoint['id']}/template"
    typed = filled_in_template(signed_in.get(at).text) | {"template": '{"to": {{ customer.phone | json }}}'}

    shown = signed_in.post(at, typed | {"do": "show"})
    assert "&#34;to&#34;: &#34;••••" in shown.text
    assert phone not in shown.text
    whole = signed_in.get(at).text
    for private in (phone, phone[1:], shop.checkout().text("shipping_address.address1") or phone):
        assert private not in whole
    assert phone in signed_in.post(at, typed | {"do": "show", "contact": "yes"}).text
    assert "not a valid Liquid template" in signed_in.post(at, typed | {"template": "{{", "do": "show"}).text
    hostile = signed_in.post(at, typed | {"template": '{"x": "<img src=x onerror=alert(1)>"}', "do": "show"})
    assert "<img" not in hostile.text

    refused = signed_in.post(at, typed | {"template": "{{", "do": "save"})
    assert refused.status == 422
    assert 'id="template-wrong"' in refused.text
    assert "The endpoint is changed" in signed_in.post(at, typed | {"do": "save"}).text
    stored = merchant("GET", f"/v1/endpoints/{endpoint['id']}").json["settings"]["payload"]
    assert stored == {"liquid": '{"to": {{ customer.phone | json }}}'}
    late = signed_in.post(at, typed | {"do": "save", "template": "{}"}).text
    assert "Somebody else changed this endpoint meanwhile" in late
    assert 'id="template-newer">It is now: <bdi>{&#34;to&#34;' in late


def filled_in_template(text: str) -> dict[str, str]:
    version = text.split('name="version" value="')[1].split('"', maxsplit=1)[0]
    return {"version": unescape(version)}


def test_who_may_only_look_sees_no_button_and_is_refused(browser: Browser, merchant: Api, shop: Shop) -> None:
    abandoned(shop)
    endpoint = made(merchant)
    browser.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])
    at = f"/console/endpoints/{endpoint['id']}"

    shown = browser.get(at).text
    for button in ("Send a test event", "Switch off", "Make a new secret", "/change"):
        assert button not in shown
    assert browser.get(f"{at}/template").status == 200
    typed = {"version": "*", "do": "save", "sure": "yes", "template": "{}"}
    for action in ("change", "template", "rotate", "remove", "test"):
        assert browser.post(f"{at}/{action}", typed).status == 403, action
    assert browser.post("/console/endpoints/new/webhook", {"url": URL}).status == 403


def test_another_merchants_endpoint_is_not_there(browser: Browser, merchant: Api, operator: Api) -> None:
    endpoint = made(merchant)
    browser.sign_in(new_merchant(operator)["token"])
    at = f"/console/endpoints/{endpoint['id']}"

    assert [browser.get(f"{at}{path}").status for path in ("", "/change", "/template")] == [404] * 3
    for action in ("change", "template", "rotate", "remove"):
        assert browser.post(f"{at}/{action}", {"sure": "yes", "version": "*"}).status == 404
    assert merchant("GET", f"/v1/endpoints/{endpoint['id']}").status == 200


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_kind_has_a_form_of_its_settings(signed_in: Browser, kind: str) -> None:
    page = signed_in.get(f"/console/endpoints/new/{kind}")

    assert page.status == 200
    described = next(own for own in registry.describe() if own["kind"] == kind)
    typed = filled_in(page)
    for own in endpoint_form.settings_of(described["settings"]):
        assert own.field in typed, own
    empty = signed_in.post(f"/console/endpoints/new/{kind}", typed | {"url": ""})
    assert empty.status == 422
    for needed in described["settings"].get("required", ()):
        assert f'id="settings.{needed}-wrong"' in empty.text


def test_a_kind_there_is_not_leads_to_those_there_are(signed_in: Browser) -> None:
    assert "New endpoint" in signed_in.get("/console/endpoints/new/pigeon").text
    assert "New endpoint" in signed_in.post("/console/endpoints/new/pigeon").text
