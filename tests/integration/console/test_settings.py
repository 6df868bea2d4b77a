"""The shop's settings, its tokens, and whom no message reaches."""

import html
import re
from typing import Any

import pytest

from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser

PHONE = "+919820012345"


@pytest.fixture
def merchant(operator: Api) -> Api:
    """A new merchant."""
    return operator.as_(new_merchant(operator)["token"])


@pytest.fixture
def looking(signed_in: Browser, merchant: Api) -> Browser:
    """Somebody who may only look."""
    other = Browser(signed_in.handler)
    other.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])
    return other


def filled(page: str) -> dict[str, str]:
    """The form of the settings as it is shown."""
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'<input[^>]*? name="(\w+)"[^>]*? value="([^"]*)"', page)
        if name not in {"once", "kind"}
    }
    areas = re.findall(r'<textarea[^>]*? name="(\w+)"[^>]*>\n([^<]*)</textarea>', page)
    chosen = re.findall(r'<select[^>]*? name="(\w+)".*?<option value="([^"]*)" selected', page)
    return fields | {name: html.unescape(value) for name, value in areas} | dict(chosen)


def settings(merchant: Api) -> dict[str, Any]:
    found: dict[str, Any] = merchant("GET", "/v1/merchant").json
    return found


def test_a_form_that_is_sent_as_it_was_shown_changes_nothing(signed_in: Browser, merchant: Api) -> None:
    before = settings(merchant)

    page = signed_in.post("/console/settings", filled(signed_in.get("/console/settings").text))

    assert "Your settings are changed" in page.text
    assert settings(merchant) == before


def test_settings_are_changed_and_quiet_hours_may_be_none(signed_in: Browser, merchant: Api) -> None:
    form = filled(signed_in.get("/console/settings").text)
    form |= {"idle_after": "PT45M", "quiet_start": "", "quiet_end": "", "consent": "unknown_allowed"}
    form |= {"minimum_total": "500.00 INR\r\n10 USD", "holdout_percent": "20", "timezone": "Europe/Berlin"}

    page = signed_in.post("/console/settings", form)

    assert "on your shop&#39;s clock, Europe/Berlin" in page.text or "clock, Europe/Berlin" in page.text
    changed = settings(merchant)["settings"]
    assert (changed["idle_after"], changed["quiet_hours"], changed["holdout_percent"]) == ("PT45M", None, 20)
    assert changed["minimum_total"] == [
        {"amount": "500.00", "currency": "INR"}, {"amount": "10.00", "currency": "USD"},
    ]  # fmt: skip


def test_what_is_wrong_stands_beside_its_field(signed_in: Browser, merchant: Api) -> None:
    before = settings(merchant)
    form = filled(signed_in.get("/console/settings").text)
    wrong = {
        "idle_after": "soon", "country": "??", "quiet_start": "21:00", "quiet_end": "late", "holdout_percent": "many",
        "minimum_total": "10.00 USD\r\nx INR", "timezone": "Moon/Sea", "consent": "sometimes",
    }  # fmt: skip

    page = signed_in.post("/console/settings", form | wrong)

    assert page.status == 422
    for name in ("idle_after", "country", "quiet_end", "holdout_percent", "minimum_total", "timezone", "consent"):
        assert f'id="{name}-wrong"' in page.text, name
        assert re.search(rf'name="{name}"[^>]*aria-describedby="{name}-wrong', page.text), name
    assert "line 2" in page.text
    assert 'value="soon"' in page.text
    assert settings(merchant) == before

    page = signed_in.post("/console/settings", form | {"store_domains": "evil.example"})
    assert 'id="store_domains-wrong"' in page.text
    assert "only the operator adds a store domain" in page.text


def test_what_changed_meanwhile_is_not_overwritten(signed_in: Browser, merchant: Api) -> None:
    form = filled(signed_in.get("/console/settings").text)
    merchant("PATCH", "/v1/merchant", {"name": "Renamed"})

    page = signed_in.post("/console/settings", form | {"name": "Mine"})
    without = signed_in.post("/console/settings", {**form, "name": "Mine", "version": ""})

    assert (page.status, without.status) == (422, 422)
    for stale in (page.text, without.text):
        assert "Somebody else changed the settings meanwhile" in stale
        assert 'id="name-newer">It is now: <bdi>Renamed</bdi>' in stale
        assert stale.count("It is now") == 1
    assert settings(merchant)["name"] == "Renamed"

    assert "Your settings are changed" in signed_in.post("/console/settings", filled(page.text)).text
    assert settings(merchant)["name"] == "Mine"


def test_a_token_is_made_once_and_shown_once(signed_in: Browser, merchant: Api, operator: Api) -> None:
    seed = re.search(r'name="once" value="([\w-]+)"', signed_in.get("/console/settings/tokens").text)
    assert seed

    pages = [signed_in.post("/console/settings/tokens", {"once": seed[1], "name": "ERP <b>"}) for _ in range(2)]

    shown = {re.search(r'id="new-token" value="(cbk_[\w-]{43})"', own.text) for own in pages}
    tokens = {own[1] for own in shown if own}
    assert len(tokens) == 1
    assert operator.as_(tokens.pop())("GET", "/v1/merchant").status == 200
    assert [own["name"] for own in merchant("GET", "/v1/tokens").json["data"]] == [None, "ERP <b>"]
    again = signed_in.get("/console/settings/tokens").text
    assert "cbk_" not in again
    assert "ERP &lt;b&gt;" in again
    assert "<b>" not in again


def test_a_token_is_revoked_when_that_is_sure(signed_in: Browser, merchant: Api, operator: Api) -> None:
    made = merchant("POST", "/v1/tokens", {"name": "ERP"}).json
    form = {"token_id": made["id"]}

    assert "Nothing was done" in signed_in.post("/console/settings/tokens/revoke", form).text
    assert operator.as_(made["token"])("GET", "/v1/merchant").status == 200
    assert "is revoked" in signed_in.post("/console/settings/tokens/revoke", form | {"sure": "yes"}).text
    assert len(merchant("GET", "/v1/tokens").json["data"]) == 1
    for named in (made["id"], "../merchant", "", "tok_/x"):
        page = signed_in.post("/console/settings/tokens/revoke", {"token_id": named, "sure": "yes"})
        assert "was not there any more" in page.text


def test_revoking_the_sessions_own_token_ends_the_session(signed_in: Browser, merchant: Api) -> None:
    (own,) = merchant("GET", "/v1/tokens").json["data"]

    page = signed_in.post("/console/settings/tokens/revoke", {"token_id": own["id"], "sure": "yes"})

    assert "Sign in" in page.text


def test_somebody_is_looked_up_suppressed_and_allowed_again(signed_in: Browser, merchant: Api) -> None:
    path = "/console/settings/suppressions"
    whom = {"kind": "phone", "contact": "98200 12345"}

    assert "Not suppressed" in signed_in.post(path, whom).text
    done = signed_in.post(f"{path}/add", whom | {"channel_sms": "yes", "reason": "asked us to stop"})
    assert "No message reaches them" in done.text
    found = signed_in.post(path, whom).text
    assert "asked us to stop" in found
    (row,) = merchant("GET", "/v1/suppressions", query={"phone": PHONE}).json["data"]
    assert row["channels"] == ["sms"]

    assert "may reach them again" in signed_in.post(f"{path}/lift", whom).text
    assert "was not there any more" in signed_in.post(f"{path}/lift", whom).text
    assert merchant("GET", "/v1/suppressions").json["data"] == []
    assert "98200" not in signed_in.address


def test_one_of_the_list_is_allowed_again_by_its_id(signed_in: Browser, merchant: Api) -> None:
    merchant("POST", "/v1/suppressions", {"email": "asha@tea.example"})
    (row,) = merchant("GET", "/v1/suppressions").json["data"]
    listed = signed_in.get("/console/settings/suppressions").text
    assert row["id"] in listed
    assert "asha" not in listed

    for named in ("../merchant", "sup_email_none", "sup_/../x"):
        page = signed_in.post("/console/settings/suppressions/lift", {"suppression_id": named})
        assert "was not there any more" in page.text
    assert len(merchant("GET", "/v1/suppressions").json["data"]) == 1
    signed_in.post("/console/settings/suppressions/lift", {"suppression_id": row["id"]})
    assert merchant("GET", "/v1/suppressions").json["data"] == []


@pytest.mark.parametrize(
    ("kind", "contact"), [("phone", "12"), ("phone", ""), ("email", "nobody"), ("email", ""), ("else", "x")]
)
def test_whom_nobody_could_be_is_said_beside_the_field(
    signed_in: Browser, merchant: Api, kind: str, contact: str
) -> None:
    for action in ("", "/add"):
        page = signed_in.post(f"/console/settings/suppressions{action}", {"kind": kind, "contact": contact})
        assert page.status == 422
        assert 'id="contact-wrong"' in page.text
        assert f'name="contact" type="text" value="{contact}"' in page.text
    assert merchant("GET", "/v1/suppressions").json["data"] == []


def test_a_reason_that_names_somebody_is_refused_beside_its_field(signed_in: Browser, merchant: Api) -> None:
    form = {"kind": "email", "contact": "asha@tea.example", "reason": "call +919820012345"}

    page = signed_in.post("/console/settings/suppressions/add", form)

    assert page.status == 422
    assert 'id="reason-wrong"' in page.text
    assert merchant("GET", "/v1/suppressions").json["data"] == []


def test_who_may_only_look_sees_no_buttons_and_changes_nothing(looking: Browser, merchant: Api) -> None:
    merchant("POST", "/v1/suppressions", {"email": "asha@tea.example"})
    (row,) = merchant("GET", "/v1/suppressions").json["data"]
    (token,) = merchant("GET", "/v1/tokens").json["data"]
    before = settings(merchant)
    posts: dict[str, dict[str, str]] = {
        "": {"name": "Mine", "version": "*"},
        "/tokens": {},
        "/tokens/revoke": {"token_id": token["id"], "sure": "yes"},
        "/suppressions/add": {"kind": "email", "contact": "b@tea.example"},
        "/suppressions/lift": {"suppression_id": row["id"]},
    }
    for path, buttons in (("", 1), ("/tokens", 1), ("/suppressions", 2)):
        assert looking.get(f"/console/settings{path}").text.count("<button") == buttons, path
    for path, form in posts.items():
        assert looking.post(f"/console/settings{path}", form).status == 403, path
    assert (
        "Suppressed"
        in looking.post("/console/settings/suppressions", {"kind": "email", "contact": "asha@tea.example"}).text
    )
    assert settings(merchant) == before
    assert len(merchant("GET", "/v1/tokens").json["data"]) == 1
    assert len(merchant("GET", "/v1/suppressions").json["data"]) == 1
