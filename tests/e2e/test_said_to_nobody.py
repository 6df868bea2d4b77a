"""A shopper and secrets that stand nowhere else, through everything that goes wrong: for the scan of the logs after it.

Errors quote what they met. So the shopper's data and the secrets are in bodies that cannot be read, in addresses that
refuse, in templates that fail, and in the answers of servers that repeat what they were told.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from infra.local.shop import FlexyPeSession, Shop, sample
from tests.integration.stand_in import Reply, StandIn

pytestmark = pytest.mark.e2e

PHONE, MAIL = "9876054321", "ashalata.ramaswamy@nowhere-else.example"
NAME, STREET = "Ashalata Ramaswamy", "14-B Chandralok Apartments"
WORD = f"said-to-nobody-{uuid.uuid4().hex}"
ENDED = {"failed", "skipped", "unknown", "delivered"}


@pytest.fixture
def shop(stack: dict[str, Any]) -> Iterator[Shop]:
    settings = {"idle_after": "PT1S", "quiet_hours": None, "consent": "unknown_allowed", "holdout_percent": 0}
    registered = Shop(stack, settings | {"min_step_gap": "PT0S"})
    yield registered
    registered.close()


@pytest.fixture
def vendor() -> Iterator[StandIn]:
    """A server that refuses everything, in the words that it was told."""
    echo = {"error": f"{NAME} ({MAIL}, +91 {PHONE[:5]} {PHONE[5:]}) of {STREET} is unknown to {WORD}"}
    with StandIn() as standing_in:
        for path, status in (("/hook", 400), ("/later", 503), ("/api/ext/v3/messageTemplates/send", 401)):
            standing_in.on(path, Reply(echo, status))
        standing_in.on("/stores/ab12cd34ef/v3/carts/cart-1", Reply(echo, 401))
        standing_in.on("/stores/ab12cd34ef/v3/checkouts/cart-1", Reply(echo, 401))
        yield standing_in


class Visit(FlexyPeSession):
    """The shopper, with everything that a session may tell."""

    def payload(self, stage: str) -> dict[str, Any]:
        body = super().payload(stage)
        body["user"] |= {"email": MAIL, "name": NAME}
        body["user"]["address"] |= {"address1": STREET, "name": NAME}
        return body


def until(seen: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_whatever_goes_wrong_with_a_shopper_and_secrets_that_stand_nowhere_else(shop: Shop, vendor: StandIn) -> None:
    source = shop.source()
    visit = Visit(shop, source, PHONE)
    address = f"{vendor.url}/hook?token={WORD}"
    feed = ["checkout.abandoned"]
    shop.endpoint(address, feed, settings={"bearer_token": WORD})
    shop.endpoint(f"{vendor.url}/later?key={WORD}", feed, headers={"x-api-key": WORD})
    wrong = "{{ customer.phone | divided_by: 0 }} {{ customer.email | date: customer.phone }}"
    shop.endpoint(address, feed, settings={"payload": {"liquid": wrong}})
    wati = {"bearer_token": WORD, "base_url": vendor.url, "template": {"name": "cart", "body": {"n": "{{ total }}"}}}
    step = shop.call("POST", "/v1/endpoints", json={"kind": "wati", "settings": wati})
    shop.call(
        "POST",
        "/v1/campaigns",
        json={
            "name": "Said to nobody",
            "trigger": {"type": "abandonment"},
            "criteria": {"field": "total", "op": "gte", "value": "1"},
            "steps": [{"after": "PT1S", "endpoint_id": step["id"]}],
        },
    )

    assert visit.post("ADDRESS_LOADED", secret=WORD).status_code == 401
    checkout_id = visit.post("ADDRESS_LOADED").json()["checkout_id"]
    own = {"X-Flexype-Authorization": source["credentials"]["secret"], "content-type": "application/json"}
    unreadable = f'{{"user": {{"phone_no": "{PHONE}", "email": "{MAIL}"'.encode()
    assert shop.http.post(source["url"], content=unreadable, headers=own).status_code == 400
    odd = visit.payload("ADDRESS_LOADED") | {"session_state": f"{NAME} {PHONE}", "cart_items": [MAIL, STREET]}
    assert shop.http.post(source["url"], json=odd, headers=own).json()["status"] == "quarantined"

    def messages() -> list[dict[str, Any]]:
        shop.sweep()
        found: list[dict[str, Any]] = shop.call("GET", f"/v1/deliveries?checkout_id={checkout_id}")["data"]
        return found

    until(lambda: any(own["event_type"] == "campaign.step" and own["status"] in ENDED for own in messages()))
    until(lambda: sum(own["attempt_count"] > 0 for own in messages()) >= 2)


def test_nor_is_a_providers_api_quoted(shop: Shop, vendor: StandIn) -> None:
    access = {"store_hash": "ab12cd34ef", "access_token": WORD, "base_url": vendor.url}
    source = shop.source("bigcommerce", credentials={"api": access})
    webhook = sample("bigcommerce/cart-abandoned.json")
    webhook["data"]["id"] = "cart-1"
    webhook |= {"hash": WORD, "created_at": int(time.time()) - 30}
    proof = {"X-Checkback-Secret": source["credentials"]["secret"]}
    assert shop.http.post(source["url"], json=webhook, headers=proof).json()["status"] == "accepted"

    until(lambda: vendor.asked_at("/stores/ab12cd34ef/v3/carts/cart-1"))


def test_nor_what_is_asked_about_a_shopper_or_by_a_stranger(shop: Shop, stack: dict[str, Any]) -> None:
    for body in ({"phone": PHONE}, {"email": MAIL}, {"email": f"{NAME} {STREET}"}, {"phone": f"{PHONE}{PHONE}"}):
        for path in ("/v1/customers/export", "/v1/customers/erase", "/v1/suppressions"):
            answer = shop.http.post(path, json=body, headers={"authorization": f"Bearer {shop.token}"})
            assert answer.status_code < 500
    assert shop.http.get("/v1/merchant", headers={"authorization": f"Bearer {WORD}"}).status_code == 401
    assert shop.http.post(f"/v1/suppressions?email={MAIL}&token={WORD}", json={"phone": PHONE}).status_code == 401
    custom = shop.source("custom")
    forged = {"external_id": NAME, "customer": {"phone": PHONE, "email": MAIL, "name": NAME}}
    assert httpx.post(f"{custom['url'].partition('?')[0]}?token={WORD}", json=forged, timeout=30).status_code == 401
    assert httpx.post(custom["url"], json=forged | {"items": NAME, "totals": {"total": PHONE}}, timeout=30).is_success
    for kind in "ru":
        assert httpx.get(f"{stack['api_url']}/{kind}/{WORD[:28]}", timeout=30).status_code in {404, 200}
