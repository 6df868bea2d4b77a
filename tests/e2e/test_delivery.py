"""Delivery on the deployed stack: test events, formats, breaker, holding and recovering, a vendor's challenge."""

import base64
import contextlib
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infra.local.receiver import Received, Receiver
from infra.local.shop import FlexyPeSession, Shop

pytestmark = pytest.mark.e2e

PHONES = (f"97{random.randint(10, 99)}{number:06d}" for number in itertools.count(100_000))
ABANDONED = "checkout.abandoned"


_A_STARVED_TEMPLATE = 420
"""Seconds: where its process was not let work in time, the queue shows the message again after six minutes."""


def until[T](look: Callable[[], T], enough: Callable[[T], bool], timeout: float = 60) -> T:
    """What ``look`` shows once it is enough."""
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if enough(seen):
            return seen
        assert time.monotonic() < deadline, f"still {seen}"
        time.sleep(0.3)


def delivery(shop: Shop, delivery_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = shop.call("GET", f"/v1/deliveries/{delivery_id}")
    return shown


def abandon(shop: Shop, source: dict[str, Any]) -> str:
    """A shopper walks away; the checkout's id."""
    posted = FlexyPeSession(shop, source, next(PHONES)).post("ADDRESS_LOADED")
    time.sleep(1.1)
    shop.sweep()
    checkout_id: str = posted.json()["checkout_id"]
    return checkout_id


def of_checkout(shop: Shop, checkout_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shop.call("GET", f"/v1/deliveries?checkout_id={checkout_id}")["data"]
    return found


def test_a_test_event_takes_the_normal_path_and_shows_on_the_endpoint(shop: Shop, receiver: Receiver) -> None:
    endpoint = shop.endpoint(f"{receiver.url}/test", [ABANDONED])
    receiver.secret = endpoint["signing_secret"]
    sent = shop.call("POST", f"/v1/endpoints/{endpoint['id']}/test")
    until(lambda: delivery(shop, sent["id"])["status"], lambda status: status == "delivered")
    (received,) = receiver.events("endpoint.test")
    assert received.verified
    shown = shop.call("GET", f"/v1/endpoints/{endpoint['id']}")
    assert shown["last_success_at"] is not None
    assert shown["breaker"]["state"] == "closed"


def test_a_receiver_verifies_by_the_public_key_alone_before_and_after_a_rotation(
    shop: Shop, receiver: Receiver
) -> None:
    endpoint = shop.endpoint(f"{receiver.url}/asymmetric", [ABANDONED], settings={"signatures": ["v1", "v1a"]})
    receiver.secret = endpoint["signing_secret"]
    path = f"/v1/endpoints/{endpoint['id']}"
    pinned = httpx.get(endpoint["public_keys_url"], timeout=30)
    assert pinned.headers["cache-control"] == "public, max-age=300"

    def received_after(count: int) -> Received:
        sent = shop.call("POST", f"{path}/test")
        until(lambda: delivery(shop, sent["id"])["status"], lambda status: status == "delivered")
        return receiver.received[count]

    first = received_after(0)
    assert first.verified, "the package finds its v1 beside v1a"
    assert _verified(first, pinned.json())

    rotated = shop.call("POST", f"{path}/rotate-secret", json={"overlap": "PT1H"})
    second = received_after(1)

    assert len(second.headers["webhook-signature"].split()) == 4
    assert _verified(second, pinned.json()), "whoever kept the older set"
    newest = {"keys": httpx.get(endpoint["public_keys_url"], timeout=30).json()["keys"][:1]}
    assert newest["keys"][0]["key"] == rotated["public_keys"][0]["key"] != endpoint["public_keys"][0]["key"]
    assert _verified(second, newest)
    assert not _verified(first, newest)


def _verified(received: Received, key_set: dict[str, Any]) -> bool:
    """As a receiver that knows the key set and no secret."""
    headers = {name.lower(): value for name, value in received.headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.body
    signatures = [own.removeprefix("v1a,") for own in headers["webhook-signature"].split() if own.startswith("v1a,")]
    for key in key_set["keys"]:
        public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
        for signature in signatures:
            with contextlib.suppress(InvalidSignature):
                public.verify(base64.b64decode(signature), signed)
                return True
    return False


def test_formats_and_filters_on_the_stack(shop: Shop, receiver: Receiver) -> None:
    source = shop.source()
    shop.endpoint(f"{receiver.url}/provider", [ABANDONED], settings={"payload": "provider"})
    template = '{"phone": "{{ customer.phone }}", "type": "{{ event.type }}"}'
    shop.endpoint(f"{receiver.url}/liquid", [ABANDONED], settings={"payload": {"liquid": template}})
    nobody = {"field": "total", "op": "gt", "value": "100000"}
    shop.endpoint(f"{receiver.url}/filtered", [ABANDONED], settings={"filter": nobody})
    checkout_id = abandon(shop, source)
    until(lambda: len(receiver.received), lambda count: count >= 2)
    bodies = {own.path: own.event for own in receiver.received}
    assert set(bodies) == {"/provider", "/liquid"}
    assert bodies["/provider"]["session_state"] == "ADDRESS_LOADED"
    assert bodies["/liquid"]["type"] == ABANDONED
    told = until(
        lambda: {own["status"] for own in of_checkout(shop, checkout_id)}, lambda statuses: statuses == {"delivered"}
    )
    assert told == {"delivered"}, "an endpoint has its event before that is written down"


def test_a_template_that_only_a_real_checkout_leads_astray_fails_alone(shop: Shop, receiver: Receiver) -> None:
    source = shop.source()
    endless = "{% for i in (1..2000) %}{{ 'a' " + "| upcase" * 3000 + "}}{% endfor %}"
    template = "{% if customer.phone contains '+9197' %}" + endless + "{% endif %}{}"
    hostile = shop.endpoint(f"{receiver.url}/never", [ABANDONED], settings={"payload": {"liquid": template}})
    shop.endpoint(f"{receiver.url}/plain", [ABANDONED])
    checkout_id = abandon(shop, source)
    ended = until(
        lambda: of_checkout(shop, checkout_id),
        lambda own: len(own) == 2 and all(each["status"] in {"delivered", "failed"} for each in own),
        timeout=_A_STARVED_TEMPLATE,
    )
    outcomes = {own["endpoint_id"] == hostile["id"]: (own["status"], own["reason"]) for own in ended}
    assert outcomes == {True: ("failed", "template_limit"), False: ("delivered", None)}
    assert {own.path for own in receiver.received} == {"/plain"}


def test_what_is_held_while_disabled_is_recovered(shop: Shop, receiver: Receiver) -> None:
    source = shop.source()
    endpoint = shop.endpoint(f"{receiver.url}/held", [ABANDONED])
    path = f"/v1/endpoints/{endpoint['id']}"
    shop.call("POST", f"{path}/disable")
    checkout_id = abandon(shop, source)
    held = until(lambda: of_checkout(shop, checkout_id), bool)
    assert [own["status"] for own in held] == ["held"]
    shop.call("POST", f"{path}/enable")
    job = shop.call("POST", f"{path}/recover", json={"since": "2020-01-01T00:00:00Z"})
    shop.sweep()
    until(lambda: of_checkout(shop, checkout_id)[0]["status"], lambda status: status == "delivered")
    done = shop.call("GET", f"/v1/jobs/{job['id']}")
    assert (done["status"], done["deliveries"]["resent"]) == ("completed", 1)
    assert len(receiver.events(ABANDONED, checkout_id)) == 1


def test_failures_open_the_breaker_for_all_workers(shop: Shop) -> None:
    with Receiver(lambda _path, _count: 500) as failing:
        endpoint = shop.endpoint(f"{failing.url}/broken", [ABANDONED])
        path = f"/v1/endpoints/{endpoint['id']}"
        for _ in range(12):
            shop.call("POST", f"{path}/test")
        shown = until(lambda: shop.call("GET", path), lambda own: own["breaker"]["state"] == "open")
        assert shown["failing_since"] is not None
        time.sleep(1)
        before = len(failing.received)
        late = shop.call("POST", f"{path}/test")
        time.sleep(3)
        assert len(failing.received) == before
        assert delivery(shop, late["id"])["attempt_count"] == 0


def test_a_vendors_challenge_and_a_forged_report(shop: Shop, stack: dict[str, Any]) -> None:
    settings = {
        "phone_number_id": "106540352242922",
        "template": {"name": "cart", "language": "en"},
        "bearer_token": "token",
        "app_secret": "0123456789abcdef0123456789abcdef",
        "verify_token": "verify-token",
    }
    endpoint = shop.call("POST", "/v1/endpoints", json={"kind": "meta_cloud", "settings": settings})
    url = f"{stack['api_url']}/callbacks/{endpoint['id']}"
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify-token", "hub.challenge": "77"}
    answered = httpx.get(url, params=query, timeout=30)
    assert (answered.status_code, answered.text) == (200, "77")
    assert httpx.get(url, params=query | {"hub.verify_token": "no"}).status_code == 401
    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(f"{stack['api_url']}/callbacks/ep_none", json={}).status_code == 404
