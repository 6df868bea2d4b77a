"""Campaigns on the deployed stack: two steps over two channels, and a purchase elsewhere that stops the second."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, engine_arguments, sample
from tests.e2e.test_recovery_spine import PHONES

pytestmark = pytest.mark.e2e

SENDER = "hello@mail.shop.example"
SHOPIFY_SECRET = "shopify-app-secret"


@pytest.fixture
def shop(stack: dict[str, Any]) -> Iterator[Shop]:
    registered = Shop(
        stack,
        {
            "idle_after": "PT1S",
            "quiet_hours": None,
            "consent": "unknown_allowed",
            "holdout_percent": 0,
            "min_step_gap": "PT0S",
        },
    )
    yield registered
    registered.close()


@pytest.fixture
def mail(shop: Shop) -> dict[str, Any]:
    """An SES endpoint whose sender the engine has verified."""
    boto3.client("sesv2", **engine_arguments(shop.stack)).create_email_identity(EmailIdentity=SENDER)
    made: dict[str, Any] = shop.call(
        "POST", "/v1/endpoints", json={"kind": "ses", "settings": {"from": f"Sweet Shop <{SENDER}>"}}
    )
    return made


class Visit(FlexyPeSession):
    """A FlexyPe session whose shopper also gave an e-mail address."""

    address: str

    def payload(self, stage: str) -> dict[str, Any]:
        body = super().payload(stage)
        body["user"]["email"] = self.address
        return body


def visit(shop: Shop, source: dict[str, Any], phone: str) -> Visit:
    own = Visit(shop, source, phone)
    own.address = f"shopper-{uuid.uuid4().hex[:10]}@example.com"
    return own


def inbox(shop: Shop, address: str) -> list[dict[str, Any]]:
    """The mails the engine's SES holds for an address."""
    held = shop.http.get(f"{shop.stack['engine_url']}/_ministack/ses/messages").json()["messages"]
    return [own for account in held.values() for own in account if address in own["To"]]


def buy_at_shopify(shop: Shop, source: dict[str, Any], phone: str) -> None:
    """The same shopper places an order at another provider."""
    order = sample("shopify/orders-create.json")
    order |= {"phone": f"+91{phone}", "email": None, "contact_email": None, "customer": None}
    order |= {"checkout_token": uuid.uuid4().hex, "cart_token": None, "id": uuid.uuid4().int % 10**16}
    body = json.dumps(order).encode()
    mac = base64.b64encode(hmac.new(SHOPIFY_SECRET.encode(), body, hashlib.sha256).digest()).decode()
    headers = {
        "content-type": "application/json",
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Hmac-Sha256": mac,
        "X-Shopify-Webhook-Id": uuid.uuid4().hex,
    }
    answer = shop.http.post(source["url"], content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "accepted"


def sweep_until(shop: Shop, seen: Callable[[], bool], seconds: float = 60) -> bool:
    """Sweep until something is seen; on a stack that has just been made every function still has to start."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        shop.sweep()
        if seen():
            return True
        time.sleep(0.3)
    return False


@pytest.mark.patient
def test_two_steps_over_webhook_and_mail_until_a_purchase_at_another_provider_stops_them(
    shop: Shop, mail: dict[str, Any], receiver: Receiver
) -> None:
    flexype = shop.source()
    shopify = shop.source("shopify", credentials={"secret": SHOPIFY_SECRET})
    bsp = shop.endpoint(f"{receiver.url}/steps", ["checkout.recovered"])
    receiver.secret = bsp["signing_secret"]
    shop.call(
        "POST",
        "/v1/campaigns",
        json={
            "name": "Come back",
            "trigger": {"type": "abandonment"},
            "criteria": {"all": [{"field": "total", "op": "gte", "value": "500.00"}]},
            "steps": [
                {"after": "PT2S", "endpoint_id": bsp["id"]},
                {"after": "PT20S", "endpoint_id": mail["id"], "coupon": {"type": "static", "code": "BACK10"}},
            ],
            "do_not_send_after": "P3D",
        },
    )
    quiet_phone, buyer_phone = next(PHONES), next(PHONES)
    quiet, buyer = visit(shop, flexype, quiet_phone), visit(shop, flexype, buyer_phone)
    quiet_id = quiet.post("ADDRESS_LOADED").json()["checkout_id"]
    buyer_id = buyer.post("ADDRESS_LOADED").json()["checkout_id"]

    def told(checkout_id: str) -> bool:
        return bool(receiver.events("checkout.abandoned", checkout_id))

    shown = sweep_until(shop, lambda: told(quiet_id) and told(buyer_id))
    assert shown, [(own["status"], told(own["id"])) for own in map(shop.checkout, (quiet_id, buyer_id))]
    [first] = receiver.events("checkout.abandoned", quiet_id)
    assert first.verified
    assert first.event["data"]["step"]["index"] == 1

    buy_at_shopify(shop, shopify, buyer_phone)
    assert sweep_until(shop, lambda: bool(inbox(shop, quiet.address)), seconds=60)
    [letter] = inbox(shop, quiet.address)
    assert "BACK10" in letter["BodyText"]
    assert "/r/" in letter["BodyText"]
    assert "/u/" in letter["BodyText"]

    time.sleep(3)
    shop.sweep()
    time.sleep(1)
    assert inbox(shop, buyer.address) == []
    assert shop.checkout(buyer_id)["status"] == "superseded"
    kinds = [own["type"] for own in shop.call("GET", f"/v1/checkouts/{quiet_id}/activities")["data"]]
    assert kinds == ["SCHEDULED", "SCHEDULED", "TASK_CREATED", "EMAIL_SENT"]
