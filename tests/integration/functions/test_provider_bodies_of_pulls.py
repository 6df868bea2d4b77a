"""Webhooks that only point to a cart: what an endpoint of ``payload: "provider"`` gets is the cart that was pulled."""

import base64
import hashlib
import hmac
import json
import zlib
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.stores import now
from shared.domain.checkout import Status
from shared.domain.identity import IdentityKind
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Source
from shared.providers.emporix import canonical_json
from shared.providers.privacy import LARGEST_KEPT
from shared.store import keys
from shared.store.configuration import MerchantStore
from shared.workflows.privacy.erased_checkout import CheckoutErasure
from tests.integration.functions.test_pull import (
    CART,
    CART_PATH,
    CHECKOUT_PATH,
    EMPORIX_CART,
    GRAPHQL_PATH,
    MERCHANT,
    SECRET,
    Desk,
    contents,
    desk,
    sample,
)
from tests.integration.stand_in import Reply

pytestmark = pytest.mark.timed

__all__ = ["desk"]


@pytest.fixture
def asked_for(desk: Desk) -> None:
    """The merchant has an endpoint of ``payload: "provider"``."""
    MerchantStore(desk.stores.table).flag(MERCHANT, feed=True, raw=True)


def body_of(desk: Desk, source: Source, external_id: str) -> Any:
    """The provider's body that is kept with the checkout, None where there is none."""
    row = desk.stores.table.get(keys.checkout(desk.checkout(source, external_id).digest))
    assert row is not None
    return json.loads(zlib.decompress(row["raw"])) if "raw" in row else None


@pytest.mark.usefixtures("asked_for")
class TestBigCommerce:
    def test_an_abandonment_shows_the_checkout_and_not_the_pointer(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        assert body_of(desk, source, CART) is None, "the pointer says nothing of the cart"

        desk.work()

        assert desk.checkout(source, CART).status is Status.ABANDONED
        kept = body_of(desk, source, CART)
        assert "scope" not in kept
        assert kept["data"]["cart"]["line_items"]["physical_items"][0]["sku"] == "OFSUC-SM"

    def test_a_later_pointer_leaves_the_cart_until_the_next_is_there(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        desk.work()
        first = body_of(desk, source, CART)

        desk.abandoned(source, "updated")
        assert body_of(desk, source, CART) == first

        changed = sample("bigcommerce/checkout-content.json")
        changed["data"] |= {"id": CART, "customer_message": "Ring twice", "updated_time": to_rfc3339(now())}
        changed["data"]["cart"] |= {"id": CART, "updated_time": to_rfc3339(now())}
        desk.api.on(CHECKOUT_PATH, Reply(changed))
        desk.work()
        assert body_of(desk, source, CART)["data"]["customer_message"] == "Ring twice"

    def test_a_purchase_that_only_names_its_order_shows_the_cart_that_was_bought(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        desk.work()
        body = sample("bigcommerce/cart-converted.json")
        body |= {"created_at": int(now().timestamp()), "data": {**body["data"], "id": CART}}

        desk.webhook(source, body, **{"x-checkback-secret": SECRET})

        assert desk.checkout(source, CART).status is Status.RECOVERED
        assert "line_items" in body_of(desk, source, CART)["data"]["cart"]

    def test_where_nobody_may_ask_the_pointer_is_all_there_is(self, desk: Desk) -> None:
        source = desk.source("bigcommerce", None)
        desk.abandoned(source)
        assert body_of(desk, source, CART)["scope"] == "store/cart/abandoned"

    def test_what_is_never_kept_of_a_webhook_is_not_kept_of_an_answer(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        private = {"ip_address": "203.0.113.7", "ip_address_v6": "2001:db8::7", "user_agent": "Mozilla/5.0"}
        for path, name in ((CART_PATH, "cart-content"), (CHECKOUT_PATH, "checkout-content")):
            content = sample(f"bigcommerce/{name}.json")
            for holder in (content["data"], content["data"].get("cart", {})):
                holder |= {"id": CART, "url": "https://shop.example.com/?fbclid=abc&x=1", **private}
                holder.pop("updated_time", None)
            desk.api.on(path, Reply(content))
        desk.abandoned(source)
        desk.work()

        kept = json.dumps(body_of(desk, source, CART))
        assert "https://shop.example.com/?x=1" in kept
        for secret in ("203.0.113.7", "2001:db8::7", "Mozilla", "fbclid"):
            assert secret not in kept

    def test_a_cart_too_large_to_keep_is_told_without_a_body(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        desk.work()
        huge = sample("bigcommerce/checkout-content.json")
        noise = "".join(chr(0x4E00 + (at * 7919) % 20000) for at in range(LARGEST_KEPT))
        huge["data"] |= {"id": CART, "customer_message": noise, "updated_time": to_rfc3339(now())}
        huge["data"]["cart"] |= {"id": CART, "updated_time": to_rfc3339(now())}
        desk.api.on(CHECKOUT_PATH, Reply(huge))

        desk.abandoned(source, "updated")
        assert desk.work() == []

        assert desk.checkout(source, CART).cart is not None
        assert body_of(desk, source, CART) is None, "yesterday's cart is not what the checkout says"

    def test_an_answer_that_comes_after_an_erasure_keeps_nothing(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        desk.work()
        key = keys.checkout(desk.checkout(source, CART).digest)
        row = desk.stores.table.get(key)
        assert row is not None
        assert "raw" in row
        desk.abandoned(source, "updated")

        stores = desk.stores
        erasure = CheckoutErasure(stores.table, stores.checkouts, stores.deliveries, lambda: stores.bucket, now)
        erasure.erase(row, desk.merchant, stores.hasher.identity(MERCHANT, IdentityKind.PHONE, "+15124725499"), ())
        desk.work()

        after = desk.stores.table.get(key)
        assert after is not None
        assert "era" in after
        assert "raw" not in after


def test_without_such_an_endpoint_nothing_is_kept(desk: Desk) -> None:
    source = desk.bigcommerce()
    contents(desk)
    desk.abandoned(source)
    desk.work()
    assert body_of(desk, source, CART) is None


def item_added(desk: Desk, source: Source) -> None:
    body = sample("emporix/cart-item-added.json")
    digest = hmac.new(SECRET.encode(), canonical_json(body).encode(), hashlib.sha256).digest()
    signature = {"emporix-event-signature": base64.b64encode(digest).decode()}
    assert desk.webhook(source, body, "cart.item-added", **signature)[0] == 200


@pytest.mark.usefixtures("asked_for")
class TestEmporix:
    def test_an_item_event_shows_the_cart(self, desk: Desk) -> None:
        source = desk.emporix()
        desk.api.on(f"/cart/exampleshop/carts/{EMPORIX_CART}", Reply(sample("emporix/carts-search.json")[0]))
        item_added(desk, source)
        assert body_of(desk, source, EMPORIX_CART) is None

        desk.work()

        assert body_of(desk, source, EMPORIX_CART)["items"][0]["product"]["sku"] == "KETTLE-17"
        item_added(desk, source)
        assert "items" in body_of(desk, source, EMPORIX_CART), "the next pointer takes nothing away"

    def test_a_late_answer_of_an_older_cart_takes_no_newer_ones_place(self, desk: Desk) -> None:
        source = desk.emporix()
        cart = sample("emporix/carts-search.json")[0]
        versions = [cart | {"metadata": {**cart["metadata"], "version": own}, "seen": own} for own in (5, 4)]
        desk.api.on(f"/cart/exampleshop/carts/{EMPORIX_CART}", *map(Reply, versions))
        for _ in versions:
            item_added(desk, source)
            desk.work()
        assert len(desk.api.asked_at(f"/cart/exampleshop/carts/{EMPORIX_CART}")) == 2
        assert body_of(desk, source, EMPORIX_CART)["seen"] == 5

    def test_a_customer_who_is_asked_for_is_no_body_of_the_cart(self, desk: Desk) -> None:
        source = desk.emporix()
        cart = sample("emporix/carts-search.json")[0] | {"contactEmail": None, "email": None, "addresses": []}
        cart["metadata"]["modifiedAt"] = to_rfc3339(now() - timedelta(hours=1))
        desk.api.on("/cart/exampleshop/carts/search", Reply([cart]))
        customer = sample("emporix/customer-content.json")
        desk.api.on(f"/customer/exampleshop/customers/{cart['customerId']}", Reply(customer))

        desk.finish(desk.backfills.start(source, desk.merchant, now() - timedelta(days=6), {}))
        desk.work()

        assert desk.api.asked_at(f"/customer/exampleshop/customers/{cart['customerId']}")
        assert desk.checkout(source, EMPORIX_CART).text("customer.email") == customer["contactEmail"]
        assert "items" in body_of(desk, source, EMPORIX_CART), "the cart, neither its page nor its customer"


@pytest.mark.usefixtures("asked_for")
def test_of_a_page_of_checkouts_each_keeps_its_own(desk: Desk) -> None:
    source = desk.shopify()
    answer = sample("shopify/graphql-abandoned-checkouts.json")
    (node,) = answer["data"]["abandonedCheckouts"]["nodes"]
    at = {"updatedAt": to_rfc3339(now() - timedelta(hours=1)), "createdAt": to_rfc3339(now() - timedelta(hours=2))}
    link = "https://example-goods.myshopify.com/1/checkouts/ac/cart-{}/recover"
    nodes = [
        {**node, **at, "id": f"gid://shopify/AbandonedCheckout/{own}", "abandonedCheckoutUrl": link.format(own)}
        for own in (71, 72)
    ]
    answer["data"]["abandonedCheckouts"]["nodes"] = nodes
    desk.api.on(GRAPHQL_PATH, Reply(answer))

    desk.finish(desk.backfills.start(source, desk.merchant, now() - timedelta(days=6), {}))

    for own in nodes:
        assert body_of(desk, source, own["id"].rsplit("/", 1)[1])["id"] == own["id"]
