"""Meta's Cloud API: the documented request, every documented error code, the status webhooks."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations.destination import Endpoint
from shared.destinations.meta_cloud import destination, statuses
from shared.destinations.status import CallbackRequest, NotAuthentic, Status, StatusReport
from shared.destinations.whatsapp_errors import meaning_of
from tests.unit.destinations.vendor import Vendor, answer, delivery

TEMPLATE = {
    "name": "cart_reminder_1",
    "language": "en",
    "header": {"type": "image"},
    "body": ["{{ first_name }}", "{{ items_line }}", "{{ total }}"],
    "buttons": [{"type": "url"}, {"type": "copy_code"}],
}
SETTINGS = {"phone_number_id": "106540352242922", "template": TEMPLATE}
ACCEPTED = {
    "messaging_product": "whatsapp",
    "contacts": [{"input": "+919876543210", "wa_id": "919876543210"}],
    "messages": [{"id": "wamid.HBgM", "message_status": "accepted"}],
}


def error(code: Any, **more: Any) -> dict[str, Any]:
    return {"error": {"message": "(#1) told", "type": "OAuthException", "code": code, "fbtrace_id": "A1", **more}}


# --- what goes out ------------------------------------------------------------------------------------------


def test_the_request_is_the_documented_one(vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=SETTINGS), answer(200, ACCEPTED))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "wamid.HBgM")
    request = vendor.received
    assert (request.method, request.path) == ("POST", "/v23.0/106540352242922/messages")
    assert request.headers["authorization"] == "Bearer key-123456"
    assert request.headers["content-type"] == "application/json"
    assert vendor.received_json == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+919876543210",
        "type": "template",
        "biz_opaque_callback_data": "dlv_01J",
        "template": {
            "name": "cart_reminder_1",
            "language": {"code": "en", "policy": "deterministic"},
            "components": [
                {
                    "type": "header",
                    "parameters": [{"type": "image", "image": {"link": "https://cdn.shop.example/brownie.jpg"}}],
                },
                {
                    "type": "body",
                    "parameters": [
                        {"type": "text", "text": "Asha"},
                        {"type": "text", "text": "Brownie + 1 more"},
                        {"type": "text", "text": "₹1,499.00"},
                    ],
                },
                {
                    "type": "button",
                    "sub_type": "url",
                    "index": "0",
                    "parameters": [{"type": "text", "text": "AQH9f31c0de"}],
                },
                {
                    "type": "button",
                    "sub_type": "copy_code",
                    "index": "1",
                    "parameters": [{"type": "coupon_code", "coupon_code": "BACK10"}],
                },
            ],
        },
    }


def test_named_variables_documents_and_quick_replies(vendor: Vendor) -> None:
    template = {
        "name": "t",
        "language": "pt-BR",
        "header": {"type": "document", "value": "https://shop.example/c.pdf", "filename": "cart.pdf"},
        "body": {"who": "{{ first_name }}"},
        "buttons": [{"type": "quick_reply", "value": "stop", "index": 2}],
    }
    endpoint = vendor.endpoint("meta_cloud", settings=SETTINGS)
    vendor.send(delivery(template=template), endpoint, answer(200, ACCEPTED))
    sent = vendor.received_json["template"]
    assert sent["language"]["code"] == "pt_BR"
    assert sent["components"] == [
        {
            "type": "header",
            "parameters": [
                {"type": "document", "document": {"link": "https://shop.example/c.pdf", "filename": "cart.pdf"}}
            ],
        },
        {"type": "body", "parameters": [{"type": "text", "parameter_name": "who", "text": "Asha"}]},
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": "2",
            "parameters": [{"type": "payload", "payload": "stop"}],
        },
    ]


def test_a_template_without_variables_has_no_components(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("meta_cloud", settings=SETTINGS)
    vendor.send(delivery(template="hello_world"), endpoint, answer(200, ACCEPTED))
    assert vendor.received_json["template"] == {
        "name": "hello_world",
        "language": {"code": "en", "policy": "deterministic"},
    }


def test_version_and_marketing_api_are_settings(vendor: Vendor) -> None:
    settings = {**SETTINGS, "graph_version": "v25.0", "api": "marketing_messages"}
    vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=settings), answer(200, ACCEPTED))
    assert vendor.received.path == "/v25.0/106540352242922/marketing_messages"
    assert vendor.received_json["product_policy"] == "CLOUD_API_FALLBACK"


def test_without_a_base_url_meta_itself_is_called() -> None:
    request = destination.build(delivery(), Endpoint("ep_1", "meta_cloud", "", bearer_token="t", settings=SETTINGS))
    assert request.url == "https://graph.facebook.com/v23.0/106540352242922/messages"


# --- what comes back ----------------------------------------------------------------------------------------

CONFIG, MESSAGE, PERSON = Outcome.FAIL_CONFIG, Outcome.FAIL_MESSAGE, Outcome.FAIL_RECIPIENT
RETRY, UNKNOWN = Outcome.RETRY, Outcome.UNKNOWN

CODES = [
    *[(code, 401, CONFIG) for code in (0, 190)],
    (3, 500, CONFIG),
    *[(code, 403, CONFIG) for code in (10, 200, 250, 299, 131005)],
    (1, 400, UNKNOWN),
    (2, 503, UNKNOWN),
    *[(code, 400, RETRY) for code in (4, 80007, 131056, 131057)],
    (130429, 429, RETRY),
    *[
        (code, 400, CONFIG)
        for code in (
            33,
            368,
            131030,
            131031,
            131037,
            131042,
            131045,
            131048,
            131062,
            131063,
            131064,
            132000,
            132001,
            132007,
            132015,
            132016,
            133010,
        )
    ],
    *[
        (code, 400, MESSAGE)
        for code in (100, 131008, 131009, 131047, 131051, 131053, 132005, 132008, 132012, 132018, 137000)
    ],
    *[(code, 400, PERSON) for code in (130472, 130497, 131021, 131026, 131049, 131050)],
    *[(code, 500, UNKNOWN) for code in (131000, 131016, 135000)],
    # Not listed by Meta: by status, and by what it says of itself.
    (999999, 400, MESSAGE),
    (999999, 500, UNKNOWN),
    (999999, 429, RETRY),
]


@pytest.mark.parametrize(("code", "status", "outcome"), CODES)
def test_the_code_decides(code: int, status: int, outcome: Outcome, vendor: Vendor) -> None:
    body = error(code, error_data={"details": "what Meta says"})
    attempt = vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, attempt.status_code) == (outcome, status)
    assert attempt.reason is not None
    assert str(code) in attempt.reason
    assert "what Meta says" in attempt.reason


@pytest.mark.parametrize(("code", "outcome"), [(131026, PERSON), (132001, CONFIG)])
def test_an_error_in_a_200_is_an_error(code: int, outcome: Outcome, vendor: Vendor) -> None:
    endpoint = vendor.endpoint("meta_cloud", settings=SETTINGS)
    attempt = vendor.send(delivery(), endpoint, answer(200, ACCEPTED | error(code)))
    assert (attempt.outcome, attempt.vendor_message_id) == (outcome, None)


@pytest.mark.parametrize(
    ("code", "refusal", "lasts"),
    [
        (131050, Refusal.OPTED_OUT, None),
        (131026, Refusal.NOT_ON_CHANNEL, timedelta(days=30)),
        (131049, Refusal.FREQUENCY_CAP, timedelta(days=1)),
        (130472, Refusal.THIS_MESSAGE, timedelta()),
        (130497, Refusal.REGION_BLOCKED, timedelta(days=30)),
        (131021, Refusal.INVALID_ADDRESS, None),
    ],
)
def test_a_suppression_can_be_derived_from_the_reason(
    code: int, refusal: Refusal, lasts: timedelta | None, vendor: Vendor
) -> None:
    endpoint = vendor.endpoint("meta_cloud", settings=SETTINGS)
    attempt = vendor.send(delivery(), endpoint, answer(400, error(code)))
    assert refusal_of(attempt.reason) is refusal
    assert (refusal.lasts, refusal.permanent) == (lasts, lasts is None)


def test_other_reasons_derive_none(vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=SETTINGS), answer(400, error(132005)))
    assert refusal_of(attempt.reason) is None
    assert refusal_of(None) is None


def test_the_pair_rate_asks_for_time(vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=SETTINGS), answer(400, error(131056)))
    assert attempt.retry_after is not None
    assert attempt.retry_after - attempt.at >= timedelta(seconds=6)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (400, error(999999, is_transient=True), UNKNOWN),
        (400, {"error": {"message": "no code"}}, MESSAGE),
        (401, {"error": {"message": "no code"}}, CONFIG),
        (400, {"error": "not an object"}, MESSAGE),
        (200, {"messages": []}, UNKNOWN),
        (200, {"messages": [{"id": ""}]}, UNKNOWN),
        (200, "OK", UNKNOWN),
        (200, [ACCEPTED], UNKNOWN),
        (404, "not found", CONFIG),
    ],
)
def test_answers_without_a_known_code(status: int, body: Any, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (outcome, None)


def test_a_held_message_is_accepted_and_says_so(vendor: Vendor) -> None:
    held = {**ACCEPTED, "messages": [{"id": "wamid.1", "message_status": "held_for_quality_assessment"}]}
    attempt = vendor.send(delivery(), vendor.endpoint("meta_cloud", settings=SETTINGS), answer(200, held))
    assert (attempt.outcome, attempt.reason) == (Outcome.DELIVERED, "held_for_quality_assessment")


def test_only_recipients_refusals_suppress() -> None:
    for code in range(140_000):
        meaning = meaning_of(code)
        if meaning is not None:
            assert (meaning.refusal is not None) == (meaning.outcome is PERSON)
            assert meaning.wait is None or meaning.outcome is RETRY


# --- status webhooks ----------------------------------------------------------------------------------------

SECRET = "0123456789abcdef0123456789abcdef"
ENDPOINT = Endpoint("ep_1", "meta_cloud", "", settings={"app_secret": SECRET, "verify_token": "our-own-word"})


def callback(value: object, *, signature: str | None = None) -> CallbackRequest:
    body = json.dumps(value).encode()
    signed = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": signed if signature is None else signature}
    return CallbackRequest("POST", "https://api.example/callbacks/ep_1", headers, {}, body)


def change(**value: Any) -> dict[str, Any]:
    whole = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "106540352242922"}, **value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "WABA", "changes": [{"field": "messages", "value": whole}]}],
    }


def status(name: str, **more: Any) -> dict[str, Any]:
    return {"id": "wamid.1", "status": name, "timestamp": "1795255200", "recipient_id": "919876543210", **more}


def test_the_set_up_challenge() -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "our-own-word", "hub.challenge": "1158201444"}
    asked = CallbackRequest("GET", "https://api.example/callbacks/ep_1", {}, query)
    assert statuses.challenge(asked, ENDPOINT) == "1158201444"
    assert statuses.challenge(callback({}), ENDPOINT) is None
    wrongs: list[tuple[dict[str, str], Endpoint]] = [
        ({**query, "hub.verify_token": "another"}, ENDPOINT),
        ({}, ENDPOINT),
        ({**query, "hub.verify_token": ""}, Endpoint("ep_1", "meta_cloud", "")),
    ]
    for wrong, endpoint in wrongs:
        with pytest.raises(NotAuthentic):
            statuses.challenge(CallbackRequest("GET", "", {}, wrong), endpoint)


def test_only_meta_reports() -> None:
    statuses.authenticate(callback(change()), ENDPOINT)
    for forged in ("", "sha256=", "sha256=" + "0" * 64, "ümlaut"):
        with pytest.raises(NotAuthentic):
            statuses.authenticate(callback(change(), signature=forged), ENDPOINT)
    with pytest.raises(NotAuthentic, match="no secret"):
        statuses.authenticate(callback(change()), Endpoint("ep_1", "meta_cloud", ""))


@pytest.mark.parametrize("name", ["sent", "delivered", "read"])
def test_statuses_of_a_message(name: str) -> None:
    request = callback(change(statuses=[status(name, biz_opaque_callback_data="dlv_01J")]))
    assert statuses.read_statuses(request) == [
        StatusReport(
            Status(name),
            "wamid.1",
            datetime.fromtimestamp(1795255200, UTC),
            None,
            "+919876543210",
            "dlv_01J",
        )
    ]


def test_a_failed_status_says_whose_fault_it_was() -> None:
    errors = [{"code": 131050, "title": "User stopped", "error_data": {"details": "call +919876543210"}}]
    (report,) = statuses.read_statuses(callback(change(statuses=[status("failed", errors=errors)])))
    assert report.status is Status.FAILED
    assert refusal_of(report.reason) is Refusal.OPTED_OUT
    assert "9876543210" not in str(report.reason)


def test_replies_and_preferences() -> None:
    value = change(
        messages=[
            {
                "from": "919876543210",
                "id": "wamid.2",
                "timestamp": "1795255200",
                "type": "text",
                "text": {"body": " Stop. "},
                "context": {"id": "wamid.1"},
            },
            {"from": "919876543210", "timestamp": "1795255201", "text": {"body": "stop by tomorrow"}},
            {"from": "919876543210", "type": "system", "system": {"type": "user_changed_number"}},
            {"from": "919876543210", "interactive": {"type": "button_reply", "button_reply": {"title": "Unsubscribe"}}},
        ],
        user_preferences=[
            {"wa_id": "919876543210", "category": "marketing_messages", "value": "stop", "timestamp": 1795255200},
            {"wa_id": "919876543210", "category": "marketing_messages", "value": "resume", "timestamp": 1795255300},
            {"wa_id": "919876543210", "category": "something_else", "value": "stop"},
        ],
    )
    found = statuses.read_statuses(callback(value))
    assert [(report.status, report.vendor_message_id) for report in found] == [
        (Status.REPLIED, "wamid.1"),
        (Status.OPTED_OUT, "wamid.1"),
        (Status.REPLIED, None),
        (Status.REPLIED, None),
        (Status.OPTED_OUT, None),
        (Status.OPTED_OUT, None),
        (Status.OPTED_IN, None),
    ]
    assert {report.recipient_phone for report in found} == {"+919876543210"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["entry", "changes", "value", "statuses", "messages", "errors", "status", "timestamp", "from"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(_JSON)
def test_whatever_comes_is_read(value: object) -> None:
    statuses.read_statuses(callback(value))
    statuses.read_statuses(callback({"entry": [{"changes": [{"value": {"statuses": [value], "messages": [value]}}]}]}))


@given(st.binary(max_size=60))
def test_whatever_bytes_come_are_read(body: bytes) -> None:
    assert statuses.read_statuses(CallbackRequest("POST", "", body=body)) == []
