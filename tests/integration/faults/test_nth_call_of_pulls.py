"""Every AWS call of what is asked from providers fails once: contents that a webhook points to, pages of a backfill."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.domain.ids import SourceId, derived_ulid
from shared.domain.instants import EPOCH, to_rfc3339
from shared.domain.merchant import Source, SourceCredentials, SourceSettings
from shared.store.configuration import SourceStore
from shared.store.job_list import JobList
from shared.store.jobs import JobStore
from shared.workflows.intake.backfill import Backfills
from tests.integration.faults.aws_calls import AwsCalls, Kind
from tests.integration.faults.repeating import Aws
from tests.integration.faults.theatre import Flow, Story, ends_the_same, in_turn, played
from tests.integration.shop import EVENTS, MERCHANT, SECRET, Shop

pytestmark = pytest.mark.long

CART = "3f0b6a0e-8a52-4a0e-b7c7-c1f2f9b4d001"


def sample(name: str) -> Any:
    return json.loads((EVENTS / name).read_text())


class Providers:
    """BigCommerce and Shopify, as their APIs answer."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop

    def send_all(self, requests: Sequence[OutboundRequest]) -> list[SendResult]:
        now = self._shop.now
        return [SendResult(now, now, 7, sent=True, answer=Answer(200, body=self._body(own))) for own in requests]

    def _body(self, request: OutboundRequest) -> bytes:
        if request.url.endswith("graphql.json"):
            after = json.loads(request.body or b"")["variables"]["after"]
            return json.dumps(self._page(2, None) if after else self._page(1, "c1")).encode()
        name = "cart-content" if "/carts/" in request.url else "checkout-content"
        content = sample(f"bigcommerce/{name}.json")
        for holder in (content["data"], content["data"].get("cart", {})):
            holder.pop("updated_time", None)
        return json.dumps(content).encode()

    def _page(self, number: int, after: str | None) -> Any:
        (node, *_) = sample("shopify/graphql-abandoned-checkouts.json")["data"]["abandonedCheckouts"]["nodes"]
        at = to_rfc3339(self._shop.now - timedelta(hours=2))
        node |= {
            "id": f"gid://shopify/AbandonedCheckout/{number}",
            "abandonedCheckoutUrl": f"https://example-goods.myshopify.com/1/checkouts/ac/cart-{number}/recover?key=k",
            "createdAt": at,
            "updatedAt": at,
            "completedAt": None,
            "customer": None,
            "shippingAddress": {"phone": f"+91802222333{number}"},
        }
        info = {"hasNextPage": after is not None, "endCursor": after}
        return {"data": {"abandonedCheckouts": {"nodes": [node], "pageInfo": info}}}


@pytest.fixture(autouse=True)
def _providers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.pull.composition.SendPool", lambda **_: Providers(shop))


def connected(shop: Shop, provider: str, currency: str | None = None) -> Source:
    source_id = SourceId("src_" + derived_ulid(EPOCH, provider))
    credentials = SourceCredentials(secrets=(SECRET,), api={"access_token": "the-token", "shop": "example-goods"})
    sealed = shop.stores.cipher.seal_source(source_id, MERCHANT, credentials)
    source = Source(source_id, MERCHANT, provider, shop.now, settings=SourceSettings(currency=currency), sealed=sealed)
    SourceStore(shop.table).create(source)
    return source


def bigcommerce(aws: Aws) -> None:
    connected(aws.shop, "bigcommerce")


def abandons(aws: Aws) -> None:
    """BigCommerce tells that a cart was abandoned, and nothing of the cart."""
    body = sample("bigcommerce/cart-abandoned.json") | {"created_at": int(aws.shop.now.timestamp()) - 60}
    path = {"source_id": "src_" + derived_ulid(EPOCH, "bigcommerce")}
    aws.posts({"pathParameters": path, "headers": {"x-checkback-secret": SECRET}, "body": json.dumps(body)})


def backfill(aws: Aws) -> None:
    """A job over Shopify's list, which has two pages."""
    shop = aws.shop
    source = connected(shop, "shopify", currency="INR")
    jobs = Backfills(
        JobStore(shop.table), JobList(shop.table), shop.stores.cipher, lambda: shop.stores.pulls, lambda: shop.now
    )
    jobs.start(source, shop.merchant, None, {})


def pulls(aws: Aws) -> None:
    aws.pulls()


def later(story: Story) -> Story:
    def play(aws: Aws) -> None:
        aws.shop.wait(minutes=1)
        story(aws)

    return play


FLOWS = [
    Flow("webhook that only points to contents", bigcommerce, abandons, 3),
    Flow("contents pulled", in_turn(bigcommerce, abandons), pulls, 5),
    Flow("page of a backfill", backfill, pulls, 6, variant=True),
    Flow("last page of a backfill", in_turn(backfill, pulls), later(pulls), 6, variant=True),
]


@pytest.mark.parametrize(("flow", "kind"), played(FLOWS))
def test_whichever_call_fails_what_was_asked_for_is_merged_once_and_told(
    flow: Flow, kind: Kind, shop: Shop, calls: AwsCalls, record_property: Callable[[str, object], None]
) -> None:
    ends_the_same(flow, kind, shop, calls, record_property)


def test_all_of_it_ends_with_what_was_asked_for(shop: Shop) -> None:
    """Or their ending alike would prove nothing."""
    aws = Aws(shop)
    for story in (bigcommerce, abandons, backfill):
        story(aws)
    aws.passes(3)
    rows = [own for own in shop.rows() if own["pk"].startswith("C#") and own["sk"] == "C"]
    assert {own["xid"]: own["st"] for own in rows} == {CART: "abandoned", "1": "abandoned", "2": "abandoned"}
    (job,) = (own for own in shop.rows() if own["pk"].startswith("J#"))
    assert (job["status"], job["page"], job["counts"]["created"]) == ("completed", 2, 2)
    assert (aws.dead, aws.waiting(), aws.set_aside()) == ([], 0, set())
