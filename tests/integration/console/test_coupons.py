"""Coupon pools in the browser: levels, until when they last, and more codes."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from functions.merchant_api import services
from shared.domain.ids import EpisodeId, MerchantId, PoolId
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.console.conftest import Browser

PATH = "/console/settings/coupons"


@pytest.fixture
def merchant(operator: Api) -> Api:
    """A new merchant."""
    return operator.as_(new_merchant(operator)["token"])


def pools(merchant: Api) -> list[str]:
    return [own["id"] for own in merchant("GET", "/v1/coupon-pools").json["data"]]


def test_a_pool_is_made_once_and_filled(signed_in: Browser, merchant: Api) -> None:
    seed = re.search(r'name="once" value="([\w-]+)"', signed_in.get(PATH).text)
    assert seed
    made = [signed_in.post(PATH, {"once": seed[1], "name": "Winter <b>"}) for _ in range(2)]
    (pool,) = pools(merchant)
    assert "The pool is there" in made[0].text
    assert signed_in.address.startswith(f"{PATH}/{pool}")

    filled = signed_in.post(f"{PATH}/{pool}", {"codes": "A-1\r\nA-2, A-3;A-4  A-1"})
    assert "4 codes added; 1 the pool knew already" in filled.text
    assert "A-1" not in filled.text
    assert "<b>" not in filled.text
    again = signed_in.post(f"{PATH}/{pool}", {"codes": "A-1 A-2"})
    assert "0 codes added; 2 the pool knew already" in again.text
    assert merchant("GET", f"/v1/coupon-pools/{pool}").json["codes"] == {"total": 4, "claimed": 0, "left": 4}


def test_what_is_no_code_is_said_beside_the_field(signed_in: Browser, merchant: Api) -> None:
    pool = merchant("POST", "/v1/coupon-pools", {"name": "Winter"}).json["id"]

    for codes in ("", " , ", "OK-1\nZ\u00fcrich", "x " * 5_001):
        page = signed_in.post(f"{PATH}/{pool}", {"codes": codes})
        assert page.status == 422
        assert 'id="codes-wrong"' in page.text
    assert "line 2" in signed_in.post(f"{PATH}/{pool}", {"codes": "OK-1\nZ\u00fcrich"}).text
    assert "OK-1\nZ\u00fcrich</textarea>" in signed_in.post(f"{PATH}/{pool}", {"codes": "OK-1\nZ\u00fcrich"}).text
    assert signed_in.post(PATH, {"name": ""}).status == 422
    assert merchant("GET", f"/v1/coupon-pools/{pool}").json["codes"]["total"] == 0


def test_a_pool_says_until_when_it_lasts_at_the_pace_since_yesterday(signed_in: Browser, merchant: Api) -> None:
    monday = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    with time_machine.travel(monday, tick=False) as clock:
        signed_in.sign_in(merchant.credential or "")
        pool = merchant("POST", "/v1/coupon-pools", {"name": "Winter"}).json["id"]
        assert "Empty: add codes" in signed_in.get(f"{PATH}/{pool}").text
        merchant("POST", f"/v1/coupon-pools/{pool}/codes", {"codes": [f"W-{own}" for own in range(30)]})
        assert "None was given out since yesterday" in signed_in.get(PATH).text
        whose = MerchantId(merchant("GET", "/v1/merchant").json["id"])
        given = 0

        def give(many: int) -> None:
            nonlocal given
            for _ in range(many):
                given += 1
                now = datetime.now(UTC)
                services.services().coupons.claim(whose, PoolId(pool), EpisodeId(f"epi_{given}"), 1, now)

        give(4)
        told = merchant("GET", f"/v1/coupon-pools/{pool}").json["pace"]
        assert told["per_day"] == round(4 / 1.5, 2)
        clock.shift(timedelta(days=1))
        signed_in.sign_in(merchant.credential or "")
        give(2)
        told = merchant("GET", f"/v1/coupon-pools/{pool}").json["pace"]
        # Six since Monday began, a day and a half ago; 24 are left.
        assert told == {"per_day": 4.0, "runs_out_at": "2026-11-30T12:00:00Z"}
        assert "At this pace (4.0 a day) until" in signed_in.get(PATH).text
        clock.shift(timedelta(days=1))
        assert merchant("GET", f"/v1/coupon-pools/{pool}").json["pace"]["per_day"] == round(2 / 1.5, 2)
        clock.shift(timedelta(days=1))
        assert merchant("GET", f"/v1/coupon-pools/{pool}").json["pace"] == {"per_day": 0.0, "runs_out_at": None}
        give(24)
        signed_in.sign_in(merchant.credential or "")
        assert merchant("GET", f"/v1/coupon-pools/{pool}").json["pace"]["per_day"] == 16.0
        assert "Used up" in signed_in.get(PATH).text


def test_others_and_those_who_may_only_look_change_nothing(signed_in: Browser, merchant: Api, operator: Api) -> None:
    pool = merchant("POST", "/v1/coupon-pools", {"name": "Winter"}).json["id"]
    stranger, looking = Browser(signed_in.handler), Browser(signed_in.handler)
    stranger.sign_in(new_merchant(operator)["token"])
    looking.post(merchant("POST", "/v1/portal-links", {"capabilities": ["read"]}).json["url"])

    assert stranger.get(f"{PATH}/{pool}").status == 404
    assert stranger.post(f"{PATH}/{pool}", {"codes": "A"}).status == 404
    for path in (PATH, f"{PATH}/{pool}"):
        assert looking.get(path).text.count("<form") == 1
        assert looking.post(path, {"codes": "A", "name": "N"}).status == 403
    assert pools(merchant) == [pool]
    assert merchant("GET", f"/v1/coupon-pools/{pool}").json["codes"]["total"] == 0
