"""360dialog: Meta's body through another door, its own refusals told apart by their words."""

from datetime import timedelta
from typing import Any

import pytest

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations import registry
from shared.destinations.destination import Endpoint
from shared.destinations.status import CallbackRequest, NotAuthentic, Status
from tests.unit.destinations.vendor import Vendor, answer, delivery

TEMPLATE = {"name": "cart_reminder_1", "language": "en", "body": ["{{ first_name }}", "{{ total }}"]}
SETTINGS = {"template": TEMPLATE}


def test_the_request_is_metas_with_the_key_in_its_own_header(vendor: Vendor) -> None:
    accepted = {"messaging_product": "whatsapp", "contacts": [], "messages": [{"id": "wamid.HBg"}]}
    attempt = vendor.send(delivery(), vendor.endpoint("360dialog", settings=SETTINGS), answer(200, accepted))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "wamid.HBg")
    assert (vendor.received.method, vendor.received.path) == ("POST", "/messages")
    assert vendor.received.headers["d360-api-key"] == "key-123456"
    assert "authorization" not in vendor.received.headers
    assert vendor.received_json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "919876543210",
        "type": "template",
        "biz_opaque_callback_data": "dlv_01J",
        "template": {
            "name": "cart_reminder_1",
            "language": {"code": "en", "policy": "deterministic"},
            "components": [
                {
                    "type": "body",
                    "parameters": [{"type": "text", "text": "Asha"}, {"type": "text", "text": "₹1,499.00"}],
                }
            ],
        },
    }


TOO_FAST = "You have exceeded the endpoint rate limit."
UNPAID = "Could not send message due to lack of payment. Messaging can resume once overdue invoices are settled."
DISABLED = "Your WhatsApp for Business API has been disabled"


@pytest.mark.parametrize(
    "shape",
    [
        lambda words: {"meta": {"success": False, "http_code": 400, "developer_message": words}},
        lambda words: {"error": words},
        lambda words: {"error": {"message": words, "code": 400}},
        lambda words: {"errors": [{"code": 400, "details": words}]},
    ],
    ids=["meta", "text", "object", "list"],
)
@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (TOO_FAST, Outcome.RETRY),
        (UNPAID, Outcome.FAIL_CONFIG),
        (DISABLED, Outcome.FAIL_CONFIG),
        ("something else", Outcome.FAIL_MESSAGE),
    ],
    ids=["rate limit", "unpaid", "disabled", "other"],
)
def test_one_status_for_four_refusals(shape: Any, words: str, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("360dialog", settings=SETTINGS), answer(400, shape(words)))
    assert attempt.outcome is outcome
    assert words[:40] in (attempt.reason or "")
    if outcome is Outcome.RETRY:
        assert attempt.retry_after is not None
        assert attempt.retry_after - attempt.at >= timedelta(seconds=59)


@pytest.mark.parametrize(
    ("status", "code", "outcome", "refusal"),
    [
        (400, 131050, Outcome.FAIL_RECIPIENT, Refusal.OPTED_OUT),
        (400, 131026, Outcome.FAIL_RECIPIENT, Refusal.NOT_ON_CHANNEL),
        (404, 132001, Outcome.FAIL_CONFIG, None),
        (429, 130429, Outcome.RETRY, None),
        (500, 131000, Outcome.UNKNOWN, None),
    ],
)
def test_metas_codes_pass_through(
    status: int, code: int, outcome: Outcome, refusal: Refusal | None, vendor: Vendor
) -> None:
    body = {"error": {"message": "(#1) told", "code": code, "error_data": {"details": "why"}}}
    attempt = vendor.send(delivery(), vendor.endpoint("360dialog", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, refusal_of(attempt.reason)) == (outcome, refusal)


def test_statuses_are_metas_and_proved_by_our_token() -> None:
    source = registry.statuses("360dialog")
    assert source is not None
    endpoint = Endpoint("ep_1", "360dialog", "", settings={"callback_token": "a-long-random-word"})
    body = (
        b'{"entry":[{"changes":[{"value":{"statuses":[{"id":"wamid.1","status":"read","timestamp":"1763719200",'
        b'"recipient_id":"919876543210","biz_opaque_callback_data":"dlv_01J"}]}}]}]}'
    )
    request = CallbackRequest("POST", "https://x.example/", {}, {"token": "a-long-random-word"}, body)
    source.authenticate(request, endpoint)
    (report,) = source.read_statuses(request)
    assert (report.status, report.vendor_message_id, report.delivery_id) == (Status.READ, "wamid.1", "dlv_01J")
    assert source.challenge(request, endpoint) is None
    with pytest.raises(NotAuthentic):
        source.authenticate(CallbackRequest("POST", "https://x.example/", {}, {"token": "guess"}, body), endpoint)
    with pytest.raises(NotAuthentic):
        source.authenticate(request, Endpoint("ep_1", "360dialog", ""))
