"""Gupshup's self-serve API: the documented form, its codes, its callbacks."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations.destination import Endpoint
from shared.destinations.gupshup import destination, statuses
from shared.destinations.status import CallbackRequest, NotAuthentic, Status, StatusReport
from tests.unit.destinations.vendor import Vendor, answer, delivery

TEMPLATE = {
    "id": "2f1a6b0e-uuid",
    "header": {"type": "image"},
    "body": ["{{ first_name }}", "{{ items_line }}", "{{ total }}"],
    "buttons": [{"type": "url"}],
}
SETTINGS = {"source": "+917834811114", "app_name": "Sweet Shop", "template": TEMPLATE}


def test_the_form_is_the_documented_one(vendor: Vendor) -> None:
    submitted = {"status": "submitted", "messageId": "ee4a68a0-1203"}
    attempt = vendor.send(delivery(), vendor.endpoint("gupshup", settings=SETTINGS), answer(202, submitted))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "ee4a68a0-1203")
    request = vendor.received
    assert (request.method, request.path) == ("POST", "/wa/api/v1/template/msg")
    assert request.headers["apikey"] == "key-123456"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    form = vendor.received_form
    assert json.loads(form.pop("template")) == {
        "id": "2f1a6b0e-uuid",
        "params": ["Asha", "Brownie + 1 more", "₹1,499.00", "AQH9f31c0de"],
    }
    assert json.loads(form.pop("message")) == {
        "type": "image",
        "image": {"link": "https://cdn.shop.example/brownie.jpg"},
    }
    assert form == {
        "channel": "whatsapp",
        "source": "917834811114",
        "destination": "919876543210",
        "src.name": "Sweet Shop",
    }


def test_without_media_there_is_no_message_field(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("gupshup", settings={**SETTINGS, "template": "2f1a6b0e-uuid"})
    vendor.send(delivery(), endpoint, answer(202, {"status": "submitted", "messageId": "m"}))
    assert "message" not in vendor.received_form
    assert json.loads(vendor.received_form["template"]) == {"id": "2f1a6b0e-uuid", "params": []}


CODES = [
    (1002, Outcome.FAIL_RECIPIENT, Refusal.NOT_ON_CHANNEL),
    (1003, Outcome.FAIL_CONFIG, None),
    (1005, Outcome.FAIL_CONFIG, None),
    (1006, Outcome.FAIL_RECIPIENT, Refusal.NO_OPT_IN),
    (1007, Outcome.FAIL_CONFIG, None),
    (1008, Outcome.FAIL_RECIPIENT, Refusal.NO_OPT_IN),
    (1010, Outcome.FAIL_MESSAGE, None),
    (1011, Outcome.FAIL_MESSAGE, None),
    (1012, Outcome.FAIL_RECIPIENT, Refusal.OPTED_OUT),
    (4001, Outcome.RETRY, None),
    (4002, Outcome.UNKNOWN, None),
    (131050, Outcome.FAIL_RECIPIENT, Refusal.OPTED_OUT),
    (132001, Outcome.FAIL_CONFIG, None),
]


@pytest.mark.parametrize(("code", "outcome", "refusal"), CODES)
@pytest.mark.parametrize("status", [200, 400])
def test_codes(code: int, outcome: Outcome, refusal: Refusal | None, status: int, vendor: Vendor) -> None:
    body = {"status": "error", "code": str(code), "message": "told"}
    attempt = vendor.send(delivery(), vendor.endpoint("gupshup", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, refusal_of(attempt.reason)) == (outcome, refusal)
    assert str(code) in (attempt.reason or "")
    assert "told" in (attempt.reason or "")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (401, {"status": "error", "message": "Authentication Failed"}, Outcome.FAIL_CONFIG),
        (400, {"status": "error", "message": "Invalid Destination"}, Outcome.FAIL_RECIPIENT),
        (400, {"status": "error", "message": "Invalid message"}, Outcome.FAIL_MESSAGE),
        (400, {"status": "error", "message": {"type": "x", "message": "Invalid Destination"}}, Outcome.FAIL_RECIPIENT),
        (429, {"status": "error", "message": "Too many requests"}, Outcome.RETRY),
        (500, {"status": "error", "message": "Internal"}, Outcome.UNKNOWN),
        (200, {"status": "error", "message": "no"}, Outcome.FAIL_MESSAGE),
        (202, {"status": "submitted"}, Outcome.UNKNOWN),
        (202, {"status": "queued"}, Outcome.UNKNOWN),
        (202, "submitted", Outcome.UNKNOWN),
    ],
)
def test_answers_without_a_code(status: int, body: Any, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("gupshup", settings=SETTINGS), answer(status, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (outcome, None)


def test_an_invalid_destination_stays_invalid(vendor: Vendor) -> None:
    body = {"status": "error", "message": "Invalid Destination"}
    attempt = vendor.send(delivery(), vendor.endpoint("gupshup", settings=SETTINGS), answer(400, body))
    assert refusal_of(attempt.reason) is Refusal.INVALID_ADDRESS


def test_a_blocked_api_is_left_alone_for_a_while(vendor: Vendor) -> None:
    body = {"status": "error", "code": 4001}
    attempt = vendor.send(delivery(), vendor.endpoint("gupshup", settings=SETTINGS), answer(400, body))
    assert attempt.retry_after is not None
    assert attempt.retry_after - attempt.at >= timedelta(minutes=15)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"source": "Sweet Shop"}, "/settings/source"),
        ({"app_name": ""}, "/settings/app_name"),
        ({"template": {"name": "t"}}, "/settings/template/name"),
        ({"template": {"id": "t", "language": "en"}}, "/settings/template/language"),
        ({"template": {"id": "t", "header": {"type": "text", "value": "x"}}}, "/settings/template/header/type"),
    ],
)
def test_a_set_up_that_cannot_work_is_refused(changes: dict[str, Any], pointer: str, vendor: Vendor) -> None:
    found = destination.problems(vendor.endpoint("gupshup", settings=SETTINGS | changes))
    assert pointer in [where for where, _ in found]


# --- callbacks ----------------------------------------------------------------------------------------------

ENDPOINT = Endpoint("ep_1", "gupshup", "", settings={"callback_token": "our-own-random-word"})


def callback(value: object, token: str = "our-own-random-word") -> CallbackRequest:
    return CallbackRequest(
        "POST", "https://api.example/callbacks/ep_1", {}, {"token": token}, json.dumps(value).encode()
    )


def event(kind: str, told: object = None, **payload: Any) -> dict[str, Any]:
    whole = {"id": "gBEGkYaYVSEEAgnZxQ3JmKK6Wvg", "gsId": "ee4a68a0-1203", "type": kind, "destination": "919876543210"}
    return {
        "app": "SweetShop",
        "timestamp": 1795255200250,
        "version": 2,
        "type": "message-event",
        "payload": {**whole, "payload": told, **payload},
    }


def test_only_who_knows_the_token_reports() -> None:
    statuses.authenticate(callback({}), ENDPOINT)
    assert statuses.challenge(callback({}), ENDPOINT) is None
    for request, endpoint in [
        (callback({}, "another"), ENDPOINT),
        (CallbackRequest("POST", ""), ENDPOINT),
        (callback({}, ""), Endpoint("ep_1", "gupshup", "", settings={"callback_token": ""})),
        (callback({}), Endpoint("ep_1", "gupshup", "")),
    ]:
        with pytest.raises(NotAuthentic):
            statuses.authenticate(request, endpoint)


@pytest.mark.parametrize(
    ("kind", "status"), [("sent", Status.SENT), ("delivered", Status.DELIVERED), ("read", Status.READ)]
)
def test_statuses_name_the_id_we_were_given(kind: str, status: Status) -> None:
    expected = datetime(2026, 11, 21, 10, 0, 0, 250000, tzinfo=UTC)
    assert statuses.read_statuses(callback(event(kind))) == [
        StatusReport(status, "ee4a68a0-1203", expected, None, "+919876543210")
    ]
    (report,) = statuses.read_statuses(callback(event(kind, {"ts": 1795255300})))
    assert report.at == datetime.fromtimestamp(1795255300, UTC)


@pytest.mark.parametrize(
    ("told", "refusal"),
    [
        ({"code": 1002, "reason": "Number does not exist on WhatsApp"}, Refusal.NOT_ON_CHANNEL),
        ({"code": 131049, "reason": "healthy ecosystem"}, Refusal.FREQUENCY_CAP),
        ({"code": 500, "reason": "Internal"}, None),
        ({"code": 77, "reason": "new"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_failure_says_why(told: Any, refusal: Refusal | None) -> None:
    failed = event("failed", told, gsId=None, id="ee4a68a0-1203")
    (report,) = statuses.read_statuses(callback(failed))
    assert (report.status, report.vendor_message_id) == (Status.FAILED, "ee4a68a0-1203")
    assert report.reason
    assert refusal_of(report.reason) is refusal


def test_enqueued_is_no_news() -> None:
    assert statuses.read_statuses(callback(event("enqueued"))) == []


def test_opt_outs_and_replies() -> None:
    opted = {
        "type": "user-event",
        "timestamp": 1795255200250,
        "payload": {"phone": "919876543210", "type": "opted-out"},
    }
    assert [report.status for report in statuses.read_statuses(callback(opted))] == [Status.OPTED_OUT]
    said = {
        "type": "message",
        "timestamp": 1795255200250,
        "payload": {
            "id": "ABEG",
            "source": "919876543210",
            "type": "text",
            "payload": {"text": "unsubscribe"},
            "context": {"gsId": "ee4a68a0-1203"},
        },
    }
    found = statuses.read_statuses(callback(said))
    assert [report.status for report in found] == [Status.REPLIED, Status.OPTED_OUT]
    assert {report.vendor_message_id for report in found} == {"ee4a68a0-1203"}


_PART: st.SearchStrategy[Any] = (
    st.none() | st.integers() | st.text(max_size=6) | st.lists(st.integers(), max_size=2) | st.just({"code": []})
)


@given(
    kind=st.sampled_from(["message-event", "user-event", "message"]),
    payload=st.dictionaries(st.sampled_from(["id", "gsId", "type", "payload", "phone", "source", "context"]), _PART),
    timestamp=_PART,
)
def test_whatever_comes_is_read(kind: str, payload: dict[str, Any], timestamp: Any) -> None:
    for body in ({"type": kind, "payload": payload, "timestamp": timestamp}, payload, [payload]):
        statuses.read_statuses(callback(body))
