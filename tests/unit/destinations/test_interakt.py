"""Interakt: events and templates as documented, its answers, its signed status webhooks."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.outcome import Outcome, Refusal, refusal_of
from shared.destinations import interakt_event, interakt_template, registry
from shared.destinations.destination import Endpoint
from shared.destinations.interakt_template import statuses
from shared.destinations.status import CallbackRequest, NotAuthentic, Status, StatusReport
from tests.unit.destinations.vendor import RECOVERY_URL, Vendor, answer, checkout, delivery

TEMPLATE = {
    "name": "cart_reminder_1",
    "header": {"type": "image"},
    "body": ["{{ first_name }}", "{{ items_line }}", "{{ total }}"],
    "buttons": [{"type": "url"}],
}
TRACKED = {"result": True, "message": "Your request has been received"}


# --- events -------------------------------------------------------------------------------------------------


def test_the_user_is_told_before_the_event(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("interakt_event")
    preparing = registry.preparing(registry.destination("interakt_event"))
    assert preparing is not None
    first = preparing.prepare(delivery(), endpoint)
    assert first is not None
    result = vendor.exchange(first, answer(202, TRACKED))
    assert interakt_event.destination.classify(result, endpoint).outcome is Outcome.DELIVERED
    assert (vendor.received.method, vendor.received.path) == ("POST", "/v1/public/track/users/")
    assert vendor.received.headers["authorization"] == "Basic key-123456"
    assert vendor.received_json == {
        "phoneNumber": "9876543210",
        "countryCode": "+91",
        "traits": {"name": "Asha Rao", "email": "asha@example.com", "whatsapp_opted_in": True},
        "tags": [],
    }


@pytest.mark.parametrize(("consent", "told"), [("granted", True), ("denied", False), ("unknown", None)])
def test_consent_goes_along_and_is_never_invented(consent: str, told: bool | None, vendor: Vendor) -> None:
    of = checkout(consent={"channels": {"whatsapp": consent}}, customer={"phone": "+919876543210"})
    request = interakt_event.destination.prepare(delivery(of=of), vendor.endpoint("interakt_event"))
    assert request is not None
    assert json.loads(request.body)["traits"].get("whatsapp_opted_in") is told


def test_the_user_call_can_be_left_out(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("interakt_event", settings={"track_user": False})
    assert interakt_event.destination.prepare(delivery(), endpoint) is None
    assert registry.preparing(registry.destination("interakt_template")) is None


def test_the_event_is_the_documented_one(vendor: Vendor) -> None:
    attempt = vendor.send(delivery(), vendor.endpoint("interakt_event"), answer(202, TRACKED))
    assert attempt.outcome is Outcome.DELIVERED
    assert (vendor.received.method, vendor.received.path) == ("POST", "/v1/public/track/events/")
    assert vendor.received.headers["authorization"] == "Basic key-123456"
    assert vendor.received_json == {
        "phoneNumber": "9876543210",
        "countryCode": "+91",
        "event": "Checkout Abandoned",
        "traits": {
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
        },
    }


def test_names_and_traits_of_the_merchants_own(vendor: Vendor) -> None:
    template = {"event": "cart_left", "traits": {"greeting": "Hi {{ first_name }}", "total": "{{ total }}"}}
    vendor.send(delivery(template=template), vendor.endpoint("interakt_event"), answer(202, TRACKED))
    sent = vendor.received_json
    assert sent["event"] == "cart_left"
    assert (sent["traits"]["greeting"], sent["traits"]["total"]) == ("Hi Asha", "₹1,499.00")


def test_the_feed_goes_out_too(vendor: Vendor) -> None:
    told = delivery(event_type="checkout.recovered", without_step=True)
    vendor.send(told, vendor.endpoint("interakt_event"), answer(202, TRACKED))
    sent = vendor.received_json
    assert sent["event"] == "Checkout Recovered"
    assert "coupon" not in sent["traits"]


def test_a_bare_checkout_is_enough(vendor: Vendor) -> None:
    bare = {"id": "chk_1", "customer": {"phone": "+15005550006"}}
    vendor.send(delivery(of=bare, without_step=True), vendor.endpoint("interakt_event"), answer(202, TRACKED))
    sent = vendor.received_json
    assert (sent["countryCode"], sent["phoneNumber"]) == ("+1", "5005550006")
    assert None not in sent["traits"].values()


@pytest.mark.parametrize("url", ["", "/", "/v1/public/track/events/", "/v1/public/track/users"])
def test_a_pasted_url_of_the_documentation_is_understood(url: str, vendor: Vendor) -> None:
    endpoint = vendor.endpoint("interakt_event", url=vendor.url + url)
    assert interakt_event.destination.build(delivery(), endpoint).url == vendor.url + "/v1/public/track/events/"
    first = interakt_event.destination.prepare(delivery(), endpoint)
    assert first is not None
    assert first.url == vendor.url + "/v1/public/track/users/"


def test_a_key_pasted_with_its_scheme_is_not_doubled(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("interakt_event", bearer_token="Basic key-123456")
    vendor.send(delivery(), endpoint, answer(202, TRACKED))
    assert vendor.received.headers["authorization"] == "Basic key-123456"


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"template": {"traits": {"a/b": "{{ x"}}}, "/settings/template/traits/a~1b"),
        ({"user_traits": {"a": "{{ x | nope }}"}}, "/settings/user_traits/a"),
        ({"template": ["x"]}, "/settings/template"),
    ],
)
def test_traits_that_are_no_templates(settings: dict[str, Any], pointer: str, vendor: Vendor) -> None:
    found = interakt_event.destination.problems(vendor.endpoint("interakt_event", settings=settings))
    assert [where for where, _ in found] == [pointer]


# --- templates ----------------------------------------------------------------------------------------------


def test_the_template_call_is_the_documented_one(vendor: Vendor) -> None:
    endpoint = vendor.endpoint("interakt_template", settings={"template": TEMPLATE, "campaign_id": "camp-1"})
    body = {"result": True, "message": "Message created successfully", "id": "a3a7b2c0-uuid"}
    attempt = vendor.send(delivery(), endpoint, answer(201, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (Outcome.DELIVERED, "a3a7b2c0-uuid")
    assert (vendor.received.method, vendor.received.path) == ("POST", "/v1/public/message/")
    assert vendor.received.headers["authorization"] == "Basic key-123456"
    assert vendor.received_json == {
        "countryCode": "+91",
        "phoneNumber": "9876543210",
        "callbackData": "dlv_01J",
        "type": "Template",
        "campaignId": "camp-1",
        "template": {
            "name": "cart_reminder_1",
            "languageCode": "en",
            "headerValues": ["https://cdn.shop.example/brownie.jpg"],
            "bodyValues": ["Asha", "Brownie + 1 more", "₹1,499.00"],
            "buttonValues": {"0": ["AQH9f31c0de"]},
        },
    }


def test_a_file_has_its_name(vendor: Vendor) -> None:
    header = {"type": "document", "value": "https://shop.example/c.pdf", "filename": "cart.pdf"}
    endpoint = vendor.endpoint("interakt_template", settings={"template": {"name": "t", "header": header}})
    vendor.send(delivery(), endpoint, answer(201, {"result": True, "id": "x"}))
    template = vendor.received_json["template"]
    assert template == {
        "name": "t",
        "languageCode": "en",
        "headerValues": ["https://shop.example/c.pdf"],
        "fileName": "cart.pdf",
    }


def test_what_interakt_cannot_fill_is_refused_at_registration(vendor: Vendor) -> None:
    template = {"name": "t", "body": {"who": "x"}, "buttons": [{"type": "copy_code"}]}
    endpoint = vendor.endpoint("interakt_template", settings={"template": template})
    pointers = [where for where, _ in interakt_template.destination.problems(endpoint)]
    assert pointers == ["/settings/template/body", "/settings/template/buttons/0/type"]


@pytest.mark.parametrize("kind", ["interakt_event", "interakt_template"])
@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, {"result": False, "message": "Invalid phone number"}, Outcome.FAIL_MESSAGE),
        (202, {"result": False}, Outcome.FAIL_MESSAGE),
        (400, {"result": False, "message": "Template not found"}, Outcome.FAIL_MESSAGE),
        (404, {"result": False, "message": "Not found"}, Outcome.FAIL_MESSAGE),
        (401, {"result": False, "message": "Invalid API key"}, Outcome.FAIL_CONFIG),
        (403, {"result": False}, Outcome.FAIL_CONFIG),
        (429, {"result": False, "message": "rate limit exceeded for this resource"}, Outcome.RETRY),
    ],
)
def test_refusals(kind: str, status: int, body: Any, outcome: Outcome, vendor: Vendor) -> None:
    endpoint = vendor.endpoint(kind, settings={"template": {"name": "t"}})
    attempt = vendor.send(delivery(), endpoint, answer(status, body))
    assert (attempt.outcome, attempt.vendor_message_id) == (outcome, None)
    assert str(body.get("message", "")) in (attempt.reason or "")


@pytest.mark.parametrize("body", ["Accepted", {}, {"result": "yes"}, []], ids=str)
def test_a_success_that_does_not_say_so_is_unknown(body: Any, vendor: Vendor) -> None:
    for kind, outcome in [("interakt_event", Outcome.RETRY), ("interakt_template", Outcome.UNKNOWN)]:
        endpoint = vendor.endpoint(kind, settings={"template": {"name": "t"}})
        assert vendor.send(delivery(), endpoint, answer(200, body)).outcome is outcome


# --- status webhooks ----------------------------------------------------------------------------------------

SECRET = "webhook-secret"
ENDPOINT = Endpoint("ep_1", "interakt_template", "", settings={"webhook_secret": SECRET})


def callback(value: object) -> CallbackRequest:
    body = json.dumps(value).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return CallbackRequest("POST", "https://api.example/callbacks/ep_1", {"interakt-signature": signature}, {}, body)


def event(kind: str, **message: Any) -> dict[str, Any]:
    return {
        "version": "1.0",
        "timestamp": "2026-11-21T10:00:00.250000",
        "type": kind,
        "data": {
            "customer": {"channel_phone_number": "919876543210", "phone_number": "9876543210", "country_code": "+91"},
            "message": {
                "id": "a3a7b2c0-uuid",
                "channel_failure_reason": None,
                "channel_error_code": None,
                "meta_data": {"source": "PublicAPI", "source_data": {"callback_data": "dlv_01J"}},
                **message,
            },
        },
    }


def test_only_interakt_reports() -> None:
    statuses.authenticate(callback(event("message_api_sent")), ENDPOINT)
    assert statuses.challenge(callback({}), ENDPOINT) is None
    forged = CallbackRequest("POST", "", {"interakt-signature": "sha256=" + "0" * 64}, {}, b"{}")
    for request, endpoint in [
        (forged, ENDPOINT),
        (CallbackRequest("POST", ""), ENDPOINT),
        (callback({}), Endpoint("ep_1", "interakt_template", "")),
    ]:
        with pytest.raises(NotAuthentic):
            statuses.authenticate(request, endpoint)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("message_api_sent", Status.SENT),
        ("message_api_delivered", Status.DELIVERED),
        ("message_api_read", Status.READ),
        ("message_api_clicked", Status.CLICKED),
        ("message_campaign_delivered", Status.DELIVERED),
    ],
)
def test_statuses_of_a_message(kind: str, status: Status) -> None:
    assert statuses.read_statuses(callback(event(kind))) == [
        StatusReport(
            status,
            "a3a7b2c0-uuid",
            datetime(2026, 11, 21, 10, 0, 0, 250000, tzinfo=UTC),
            None,
            "+919876543210",
            "dlv_01J",
        )
    ]


def test_a_failed_message_carries_whatsapps_code() -> None:
    failed = event("message_api_failed", channel_error_code="131026", channel_failure_reason="Message undeliverable")
    (report,) = statuses.read_statuses(callback(failed))
    assert report.status is Status.FAILED
    assert refusal_of(report.reason) is Refusal.NOT_ON_CHANNEL
    (report,) = statuses.read_statuses(callback(event("message_api_failed")))
    assert report.reason == "the vendor gave no reason"


def test_meta_data_may_come_as_text() -> None:
    meta = json.dumps({"source_data": {"callback_data": "dlv_01J"}})
    (report,) = statuses.read_statuses(callback(event("message_api_sent", meta_data=meta)))
    assert report.delivery_id == "dlv_01J"


def test_a_reply_and_an_opt_out() -> None:
    received = event("message_received", message="STOP", received_at_utc="2026-11-21T10:00:01")
    assert [report.status for report in statuses.read_statuses(callback(received))] == [
        Status.REPLIED,
        Status.OPTED_OUT,
    ]


@given(
    kind=st.sampled_from(["message_api_sent", "message_received", "sent", "message_api_", "x"]) | st.text(max_size=5),
    message=st.dictionaries(
        st.sampled_from(["id", "meta_data", "message", "channel_error_code"]),
        st.none() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2),
    ),
)
def test_whatever_comes_is_read(kind: str, message: dict[str, Any]) -> None:
    assert len(statuses.read_statuses(callback(event(kind, **message)))) <= 2
    assert statuses.read_statuses(callback({"type": kind, "data": message.get("id")})) is not None
