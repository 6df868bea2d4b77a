"""A shopper's rights on the deployed stack: eligibility, opt-out by link, export, erasure; a click in the figures."""

import itertools
import json
import random
import time
from typing import Any

import boto3
import httpx
import pytest

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, engine_arguments
from shared.aws.stage_keys import StageKeys
from shared.domain.ids import digest_of

pytestmark = pytest.mark.e2e

PHONES = (f"97{random.randint(10, 99)}{number:06d}" for number in itertools.count(200_000))
SETTINGS = {"consent": "unknown_allowed", "quiet_hours": None, "holdout_percent": 0}
"""One shopper in twenty is held out by default."""
PATIENCE = 30
"""Seconds: a function's first start on a busy machine."""


@pytest.fixture
def stage_keys(stack: dict[str, Any]) -> StageKeys:
    """The stage's own keys, as the functions read them."""
    client = boto3.client("secretsmanager", **engine_arguments(stack))
    for page in client.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            text = client.get_secret_value(SecretId=secret["ARN"])["SecretString"]
            try:
                plain = json.loads(text)
            except ValueError:
                continue
            if isinstance(plain, dict) and {"version", "key"} <= plain.keys():
                return StageKeys(text)
    raise AssertionError("the stage has no keys")


@pytest.fixture
def phone() -> str:
    return next(PHONES)


@pytest.fixture
def left(shop: Shop, phone: str, receiver: Receiver) -> str:
    """The id of a checkout that was abandoned and told to the receiver."""
    shop.call("PATCH", "/v1/merchant", json={"settings": SETTINGS})
    receiver.secret = shop.endpoint(f"{receiver.url}/bsp", ["checkout.abandoned"])["signing_secret"]
    session = FlexyPeSession(shop, shop.source(), phone)
    checkout_id: str = session.post("ADDRESS_LOADED").json()["checkout_id"]
    time.sleep(1.1)
    shop.sweep()
    assert receiver.wait_for("checkout.abandoned", checkout_id) is not None
    return checkout_id


def link(shop: Shop, kind: str, code: str) -> str:
    return f"{shop.stack['api_url']}/{kind}/{code}"


def digest(checkout_id: str) -> str:
    found = digest_of(checkout_id)
    assert found is not None
    return found


def test_a_shopper_unsubscribes_by_link_and_the_bsp_is_told_when_it_asks(
    shop: Shop, left: str, phone: str, stage_keys: StageKeys
) -> None:
    assert shop.call("GET", f"/v1/checkouts/{left}/eligibility")["may_send"] is True
    code = stage_keys.unsubscribe_codes().code(digest(left), 1)

    page = httpx.get(link(shop, "u", code), timeout=PATIENCE)
    assert (page.status_code, page.text.count("<button")) == (200, 1)
    assert shop.call("GET", "/v1/suppressions")["data"] == []
    one_click = httpx.post(link(shop, "u", code), data={"List-Unsubscribe": "One-Click"}, timeout=PATIENCE)
    assert one_click.status_code == 200
    assert [own["channels"] for own in shop.call("GET", "/v1/suppressions")["data"]] == [["email"]]
    assert httpx.post(link(shop, "u", code), data={"channels": "all"}, timeout=PATIENCE).status_code == 200

    verdict = shop.call("GET", f"/v1/checkouts/{left}/eligibility")
    assert (verdict["may_send"], verdict["reason"]) == (False, "suppressed")
    assert (
        httpx.get(link(shop, "u", stage_keys.recovery_codes().code(digest(left), 1)), timeout=PATIENCE).status_code
        == 404
    )
    shop.call("DELETE", "/v1/suppressions", json={"phone": phone})
    assert shop.call("GET", "/v1/suppressions")["data"] == []


def test_a_click_is_counted_and_a_scanners_is_not(shop: Shop, left: str, stage_keys: StageKeys) -> None:
    address = link(shop, "r", stage_keys.recovery_codes().code(digest(left), 1))
    for agent in ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", "Googlebot/2.1"):
        assert httpx.get(address, headers={"user-agent": agent}, timeout=PATIENCE).status_code == 302

    shown = shop.call("GET", "/v1/metrics/recovery")

    assert shown["total"]["clicked"] == 1
    assert shown["data"][-1]["immature"] is True
    assert shown["definitions"]["recovery_rate"] == "recovered / contactable"


def test_an_erased_customer_is_gone_and_whoever_was_told_is_told(
    shop: Shop, left: str, phone: str, receiver: Receiver
) -> None:
    exported = shop.call("POST", "/v1/customers/export", json={"phone": phone})
    assert [own["id"] for own in exported["checkouts"]] == [left]

    erased = shop.call("POST", "/v1/customers/erase", json={"phone": phone})

    assert (erased["status"], erased["checkouts"], len(erased["endpoints_told"])) == ("erased", 1, 1)
    deadline = time.monotonic() + 30
    while not receiver.events("customer.erased") and time.monotonic() < deadline:
        time.sleep(0.2)
    (told,) = receiver.events("customer.erased")
    assert told.verified
    assert told.event["data"]["checkout_ids"] == [left]
    assert phone not in told.body.decode()
    assert shop.http.get(f"/v1/checkouts/{left}", headers={"authorization": f"Bearer {shop.token}"}).status_code == 404
    assert shop.call("POST", "/v1/customers/export", json={"phone": phone})["checkouts"] == []
