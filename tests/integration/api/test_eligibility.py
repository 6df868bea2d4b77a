"""Eligibility: the gate in full over what stands in the table at this moment."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from functions.merchant_api import services
from shared.domain.checkout import Checkout
from shared.domain.identity import IdentityKind
from shared.store.shoppers import ShopperStore
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.api.test_checkouts import ABANDONED, BOUGHT, NOON, STARTED, checkout

PHONE = "+917777788888"


@pytest.fixture(autouse=True)
def _after_lunch() -> Any:
    with time_machine.travel(NOON - timedelta(hours=5), tick=False):  # 12:30 in Kolkata
        yield


@pytest.fixture
def merchant(operator: Api) -> Api:
    return operator.as_(new_merchant(operator, settings={"consent": "unknown_allowed"})["token"])


def left(merchant: Api, name: str = "one", **more: Any) -> Checkout:
    """A checkout its shopper left an hour ago, with a phone."""
    given = {"signal": ABANDONED, "customer__phone": PHONE, **more}
    return checkout(merchant, name, at=NOON - timedelta(hours=6), **{k: v for k, v in given.items() if v is not None})


def asked(merchant: Api, of: Checkout) -> dict[str, Any]:
    shown = merchant("GET", f"/v1/checkouts/{of.id}/eligibility")
    assert shown.status == 200, shown.text
    found: dict[str, Any] = shown.json
    return found


def test_an_abandoned_checkout_may_be_written_about(merchant: Api) -> None:
    verdict = asked(merchant, left(merchant))
    assert verdict == {
        "may_send": True,
        "reason": None,
        "do_not_send_after": "2026-11-24T06:00:00Z",
        "channels": ["sms", "whatsapp"],
        "ask_again_at": None,
    }


def test_an_opt_out_is_seen_at_once_and_lifted_at_once(merchant: Api) -> None:
    own = left(merchant)
    merchant("POST", "/v1/suppressions", {"phone": PHONE})
    assert (asked(merchant, own)["may_send"], asked(merchant, own)["reason"]) == (False, "suppressed")
    merchant("DELETE", "/v1/suppressions", {"phone": PHONE, "channels": ["sms"]})
    assert asked(merchant, own)["channels"] == ["sms"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"signal": BOUGHT}, "purchased"),
        ({"signal": STARTED}, "shopper_active"),
        ({"customer__phone": None}, "no_contact"),
        ({"consent__channels__sms": "denied", "consent__channels__whatsapp": "denied"}, "no_consent"),
    ],
)
def test_the_first_reason_is_told(merchant: Api, more: dict[str, Any], reason: str) -> None:
    verdict = asked(merchant, left(merchant, **more))
    assert (verdict["may_send"], verdict["reason"]) == (False, reason)


def test_a_purchase_elsewhere_and_a_recent_message_count_too(merchant: Api) -> None:
    own = left(merchant)
    store = services.services()
    who = store.hasher.identity(own.merchant_id, IdentityKind.PHONE, PHONE)
    shoppers = ShopperStore(store.table)
    shoppers.messaged(who, store.now())
    waiting = asked(merchant, own)
    assert (waiting["reason"], waiting["ask_again_at"]) == ("frequency_cap", "2026-11-22T07:00:00Z")
    record = shoppers.get_many([who])[who]
    shoppers.write(ShopperStore.purchased(record, store.now(), store.now(), store.now()))
    assert asked(merchant, own)["reason"] == "purchased"


def test_a_shopper_who_is_buying_right_now_is_left_in_peace(merchant: Api) -> None:
    own = left(merchant)
    checkout(merchant, "two", at=NOON - timedelta(hours=5, minutes=10), customer__phone=PHONE)
    verdict = asked(merchant, own)
    assert (verdict["reason"], verdict["ask_again_at"]) == ("shopper_active", "2026-11-21T07:20:00Z")


def test_the_night_is_quiet_in_the_shoppers_zone(merchant: Api) -> None:
    own = left(merchant)
    with time_machine.travel(NOON + timedelta(hours=6), tick=False):  # 23:30 in Kolkata
        verdict = asked(merchant, own)
    assert (verdict["reason"], verdict["ask_again_at"]) == ("outside_window", "2026-11-22T04:30:00Z")


def test_another_merchants_checkout_is_not_found(operator: Api, merchant: Api) -> None:
    other = operator.as_(new_merchant(operator)["token"])
    assert other("GET", f"/v1/checkouts/{left(merchant).id}/eligibility").status == 404


def test_a_cart_below_the_merchants_minimum_says_so_and_the_minimum_may_be_zero(merchant: Api) -> None:
    free = left(merchant, "free", total=0)
    assert asked(merchant, free)["reason"] == "below_minimum_total"
    merchant("PATCH", "/v1/merchant", {"settings": {"minimum_total": [{"amount": "0.00", "currency": "INR"}]}})
    assert asked(merchant, free)["reason"] is None
    least = [{"amount": "1000.00", "currency": "INR"}, {"amount": "12.50", "currency": "EUR"}]
    merchant("PATCH", "/v1/merchant", {"settings": {"minimum_total": least}})
    assert merchant("GET", "/v1/merchant").json["settings"]["minimum_total"] == least
    assert asked(merchant, left(merchant, "cheap", total=99_999))["reason"] == "below_minimum_total"
    assert asked(merchant, left(merchant, "dear", total=100_000))["may_send"]


@pytest.mark.parametrize(
    ("least", "where"),
    [
        ([{"amount": "1.005", "currency": "INR"}], "/settings/minimum_total/0/amount"),
        ([{"amount": "1.5", "currency": "JPY"}], "/settings/minimum_total/0/amount"),
        ([{"amount": "-1", "currency": "INR"}], "/settings/minimum_total/0/amount"),
        ([{"amount": "1", "currency": "INR"}] * 2, "/settings/minimum_total/1"),
        ([{"amount": "1", "currency": "XXZ"}], "/settings/minimum_total/0/currency"),
    ],
)
def test_a_minimum_is_exact_in_its_currency_and_stands_once(merchant: Api, least: list[Any], where: str) -> None:
    refused = merchant("PATCH", "/v1/merchant", {"settings": {"minimum_total": least}})
    assert refused.status == 422
    assert [own["pointer"] for own in refused.json["errors"]] == [where]
