"""LimeChat: a custom event with flat data; repeated until it is certain."""

import pytest

from shared.delivery.outcome import Outcome
from shared.destinations import registry
from tests.unit.destinations.vendor import RECOVERY_URL, Vendor, answer, checkout, delivery

SETTINGS = {"account_id": "4711"}


def test_the_event_is_the_documented_one(vendor: Vendor) -> None:
    settings = {**SETTINGS, "template": {"data": {"greeting": "Hi {{ first_name }},\n come back"}}}
    attempt = vendor.send(delivery(), vendor.endpoint("limechat_event", settings=settings), answer(200, "OK"))
    assert attempt.outcome is Outcome.DELIVERED
    request = vendor.received
    assert (request.method, request.path) == ("POST", "/api/v1/cvf-events")
    assert (request.headers["x-limechat-uat"], request.headers["x-fb-account-id"]) == ("key-123456", "4711")
    assert vendor.received_json == {
        "distinct_id": "919876543210",
        "phone": "919876543210",
        "event": "checkout_abandoned",
        "data": {
            "checkout_id": "chk_9f31",
            "event_id": "evt_01J",
            "delivery_id": "dlv_01J",
            "status": "abandoned",
            "reason": "incomplete",
            "step": 1,
            "items": "Brownie + 1 more",
            "item_count": 3,
            "total": "1499.00",
            "currency": "INR",
            "image": "https://cdn.shop.example/brownie.jpg",
            "recovery_url": RECOVERY_URL,
            "recovery_suffix": "AQH9f31c0de",
            "coupon": "BACK10",
            "unsubscribe_url": "https://go.example/u/AQH9f31c0de",
            "do_not_send_after": "2026-11-24T09:30:00Z",
            "greeting": "Hi Asha, come back",
        },
    }


def test_the_shops_own_customer_id_identifies_the_user(vendor: Vendor) -> None:
    known = checkout(customer={"id": 77, "phone": "+919876543210"})
    vendor.send(
        delivery(of=known, template="my_event"), vendor.endpoint("limechat_event", settings=SETTINGS), answer(202, {})
    )
    assert (vendor.received_json["distinct_id"], vendor.received_json["event"]) == ("77", "my_event")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (204, "", Outcome.DELIVERED),
        (200, {"success": False, "message": "bad event"}, Outcome.FAIL_MESSAGE),
        (200, {"error": "bad event"}, Outcome.FAIL_MESSAGE),
        (200, {"hasError": True}, Outcome.FAIL_MESSAGE),
        (422, {"message": "phone"}, Outcome.FAIL_MESSAGE),
        (404, {}, Outcome.FAIL_CONFIG),
    ],
)
def test_answers(status: int, body: object, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("limechat_event", settings=SETTINGS), answer(status, body))
    assert attempt.outcome is outcome


@pytest.mark.parametrize(
    ("template", "pointer"),
    [
        ({"event": "My Event"}, "/settings/template/event"),
        ("My Event", "/settings/template/event"),
        ({"data": {"a/b": "{{ x"}}, "/settings/template/data/a~1b"),
        ({"data": {"n": 1}}, "/settings/template/data/n"),
        ([], "/settings/template"),
    ],
)
def test_what_cannot_be_sent_is_pointed_at(template: object, pointer: str, vendor: Vendor) -> None:
    endpoint = vendor.endpoint("limechat_event", settings={**SETTINGS, "template": template})
    assert [found for found, _ in registry.destination("limechat_event").problems(endpoint)] == [pointer]
