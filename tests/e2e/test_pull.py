"""What webhooks only point to, what already lies at the provider, and what was quarantined, on the deployed stack."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.receiver import Receiver
from infra.local.shop import Shop, sample
from shared.providers.emporix import canonical_json
from tests.integration.stand_in import Reply, StandIn

pytestmark = pytest.mark.e2e

PATIENCE = 30


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn() as standing_in:
        yield standing_in


def instant(ago: timedelta) -> str:
    return (datetime.now(UTC) - ago).isoformat(timespec="seconds").replace("+00:00", "Z")


def eventually(look: Callable[[], Any]) -> Any:
    """What ``look`` finds, as soon as it is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return found


def listen(shop: Shop, receiver: Receiver, *event_types: str) -> None:
    endpoint = shop.endpoint(f"{receiver.url}/bsp", list(event_types))
    receiver.secret = endpoint["signing_secret"]


def test_a_light_abandonment_reaches_the_endpoint_with_the_contents_that_were_pulled(
    shop: Shop, receiver: Receiver, api: StandIn
) -> None:
    listen(shop, receiver, "checkout.abandoned")
    access = {"store_hash": "ab12cd34ef", "access_token": "bc-access-token", "base_url": api.url}
    source = shop.source("bigcommerce", credentials={"api": access})
    cart_id = str(uuid.uuid4())
    for path, name in ((f"v3/carts/{cart_id}", "cart-content"), (f"v3/checkouts/{cart_id}", "checkout-content")):
        content = sample(f"bigcommerce/{name}.json")
        for holder in (content["data"], content["data"].get("cart", {})):
            holder |= {"id": cart_id}
            holder.pop("updated_time", None)
        api.on(f"/stores/ab12cd34ef/{path}", Reply({}, 503), Reply(content))
    webhook = sample("bigcommerce/cart-abandoned.json")
    webhook["data"]["id"] = cart_id
    webhook |= {"hash": uuid.uuid4().hex, "created_at": int(time.time()) - 30}
    answer = shop.http.post(
        source["url"], json=webhook, headers={"X-Checkback-Secret": source["credentials"]["secret"]}
    )
    assert answer.json()["status"] == "accepted"

    abandoned = receiver.wait_for("checkout.abandoned", answer.json()["checkout_id"], timeout=60)

    assert abandoned is not None
    assert abandoned.verified
    checkout = abandoned.event["data"]["checkout"]
    assert checkout["reason"] == "provider_declared"
    assert checkout["customer"]["email"] == "sam.lee@example.com"
    assert checkout["customer"]["phone"].startswith("+")
    assert len(checkout["items"]) >= 2
    assert api.asked[0].headers["x-auth-token"] == "bc-access-token"


def test_an_endpoint_that_wants_the_providers_own_body_gets_the_cart_and_not_the_pointer(
    shop: Shop, api: StandIn
) -> None:
    api.on("/bsp", Reply({}))
    shop.endpoint(f"{api.url}/bsp", ["checkout.abandoned"], settings={"payload": "provider"})
    access = {"tenant": "exampleshop", "client_id": "the-client", "client_secret": "its-secret", "base_url": api.url}
    source = shop.source("emporix", credentials={"api": access}, settings={"currency": "EUR", "country": "DE"})
    cart = sample("emporix/carts-search.json")[0]  # type: ignore[index]  # a list, as the API answers
    cart_id = uuid.uuid4().hex[:24]
    email = {"contactEmail": f"{cart_id}@example.com", "customerId": cart_id, "addresses": []}
    cart |= {"id": cart_id, "metadata": {**cart["metadata"], "modifiedAt": instant(timedelta(minutes=1))}, **email}
    api.on("/oauth/token", Reply({"access_token": "granted", "expires_in": 14399}))
    api.on(f"/cart/exampleshop/carts/{cart_id}", Reply(cart | {"ipAddress": "203.0.113.7"}))
    pointer = json.dumps(sample("emporix/cart-item-added.json") | {"cartId": cart_id}).encode()
    signed = hmac.new(source["credentials"]["secret"].encode(), canonical_json(json.loads(pointer)).encode(), "sha256")
    headers = {"emporix-event-signature": base64.b64encode(signed.digest()).decode()}
    answer = shop.http.post(f"{source['url']}/cart.item-added", content=pointer, headers=headers).json()
    assert answer["status"] == "accepted"
    eventually(lambda: shop.checkout(answer["checkout_id"])["items"])

    eventually(lambda: shop.sweep() and shop.checkout(answer["checkout_id"])["status"] == "abandoned")
    (told,) = eventually(lambda: api.asked_at("/bsp"))

    assert told.json == cart


def test_a_backfill_of_two_pages_brings_abandoned_and_recovered_checkouts(
    shop: Shop, receiver: Receiver, api: StandIn
) -> None:
    listen(shop, receiver, "checkout.abandoned")
    access = {"shop": "example-goods.myshopify.com", "access_token": "shpat-access", "base_url": api.url}
    source = shop.source("shopify", credentials={"secret": "the-apps-client-secret", "api": access})
    (node,) = sample("shopify/graphql-abandoned-checkouts.json")["data"]["abandonedCheckouts"]["nodes"]
    node |= {"createdAt": instant(timedelta(hours=3)), "updatedAt": instant(timedelta(hours=2))}
    number = int(time.time() * 1000)
    nodes = [{**node, "id": f"gid://shopify/AbandonedCheckout/{number + own}"} for own in range(3)]
    for own, made in enumerate(nodes):
        made["abandonedCheckoutUrl"] = f"https://example-goods.myshopify.com/1/checkouts/ac/c{number + own}/recover"
        made["customer"] = {**node["customer"], "id": f"gid://shopify/Customer/{number + own}"}
        made["customer"]["defaultEmailAddress"] = {"emailAddress": f"s{number + own}@example.com"}
        made["shippingAddress"] = {**node["shippingAddress"], "phone": f"+9198{own}{number % 10_000_000:07d}"}
    nodes[2]["completedAt"] = instant(timedelta(hours=1))
    pages = [
        {"nodes": nodes[:2], "pageInfo": {"hasNextPage": True, "endCursor": "the-first-page"}},
        {"nodes": nodes[2:], "pageInfo": {"hasNextPage": False, "endCursor": "the-last-page"}},
    ]
    replies = [Reply({"data": {"abandonedCheckouts": page}}) for page in pages]
    api.on("/admin/api/2026-04/graphql.json", *replies)

    job = shop.call("POST", f"/v1/sources/{source['id']}/backfill", json={})
    done = eventually(lambda: _ended(shop, job["id"]))

    assert (done["status"], done["pages"]) == ("completed", 2)
    assert done["checkouts"] == {"read": 3, "created": 3, "merged": 0, "unchanged": 0, "skipped": 0}
    assert done["refused"] == 0
    assert [own.json["variables"]["after"] for own in api.asked] == [None, "the-first-page"]
    known = {own["external_id"]: own for own in shop.call("GET", "/v1/checkouts")["data"]}
    assert {known[str(number)]["status"], known[str(number + 1)]["status"]} == {"abandoned"}
    assert known[str(number + 2)]["status"] in {"recovered", "completed"}
    assert receiver.wait_for("checkout.abandoned", known[str(number)]["id"]) is not None


def _ended(shop: Shop, job_id: str) -> dict[str, Any] | None:
    job: dict[str, Any] = shop.call("GET", f"/v1/jobs/{job_id}")
    return job if job["status"] in {"completed", "failed"} else None


def test_a_replay_after_a_mapping_change_announces_what_was_quarantined(shop: Shop, receiver: Receiver) -> None:
    listen(shop, receiver, "checkout.abandoned")
    secret = "the-secret-of-a-custom-shop"
    settings = {"signature": {"header": "X-Acme-Signature"}, "mapping": {"external_id": "order.number"}}
    source = shop.source("custom", credentials={"secret": secret}, settings=settings)
    number = uuid.uuid4().hex
    body = json.dumps({"basket": {"nr": number, "sum": "49.90"}, "mail": f"{number}@example.com"}).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    answer = shop.http.post(source["url"], content=body, headers={"X-Acme-Signature": signature}).json()
    assert answer["status"] == "quarantined"
    kept = shop.call("GET", f"/v1/quarantine/{answer['quarantine_id']}")
    assert base64.b64decode(kept["body_base64"]) == body

    mapping = {"external_id": "basket.nr", "totals.total": "basket.sum", "customer.email": "mail"}
    mapping["status"] = "'abandoned'"
    shop.call("PATCH", f"/v1/sources/{source['id']}", json={"settings": {"mapping": mapping}})
    replayed = shop.call("POST", f"/v1/quarantine/{answer['quarantine_id']}/replay")

    assert replayed["status"] == "accepted"
    told = receiver.wait_for("checkout.abandoned", replayed["checkout_id"])
    assert told is not None
    assert told.event["data"]["checkout"]["totals"]["total"]["amount"] == "49.90"
    assert shop.call("POST", f"/v1/quarantine/{answer['quarantine_id']}/replay")["status"] == "duplicate"
