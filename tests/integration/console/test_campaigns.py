"""Campaigns in the browser: made from a template, tried before they are switched on, changed by two people at once."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import pytest

from functions.console import campaign_form, campaign_words
from shared.aws import clients
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser, Page
from tests.integration.console.test_pages import abandoned
from tests.integration.shop import Shop

CONDITION = {"field": "total", "op": "gte", "value": "500.00"}
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def endpoint(merchant: Api) -> str:
    """Where messages go."""
    made: str = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"}).json["id"]
    return made


def filled_in(page: Page) -> dict[str, str]:
    """What stands in the fields of a page's form, as a browser would send it."""
    form = page.text[page.text.index('class="filled') :]
    found = {
        name: unescape(value)
        for tag in re.findall(r"<input[^>]*>", form)
        for name, value in [(_attribute(tag, "name"), _attribute(tag, "value"))]
        if name
    }
    for name, inside in re.findall(r'<select[^>]*?name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', inside) or re.search(r'<option value="([^"]*)"', inside)
        found[name] = unescape(chosen[1]) if chosen else ""
    for name, inside in re.findall(r'<textarea[^>]*?name="([^"]+)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL):
        found[name] = unescape(inside)
    return found


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found[1] if found else ""


def made(merchant: Api, endpoint: str, **given: Any) -> dict[str, Any]:
    steps = [{"after": "PT1H", "endpoint_id": endpoint}, {"after": "P1D", "endpoint_id": endpoint}]
    answer = merchant("POST", "/v1/campaigns", {"name": "Back", "steps": steps} | given)
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_the_first_campaign_is_made_from_a_template_tried_and_then_switched_on(
    signed_in: Browser, merchant: Api, shop: Shop
) -> None:
    abandoned(shop)
    assert "Begin with a template" in signed_in.get("/console/start").text
    assert "template=discount" in signed_in.get("/console/campaigns/new").text
    typed = filled_in(signed_in.get("/console/campaigns/new?template=discount"))
    typed["s1.code"] = "BACK10"

    tried = signed_in.post("/console/campaigns/new", typed | {"do": "try"})

    assert tried.status == 200
    assert re.search(r"Of 1 checkout it writes to [01], with \d messages? in all", tried.text)
    assert merchant("GET", "/v1/campaigns").json["data"] == []

    stored = signed_in.post("/console/campaigns/new", filled_in(tried) | {"do": "save"})
    (campaign,) = merchant("GET", "/v1/campaigns").json["data"]
    assert campaign["status"] == "paused"
    assert campaign["steps"][1]["coupon"] == {"type": "static", "code": "BACK10"}
    assert "What it would do" in stored.text

    version = re.search(r'name="version" value="([^"]+)"', stored.text)
    assert version is not None
    at = f"/console/campaigns/{campaign['id']}"
    assert "The campaign is active" in signed_in.post(f"{at}/activate", {"version": unescape(version[1])}).text
    assert "The campaign is paused" in signed_in.post(f"{at}/pause").text
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").json["status"] == "paused"


def test_a_form_that_is_sent_twice_makes_one_campaign(signed_in: Browser, merchant: Api, endpoint: str) -> None:
    typed = filled_in(signed_in.get("/console/campaigns/new?template=reminder")) | {"do": "save"}

    assert typed["s0.endpoint_id"] == endpoint
    for _ in range(2):
        assert signed_in.post("/console/campaigns/new", typed).status == 200

    assert len(merchant("GET", "/v1/campaigns").json["data"]) == 1


def test_of_two_editors_the_second_sees_what_the_first_did_and_loses_nothing(
    signed_in: Browser, merchant: Api, endpoint: str
) -> None:
    campaign = made(merchant, endpoint, criteria={"all": [CONDITION]})
    at = f"/console/campaigns/{campaign['id']}"
    typed = filled_in(signed_in.get(f"{at}/change")) | {"do": "save", "name": f"Mine {HOSTILE}", "c0.value": "700.00"}
    merchant("PATCH", f"/v1/campaigns/{campaign['id']}", {"name": f"Theirs {HOSTILE}", "priority": 5})

    stale = signed_in.post(f"{at}/change", typed)

    assert stale.status == 409
    assert "Somebody else changed this campaign meanwhile" in stale.text
    assert "<img" not in stale.text
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").json["name"] == f"Theirs {HOSTILE}"
    kept = filled_in(stale)
    assert (kept["name"], kept["c0.value"]) == (f"Mine {HOSTILE}", "700.00")

    assert "The campaign is changed" in signed_in.post(f"{at}/change", kept | {"do": "save"}).text
    now = merchant("GET", f"/v1/campaigns/{campaign['id']}").json
    assert (now["name"], now["priority"]) == (f"Mine {HOSTILE}", 0)
    assert now["criteria"]["all"][0]["value"] == "700.00"


def test_what_is_switched_on_is_what_was_looked_at(signed_in: Browser, merchant: Api, endpoint: str) -> None:
    campaign = made(merchant, endpoint, status="paused")
    at = f"/console/campaigns/{campaign['id']}"
    version = unescape(re.findall(r'name="version" value="([^"]+)"', signed_in.get(at).text)[0])
    merchant("PATCH", f"/v1/campaigns/{campaign['id']}", {"priority": 5})

    for sent in ({"version": version}, {}):
        assert "It was changed meanwhile" in signed_in.post(f"{at}/activate", sent).text
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").json["status"] == "paused"


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_is_kept(
    signed_in: Browser, merchant: Api, endpoint: str
) -> None:
    typed = filled_in(signed_in.get("/console/campaigns/new?template=three"))
    wrong = {"s1.after": "20", "s2.template": "{", "conditions": "1", "c0.field": "total", "c0.op": "gte"}

    no_json = signed_in.post("/console/campaigns/new", typed | wrong | {"do": "save"})
    assert no_json.status == 422
    assert 'id="s2.template-wrong" role="alert">this is no JSON object' in no_json.text

    for do in ("save", "try"):
        sent = filled_in(no_json) | {"do": do, "s2.template": "", "c0.value": "much"}
        refused = signed_in.post("/console/campaigns/new", sent)
        assert refused.status == 422
        assert 'id="s1.after-wrong" role="alert">must be earlier than do_not_send_after' in refused.text
        assert 'id="c0.value-wrong" role="alert">must be an amount' in refused.text
        kept = filled_in(refused)
        assert (kept["c0.value"], kept["s1.after"], kept["s1.endpoint_id"]) == ("much", "20", endpoint)
    assert merchant("GET", "/v1/campaigns").json["data"] == []


def test_messages_and_conditions_come_and_go_and_the_rest_stays(signed_in: Browser, endpoint: str) -> None:
    typed = filled_in(signed_in.get("/console/campaigns/new?template=three")) | {"name": "Kept"}

    more = filled_in(signed_in.post("/console/campaigns/new", typed | {"do": "add-step"}))
    assert (more["steps"], more["s3.endpoint_id"], more["name"]) == ("4", endpoint, "Kept")
    fewer = filled_in(signed_in.post("/console/campaigns/new", more | {"do": "drop-step-1"}))
    assert (fewer["steps"], fewer["s1.after"], fewer["s1.unit"]) == ("3", "2", "days")
    with_one = filled_in(signed_in.post("/console/campaigns/new", fewer | {"do": "add-condition"}))
    assert with_one["conditions"] == "1"
    for odd in ("drop-step-77", "drop-condition-x", "drop-step-", "add-nothing"):
        assert signed_in.post("/console/campaigns/new", with_one | {"do": odd}).status in {200, 422}


def test_quiet_hours_hold_for_all_campaigns(signed_in: Browser, merchant: Api) -> None:
    typed = filled_in(signed_in.get("/console/campaigns/quiet-hours"))
    typed.pop("none")

    page = signed_in.post("/console/campaigns/quiet-hours", typed | {"start": "22:00", "end": "08:30"})
    assert "between 22:00 and 08:30" in page.text
    assert merchant("GET", "/v1/merchant").json["settings"]["quiet_hours"] == {"start": "22:00", "end": "08:30"}

    stale = signed_in.post("/console/campaigns/quiet-hours", typed | {"start": "23:00", "end": "07:00"})
    assert stale.status == 422
    assert 'value="23:00"' in stale.text
    again = filled_in(stale)
    again.pop("none")
    assert "between 23:00 and 07:00" in signed_in.post("/console/campaigns/quiet-hours", again).text
    wrong = filled_in(signed_in.get("/console/campaigns/quiet-hours")) | {"start": "noon", "none": ""}
    assert 'id="start-wrong"' in signed_in.post("/console/campaigns/quiet-hours", wrong).text
    none = filled_in(signed_in.get("/console/campaigns/quiet-hours")) | {"none": "yes"}
    assert "There are none" in signed_in.post("/console/campaigns/quiet-hours", none).text


def test_a_scheduled_campaign_is_paused_with_its_schedule(signed_in: Browser, merchant: Api, endpoint: str) -> None:
    trigger = {"type": "schedule", "expression": "rate(1 hour)", "window": {"modified_after": "P1D"}}
    campaign = made(merchant, endpoint, trigger=trigger)
    at = f"/console/campaigns/{campaign['id']}"

    signed_in.post(f"{at}/pause")

    (schedule,) = clients.scheduler().list_schedules(GroupName="campaigns")["Schedules"]
    assert schedule["State"] == "DISABLED"
    typed = filled_in(signed_in.get(f"{at}/change")) | {"do": "save", "expression": "rate(2 hours)"}
    assert "The campaign is changed" in signed_in.post(f"{at}/change", typed).text
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").json["trigger"]["window"] == {"modified_after": "P1D"}
    made_here = filled_in(signed_in.get("/console/campaigns/new?template=reminder")) | {"do": "save"}
    signed_in.post("/console/campaigns/new", made_here | {"trigger": "schedule", "expression": "rate(1 day)"})
    assert "Nothing was done" in signed_in.post(f"{at}/remove").text
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").status == 200
    assert "The campaign is removed" in signed_in.post(f"{at}/remove", {"sure": "yes"}).text
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").status == 404


def test_who_may_only_look_sees_no_button_and_is_refused(browser: Browser, merchant: Api, endpoint: str) -> None:
    campaign = made(merchant, endpoint, status="paused")
    browser.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])
    at = f"/console/campaigns/{campaign['id']}"

    for path in ("/console/campaigns", at):
        page = browser.get(path)
        assert page.status == 200
        assert "Activate" not in page.text
        assert "/change" not in page.text
    typed = filled_in(browser.get(f"{at}/change"))
    for path, sent in (
        (f"{at}/activate", typed),
        (f"{at}/change", typed | {"do": "save"}),
        (f"{at}/remove", {"sure": "yes"}),
    ):
        assert browser.post(path, sent).status == 403
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").json == campaign


def test_another_merchants_campaign_is_not_there(browser: Browser, merchant: Api, operator: Api, endpoint: str) -> None:
    campaign = made(merchant, endpoint)
    browser.sign_in(new_merchant(operator)["token"])
    at = f"/console/campaigns/{campaign['id']}"

    assert [browser.get(path).status for path in (at, f"{at}/change")] == [404, 404]
    for action in ("pause", "activate", "change", "remove"):
        assert browser.post(f"{at}/{action}", {"sure": "yes", "version": "*"}).status == 404
    assert merchant("GET", f"/v1/campaigns/{campaign['id']}").json["status"] == "active"


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        CONDITION,
        {"all": [CONDITION, {"field": "items.sku", "op": "in", "value": ["A", "B"]}]},
        {"any": [CONDITION, {"field": "customer.email", "op": "exists", "value": False}]},
        {"all": [{"not": CONDITION}]},
        {"not": {"any": [CONDITION]}},
    ],
)
def test_whatever_a_campaign_says_the_editor_gives_back(
    signed_in: Browser, merchant: Api, endpoint: str, criteria: dict[str, Any]
) -> None:
    coupon = {"type": "minted", "endpoint_id": endpoint}
    campaign = made(merchant, endpoint, criteria=criteria, coupon=coupon, priority=-3, do_not_send_after="P2DT1H")
    at = f"/console/campaigns/{campaign['id']}"

    page = signed_in.post(f"{at}/change", filled_in(signed_in.get(f"{at}/change")) | {"do": "save"})

    assert "The campaign is changed" in page.text
    now = merchant("GET", f"/v1/campaigns/{campaign['id']}").json
    same = {name: own for name, own in now.items() if name not in {"criteria", "version"}}
    assert same == {name: own for name, own in campaign.items() if name not in {"criteria", "version"}}
    meant = {"all": [criteria]} if "field" in criteria else criteria
    assert now["criteria"] == meant
    assert campaign_words.audience(now["criteria"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [("PT1H", "1 hour"), ("PT90M", "90 minutes"), ("P1DT2H", "26 hours"), ("P14D", "14 days"), ("PT0S", "0 minutes")],
)
def test_durations_are_said_in_the_largest_whole_unit(text: str, shown: str) -> None:
    assert campaign_words.duration(text) == shown


def test_a_form_of_somebody_elses_making_is_at_most_refused() -> None:
    odd: Mapping[str, str]
    for odd in ({}, {"steps": "9" * 5000}, {"steps": "-1", "conditions": "٣"}, {"do_not_send_after": "²"}):
        body, wrong = campaign_form.body_of(odd)
        assert len(body["steps"]) <= campaign_form.MOST_STEPS
        assert wrong == {}
        assert campaign_form.places(odd)["/name"] == "name"
