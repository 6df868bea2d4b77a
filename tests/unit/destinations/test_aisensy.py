"""AiSensy's campaign call: the key inside the body, answers that are hardly documented."""

from typing import Any

import pytest

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations import registry
from shared.destinations.aisensy import destination
from tests.unit.destinations.vendor import Vendor, answer, checkout, delivery

TEMPLATE = {
    "campaign": "cart_reminder",
    "header": {"type": "image"},
    "body": ["{{ first_name | default: 'there' }}", "{{ items_line }}", "{{ total }}"],
    "buttons": [{"type": "url"}, {"type": "copy_code"}],
}
SETTINGS = {
    "template": TEMPLATE,
    "tags": ["abandoned"],
    "attributes": {"last_cart_total": "{{ checkout.totals.total.amount }}"},
}


def test_the_call_is_the_documented_one(vendor: Vendor) -> None:
    body = {"success": "true", "submitted_message_id": "sm-1"}
    attempt = vendor.send(delivery(), vendor.endpoint("aisensy", settings=SETTINGS), answer(200, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "sm-1")
    request = vendor.received
    assert (request.method, request.path) == ("POST", "/campaign/t1/api/v2")
    assert "authorization" not in request.headers
    assert vendor.received_json == {
        "apiKey": "key-123456",
        "campaignName": "cart_reminder",
        "destination": "+919876543210",
        "userName": "Asha",
        "source": "abandoned-checkout",
        "media": {"url": "https://cdn.shop.example/brownie.jpg", "filename": "brownie.jpg"},
        "templateParams": ["Asha", "Brownie + 1 more", "₹1,499.00"],
        "buttons": [
            {
                "type": "button",
                "sub_type": "url",
                "index": 0,
                "parameters": [{"type": "text", "text": "AQH9f31c0de"}],
            },
            {
                "type": "button",
                "sub_type": "copy_code",
                "index": 1,
                "parameters": [{"type": "coupon_code", "coupon_code": "BACK10"}],
            },
        ],
        "tags": ["abandoned"],
        "attributes": {"last_cart_total": "1499.00"},
    }


def test_a_shopper_without_a_name(vendor: Vendor) -> None:
    nameless = checkout(customer={"phone": "+919876543210"}, shipping_address=None)
    endpoint = vendor.endpoint("aisensy", settings={"template": {"campaign": "t", "body": TEMPLATE["body"]}})
    vendor.send(delivery(of=nameless), endpoint, answer(200, ""))
    sent = vendor.received_json
    assert (sent["userName"], sent["templateParams"][0]) == ("Customer", "there")
    assert not {"media", "buttons", "tags", "attributes"} & set(sent)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, "", Outcome.DELIVERED),
        (200, "Success.", Outcome.DELIVERED),
        (200, "<!doctype html><title>Sign in</title>", Outcome.UNKNOWN),
        (200, {"success": "false", "message": "Campaign is not live"}, Outcome.FAIL_CONFIG),
        (200, {"success": False}, Outcome.FAIL_MESSAGE),
        (200, {"errorCode": 400, "errorMessage": "bad media"}, Outcome.FAIL_MESSAGE),
        (
            400,
            {"name": "ERR400", "errorCode": 400, "errorMessage": "No Plan active on assistant!"},
            Outcome.FAIL_CONFIG,
        ),
        (400, {"message": "Campaign does not exist"}, Outcome.FAIL_CONFIG),
        (400, {"message": "Invalid Number"}, Outcome.FAIL_RECIPIENT),
        (400, {"message": "media url is not public"}, Outcome.FAIL_MESSAGE),
        (400, "nonsense", Outcome.FAIL_MESSAGE),
        (404, "not found", Outcome.FAIL_MESSAGE),
        (402, {"errorMessage": "Insufficient WhatsApp Conversation Credits (WCC)!"}, Outcome.FAIL_CONFIG),
        (401, {"message": "Unauthorized"}, Outcome.FAIL_CONFIG),
        (429, {"message": "slow down"}, Outcome.RETRY),
    ],
)
def test_answers(status: int, body: Any, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("aisensy", settings=SETTINGS), answer(status, body))
    assert attempt.outcome is outcome


def test_an_invalid_number_stays_invalid(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("aisensy", settings=SETTINGS)
    attempt = vendor.send(delivery(), endpoint, answer(400, {"message": "Invalid Number"}))
    assert refusal_of(attempt.reason) is Refusal.INVALID_ADDRESS


def test_attributes_are_templates(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("aisensy", settings={**SETTINGS, "attributes": {"a/b": "{{ x"}})
    assert [where for where, _ in destination.problems(endpoint)] == ["/settings/attributes/a~1b"]


def test_it_reports_no_statuses() -> None:
    """AiSensy documents no status webhook."""
    assert registry.statuses("aisensy") is None
    assert registry.statuses("webhook") is None
    assert all(
        registry.statuses(kind) for kind in ("meta_cloud", "interakt_event", "interakt_template", "gupshup", "wati")
    )
