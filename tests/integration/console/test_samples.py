"""Trying a source in the browser, before the shop sends anything."""

import re

import pytest

from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser
from tests.integration.shop import Shop
from tests.unit.domain.sessions import SOURCE

START = "/console/start"
SEED = re.compile(r'name="once" value="([\w-]{16,})"')
PATH = f"/console/sources/{SOURCE}/sample"


def checkouts(merchant: Api) -> list[dict[str, object]]:
    found: list[dict[str, object]] = merchant("GET", "/v1/checkouts").json["data"]
    return found


def test_a_sample_from_start_is_shown_there_and_is_not_the_first_webhook(
    signed_in: Browser, shop: Shop, merchant: Api
) -> None:
    page = signed_in.get(START).text
    seed = SEED.search(page)
    assert seed
    assert "Send a sample of FlexyPe" in page

    sent = [signed_in.post(PATH, {"once": seed[1], "back": "start"}) for _ in range(2)]

    (checkout,) = checkouts(merchant)
    for own in sent:
        assert own.status == 200
        assert "The sample was understood" in own.text
        assert f'href="/console/checkouts/{checkout["id"]}"' in own.text
    assert signed_in.address.startswith(f"{START}?")
    assert "Waiting for your first webhook" in sent[0].text
    assert "Next: <strong>See the first webhook arrive" in sent[0].text
    shown = signed_in.get(f"/console/checkouts/{checkout['id']}").text
    assert '<span class="badge test">Test</span>' in shown
    assert "A sample webhook made this, and no shopper" in shown
    assert "Checkout begun" in shown or "What happened" in shown
    assert '<span class="badge test">Test</span>' in signed_in.get("/console/checkouts").text

    shop.webhook()
    assert "Next: <strong>See the first purchase arrive" in signed_in.get(START).text


def test_a_sample_from_the_source_may_name_oneself(signed_in: Browser, shop: Shop, merchant: Api) -> None:
    asked = signed_in.get(PATH)
    assert asked.status == 200

    page = signed_in.post(PATH, {"phone": "12", "email": "me@tea.example"})
    assert page.status == 422
    assert 'id="phone-wrong"' in page.text
    assert 'value="me@tea.example"' in page.text
    assert "No sample was taken in" in page.text
    assert checkouts(merchant) == []

    page = signed_in.post(PATH, {"phone": "+919820012345", "email": ""})
    assert "The sample was understood" in page.text
    assert signed_in.address.startswith(f"/console/sources/{SOURCE}?")
    assert "9820012345" not in signed_in.address
    (checkout,) = checkouts(merchant)
    assert checkout["customer"]["phone"] == "+919820012345"  # type: ignore[index]


def test_what_cannot_be_signed_or_understood_is_said_with_what_to_do(signed_in: Browser, merchant: Api) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from tests.integration.api.test_sources import pem

    key = pem(rsa.generate_private_key(65537, 2048))
    wix = merchant("POST", "/v1/sources", {"provider": "wix", "credentials": {"public_key": key}}).json["id"]
    page = signed_in.post(f"/console/sources/{wix}/sample")
    assert page.status == 422
    assert "Only the provider has the key that signs" in page.text
    assert "checkback trigger wix" in page.text

    mapped = {"provider": "custom", "settings": {"mapping": {"external_id": "nowhere"}}}
    custom = merchant("POST", "/v1/sources", mapped).json["id"]
    page = signed_in.post(f"/console/sources/{custom}/sample")
    assert page.status == 200
    assert "The sample was proved, and not understood" in page.text
    assert f'href="/console/sources/{custom}/change"' in page.text
    assert checkouts(merchant) == []


def test_more_than_a_minute_allows_is_said(signed_in: Browser, shop: Shop) -> None:
    for _ in range(10):
        assert signed_in.post(PATH).status == 200
    page = signed_in.post(PATH)
    assert page.status == 429
    assert "as many samples as a minute allows" in page.text
    shop.wait(seconds=61)
    assert "The sample was understood" in signed_in.post(PATH).text


def test_who_may_only_look_sends_none(signed_in: Browser, merchant: Api) -> None:
    looking = Browser(signed_in.handler)
    looking.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])

    assert looking.get(PATH).status == 403
    assert looking.post(PATH).status == 403
    for page in (START, f"/console/sources/{SOURCE}"):
        assert "Send a sample" not in looking.get(page).text
    assert checkouts(merchant) == []


@pytest.mark.parametrize("named", ["chk_x", "../merchant", f"chk_{'a' * 26}"])
def test_an_address_that_names_no_sample_shows_none(signed_in: Browser, named: str) -> None:
    page = signed_in.get(f"{START}?checkout={named}")
    assert page.status == 200
    assert "The sample was understood" not in page.text


def test_anothers_source_takes_no_sample(signed_in: Browser, operator: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    theirs = other("POST", "/v1/sources", {"provider": "flexype"}).json["id"]
    assert signed_in.post(f"/console/sources/{theirs}/sample").status == 404
    assert checkouts(other) == []
