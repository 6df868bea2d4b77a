"""Twilio: the documented form, its error dictionary, its signed callbacks."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations import twilio
from shared.destinations.destination import Endpoint, Unsendable
from shared.destinations.status import CallbackRequest, NotAuthentic, Status, StatusReport
from shared.destinations.twilio import destination, statuses
from tests.unit.destinations.vendor import Vendor, answer, delivery

ACCOUNT = "AC" + "a1" * 16
CONTENT = "HX" + "b2" * 16
KEY = "SK" + "c3" * 16
TEMPLATE = {"content_sid": CONTENT, "body": {"1": "{{ first_name }}", "link": "{{ recovery_code }}"}}
SETTINGS = {"account_sid": ACCOUNT, "from": "+14155238886", "template": TEMPLATE}


def test_the_form_is_the_documented_one(vendor: Vendor) -> None:
    settings = {**SETTINGS, "status_callback": "https://api.example/callbacks/ep_1"}
    queued = {"sid": "SM" + "0" * 32, "status": "queued", "error_code": None, "error_message": None}
    attempt = vendor.send(delivery(), vendor.endpoint("twilio", settings=settings), answer(201, queued))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "SM" + "0" * 32)
    request = vendor.received
    assert (request.method, request.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"{ACCOUNT}:key-123456".encode()).decode()
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    form = vendor.received_form
    assert json.loads(form.pop("ContentVariables")) == {"1": "Asha", "link": "AQH9f31c0de"}
    assert form == {
        "To": "whatsapp:+919876543210",
        "From": "whatsapp:+14155238886",
        "ContentSid": CONTENT,
        "StatusCallback": "https://api.example/callbacks/ep_1?delivery=dlv_01J",
        "ValidityPeriod": "900",
    }


def test_variables_in_order_are_numbered_from_one(vendor: Vendor) -> None:
    service = {"account_sid": ACCOUNT, "api_key_sid": KEY, "messaging_service_sid": "MG" + "d4" * 16}
    ordered = {"content_sid": CONTENT, "body": ["{{ first_name }}", "{{ total }}"]}
    endpoint = vendor.endpoint("twilio", settings={**service, "template": ordered})
    assert destination.problems(endpoint) == []
    vendor.send(delivery(), endpoint, answer(201, {"sid": "SM1", "status": "accepted"}))
    form = vendor.received_form
    assert json.loads(form["ContentVariables"]) == {"1": "Asha", "2": "₹1,499.00"}
    assert form["MessagingServiceSid"] == service["messaging_service_sid"]
    assert "From" not in form
    assert vendor.received.headers["authorization"].endswith(base64.b64encode(f"{KEY}:key-123456".encode()).decode())


CODES = [
    (401, 20003, Outcome.FAIL_CONFIG, None),
    (404, 20404, Outcome.FAIL_CONFIG, None),
    (429, 20429, Outcome.RETRY, None),
    (500, 20500, Outcome.UNKNOWN, None),
    (400, 21211, Outcome.FAIL_RECIPIENT, Refusal.INVALID_ADDRESS),
    (400, 21610, Outcome.FAIL_RECIPIENT, Refusal.OPTED_OUT),
    (400, 21654, Outcome.FAIL_CONFIG, None),
    (400, 21655, Outcome.FAIL_CONFIG, None),
    (400, 21656, Outcome.FAIL_MESSAGE, None),
    (400, 63007, Outcome.FAIL_CONFIG, None),
    (400, 63018, Outcome.RETRY, None),
    (400, 63024, Outcome.FAIL_RECIPIENT, Refusal.NOT_ON_CHANNEL),
    (400, 63032, Outcome.FAIL_RECIPIENT, Refusal.THIS_MESSAGE),
    (400, 99999, Outcome.FAIL_MESSAGE, None),
    (403, 99999, Outcome.FAIL_CONFIG, None),
    (503, 99999, Outcome.UNKNOWN, None),
]


@pytest.mark.parametrize(("status", "code", "outcome", "refusal"), CODES)
def test_codes(status: int, code: int, outcome: Outcome, refusal: Refusal | None, vendor: Vendor) -> None:
    body = {"code": code, "message": "told", "more_info": "https://www.twilio.com/docs/errors", "status": status}
    attempt = vendor.send(delivery(), vendor.endpoint("twilio", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, refusal_of(attempt.reason)) == (outcome, refusal)
    assert str(code) in (attempt.reason or "")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"sid": "SM1", "status": "failed", "error_code": 63013, "error_message": "policy"}, Outcome.FAIL_MESSAGE),
        ({"sid": "SM1", "status": "undelivered", "error_code": None}, Outcome.FAIL_MESSAGE),
        ({"status": "queued"}, Outcome.UNKNOWN),
        ("<html>", Outcome.UNKNOWN),
    ],
)
def test_created_is_not_always_accepted(body: object, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("twilio", settings=SETTINGS), answer(201, body))
    assert attempt.outcome is outcome
    assert attempt.vendor_message_id is None


def test_the_basic_credential_is_masked_where_it_is_echoed(vendor: Vendor) -> None:
    echoed = base64.b64encode(f"{ACCOUNT}:key-123456".encode()).decode()
    attempt = vendor.send(delivery(), vendor.endpoint("twilio", settings=SETTINGS), answer(400, {"message": echoed}))
    assert echoed not in f"{attempt.reason}{attempt.response_body}"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"account_sid": "AC1"}, "/settings/account_sid"),
        ({"api_key_sid": ACCOUNT}, "/settings/api_key_sid"),
        ({"from": None}, "/settings/from"),
        ({"template": "cart_reminder"}, "/settings/template/content_sid"),
        ({"template": {"content_sid": "x"}}, "/settings/template/content_sid"),
        ({"template": ["x"]}, "/settings/template"),
    ],
)
def test_what_is_wrong_is_pointed_at(changes: dict[str, Any], pointer: str, vendor: Vendor) -> None:
    endpoint = vendor.endpoint("twilio", settings={**SETTINGS, **changes})
    assert pointer in {found for found, _ in destination.problems(endpoint)}


def test_without_a_sender_nothing_is_built(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("twilio", settings={"account_sid": ACCOUNT, "template": TEMPLATE})
    with pytest.raises(Unsendable) as caught:
        destination.build(delivery(), endpoint)
    assert caught.value.outcome is Outcome.FAIL_CONFIG


# twilio-python's own vector (tests/unit/test_request_validator.py).
VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR_FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}


def signed(url: str = VECTOR_URL, signature: str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=") -> CallbackRequest:
    return CallbackRequest("POST", url, {"x-twilio-signature": signature}, {}, urlencode(VECTOR_FORM).encode())


def holder(token: str | None = None, **settings: Any) -> Endpoint:
    return Endpoint("ep_1", "twilio", "", bearer_token=token, settings=settings)


def test_twilios_published_signature_is_recognised() -> None:
    statuses.authenticate(signed(), holder("12345"))
    statuses.authenticate(signed(), holder("an-api-key-secret", api_key_sid=KEY, auth_token="12345"))
    statuses.authenticate(signed(signature="kvajT1Ptam85bY51eRf/AJRuM3w="), holder("12345"))  # signed with :443
    statuses.authenticate(signed(VECTOR_URL.replace(".com", ".com:443")), holder("12345"))


@pytest.mark.parametrize(
    ("request_", "endpoint"),
    [
        (signed(), holder("other")),
        (signed(), holder()),
        (signed(), holder("12345", api_key_sid=KEY)),
        (signed(url=VECTOR_URL + "&x=1"), holder("12345")),
        (signed(signature=""), holder("12345")),
        (CallbackRequest("POST", VECTOR_URL, {}, {}, urlencode(VECTOR_FORM).encode()), holder("12345")),
        (
            CallbackRequest("POST", VECTOR_URL, {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, {}, b"To=x"),
            holder("12345"),
        ),
    ],
    ids=["other token", "no token", "key's secret", "other url", "empty", "none", "other form"],
)
def test_whatever_is_not_signed_is_refused(request_: CallbackRequest, endpoint: Endpoint) -> None:
    with pytest.raises(NotAuthentic):
        statuses.authenticate(request_, endpoint)


def callback(delivery_id: str = "", **form: str) -> CallbackRequest:
    query = {"delivery": delivery_id} if delivery_id else {}
    return CallbackRequest("POST", "https://x.example/callbacks/ep_1", {}, query, urlencode(form).encode())


def test_a_delivered_message_is_reported_with_our_id() -> None:
    request = callback("dlv_01J", MessageSid="SM1", MessageStatus="delivered", To="whatsapp:+919876543210")
    assert statuses.read_statuses(request) == [
        StatusReport(Status.DELIVERED, "SM1", None, None, "+919876543210", "dlv_01J")
    ]


@pytest.mark.parametrize(
    ("code", "words", "refusal"),
    [
        ("63014", "", Refusal.OPTED_OUT),
        ("63024", "", Refusal.NOT_ON_CHANNEL),
        ("63049", "", Refusal.FREQUENCY_CAP),
        ("63005", "recipient is not a valid WhatsApp user", Refusal.NOT_ON_CHANNEL),
        ("63005", "Channel did not accept given content", None),
        ("63016", "", None),
        ("98765", "", None),
    ],
)
def test_a_failed_message_says_whether_the_person_is_why(code: str, words: str, refusal: Refusal | None) -> None:
    form = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": code, "ChannelStatusMessage": words}
    (report,) = statuses.read_statuses(callback(**form))
    assert report.status is Status.FAILED
    assert refusal_of(report.reason) == refusal
    assert code in (report.reason or "")


def test_a_reply_and_a_stop() -> None:
    answered = callback(SmsStatus="received", From="whatsapp:+919876543210", Body="STOP", OptOutType="STOP")
    assert [report.status for report in statuses.read_statuses(answered)] == [Status.REPLIED, Status.OPTED_OUT]
    button = callback(SmsStatus="received", From="whatsapp:+919876543210", ButtonText="Stop promotions", Body="x")
    assert [report.status for report in statuses.read_statuses(button)] == [Status.REPLIED, Status.OPTED_OUT]
    back = callback(SmsStatus="received", From="whatsapp:+919876543210", Body="hello", OptOutType="START")
    assert [report.status for report in statuses.read_statuses(back)] == [Status.REPLIED, Status.OPTED_IN]


@pytest.mark.parametrize("status", ["queued", "sending", "accepted", "", "nonsense"])
def test_what_is_under_way_is_no_report(status: str) -> None:
    assert statuses.read_statuses(callback(MessageSid="SM1", MessageStatus=status)) == []


@given(body=st.binary(max_size=60), signature=st.text(max_size=20), url=st.text(max_size=40))
def test_reading_and_proving_are_total(body: bytes, signature: str, url: str) -> None:
    request = CallbackRequest("POST", url, {"x-twilio-signature": signature}, {}, body)
    statuses.read_statuses(request)
    with pytest.raises(NotAuthentic):
        statuses.authenticate(request, holder("12345"))


def test_every_code_belongs_to_one_class_and_only_people_are_refused() -> None:
    for code, meaning in twilio._CODES.items():
        assert (meaning.refusal is not None) == (meaning.outcome is Outcome.FAIL_RECIPIENT), code
