"""QuickReply.ai: the documented call, and a 400 that may mean three things."""

import pytest

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations import registry
from tests.unit.destinations.vendor import Vendor, answer, checkout, delivery

TEMPLATE = {
    "id": "tpl 1/2",
    "header": {"type": "image"},
    "body": ["{{ first_name }}", "{{ total }}"],
    "buttons": [{"type": "url", "prefix": "https://go.example/r/"}],
}
SETTINGS = {"client_id": "client-1", "template": TEMPLATE}


def test_the_call_is_the_documented_one(vendor: Vendor) -> None:
    attempt = vendor.send(
        delivery(), vendor.endpoint("quickreply", settings=SETTINGS), answer(200, {"id": "m-1", "status": "SENT"})
    )
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "m-1")
    request = vendor.received
    assert (request.method, request.path) == ("POST", "/api/whatsapp/send-template?templateId=tpl%201%2F2")
    assert (request.headers["client-id"], request.headers["secret-key"]) == ("client-1", "key-123456")
    assert request.headers["content-type"] == "application/json"
    assert vendor.received_json == {
        "to": "+919876543210",
        "name": "Asha",
        "link": "https://cdn.shop.example/brownie.jpg",
        "params": ["Asha", "₹1,499.00"],
        "button_params": ["AQH9f31c0de"],
    }


def test_a_shopper_without_a_name_goes_without_one(vendor: Vendor) -> None:
    nameless = checkout(customer={"phone": "+919876543210", "first_name": None}, shipping_address=None)
    endpoint = vendor.endpoint("quickreply", settings={**SETTINGS, "template": "tpl"})
    vendor.send(delivery(of=nameless), endpoint, answer(200, {"id": "m"}))
    assert vendor.received_json == {"to": "+919876543210", "params": []}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "refusal"),
    [
        (400, {"error": "Missing params"}, Outcome.FAIL_MESSAGE, None),
        (400, {"error": "Template not found"}, Outcome.FAIL_CONFIG, None),
        (400, {"error": "Insufficient wallet balance"}, Outcome.FAIL_CONFIG, None),
        (400, {"error": "(#131026) Message undeliverable"}, Outcome.FAIL_RECIPIENT, Refusal.NOT_ON_CHANNEL),
        (400, {"error": {"message": "131049 healthy ecosystem"}}, Outcome.FAIL_RECIPIENT, Refusal.FREQUENCY_CAP),
        (400, "not json", Outcome.FAIL_MESSAGE, None),
        (401, {"error": "Invalid keys"}, Outcome.FAIL_CONFIG, None),
        (200, {"id": "m", "status": "FAILED"}, Outcome.FAIL_MESSAGE, None),
        (200, {"error": "no"}, Outcome.FAIL_MESSAGE, None),
        (200, {"success": False, "message": "no"}, Outcome.FAIL_MESSAGE, None),
        (200, "<html>", Outcome.UNKNOWN, None),
    ],
)
def test_refusals(status: int, body: object, outcome: Outcome, refusal: Refusal | None, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("quickreply", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, refusal_of(attempt.reason)) == (outcome, refusal)
    assert attempt.vendor_message_id is None


def test_it_reports_no_statuses() -> None:
    assert registry.statuses("quickreply") is None
