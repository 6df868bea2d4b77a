"""Status webhooks that a vendor could have signed and nobody could have meant: never a 5xx, and the good report counts.

For every kind whose vendor reports back: a true report of it, changed at up to four places. What a vendor gets anything
else than 200 for it repeats, until it switches its webhook off.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from functions.callbacks import composition
from functions.callbacks.handler import handler
from shared.aws import clients
from shared.destinations import registry
from shared.domain.ids import EndpointId, delivery_id, derived_ulid
from shared.domain.instants import EPOCH
from shared.store.deliveries import DeliveryRecord
from shared.store.vendor_messages import VendorMessageStore
from tests.integration.api.strictness import as_strict_as_aws
from tests.integration.functions.reported import taken_message
from tests.integration.shop import Shop
from tests.unit.providers.conftest import mutations

pytestmark = pytest.mark.long

CASES = 25
"""Of each kind."""
WORD = "a-long-random-word-of-ours"
MESSAGE = "message-1"
PHONE = "917777788888"
SETTINGS = {"callback_token": WORD, "app_secret": WORD, "webhook_secret": WORD, "auth_token": WORD}
META = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "statuses": [
                            {
                                "id": MESSAGE,
                                "status": "delivered",
                                "timestamp": "1795255200",
                                "recipient_id": PHONE,
                                "errors": [{"code": 131050, "title": "t", "error_data": {"details": "d"}}],
                                "biz_opaque_callback_data": "dlv_01J",
                            }
                        ],
                        "messages": [
                            {"from": PHONE, "id": "m", "timestamp": "1795255200", "text": {"body": "hello"}},
                        ],
                        "user_preferences": [
                            {"wa_id": PHONE, "category": "c", "value": "stop", "timestamp": 1795255200},
                        ],
                    },
                }
            ]
        }
    ],
}
INTERAKT = {
    "type": "message_api_delivered",
    "timestamp": "2026-11-21T10:00:00Z",
    "data": {
        "customer": {"channel_phone_number": PHONE, "country_code": "+91", "phone_number": PHONE[2:]},
        "message": {
            "id": MESSAGE,
            "received_at_utc": "2026-11-21T10:00:00Z",
            "channel_error_code": 131026,
            "channel_failure_reason": "r",
            "meta_data": {"source_data": {"callback_data": "dlv_01J"}},
        },
    },
}
REPORTS: Mapping[str, Any] = {
    "360dialog": META,
    "meta_cloud": META,
    "interakt_event": INTERAKT,
    "interakt_template": INTERAKT,
    "gupshup": {
        "app": "A",
        "timestamp": 1795255200250,
        "type": "message-event",
        "payload": {
            "id": "x",
            "gsId": MESSAGE,
            "type": "delivered",
            "destination": PHONE,
            "payload": {"ts": 1795255200, "code": 1002, "reason": "r"},
        },
    },
    "wati": {
        "eventType": "sentMessageDELIVERED_v2",
        "waId": PHONE,
        "timestamp": "1795255200",
        "localMessageId": MESSAGE,
        "failedCode": "1",
        "failedDetail": "d",
        "text": "t",
    },
    "ses": {
        "eventType": "Delivery",
        "mail": {"messageId": MESSAGE, "timestamp": "2026-11-21T10:00:00Z", "tags": {"delivery_id": ["dlv_01J"]}},
        "delivery": {"timestamp": "2026-11-21T10:00:05Z"},
        "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "timestamp": "2026-11-21T10:00:05Z"},
    },
    "twilio": {
        "MessageSid": MESSAGE,
        "MessageStatus": "delivered",
        "To": f"whatsapp:+{PHONE}",
        "From": f"whatsapp:+{PHONE}",
        "ErrorCode": "63016",
        "ChannelStatusMessage": "m",
    },
}
type Words = dict[str, Any]


def endpoint_of(kind: str) -> EndpointId:
    """The one endpoint of each kind."""
    return EndpointId("ep_" + derived_ulid(EPOCH, kind))


def posted(kind: str, told: Any) -> Words:
    """The request as the kind's vendor would have sent and signed it."""
    endpoint_id = endpoint_of(kind)
    form = isinstance(told, dict) and kind == "twilio"
    body = urlencode({name: str(own) for name, own in told.items()}, errors="replace") if form else json.dumps(told)
    raw = body.encode()
    signature = hmac.new(WORD.encode(), raw, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={signature}", "interakt-signature": f"sha256={signature}"}
    if kind == "twilio":
        fields = "".join(name + own for name, own in sorted(set(parse_qsl(body, keep_blank_values=True))))
        url = f"https://hooks.example.com/callbacks/{endpoint_id}?token={WORD}"
        signed = hmac.new(WORD.encode(), (url + fields).encode(), hashlib.sha1).digest()
        headers["x-twilio-signature"] = base64.b64encode(signed).decode()
    return {
        "pathParameters": {"endpoint_id": endpoint_id},
        "rawPath": f"/callbacks/{endpoint_id}",
        "rawQueryString": f"token={WORD}",
        "requestContext": {"http": {"method": "POST"}},
        "headers": headers,
        "body": base64.b64encode(raw).decode(),
        "isBase64Encoded": True,
    }


@pytest.fixture
def vendors(shop: Shop) -> Iterator[Callable[[str], DeliveryRecord]]:
    """An endpoint of each kind over a table as strict as AWS', and one message sent to each."""
    for cached in (composition._stores, composition.status_reports):
        cached.cache_clear()
    shop.abandon()
    for kind in REPORTS:
        endpoint, delivery = taken_message(shop, kind, SETTINGS, endpoint_of(kind))
        VendorMessageStore(shop.table).remember(endpoint.id, MESSAGE, delivery.id, shop.now)
    clients.dynamodb.cache_clear()
    as_strict_as_aws(clients.dynamodb())

    def stored(kind: str) -> DeliveryRecord:
        found = shop.stores.deliveries.get(delivery_id(checkout_at, "step", endpoint_of(kind)), endpoint_of(kind))
        assert found is not None
        return found

    checkout_at = shop.now
    yield stored
    clients.dynamodb.cache_clear()
    for cached in (composition._stores, composition.status_reports):
        cached.cache_clear()


def test_every_kind_that_reports_is_told_of_here() -> None:
    assert REPORTS.keys() == {own for own in registry.kinds() if registry.statuses(own) is not None}


@pytest.mark.parametrize("kind", REPORTS)
def test_whatever_an_authentic_report_says_it_is_taken_and_the_next_one_counts(
    kind: str, vendors: Callable[[str], DeliveryRecord]
) -> None:
    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(REPORTS[kind]) | st.sampled_from([None, [], {}, "x", 1, [[]] * 900]))
    def taken(told: Any) -> None:
        answer = handler(posted(kind, told), None)
        assert answer["statusCode"] == 200, (told, answer)

    taken()
    assert handler(posted(kind, REPORTS[kind]), None)["statusCode"] == 200
    assert "delivered" in vendors(kind).reports


@pytest.mark.parametrize("kind", ["meta_cloud", "gupshup", "wati"])
@pytest.mark.parametrize("name", ["x" * 3_000, "\0", "\ud800", "", "dlv_" + "0" * 60])
def test_a_message_by_an_endless_or_odd_name_is_nobodys(
    kind: str, name: str, vendors: Callable[[str], DeliveryRecord]
) -> None:
    told = json.loads(json.dumps(REPORTS[kind]).replace(json.dumps(MESSAGE), json.dumps(name)))
    assert handler(posted(kind, told), None)["statusCode"] == 200
    assert vendors(kind).reports == {}
