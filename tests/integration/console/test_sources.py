"""Connecting a provider and looking after it, in the browser."""

import html
import re
from typing import Any

import pytest

from shared.domain.checkout import Status
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop
from tests.unit.domain.sessions import SOURCE

SEED = re.compile(r'name="once" value="([\w-]{16,})"')


@pytest.fixture
def merchant(operator: Api) -> Api:
    """A new merchant."""
    return operator.as_(new_merchant(operator)["token"])


def reader(browser: Browser, merchant: Api) -> Browser:
    """Somebody who may only look."""
    link = merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"]
    other = Browser(browser.handler)
    other.post(link)
    return other


def sources(merchant: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = merchant("GET", "/v1/sources").json["data"]
    return found


def test_every_provider_has_a_form_of_its_own(signed_in: Browser, merchant: Api) -> None:
    providers = merchant("GET", "/v1/providers").json["data"]
    chosen = signed_in.get("/console/sources/new").text

    assert len(providers) == 11
    for own in providers:
        assert f'href="/console/sources/new/{own["provider"]}"' in chosen
        form = signed_in.get(f"/console/sources/new/{own['provider']}")
        assert form.status == 200
        assert html.escape(own["setup"], quote=False)[:40].split("'")[0] in html.unescape(form.text)
        wanted = {credential["name"] for credential in own["credentials"]}
        assert ('name="public_key"' in form.text) == ("public_key" in wanted)
        assert ('name="api"' in form.text) == ("api" in wanted)
    assert signed_in.get("/console/sources/new/nobody").text == signed_in.get("/console/sources/new").text


def test_url_and_secret_are_shown_once_with_where_to_paste_them(signed_in: Browser, merchant: Api) -> None:
    made = signed_in.post("/console/sources/new/flexype", {"name": "Tea <b>House</b>"})

    (source,) = sources(merchant)
    assert source["name"] == "Tea <b>House</b>"
    assert f'value="{source["url"]}"' in made.text
    secret = re.search(r'id="webhook-secret" value="([^"]{20,})"', made.text)
    assert secret
    assert "FlexyPe dashboard, Settings, Webhooks" in made.text
    assert made.headers["cache-control"] == "no-store"
    for path in ("/sources", f"/sources/{source['id']}", f"/sources/{source['id']}/change", "/start"):
        page = signed_in.get(f"/console{path}").text
        assert secret[1] not in page
        assert "<b>House" not in page


def test_a_double_click_connects_once(signed_in: Browser, merchant: Api) -> None:
    seed = SEED.search(signed_in.get("/console/sources/new/flexype").text)
    assert seed
    form = {"once": seed[1], "name": "Tea"}

    first, second = (signed_in.post("/console/sources/new/flexype", form) for _ in range(2))

    assert len(sources(merchant)) == 1
    shown = re.compile(r'id="webhook-secret" value="([^"]+)"')
    assert shown.findall(first.text) == shown.findall(second.text)
    assert SEED.search(signed_in.get("/console/sources/new/flexype").text) != seed


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(signed_in: Browser, merchant: Api) -> None:
    typed = {"name": "Pay", "secrets": "short", "mapping": "customer.phone = [", "idle_after": "PT30M"}

    page = signed_in.post("/console/sources/new/razorpay", typed)

    assert page.status == 422
    for name in ("secrets",):
        assert f'id="{name}-wrong"' in page.text
    assert "short</textarea>" in page.text
    assert 'value="Pay"' in page.text
    assert sources(merchant) == []

    page = signed_in.post("/console/sources/new/razorpay", typed | {"secrets": "", "mapping": ""})
    assert 'id="money_unit-wrong"' in page.text
    assert "required for this provider" in page.text

    page = signed_in.post("/console/sources/new/razorpay", typed | {"secrets": "", "money_unit": "minor"})
    assert 'id="mapping-wrong"' in page.text
    assert "customer.phone = [</textarea>" in page.text

    page = signed_in.post(
        "/console/sources/new/razorpay", typed | {"secrets": "", "money_unit": "minor", "mapping": ""}
    )
    assert page.status == 200
    assert re.search(r"\?token=[\w-]{30,}", page.text)


def test_settings_and_secret_are_changed_and_the_rest_stays(signed_in: Browser, merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype", "settings": {"keep_click_ids": True}}).json
    path = f"/console/sources/{made['id']}"
    version = re.search(r'name="version" value="([^"]+)"', signed_in.get(f"{path}/change").text)
    assert version
    typed = {
        "version": html.unescape(version[1]),
        "name": "Second shop",
        "currency": "usd",
        "secrets": "new-secret-1\r\nold-secret-1",
        "mapping": "note = a == `1`",
    }

    page = signed_in.post(f"{path}/change", typed)

    assert "The source is changed" in page.text
    changed = merchant("GET", f"/v1/sources/{made['id']}").json
    assert (changed["name"], changed["settings"]["currency"]) == ("Second shop", "USD")
    assert changed["settings"]["mapping"] == {"note": "a == `1`"}
    assert changed["settings"]["keep_click_ids"] is True


def test_two_people_who_change_a_source_lose_nothing(signed_in: Browser, merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype", "name": "Tea"}).json
    path = f"/console/sources/{made['id']}/change"
    version = re.search(r'name="version" value="([^"]+)"', signed_in.get(path).text)
    assert version
    mine = {"version": html.unescape(version[1]), "name": "Mine", "currency": "USD", "idle_after": "PT45M"}
    theirs = {"name": "<b>Theirs", "settings": {"mapping": {"note": "a", "name": "b"}, "idle_after": "PT45M"}}
    merchant("PATCH", f"/v1/sources/{made['id']}", theirs)

    for typed in (mine, mine | {"version": ""}):
        stale = signed_in.post(path, typed)
        assert stale.status == 422
        assert "Somebody else changed this source meanwhile" in stale.text
        assert 'id="name-newer">It is now: <bdi>&lt;b&gt;Theirs</bdi>' in stale.text
        assert 'id="mapping-newer">It is now: <bdi>note = a\nname = b</bdi>' in stale.text
        assert 'id="currency-newer">It is now: empty' in stale.text
        assert 'aria-describedby="currency-newer currency-hint"' in stale.text
        assert "idle_after-newer" not in stale.text
        assert f'href="{path}">take what is there now' in stale.text
        assert merchant("GET", f"/v1/sources/{made['id']}").json["name"] == "<b>Theirs"

    newer = re.search(r'name="version" value="([^"]+)"', stale.text)
    assert newer
    assert "The source is changed" in signed_in.post(path, mine | {"version": html.unescape(newer[1])}).text
    changed = merchant("GET", f"/v1/sources/{made['id']}").json
    assert (changed["name"], changed["settings"]["currency"], changed["settings"]["mapping"]) == ("Mine", "USD", {})


def test_the_token_in_an_address_is_turned_over_once_and_shown_once(signed_in: Browser, merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "custom"}).json
    path = f"/console/sources/{made['id']}"
    seed = SEED.search(signed_in.get(path).text)
    assert seed
    assert "Turn over the token in the address" in signed_in.get(path).text

    first, second = (signed_in.post(f"{path}/rotate", {"once": seed[1], "overlap": "PT1H"}) for _ in range(2))

    shown = re.compile(r'id="webhook-address" value="([^"]+token=[\w-]{43})"')
    assert shown.findall(first.text) == shown.findall(second.text) != []
    assert shown.findall(first.text) != [made["url"]]
    assert "token=***" in signed_in.get(path).text
    assert merchant("GET", f"/v1/sources/{made['id']}").headers["etag"] == '"2"'


def test_where_the_provider_signs_no_token_is_offered(signed_in: Browser, merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype"}).json
    path = f"/console/sources/{made['id']}"
    assert "Turn over the token" not in signed_in.get(path).text
    refused = signed_in.post(f"{path}/rotate")
    assert refused.status == 409
    assert "carries no token" in refused.text


def test_disconnecting_is_asked_once_more(signed_in: Browser, merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype"}).json
    path = f"/console/sources/{made['id']}/disconnect"

    assert "Nothing was done" in signed_in.post(path).text
    assert len(sources(merchant)) == 1
    assert "is disconnected" in signed_in.post(path, {"sure": "yes"}).text
    assert sources(merchant) == []


def test_who_may_only_look_sees_no_form_and_is_refused(browser: Browser, merchant: Api) -> None:
    made = merchant("POST", "/v1/sources", {"provider": "flexype"}).json
    looking = reader(browser, merchant)

    for path in ("/sources", f"/sources/{made['id']}"):
        text = looking.get(f"/console{path}").text
        assert "Connect a provider" not in text
        assert text.count("<form") == 1  # signing out
    for path in ("/sources/new", "/sources/new/flexype", f"/sources/{made['id']}/change"):
        assert looking.get(f"/console{path}").status == 403
    assert "may only read" in looking.post(f"/console/sources/{made['id']}/disconnect", {"sure": "yes"}).text
    assert "may only read" in looking.post("/console/sources/new/flexype", {}).text
    assert len(sources(merchant)) == 1


def test_another_merchants_source_is_not_there(signed_in: Browser, operator: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    made = other("POST", "/v1/sources", {"provider": "flexype"}).json

    for path in (f"/sources/{made['id']}", f"/sources/{made['id']}/change"):
        assert signed_in.get(f"/console{path}").status == 404
    gone = signed_in.post(f"/console/sources/{made['id']}/disconnect", {"sure": "yes"})
    assert "was not there any more" in gone.text
    assert len(sources(other)) == 1


def test_a_source_tells_when_it_was_heard_of_and_that_no_purchase_came(
    browser: Browser, operator: Api, shop: Shop
) -> None:
    merchant = operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])
    browser.sign_in(merchant.credential or "")
    path = f"/console/sources/{SOURCE}"
    assert "Nothing arrived yet" in browser.get(path).text

    shop.webhook()
    assert "No purchase arrived yet" in browser.get(path).text
    assert "100.0 %" in browser.get(path).text

    shop.webhook(session_state="COMPLETED")
    assert shop.checkout().status is Status.COMPLETED
    page = browser.get(path).text
    assert "No purchase arrived yet" not in page
    assert '<span class="quiet">never' not in page
