"""What a webhook only points to, and what already lies at the provider: asked for over real HTTP, on a stage on moto.

The providers' APIs are stand-ins on loopback that answer the documented shapes, so the stage is ``local``.
"""

import base64
import copy
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto.sqs.models import sqs_backends

from functions.ingest import composition as ingest_composition
from functions.ingest.handler import handler as ingest
from functions.pull import composition as pull_composition
from functions.pull.handler import handler as pull
from shared.aws.environment import Environment
from shared.aws.pull_queue import ContentMessage, PageMessage, Wanted
from shared.aws.stores import Stores, now
from shared.delivery.send_pool import SendPool
from shared.domain.checkout import Checkout, Status
from shared.domain.ids import JobId, MerchantId, SourceId, TokenId, checkout_digest, derived_ulid
from shared.domain.instants import EPOCH, to_rfc3339
from shared.domain.merchant import Merchant, Source, SourceCredentials, SourceSettings
from shared.providers.bigcommerce import BigCommerceApi
from shared.providers.emporix import EmporixApi, canonical_json
from shared.providers.pull import Limit
from shared.providers.shopify import ShopifyApi
from shared.store.configuration import MerchantStore, SourceStore, TokenRecord
from shared.store.job_list import JobList
from shared.store.jobs import Job, JobStore
from shared.store.table import StoreRefused, StoreUnavailable
from shared.workflows.delivering.refusals import Conflict, Invalid
from shared.workflows.intake import provider_api
from shared.workflows.intake.backfill import Backfills
from shared.workflows.intake.merge import Merger
from tests.integration.account import onlookers_client
from tests.integration.conftest import DUE_SHARDS, REGION, Stage
from tests.integration.stand_in import Reply, StandIn

pytestmark = pytest.mark.timed

EVENTS = Path(__file__).parents[3] / "events"
MERCHANT = MerchantId("mer_01JDZZZZZZZZZZZZZZZZZZZZZZ")
SECRET = "a-secret-of-the-source"
ACCOUNT_ID = "123456789012"
REQUEST = "JKJaXmPLvHcESHA="
CART = "3f0b6a0e-8a52-4a0e-b7c7-c1f2f9b4d001"
CART_PATH = f"/stores/ab12cd34ef/v3/carts/{CART}"
CHECKOUT_PATH = f"/stores/ab12cd34ef/v3/checkouts/{CART}"
GRAPHQL_PATH = "/admin/api/2026-04/graphql.json"
EMPORIX_CART = "6852c1aa9f1e2d3c4b5a6978"


def sample(name: str) -> Any:
    return json.loads((EVENTS / name).read_text())


class Desk:
    """A merchant on the stage, its sources, and the two functions; ``api`` is the provider's stand-in."""

    def __init__(self, stage: Stage, api: StandIn) -> None:
        self.stage = stage
        self.api = api
        self.stores = Stores(Environment.read())
        self.jobs = JobStore(self.stores.table)
        self.merchant = Merchant(
            id=MERCHANT,
            name="A shop",
            store_domains=("shop.example.com",),
            country="IN",
            currency="INR",
            timezone="Asia/Kolkata",
            created_at=now(),
        )
        MerchantStore(self.stores.table).create(self.merchant, TokenRecord(TokenId("tok_1"), MERCHANT, "hash", now()))
        self.backfills = Backfills(
            self.jobs, JobList(self.stores.table), self.stores.cipher, lambda: self.stores.pulls, now
        )

    def source(self, provider: str, api: dict[str, str] | None, **settings: Any) -> Source:
        source_id = SourceId("src_" + derived_ulid(EPOCH, provider))
        credentials = SourceCredentials(secrets=(SECRET,), api=api or {})
        source = Source(
            *(source_id, MERCHANT, provider, now()),
            settings=SourceSettings(**settings),
            sealed=self.stores.cipher.seal_source(source_id, MERCHANT, credentials),
        )
        SourceStore(self.stores.table).create(source)
        return source

    def bigcommerce(self) -> Source:
        return self.source("bigcommerce", {"access_token": "bc-token", "base_url": self.api.url})

    def emporix(self) -> Source:
        api = {"tenant": "exampleshop", "client_id": "the-client", "client_secret": "its-secret"}
        self.api.on("/oauth/token", Reply({"access_token": "granted-1", "expires_in": 14399}))
        return self.source("emporix", api | {"base_url": self.api.url}, currency="EUR", country="DE")

    def shopify(self) -> Source:
        return self.source("shopify", {"access_token": "shpat", "base_url": self.api.url}, currency="INR")

    def webhook(self, source: Source, body: Any, event: str | None = None, **headers: str) -> tuple[int, Any]:
        path = {"source_id": source.id} | ({"event": event} if event else {})
        answer = ingest({"pathParameters": path, "headers": headers, "body": json.dumps(body)}, None)
        return answer["statusCode"], json.loads(answer["body"])

    def abandoned(self, source: Source, event: str = "abandoned") -> tuple[int, Any]:
        body = sample("bigcommerce/cart-abandoned.json")
        body |= {"created_at": int(now().timestamp()) - 60, "scope": f"store/cart/{event}"}
        return self.webhook(source, body, **{"x-checkback-secret": SECRET})

    def queued(self, name: str = "pulls") -> list[tuple[str, float]]:
        """Take every message off a queue, delayed ones too: body and remaining delay in seconds."""
        queue = sqs_backends[ACCOUNT_ID][REGION].queues[name]
        messages, queue._messages[:] = list(queue._messages), []
        at = datetime.now(UTC).timestamp() * 1000
        return [(own.body, max(own.delayed_until - at, 0) / 1000) for own in messages]

    def work(self) -> list[str]:
        """Run the pull function over what is queued, whatever its delay; the ids that come back."""
        records = [{"messageId": f"m{at}", "body": body} for at, (body, _) in enumerate(self.queued())]
        return [own["itemIdentifier"] for own in pull({"Records": records}, None)["batchItemFailures"]]

    def finish(self, job: Job, turns: int = 20) -> Job:
        for _ in range(turns):
            assert self.work() == []
            found = self.jobs.get(job.id)
            assert found is not None
            if not found.live:
                return found
        raise AssertionError("the job does not end")

    def checkout(self, source: Source, external_id: str) -> Checkout:
        found = self.stores.checkouts.get(checkout_digest(MERCHANT, source.id, external_id))
        assert found is not None
        return found

    def unpause(self, source: Source) -> None:
        onlookers_client("dynamodb").delete_item(
            TableName=self.stage.table_name, Key={"pk": {"S": f"B#{source.id}"}, "sk": {"S": "B"}}
        )


@pytest.fixture
def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in {
        "STAGE": "local",
        "TABLE_NAME": stage.table_name,
        "PUBLIC_URL": "https://hooks.example.com",
        "KEYS_SECRET_ARN": stage.keys_secret_arn,
        "CREDENTIALS_KEY_ARN": stage.key_arn,
        "QUARANTINE_BUCKET": stage.bucket,
        "PULLS_QUEUE_URL": stage.pulls_url,
        "PULLS_DEAD_LETTERS_QUEUE_URL": stage.pull_dead_letters_url,
        "DUE_SHARDS": str(DUE_SHARDS),
    }.items():
        monkeypatch.setenv(name, value)
    pools: list[Any] = []

    def kept(**arguments: Any) -> Any:
        pools.append(SendPool(**arguments))
        return pools[-1]

    monkeypatch.setattr("functions.pull.composition.SendPool", kept)
    for api_of_provider in (ShopifyApi, EmporixApi):
        monkeypatch.setattr(api_of_provider, "limit", Limit(1_000, timedelta(seconds=1)))
    for made in (ingest_composition.stores, ingest_composition.receiver, pull_composition.puller):
        made.cache_clear()
    with StandIn() as api:
        yield Desk(stage, api)
    for pool in pools:
        pool.close()
    for made in (ingest_composition.stores, ingest_composition.receiver, pull_composition.puller):
        made.cache_clear()


def contents(desk: Desk) -> None:
    """The cart and the checkout around it, as the API shows them."""
    for path, name in ((CART_PATH, "cart-content"), (CHECKOUT_PATH, "checkout-content")):
        content = sample(f"bigcommerce/{name}.json")
        for holder in (content["data"], content["data"].get("cart", {})):
            holder.pop("updated_time", None)
        desk.api.on(path, Reply(content))


class TestLightWebhooks:
    def test_an_abandonment_is_declared_only_with_its_contents(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)

        assert desk.abandoned(source)[1]["status"] == "accepted"
        before = desk.checkout(source, CART)
        assert (before.status, before.cart) == (Status.OPEN, None)
        assert desk.work() == []

        after = desk.checkout(source, CART)
        assert after.status is Status.ABANDONED
        assert after.leaves["customer.email"] == "sam.lee@example.com"
        assert after.cart is not None
        assert len(after.cart.items) >= 2
        assert desk.api.asked_at(CART_PATH)[0].headers["x-auth-token"] == "bc-token"
        assert desk.api.asked_at(CART_PATH)[0].query == {"include": ["redirect_urls"]}

    def test_contact_and_link_come_from_two_answers_and_are_merged_as_one(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        desk.work()

        checkout = desk.checkout(source, CART)
        assert checkout.version == 2
        assert "customer.phone" in checkout.leaves
        assert "checkout_url" in checkout.leaves

    def test_a_message_holds_ids_and_no_contact(self, desk: Desk) -> None:
        desk.abandoned(desk.bigcommerce())
        ((body, delay),) = desk.queued()

        assert json.loads(body)["wanted"][0][0] == "cart"
        assert delay == 0
        assert "@" not in body
        assert "bc-token" not in body

    def test_a_webhook_that_cannot_be_enqueued_is_answered_503_and_complete_when_it_comes_again(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = desk.bigcommerce()
        contents(desk)
        monkeypatch.setenv("PULLS_QUEUE_URL", "https://sqs.ap-south-1.amazonaws.com/123456789012/gone")
        assert desk.abandoned(source)[0] == 503
        monkeypatch.setenv("PULLS_QUEUE_URL", desk.stage.pulls_url)
        ingest_composition.stores.cache_clear()
        ingest_composition.receiver.cache_clear()

        assert desk.abandoned(source) == (200, {"status": "duplicate", "checkout_id": desk.checkout(source, CART).id})
        desk.work()
        assert desk.checkout(source, CART).status is Status.ABANDONED

    def test_without_api_credentials_the_webhook_still_counts(self, desk: Desk) -> None:
        source = desk.source("bigcommerce", None)

        desk.abandoned(source)

        assert desk.queued() == []
        assert desk.checkout(source, CART).status is Status.ABANDONED

    def test_an_order_that_only_the_api_can_tell_is_kept_for_the_day_it_may_be_asked(self, desk: Desk) -> None:
        source = desk.source("bigcommerce", None)
        body = sample("bigcommerce/order-created.json")

        status, answer = desk.webhook(source, body, **{"x-checkback-secret": SECRET})

        assert (status, answer["status"]) == (200, "quarantined")
        assert "credentials.api" in answer["reason"]

    def test_what_a_webhook_only_points_to_is_still_its_doing(
        self, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = desk.bigcommerce()
        contents(desk)
        body = sample("bigcommerce/cart-abandoned.json") | {"created_at": int(now().timestamp()) - 60}
        event = {"pathParameters": {"source_id": source.id}, "headers": {"x-checkback-secret": SECRET}}
        event |= {"body": json.dumps(body), "requestContext": {"requestId": REQUEST}}
        assert ingest(event, None)["statusCode"] == 200
        desk.api.on(CART_PATH, Reply({}, 503), *desk.api._replies[CART_PATH])
        desk.work()
        desk.work()

        found = [own.correlation_id for own in caplog.records if own.msg == "pull"]  # type: ignore[attr-defined]
        assert found == [REQUEST, REQUEST], "the attempt that failed, and the next"
        digest = desk.checkout(source, CART).digest
        assert desk.stores.checkouts.cause_of(digest) == REQUEST

    def test_an_order_whose_cart_the_api_does_not_name_is_the_shoppers_by_any_identifier(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        desk.work()
        begun = desk.checkout(source, CART)
        body = sample("bigcommerce/order-created.json")
        billing = {"phone": "(512) 472-5499", "country_iso2": "US", "email": begun.text("customer.email")}
        shopper = {"customer_id": 77, "billing_address": billing}
        order = sample("bigcommerce/order-content.json") | {"cart_id": None, **shopper}
        desk.api.on(f"/stores/ab12cd34ef/v2/orders/{order['id']}", Reply(order))
        assert desk.webhook(source, body, **{"x-checkback-secret": SECRET})[0] == 200

        assert desk.work() == []
        assert desk.checkout(source, CART).status is Status.RECOVERED

    def test_a_cart_that_became_an_order_exists_no_more(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        desk.abandoned(source, "updated")

        assert desk.work() == []
        assert desk.queued() == []
        assert desk.queued("pull-dead-letters") == []

    def test_a_repeated_message_repeats_nothing(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        ((body, _),) = desk.queued()
        for turn in range(2):
            pull({"Records": [{"messageId": str(turn), "body": body}]}, None)

        checkout = desk.checkout(source, CART)
        assert (checkout.status, checkout.sequence) == (Status.ABANDONED, 2)

    def test_a_completed_cart_stays_completed_when_its_contents_come_late(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source, "updated")
        body = sample("bigcommerce/cart-converted.json")
        body |= {"created_at": int(now().timestamp()), "data": {**body["data"], "id": CART}}
        desk.webhook(source, body, **{"x-checkback-secret": SECRET})

        desk.work()

        assert desk.checkout(source, CART).status.purchased


class TestAnAwkwardProvider:
    @pytest.mark.parametrize(
        "reply",
        [
            Reply({}, 500),
            Reply({}, 503),
            Reply({}, 429),
            Reply(b"<html>", 200),
            Reply(drops=True),
        ],
        ids=["500", "503", "429", "not JSON", "hang-up"],
    )
    def test_what_may_pass_is_tried_again_after_a_growing_delay(self, desk: Desk, reply: Reply) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.api.on(CART_PATH, reply)
        desk.abandoned(source)

        delays = []
        for _ in range(4):
            desk.work()
            ((body, delay),) = desk.queued()
            delays.append(delay)
            onlookers_client("sqs").send_message(QueueUrl=desk.stage.pulls_url, MessageBody=body)
        contents(desk)
        desk.work()

        assert all(5 < delay <= 13 * 2**at for at, delay in enumerate(delays))
        assert delays == sorted(delays)
        assert desk.checkout(source, CART).status is Status.ABANDONED

    def test_a_silent_provider_is_left_after_its_time(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(provider_api, "TIMEOUT", timedelta(seconds=0.3))
        source = desk.bigcommerce()
        contents(desk)
        desk.api.on(CHECKOUT_PATH, Reply(hangs=True))
        desk.abandoned(source)

        assert desk.work() == []
        ((body, _),) = desk.queued()
        assert json.loads(body)["n"] == 1

    def test_attempts_are_bounded_and_the_message_is_left_to_a_person(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        desk.api.on(CART_PATH, Reply({}, 500))
        desk.api.on(CHECKOUT_PATH, Reply({}, 500))
        desk.abandoned(source)
        for _ in range(9):
            desk.work()

        assert desk.queued() == []
        ((body, _),) = desk.queued("pull-dead-letters")
        assert json.loads(body)["n"] == 0
        assert len(desk.api.asked_at(CART_PATH)) == 9

    def test_retry_after_is_kept_by_every_worker_and_costs_no_attempt(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.api.on(CART_PATH, Reply({}, 429, {"Retry-After": "120"}))
        desk.abandoned(source)
        desk.work()
        ((body, delay),) = desk.queued()
        assert 115 < delay <= 121
        pull_composition.puller.cache_clear()  # another worker

        for _ in range(3):
            pull({"Records": [{"messageId": "m", "body": body}]}, None)
            ((body, delay),) = desk.queued()
            assert 100 < delay <= 126

        assert json.loads(body)["n"] == 1
        assert len(desk.api.asked_at(CART_PATH)) == 1

    def test_bigcommerces_own_word_for_the_wait_is_understood(self, desk: Desk) -> None:
        desk.api.on(CART_PATH, Reply({}, 429, {"X-Rate-Limit-Time-Reset-Ms": "90000"}))
        desk.abandoned(desk.bigcommerce())
        desk.work()
        ((_, delay),) = desk.queued()

        assert 85 < delay <= 91

    @pytest.mark.parametrize("status", [400, 401, 403, 302])
    def test_a_refusal_is_left_to_a_person_at_once(self, desk: Desk, status: int) -> None:
        desk.api.on(CART_PATH, Reply({}, status))
        desk.abandoned(desk.bigcommerce())

        assert desk.work() == []
        assert desk.queued() == []
        assert len(desk.queued("pull-dead-letters")) == 1

    def test_one_failing_message_does_not_hold_up_its_batch(self, desk: Desk) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)
        onlookers_client("sqs").send_message(QueueUrl=desk.stage.pulls_url, MessageBody="not ours")

        assert desk.work() == ["m1"]
        assert desk.checkout(source, CART).status is Status.ABANDONED

    def test_the_table_failing_brings_the_message_back(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        source = desk.bigcommerce()
        contents(desk)
        desk.abandoned(source)

        def fails(*_: object) -> None:
            raise StoreUnavailable

        monkeypatch.setattr(Merger, "merge_all", fails)
        assert desk.work() == ["m0"]

    def test_a_rate_is_shared_and_what_exceeds_it_waits(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BigCommerceApi, "limit", Limit(4, timedelta(days=1)))
        source = desk.bigcommerce()
        contents(desk)
        message = ContentMessage(
            source.id, MERCHANT, (Wanted("cart", {"cart_id": CART, "store_hash": "ab12cd34ef"}),), now()
        )
        body = json.dumps(message.as_json())
        # One by one: moto's conditions are not atomic between threads.
        for at in range(9):
            pull({"Records": [{"messageId": str(at), "body": body}]}, None)

        assert len(desk.api.asked_at(CART_PATH)) == 4
        assert len(desk.queued()) == 5

    def test_an_address_inside_the_network_is_never_dialled(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("STAGE", "production")
        desk.stores = Stores(Environment.read())  # the data key is a stage's own
        pull_composition.puller.cache_clear()
        contents(desk)
        desk.abandoned(desk.bigcommerce())
        desk.work()

        assert desk.api.asked == []
        assert len(desk.queued("pull-dead-letters")) == 1


class TestEmporix:
    def prepare(self, desk: Desk) -> Source:
        source = desk.emporix()
        cart = sample("emporix/carts-search.json")[0]
        cart["metadata"]["modifiedAt"] = to_rfc3339(now())
        desk.api.on(f"/cart/exampleshop/carts/{EMPORIX_CART}", Reply(cart))
        return source

    def item_added(self, desk: Desk, source: Source) -> tuple[int, Any]:
        body = sample("emporix/cart-item-added.json")
        digest = hmac.new(SECRET.encode(), canonical_json(body).encode(), hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        return desk.webhook(source, body, "cart.item-added", **{"emporix-event-signature": signature})

    def test_an_item_event_fetches_the_cart_with_one_token_for_many_requests(self, desk: Desk) -> None:
        source = self.prepare(desk)
        for _ in range(2):
            assert self.item_added(desk, source)[0] == 200
            desk.work()

        cart = desk.checkout(source, EMPORIX_CART).cart
        assert cart is not None
        assert cart.items
        (granted,) = desk.api.asked_at("/oauth/token")
        assert b"grant_type=client_credentials" in granted.body
        asked = desk.api.asked_at(f"/cart/exampleshop/carts/{EMPORIX_CART}")
        assert [own.headers["authorization"] for own in asked] == ["Bearer granted-1"] * 2

    def test_a_revoked_token_is_renewed_once(self, desk: Desk) -> None:
        source = self.prepare(desk)
        cart = sample("emporix/carts-search.json")[0]
        desk.api.on(f"/cart/exampleshop/carts/{EMPORIX_CART}", Reply({}, 401), Reply(cart))
        self.item_added(desk, source)
        desk.work()

        assert desk.checkout(source, EMPORIX_CART).cart is not None
        assert len(desk.api.asked_at("/oauth/token")) == 2

    def test_a_wrong_client_secret_is_left_to_a_person(self, desk: Desk) -> None:
        source = self.prepare(desk)
        desk.api.on("/oauth/token", Reply({"error": "invalid_client"}, 401))
        self.item_added(desk, source)
        desk.work()

        assert len(desk.queued("pull-dead-letters")) == 1

    @pytest.mark.long
    def test_a_backfill_by_customer_reads_page_by_page(self, desk: Desk) -> None:
        source = desk.emporix()
        at = to_rfc3339(now() - timedelta(hours=1))

        def cart(number: int) -> dict[str, Any]:
            made = copy.deepcopy(sample("emporix/carts-search.json")[0])
            made["metadata"]["modifiedAt"] = at
            return {**made, "id": f"cart-{number}"}

        desk.api.on(
            "/cart/exampleshop/carts/search",
            Reply([cart(n) for n in range(60)]),
            Reply([cart(n) for n in range(60, 65)]),
        )
        job = desk.backfills.start(source, desk.merchant, None, {"customer_id": "45620911"})
        done = desk.finish(job)

        assert (done.status, done.page) == ("completed", 2)
        assert (done.counts.read, done.counts.created) == (65, 65)
        causes = {desk.stores.checkouts.cause_of(desk.checkout(source, f"cart-{n}").digest) for n in range(65)}
        assert causes == {job.id}, "no webhook's doing, but the job's"
        first, second = desk.api.asked_at("/cart/exampleshop/carts/search")
        assert first.json == {"q": "status:OPEN customerId:45620911"}
        assert (first.query["pageNumber"], second.query["pageNumber"]) == (["1"], ["2"])


def node(number: int, *, updated: timedelta = timedelta(hours=2), completed: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = sample("shopify/graphql-abandoned-checkouts.json")["data"]["abandonedCheckouts"]["nodes"][0]
    at = to_rfc3339(now() - updated)
    return {
        **made,
        "id": f"gid://shopify/AbandonedCheckout/{number}",
        "abandonedCheckoutUrl": f"https://example-goods.myshopify.com/1/checkouts/ac/cart-{number}/recover?key=k",
        "createdAt": at,
        "updatedAt": at,
        "completedAt": at if completed else None,
    }


def page(*nodes: dict[str, Any], after: str | None = None) -> Reply:
    info = {"hasNextPage": after is not None, "endCursor": after}
    return Reply({"data": {"abandonedCheckouts": {"nodes": list(nodes), "pageInfo": info}}})


class TestShopifyBackfill:
    def start(self, desk: Desk, source: Source) -> Job:
        return desk.backfills.start(source, desk.merchant, None, {})

    def test_two_pages_abandoned_and_recovered_alike(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1), node(2), after="c1"), page(node(3, completed=True)))
        done = desk.finish(self.start(desk, source))

        assert (done.status, done.page, done.counts.read, done.counts.created) == ("completed", 2, 3, 3)
        assert desk.checkout(source, "1").status is Status.ABANDONED
        assert desk.checkout(source, "3").status.purchased
        first, second = desk.api.asked_at(GRAPHQL_PATH)
        assert first.json["variables"]["after"] is None
        assert first.json["variables"]["query"].startswith("updated_at:>='")
        assert second.json["variables"]["after"] == "c1"
        assert first.headers["x-shopify-access-token"] == "shpat"

    def test_a_second_backfill_changes_nothing(self, desk: Desk) -> None:
        source = desk.shopify()
        nodes = page(node(1), node(2), node(3, completed=True))
        desk.api.on(GRAPHQL_PATH, nodes)
        desk.finish(self.start(desk, source))
        before = [desk.checkout(source, own) for own in "123"]
        again = desk.finish(self.start(desk, source))

        assert (again.counts.created, again.counts.merged, again.counts.unchanged) == (0, 0, 3)
        assert [desk.checkout(source, own) for own in "123"] == before

    def test_a_checkout_that_cannot_be_read_costs_the_page_nothing_and_is_counted(
        self, desk: Desk, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = desk.shopify()
        nameless = {**node(2), "id": None, "name": None}
        desk.api.on(GRAPHQL_PATH, page(node(1), nameless, after="c1"), page(nameless))
        done = desk.finish(self.start(desk, source))

        assert (done.status, done.page) == ("completed", 2)
        assert (done.counts.read, done.counts.created, done.counts.refused) == (3, 1, 2)
        assert capsys.readouterr().out.count('"SetAside":[1.0]') == 2

    def test_a_page_of_which_nothing_can_be_read_is_no_page_of_checkouts(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(*({**node(at), "id": None, "name": None} for at in (1, 2))))
        done = desk.finish(self.start(desk, source))

        assert (done.status, done.reason) == ("failed", "a checkout of the page has no id")

    @pytest.mark.parametrize("failure", [StoreRefused("ItemTooLarge"), ZeroDivisionError()], ids=["refused", "defect"])
    def test_a_checkout_that_the_table_never_takes_costs_the_page_nothing(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, failure: Exception
    ) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1), node(2), node(3)))
        merge = Merger.merge

        def refusing(self: Merger, change: Any, arrival: Any) -> Any:
            if change.external_id == "2":
                raise failure
            return merge(self, change, arrival)

        monkeypatch.setattr(Merger, "merge", refusing)
        done = desk.finish(self.start(desk, source))

        assert done.status == "completed"
        assert (done.counts.read, done.counts.created, done.counts.refused) == (3, 2, 1)

    def test_what_the_table_cannot_take_now_brings_the_page_again(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1)))
        self.start(desk, source)
        with monkeypatch.context() as patched:

            def unavailable(*_: object) -> None:
                raise StoreUnavailable

            patched.setattr(Merger, "merge", unavailable)
            assert desk.work() == ["m0"]

    def test_a_defect_of_ours_over_a_page_ends_the_job_and_says_so(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def defective(*_: object) -> None:
            raise IndexError

        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1)))
        job = self.start(desk, source)
        monkeypatch.setattr(ShopifyApi, "read_page", defective)
        done = desk.finish(job)

        assert (done.status, done.reason) == ("failed", "the page cannot be read: IndexError")

    def webhook(self, desk: Desk, source: Source, **changed: Any) -> Any:
        body = json.dumps(sample("shopify/checkouts-create.json") | changed)
        signature = base64.b64encode(hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).digest()).decode()
        headers = {"x-shopify-hmac-sha256": signature, "x-shopify-topic": "checkouts/update"}
        event = {"pathParameters": {"source_id": source.id}, "headers": headers, "body": body}
        return json.loads(ingest(event, None)["body"])

    def test_a_checkout_known_by_webhook_is_found_by_its_cart_and_not_doubled(self, desk: Desk) -> None:
        source = desk.shopify()
        newer = to_rfc3339(now() - timedelta(minutes=5))
        self.webhook(desk, source, token="tok-1", cart_token="cart-1", updated_at=newer, completed_at=None)
        before = desk.checkout(source, "tok-1")
        desk.api.on(GRAPHQL_PATH, page(node(1)))
        done = desk.finish(self.start(desk, source))

        assert (done.counts.created, done.counts.unchanged) == (0, 1)
        assert desk.stores.checkouts.get(checkout_digest(MERCHANT, source.id, "1")) is None
        after = desk.checkout(source, "tok-1")
        assert (after.status, after.cart) == (Status.OPEN, before.cart)

    def test_a_purchase_known_by_webhook_is_not_counted_again(self, desk: Desk) -> None:
        source = desk.shopify()
        at = to_rfc3339(now() - timedelta(hours=2))
        self.webhook(desk, source, token="tok-1", cart_token="cart-1", updated_at=at, completed_at=at)
        desk.api.on(GRAPHQL_PATH, page(node(1, completed=True)))
        done = desk.finish(self.start(desk, source))

        assert done.counts.unchanged == 1
        orders = onlookers_client("dynamodb").scan(TableName=desk.stage.table_name)["Items"]
        assert sum(row["pk"]["S"].startswith("O#") for row in orders) == 1

    def test_a_checkout_in_use_is_not_declared_abandoned(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1, updated=timedelta(minutes=2))))
        desk.finish(self.start(desk, source))

        assert desk.checkout(source, "1").status is Status.OPEN

    def test_what_lies_before_the_recovery_horizon_is_left_where_it_is(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1, updated=timedelta(days=30))))
        job = desk.backfills.start(source, desk.merchant, now() - timedelta(days=60), {})
        done = desk.finish(job)

        assert done.since >= now() - timedelta(days=8)
        assert (done.counts.skipped, done.counts.created) == (1, 0)

    def test_a_page_that_costs_too_much_is_asked_in_halves(self, desk: Desk) -> None:
        source = desk.shopify()
        refusal = Reply({"errors": [{"message": "too much", "extensions": {"code": "MAX_COST_EXCEEDED"}}]})
        desk.api.on(GRAPHQL_PATH, refusal, refusal, page(node(1)))
        done = desk.finish(self.start(desk, source))

        assert [own.json["variables"]["first"] for own in desk.api.asked_at(GRAPHQL_PATH)] == [10, 5, 2]
        assert done.counts.created == 1

    def test_a_throttled_query_waits_for_its_points(self, desk: Desk) -> None:
        source = desk.shopify()
        cost = {"requestedQueryCost": 752, "throttleStatus": {"currentlyAvailable": 152, "restoreRate": 50}}
        throttled = {"errors": [{"extensions": {"code": "THROTTLED"}}], "extensions": {"cost": cost}}
        desk.api.on(GRAPHQL_PATH, Reply(throttled), page(node(1)))
        job = self.start(desk, source)
        desk.work()
        ((body, delay),) = desk.queued()
        onlookers_client("sqs").send_message(QueueUrl=desk.stage.pulls_url, MessageBody=body)

        assert 11 < delay <= 13
        assert desk.finish(job).status == "completed"

    def test_a_job_that_crashed_goes_on_where_it_was(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1), after="c1"), page(node(2)))
        job = self.start(desk, source)
        message = json.dumps(PageMessage(job.id, MERCHANT, 0).as_json())
        with monkeypatch.context() as crash:
            crash.setattr(JobStore, "turned", lambda *_: (_ for _ in ()).throw(StoreUnavailable()))
            assert desk.work() == ["m0"]
        desk.queued()  # the next page's message is lost with the worker
        self.lease_over(desk, job)

        pull({"Records": [{"messageId": "again", "body": message}]}, None)

        found = desk.jobs.get(job.id)
        assert found is not None
        assert (found.status, found.page, found.counts.created) == ("completed", 2, 2)
        assert [own.json["variables"]["after"] for own in desk.api.asked_at(GRAPHQL_PATH)] == [None, "c1"]

    @staticmethod
    def lease_over(desk: Desk, job: Job) -> None:
        onlookers_client("dynamodb").update_item(
            TableName=desk.stage.table_name,
            Key={"pk": {"S": f"J#{job.id}"}, "sk": {"S": "J"}},
            UpdateExpression="SET #l = :past",
            ExpressionAttributeNames={"#l": "lease"},
            ExpressionAttributeValues={":past": {"N": "1"}},
        )

    def test_a_late_copy_of_a_page_makes_no_second_chain(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1), after="c1"), page(node(2)))
        job = self.start(desk, source)
        message = json.dumps(PageMessage(job.id, MERCHANT, 0).as_json())
        desk.work()
        pull({"Records": [{"messageId": "copy", "body": message}]}, None)

        assert len(desk.queued()) == 1
        assert len(desk.api.asked_at(GRAPHQL_PATH)) == 1

    def test_only_one_worker_has_the_turn(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1)))
        job = self.start(desk, source)
        assert desk.jobs.claim(job, now(), timedelta(minutes=3))
        desk.work()

        assert desk.api.asked == []

    @pytest.mark.parametrize(
        ("reply", "reason"),
        [
            (Reply({}, 401), "credentials"),
            (Reply({"errors": [{"extensions": {"code": "ACCESS_DENIED"}}]}), "manage_abandoned_checkouts"),
            (Reply({"data": None}), "no abandoned checkouts"),
        ],
    )
    def test_a_refusal_ends_the_job_and_says_why(self, desk: Desk, reply: Reply, reason: str) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, reply)
        done = desk.finish(self.start(desk, source))

        assert done.status == "failed"
        assert reason in (done.reason or "")

    def test_a_provider_that_stays_away_ends_the_job_after_bounded_attempts(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, Reply({}, 502))
        done = desk.finish(self.start(desk, source))

        assert (done.status, done.reason) == ("failed", "the provider answered 502")
        assert len(desk.api.asked) == 9

    def test_a_cursor_that_repeats_ends_the_job(self, desk: Desk) -> None:
        source = desk.shopify()
        desk.api.on(GRAPHQL_PATH, page(node(1), after="c1"))
        assert desk.finish(self.start(desk, source)).reason == "the provider repeats a cursor"


class TestWixBackfill:
    def test_the_query_follows_its_cursors(self, desk: Desk) -> None:
        site = {"api_key": "wix-api-key", "site_id": "a-site-id", "base_url": desk.api.url}
        source = desk.source("wix", site)
        entity = sample("wix/get-abandoned-checkout.json")["abandonedCheckout"]
        at = to_rfc3339(now() - timedelta(hours=3))

        def wix_page(number: int, status: str, cursor: str | None) -> Reply:
            one = {**entity, "id": f"ac-{number}", "createdDate": at, "updatedDate": at, "status": status}
            one |= {"checkoutRecoveredDate": at} if status == "RECOVERED" else {}
            return Reply({"abandonedCheckouts": [one], "pagingMetadata": {"cursors": {"next": cursor}}})

        path = "/ecom/v1/abandoned-checkout/query"
        last = Reply({"abandonedCheckouts": [], "pagingMetadata": {"cursors": {}}})
        desk.api.on(path, wix_page(1, "ABANDONED", "n1"), wix_page(2, "RECOVERED", "n2"), last)
        done = desk.finish(desk.backfills.start(source, desk.merchant, None, {}))

        assert (done.status, done.counts.created) == ("completed", 2)
        assert desk.checkout(source, "ac-1").status is Status.ABANDONED
        assert desk.checkout(source, "ac-2").status.purchased
        first, second, _ = desk.api.asked_at(path)
        assert first.json["query"]["filter"]["updatedDate"]["$gte"]
        assert second.json["query"] == {"cursorPaging": {"limit": 100, "cursor": "n1"}}
        assert first.headers["wix-site-id"] == "a-site-id"


class TestStarting:
    def test_a_provider_without_a_list_says_so(self, desk: Desk) -> None:
        with pytest.raises(Conflict, match="no list"):
            desk.backfills.start(desk.bigcommerce(), desk.merchant, None, {})

    def test_missing_credentials_are_named(self, desk: Desk) -> None:
        with pytest.raises(Conflict, match=r"credentials\.api\.access_token"):
            desk.backfills.start(desk.source("shopify", None), desk.merchant, None, {})

    def test_a_filter_the_list_does_not_know_is_refused(self, desk: Desk) -> None:
        with pytest.raises(Invalid, match="no such filter"):
            desk.backfills.start(desk.shopify(), desk.merchant, None, {"customer_id": "1"})

    def test_a_job_of_nobody_is_nothing(self, desk: Desk) -> None:
        body = json.dumps(PageMessage(JobId("job_none"), MERCHANT).as_json())
        assert pull({"Records": [{"messageId": "m", "body": body}]}, None) == {"batchItemFailures": []}


class TestTheSampleBatch:
    def test_it_is_what_ingest_and_the_api_enqueue(self, desk: Desk) -> None:
        """The sample's bodies have the very shape of our own messages, and a batch about what is gone is done with."""
        batch = sample("aws/pulls-batch.json")
        source = desk.bigcommerce()
        desk.abandoned(source)
        message = ContentMessage(source.id, MERCHANT, (), now())
        own = [json.loads(desk.queued()[0][0]), PageMessage(JobId("job_1"), MERCHANT).as_json()]

        assert [json.loads(record["body"]).keys() for record in batch["Records"]] == [body.keys() for body in own]
        assert own[0].keys() == message.as_json().keys()
        assert pull(batch, None) == {"batchItemFailures": []}
        assert desk.queued() == []
