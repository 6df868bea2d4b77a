"""A merchant with a source of every provider, one shopper at each of them, and everything that may happen to them."""

import json
import re
from typing import Any

from functions.pull.handler import handler as pull
from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.coupon import CouponRule
from shared.domain.ids import EndpointId, EventId, PoolId, delivery_id, new_ulid
from shared.domain.merchant import Endpoint, EndpointCredentials
from shared.providers import registry
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.coupons import CouponPool, CouponStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.delivering.endpoint_setup import refresh_flags
from tests.fuzz.test_ingest import API_CREDENTIALS, connect, proved, source_of
from tests.integration.api.conftest import Api
from tests.integration.functions.test_callbacks import APP_SECRET, VERIFY, Vendor
from tests.integration.privacy.planting import Planter, samples
from tests.integration.privacy.scanning import rows
from tests.integration.shop import MERCHANT, Shop
from tests.integration.workflows.campaigns.test_campaign_steps import HOUR, open_all_day
from tests.unit.domain.sessions import NOON

API = API_CREDENTIALS | {"client_id": "c", "client_secret": "s"}
ANSWERS = {
    "bigcommerce": {"/v3/carts/": "cart-content", "/v3/checkouts/": "checkout-content", "/v2/orders/": "order-content"},
    "emporix": {"/carts/": "carts-search", "/customers/": "customer-content"},
}
"""What a provider's API answers, by a part of the address."""
CODE, NOTE = "PLANTEDCODE", "a planted note"
FEED = tuple(f"checkout.{own}" for own in ("abandoned", "updated", "recovered", "completed", "superseded", "expired"))
TEMPLATE = "{{ event.data.checkout.customer.phone }} {{ event.data.checkout.customer.email }}"
NEIGHBOURS = {("shopify", "checkouts-create"): "checkouts/create", ("razorpay", "abandoned-cart"): None}
ODD = {"emporix": "cart.updated", "shopify": "checkouts/odd", "woocommerce": "order.updated"}
BROKEN = {
    ("flexype", "acr"): {"session_state": "COMPLETED", "checkout_url": "https://flexype.myshopify.com/?flx_s=broken-1"}
}
TOPICS = {"shopify": "/", "woocommerce": ".", "emporix": "."}


class World:
    """A merchant with a source of every provider, and one shopper at each of them."""

    def __init__(self, shop: Shop, operator: Api) -> None:
        self.shop = shop
        self.operator = operator
        made = operator("POST", f"/v1/merchants/{MERCHANT}/tokens")
        self.merchant = operator.as_(made.json["token"])
        self.planters = {name: Planter(7) for name in registry.names()}
        self.statuses: dict[str, str] = {}
        open_all_day(shop)
        for name in registry.names():
            connect(shop.stores, MERCHANT, name, NOON, API)

    @property
    def values(self) -> set[str]:
        """Everything planted."""
        return {own for planter in self.planters.values() for own in planter.values.values()}

    def post(self, name: str, body: Any, *, topic: str | None = None, **headers: str) -> dict[str, Any]:
        """A provider's webhook, proved."""
        status, answer = self.shop.posted(proved(name, body, topic, **headers))
        assert status == 200, (name, answer)
        return dict(answer)

    def answer(self, requests: list[OutboundRequest]) -> list[SendResult]:
        """The providers' APIs."""
        return [SendResult(self.shop.now, self.shop.now, 7, sent=True, answer=self._content(own)) for own in requests]

    def _content(self, request: OutboundRequest) -> Answer:
        if "/oauth" in request.url:
            return Answer(200, body=json.dumps({"access_token": "granted", "expires_in": 3600}).encode())
        for provider, contents in ANSWERS.items():
            for part, name in contents.items():
                if part in request.url:
                    sample = next(own for who, stem, own in samples() if (who, stem) == (provider, name))
                    planted = self.planters[provider].planted(sample)
                    planted = planted[0] if isinstance(planted, list) and "search" not in request.url else planted
                    return Answer(200, body=json.dumps(planted).encode())
        return Answer(404)

    def posts_all(self) -> None:
        """Each sample that is a webhook."""
        answers = {(who, stem) for who, contents in ANSWERS.items() for stem in contents.values()}
        for name, stem, sample in samples():
            planted = self.planters[name].planted(sample)
            if (name, stem) not in answers:
                joint = TOPICS.get(name)
                topic = joint.join(stem.split("-")[:2]) if joint else None
                self.shop.wait(seconds=1)
                self.statuses[f"{name} {stem}"] = self.post(name, planted, topic=topic)["status"]

    def pulls(self) -> None:
        """The pull function, until nothing is queued."""
        for _ in range(10):
            bodies = self.shop.queued("PULLS_QUEUE_URL")
            if not bodies:
                return
            pull({"Records": [{"messageId": str(at), "body": body} for at, body in enumerate(bodies)]}, None)

    def lives_on(self) -> None:
        """What follows from it all: feed, campaign, links, receivers that repeat what they got, all that breaks."""
        shop = self.shop
        shop.answer = _echo
        self.coupon_pool()
        feed = shop.endpoint(*FEED, payload="provider")
        mine = shop.endpoint("checkout.abandoned", "checkout.updated", payload={"liquid": TEMPLATE})
        refresh_flags(MerchantStore(shop.table), EndpointStore(shop.table), MERCHANT)
        coupon = CouponRule("pool", pool_id="pool_1")
        steps = (CampaignStep(HOUR, feed.id, coupon=coupon), CampaignStep(2 * HOUR, mine.id, coupon=coupon))
        made = Campaign(CampaignId("cmp_1"), MERCHANT, 1, "Back", NOON, steps=steps, activated_at=NOON)
        CampaignStore(shop.table).create(made)
        self.posts_all()
        self.pulls()
        self.passes(minutes=31)
        for row in self.checkouts():
            code = shop.stores.keys.recovery_codes().code(row["pk"][2:])
            shop.follow(code, "Mozilla/5.0 (iPhone) Safari/604.1")
        self.passes(minutes=31)
        self.not_understood()
        self.breaks()
        self.asks()
        self.vendor_reports()
        self.passes(minutes=61)

    def coupon_pool(self) -> None:
        pools = CouponStore(self.shop.table)
        pools.create(CouponPool(PoolId("pool_1"), MERCHANT, "Codes", NOON))
        pools.add(MERCHANT, PoolId("pool_1"), [f"{CODE}{number:03d}" for number in range(60)])

    def passes(self, minutes: int) -> None:
        """Time goes by, and everything runs as it is scheduled."""
        self.shop.wait(minutes=minutes)
        for _ in range(3):
            self.shop.sweep()
            self.shop.settle()
            while bodies := [*self.shop.queued(), *self.shop.retries(), *self.shop.slow()]:
                for start in range(0, len(bodies), 10):
                    self.shop.deliver(bodies[start : start + 10])

    def not_understood(self) -> None:
        """A body of no kind, from each provider, with the shopper in it and in its headers."""
        for name, planter in self.planters.items():
            for contact in sorted(planter.contacts):
                body = {"unlike": "anything", "who": planter.values[contact], "note": f"{NOTE} {name}"}
                headers = {"x-customer": planter.values[contact]}
                self.statuses[f"{name} odd"] = self.post(name, body, topic=ODD.get(name), **headers)["status"]

    def breaks(self) -> None:
        """A record of each checkout that dispatch cannot tell."""
        for name, stem, sample in samples():
            if (name, stem) in BROKEN:
                self.post(name, self.planters[name].planted(sample) | BROKEN[name, stem], topic=None)
        records = self.shop.stream()
        for record in records:
            record["dynamodb"]["NewImage"]["tr"] = {"S": "odd"}
        self.shop.dispatch(records)

    def asks(self) -> None:
        """The merchant's own requests, under keys that name the shopper; a backfill of one customer."""
        for number, row in enumerate(self.checkouts()):
            contact = {"phone": row["c_p"]} if "c_p" in row else {"email": row["c_e"]}
            key = {"idempotency-key": f"dsr:{row.get('c_p', row.get('c_e'))}"}
            assert self.merchant("POST", "/v1/customers/export", contact, headers=key).status == 200
            if number % 3 == 0:
                key = {"idempotency-key": f"stop:{row.get('c_p', row.get('c_e'))}"}
                body = contact | {"channels": ["sms"]}
                assert self.merchant("POST", "/v1/suppressions", body, headers=key).status == 201
        customer = next(row["c_i"] for row in self.checkouts() if row["pr"] == "emporix")
        path = f"/v1/sources/{source_of('emporix')}/backfill"
        assert self.merchant("POST", path, {"customer_id": customer}).status == 202

    def checkouts(self) -> list[dict[str, Any]]:
        """The rows of checkouts that have a contact."""
        found = (row for row in rows(self.shop.stores.environment.table_name) if row["sk"] == "C" and "st" in row)
        return [row for row in found if row["mer"] == MERCHANT and {"c_p", "c_e"} & row.keys()]

    def erases_everyone(self) -> None:
        """Each shopper gives an identifier, then another, until none of theirs is known; then who only wrote."""
        given: set[str] = set()
        mine = {own.casefold() for own in self.values}
        phones = {re.sub(r"\D", "", own)[-7:] for own in mine}
        while known := [
            row for row in self.checkouts() if row.get("c_e") in mine or str(row.get("c_p"))[-7:] in phones
        ]:
            row = known[0]
            who = {"phone": row["c_p"]} if "c_p" in row else {"email": row["c_e"]}
            given |= {own.casefold() for own in (row.get("c_p"), row.get("c_e")) if own}
            self._erases(who)
        for planter in self.planters.values():
            for contact in sorted(own for own in planter.contacts if "@" in own):
                if (email := planter.values[contact]).casefold() not in given:
                    self._erases({"email": email})

    def _erases(self, who: dict[str, str]) -> None:
        answer = self.merchant("POST", "/v1/customers/erase", who)
        assert (answer.status, answer.json["status"]) == (200, "erased"), answer.text

    def neighbours(self) -> Planter:
        """Somebody else with the same merchant, of whom there is the same."""
        neighbour = Planter(8)
        for name, stem, sample in samples():
            if (name, stem) in NEIGHBOURS:
                self.shop.wait(seconds=1)
                self.post(name, neighbour.planted(sample), topic=NEIGHBOURS[name, stem])
        for contact in sorted(neighbour.contacts):
            self.post("flexype", {"unlike": "anything", "who": neighbour.values[contact]})
        return neighbour

    def vendor_reports(self) -> None:
        """A vendor says that a message could not be delivered, and to whom, in its own words; the shopper writes."""
        row = next(own for own in self.checkouts() if "c_p" in own and own["pr"] == "flexype")
        endpoint_id = EndpointId("ep_" + new_ulid(self.shop.now))
        secrets = EndpointCredentials(settings={"app_secret": APP_SECRET, "verify_token": VERIFY})
        sealed = self.shop.stores.cipher.seal_endpoint(endpoint_id, MERCHANT, secrets)
        endpoint = Endpoint(endpoint_id, MERCHANT, "meta_cloud", self.shop.now, sealed=sealed)
        EndpointStore(self.shop.table).create(endpoint)
        delivery = DeliveryRecord(
            id=delivery_id(self.shop.now, "step", endpoint_id),
            endpoint_id=endpoint_id,
            merchant_id=MERCHANT,
            event_id=EventId("evt_01KAHJ0000000000000000000E"),
            event_type="checkout.abandoned",
            checkout_digest=row["pk"][2:],
            event_version=int(row["v"]),
            status=DeliveryStatus.DELIVERED,
            created_at=self.shop.now,
        )
        self.shop.stores.deliveries.create(delivery)
        VendorMessageStore(self.shop.table).remember(endpoint_id, "wamid.1", delivery.id, self.shop.now)
        vendor, phone = Vendor(self.shop, endpoint, delivery), row["c_p"][1:]
        failed = [{"code": 131026, "title": "undeliverable", "message": f"{phone} is unknown to {row.get('c_e')}"}]
        vendor.report(statuses=[{"id": "wamid.1", "status": "failed", "recipient_id": phone, "errors": failed}])
        contact = {"wa_id": phone, "profile": {"name": phone}}
        vendor.report(messages=[{"id": "wamid.2", "from": phone, "text": {"body": phone}}], contacts=[contact])


def _echo(request: OutboundRequest) -> Answer:
    """A receiver that is not well, and says whom it was told of."""
    return Answer(500 if len(request.body or b"") % 2 else 400, body=(request.body or b"")[:900])
