"""Every type of event, played through the functions: what reaches an endpoint is what the description says."""

import json

from jsonschema_rs import Draft202012Validator

from functions.merchant_api import services
from shared.domain.announcement import EventType
from tests.integration.api import described
from tests.integration.api.conftest import Api
from tests.integration.api.written import Examples
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import Shop, stranger
from tests.integration.till import Till


def leaves(shop: Shop, session: str, number: int) -> None:
    """A shopper of their own begins a checkout and walks away, and it is told."""
    shop.abandon(session, user=stranger(number))
    shop.settle()
    shop.deliver()


def takes_back(till: Till) -> None:
    """A shopper buys, and is refunded a part."""
    cart = {"external_id": "a", "status": "open", "currency": "INR", "totals": {"total": "630.00"}}
    order = {"id": "o-1"}
    till.posts(cart | {"customer": {"email": "a@example.com"}})
    till.posts(cart | {"status": "paid", "order": order})
    till.shop.settle()
    till.posts({"status": "refunded", "order": order, "currency": "INR", "refund": {"id": "r", "amount": "100.00"}})
    till.shop.settle()


def everything(shop: Shop, merchant: Api) -> list[bytes]:
    """The bodies of all types of event, and of a campaign's message."""
    wanted = {"kind": "webhook", "url": "https://bsp.example.com/", "event_types": [own.value for own in EventType]}
    told = merchant("POST", "/v1/endpoints", wanted).json["id"]
    leaves(shop, "bought-in-the-end", 1)
    shop.webhook(session="bought-in-the-end", session_state="COMPLETED", user=stranger(1))
    leaves(shop, "bought-elsewhere", 2)
    shop.webhook(session="bought-at-once", session_state="COMPLETED", user=stranger(2))
    leaves(shop, "given-up", 3)
    assert merchant("POST", f"/v1/checkouts/chk_{shop.digest('given-up')}/discard").status == 200
    takes_back(Till(shop))
    an_hour_after(shop, shop.endpoint("endpoint.test").id)
    leaves(shop, "forgotten", 4)
    shop.wait(hours=1)
    shop.sweep()
    shop.deliver()
    shop.wait(days=8)
    shop.sweep()
    shop.settle()
    shop.deliver()
    assert merchant("POST", "/v1/customers/erase", {"phone": "+917777000004"}).status == 200
    assert merchant("POST", f"/v1/endpoints/{told}/test").status == 202
    services.services().test_events._events.disable(shop.endpoint("endpoint.test"), "gone")
    shop.deliver()
    return [own.body for own in shop.sent]


def test_what_endpoints_are_told_is_described_for_every_type(operator: Api, shop: Shop) -> None:
    merchant = operator.as_(operator("POST", f"/v1/merchants/{shop.merchant.id}/tokens").json["token"])
    webhooks, seen, examples = described.document()["webhooks"], set(), Examples()

    for body in everything(shop, merchant):
        event = json.loads(body)
        webhook = webhooks[event["type"]]["post"]
        schema = webhook["requestBody"]["content"]["application/json"]["schema"]
        errors = [own.message[:500] for own in described.validator(schema).iter_errors(event)]
        assert errors == [], (event["type"], errors)
        seen.add((event["type"], "step" in event["data"]))
        examples.note(webhook["operationId"], event, {})

    assert seen == {(own.value, False) for own in EventType} | {("checkout.abandoned", True)}
    examples.check(frozenset(own["post"]["operationId"] for own in webhooks.values()))


def test_an_event_of_another_type_or_with_more_in_it_is_none(operator: Api, shop: Shop) -> None:
    shop.endpoint("checkout.abandoned")
    leaves(shop, "left", 1)
    (event,) = shop.told()

    def schema(name: str) -> Draft202012Validator:
        content = described.document()["webhooks"][name]["post"]["requestBody"]["content"]
        return described.validator(content["application/json"]["schema"])

    assert schema("checkout.abandoned").is_valid(event)
    assert not schema("checkout.recovered").is_valid(event)
    assert not schema("checkout.abandoned").is_valid(event | {"merchant": {"id": "mer_1", "name": "N"}})
    assert not schema("checkout.abandoned").is_valid({**event, "data": {"checkout": event["data"]["checkout"]}})
