"""WATI's API v3: one recipient a call, a 200 that may be a failure, its webhooks."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations.destination import Endpoint
from shared.destinations.status import CallbackRequest, NotAuthentic, Status, StatusReport
from shared.destinations.wati import destination, statuses
from tests.unit.destinations.vendor import Vendor, answer, delivery

TEMPLATE = {
    "name": "cart_reminder_1",
    "body": {
        "name": "{{ first_name }}",
        "total": "{{ total }}",
        "image": "{{ image_url }}",
        "link": "{{ recovery_code }}",
    },
}
SETTINGS = {"template": TEMPLATE}


def row(**changes: Any) -> dict[str, Any]:
    return {"phone_number": "919876543210", "local_message_id": "dlv_01J", "errors": [], **changes}


def accepted(**changes: Any) -> dict[str, Any]:
    return {"success": True, "error": None, "recipients": [row()], **changes}


def test_the_request_is_the_documented_one(vendor: Vendor) -> None:
    settings = {**SETTINGS, "channel": "918800000000", "broadcast_name": "abandoned_2026_11"}
    attempt = vendor.send(delivery(), vendor.endpoint("wati", settings=settings), answer(200, accepted()))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "dlv_01J")
    request = vendor.received
    assert (request.method, request.path) == ("POST", "/api/ext/v3/messageTemplates/send")
    assert request.headers["authorization"] == "Bearer key-123456"
    assert vendor.received_json == {
        "template_name": "cart_reminder_1",
        "broadcast_name": "abandoned_2026_11",
        "channel": "918800000000",
        "recipients": [
            {
                "phone_number": "919876543210",
                "local_message_id": "dlv_01J",
                "custom_params": [
                    {"name": "name", "value": "Asha"},
                    {"name": "total", "value": "₹1,499.00"},
                    {"name": "image", "value": "https://cdn.shop.example/brownie.jpg"},
                    {"name": "link", "value": "AQH9f31c0de"},
                ],
            }
        ],
    }


def test_channel_is_null_by_default_and_a_pasted_scheme_is_not_doubled(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("wati", settings={"template": "hello"}, bearer_token="Bearer key-123456")
    vendor.send(delivery(), endpoint, answer(200, accepted()))
    assert vendor.received_json["channel"] is None
    assert vendor.received_json["recipients"][0]["custom_params"] == []
    assert vendor.received.headers["authorization"] == "Bearer key-123456"


@pytest.mark.parametrize(
    ("body", "outcome", "refusal"),
    [
        (accepted(success=False, error="Template does not exist"), Outcome.FAIL_MESSAGE, None),
        (accepted(success=False), Outcome.FAIL_MESSAGE, None),
        (accepted(recipients=[row(errors=["Invalid custom params"])]), Outcome.FAIL_MESSAGE, None),
        (
            accepted(recipients=[row(errors=[{"code": 131026, "message": "x"}])]),
            Outcome.FAIL_RECIPIENT,
            "not_on_channel",
        ),
        (accepted(recipients=[row(errors=[{"code": 131000}])]), Outcome.FAIL_MESSAGE, None),
        (accepted(recipients=[row(status="failed")]), Outcome.FAIL_MESSAGE, None),
        (accepted(recipients=[row(isValidWhatsAppNumber=False)]), Outcome.FAIL_RECIPIENT, "not_on_channel"),
        (accepted(recipients=[]), Outcome.FAIL_MESSAGE, None),
        (
            {"result": True, "receivers": [{"localMessageId": "d3", "waId": "91", "isValidWhatsAppNumber": False}]},
            Outcome.FAIL_RECIPIENT,
            "not_on_channel",
        ),
        ({"result": False, "error": "no"}, Outcome.FAIL_MESSAGE, None),
        ({"success": True}, Outcome.UNKNOWN, None),
        ({}, Outcome.UNKNOWN, None),
        ("OK", Outcome.UNKNOWN, None),
    ],
)
def test_a_200_may_be_a_failure(body: Any, outcome: Outcome, refusal: str | None, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("wati", settings=SETTINGS), answer(200, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (outcome, None)
    assert refusal_of(attempt.reason) == (None if refusal is None else Refusal(refusal))


def test_the_older_answer_is_understood(vendor: Vendor) -> None:
    body = {
        "result": True,
        "error": None,
        "receivers": [{"localMessageId": "d38f0c3a", "waId": "91", "isValidWhatsAppNumber": True, "errors": []}],
    }
    attempt = vendor.send(delivery(), vendor.endpoint("wati", settings=SETTINGS), answer(200, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "d38f0c3a")


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (401, "Unauthorized: token expired", Outcome.FAIL_CONFIG),
        (403, {"error": "scope"}, Outcome.FAIL_CONFIG),
        (404, "", Outcome.FAIL_CONFIG),
        (429, "Too many requests", Outcome.RETRY),
        (429, {"error": "Monthly API quota exceeded, upgrade your plan"}, Outcome.FAIL_CONFIG),
        (400, {"error": "Daily marketing limit reached"}, Outcome.FAIL_CONFIG),
        (400, {"error": "phone_number or target is required"}, Outcome.FAIL_MESSAGE),
        (500, {"success": True}, Outcome.UNKNOWN),
    ],
)
def test_statuses_of_http(status: int, body: Any, outcome: Outcome, vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("wati", settings=SETTINGS), answer(status, body))
    assert attempt.outcome is outcome


def test_the_host_is_the_accounts_own() -> None:
    found = destination.problems(Endpoint("ep_1", "wati", "", bearer_token="t", settings=SETTINGS))
    assert [where for where, _ in found] == ["/settings/base_url"]


def test_a_template_at_wati_has_named_parameters(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("wati", settings={"template": {"name": "t", "body": ["x"], "header": {"type": "image"}}})
    assert [where for where, _ in destination.problems(endpoint)] == [
        "/settings/template/header",
        "/settings/template/body",
    ]


# --- webhooks -----------------------------------------------------------------------------------------------

ENDPOINT = Endpoint("ep_1", "wati", "", settings={"callback_token": "our-own-random-word"})


def callback(value: object, token: str = "our-own-random-word") -> CallbackRequest:
    return CallbackRequest(
        "POST", "https://api.example/callbacks/ep_1", {}, {"token": token}, json.dumps(value).encode()
    )


def event(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "eventType": kind,
        "localMessageId": "dlv_01J",
        "whatsappMessageId": "wamid.1",
        "waId": "919876543210",
        "timestamp": "1795255200",
        **changes,
    }


def test_only_who_knows_the_token_reports() -> None:
    statuses.authenticate(callback({}), ENDPOINT)
    assert statuses.challenge(callback({}), ENDPOINT) is None
    with pytest.raises(NotAuthentic):
        statuses.authenticate(callback({}, "another"), ENDPOINT)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("templateMessageSent_v2", Status.SENT),
        ("sentMessageDELIVERED_v2", Status.DELIVERED),
        ("sentMessageREAD_v2", Status.READ),
        ("sentMessageREPLIED_v2", Status.REPLIED),
    ],
)
def test_statuses_of_a_message(kind: str, status: Status) -> None:
    at = datetime.fromtimestamp(1795255200, UTC)
    assert statuses.read_statuses(callback(event(kind))) == [
        StatusReport(status, "dlv_01J", at, None, "+919876543210", "dlv_01J")
    ]


def test_an_event_may_have_its_time_elsewhere() -> None:
    created = event("sentMessageREAD_v2", timestamp=None, created="2026-11-21T10:00:00.9655388Z", localMessageId="d3")
    (report,) = statuses.read_statuses(callback(created))
    assert (report.at, report.delivery_id) == (datetime(2026, 11, 21, 10, 0, 0, 965538, tzinfo=UTC), None)


@pytest.mark.parametrize("kind", ["sentMessageDELIVERED", "sentMessageREAD", "templateMessageSent", "", "chatStatus"])
def test_the_older_twins_of_events_are_left_out(kind: str) -> None:
    assert statuses.read_statuses(callback(event(kind))) == []


def test_a_failed_template_carries_whatsapps_code() -> None:
    failed = event("templateMessageFailed", failedCode="131050", failedDetail="User stopped")
    (report,) = statuses.read_statuses(callback(failed))
    assert report.status is Status.FAILED
    assert refusal_of(report.reason) is Refusal.OPTED_OUT


def test_a_shopper_answers_an_operator_does_not() -> None:
    said = event("message", text="Stop", owner=False)
    assert [report.status for report in statuses.read_statuses(callback(said))] == [Status.REPLIED, Status.OPTED_OUT]
    assert statuses.read_statuses(callback(event("message", text="Stop", owner=True))) == []


_PART: st.SearchStrategy[Any] = st.none() | st.integers() | st.text(max_size=6) | st.lists(st.integers(), max_size=2)


@given(
    kind=st.sampled_from(["templateMessageFailed", "message", "sentMessageREAD_v2"]),
    changes=st.dictionaries(
        st.sampled_from(["localMessageId", "waId", "timestamp", "created", "failedCode", "failedDetail", "text"]), _PART
    ),
)
def test_whatever_comes_is_read(kind: str, changes: dict[str, Any]) -> None:
    assert len(statuses.read_statuses(callback(event(kind, **changes)))) >= 1
    assert statuses.read_statuses(callback([changes])) == []
