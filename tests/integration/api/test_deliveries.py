"""Deliveries and quarantined bodies, as the merchant sees them."""

import base64
import json
from datetime import timedelta

import pytest

from functions.merchant_api import services
from shared.aws import clients
from shared.domain.ids import (
    EndpointId,
    EventId,
    MerchantId,
    QuarantineId,
    SourceId,
    delivery_id,
    digest_text,
    new_ulid,
)
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.store.events import EventRecord
from shared.store.quarantine import QuarantineRecord
from tests.integration.api.conftest import Api, new_merchant
from tests.integration.conftest import Stage

DIGEST = digest_text(b"0123456789abcdef")


@pytest.fixture
def endpoint(merchant: Api) -> str:
    """An endpoint of the merchant."""
    made = merchant("POST", "/v1/endpoints", {"kind": "webhook", "url": "https://bsp.example.com/"})
    return str(made.json["id"])


def delivery(merchant: Api, endpoint: str, version: int, status: DeliveryStatus, *, minutes: int = 0) -> DeliveryRecord:
    """A delivery as dispatch would have made it, with its event."""
    own = services.services()
    merchant_id = MerchantId(merchant("GET", "/v1/merchant").json["id"])
    at = own.now().replace(microsecond=0) - timedelta(minutes=minutes)
    event = EventRecord(
        id=EventId(f"evt_{new_ulid(at)}"),
        type="checkout.abandoned",
        at=at,
        merchant_id=merchant_id,
        checkout_digest=DIGEST,
        version=version,
        body=b"{}",
        endpoint_ids=(EndpointId(endpoint),),
        do_not_send_after=None,
        expires_at=at + timedelta(days=30),
    )
    own.table.put(own.events.new(event))
    record = DeliveryRecord(
        id=delivery_id(at, event.id, EndpointId(endpoint)),
        endpoint_id=EndpointId(endpoint),
        merchant_id=merchant_id,
        event_id=event.id,
        event_type=event.type,
        checkout_digest=DIGEST,
        event_version=version,
        status=status,
        created_at=at,
    )
    own.deliveries.create(record)
    return record


def test_deliveries_are_found_by_endpoint_checkout_and_status(merchant: Api, endpoint: str) -> None:
    statuses = [DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.FAILED, DeliveryStatus.HELD]
    made = [delivery(merchant, endpoint, n + 1, status, minutes=n).id for n, status in enumerate(statuses)]

    def found(**query: str) -> list[str]:
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = merchant("GET", "/v1/deliveries", query={"limit": "2", **query, **cursor}).json
            seen += [row["id"] for row in page["data"]]
            if page["next_cursor"] is None:
                return seen
            cursor = {"cursor": page["next_cursor"]}

    assert found() == made
    assert found(endpoint_id=endpoint) == made
    assert found(checkout_id=f"chk_{DIGEST}") == made
    assert found(status="failed") == made[1:3]
    assert found(checkout_id=f"chk_{DIGEST}", status="held") == made[3:]
    assert found(endpoint_id=f"ep_{'0' * 26}") == []
    assert merchant("GET", f"/v1/deliveries/{made[0]}").json["status"] == "delivered"


def test_deliveries_of_another_merchant_do_not_exist(operator: Api, merchant: Api, endpoint: str) -> None:
    made = delivery(merchant, endpoint, 1, DeliveryStatus.FAILED).id
    other = operator.as_(new_merchant(operator)["token"])

    assert other("GET", f"/v1/deliveries/{made}").status == 404
    assert other("POST", f"/v1/deliveries/{made}/retry").status == 404
    for query in ({}, {"endpoint_id": endpoint}, {"checkout_id": f"chk_{DIGEST}"}):
        assert other("GET", "/v1/deliveries", query=query).json["data"] == []
    assert merchant("GET", "/v1/deliveries/dlv_nonsense").status == 404


def test_a_failed_delivery_is_tried_again_at_once(merchant: Api, endpoint: str, stage: Stage) -> None:
    failed = delivery(merchant, endpoint, 1, DeliveryStatus.FAILED)

    again = merchant("POST", f"/v1/deliveries/{failed.id}/retry")

    assert again.status == 202, again.text
    assert again.json["status"] == "pending"
    (message,) = clients.sqs().receive_message(QueueUrl=stage.retries_url)["Messages"]
    assert json.loads(message["Body"]) == {"delivery_id": failed.id, "merchant_id": failed.merchant_id, "n": 0}
    assert merchant("POST", f"/v1/deliveries/{failed.id}/retry").status == 409


def test_what_cannot_be_tried_again_is_a_conflict(merchant: Api, endpoint: str) -> None:
    delivered = delivery(merchant, endpoint, 1, DeliveryStatus.DELIVERED)
    failed = delivery(merchant, endpoint, 2, DeliveryStatus.FAILED)
    assert merchant("POST", f"/v1/deliveries/{delivered.id}/retry").status == 409

    merchant("POST", f"/v1/endpoints/{endpoint}/disable")

    assert merchant("POST", f"/v1/deliveries/{failed.id}/retry").status == 409
    assert merchant("GET", f"/v1/deliveries/{failed.id}").json["status"] == "failed"


def test_a_quarantined_body_is_shown_byte_for_byte_and_dropped(operator: Api, merchant: Api) -> None:
    own = services.services()
    merchant_id = MerchantId(merchant("GET", "/v1/merchant").json["id"])
    made: list[str] = []
    for number in range(3):
        at = own.now() + timedelta(seconds=number)
        quarantine_id = QuarantineId(f"qrn_{new_ulid(at)}")
        body = b"\x00\xff" + bytes([number])
        own.bucket.keep_body(quarantine_id, body, None)
        own.quarantine.add(
            QuarantineRecord(
                quarantine_id, merchant_id, SourceId("src_1"), "flexype", "no stage", quarantine_id, len(body), at
            )
        )
        made.insert(0, quarantine_id)
    other = operator.as_(new_merchant(operator)["token"])

    first = merchant("GET", "/v1/quarantine", query={"limit": "2"}).json
    rest = merchant("GET", "/v1/quarantine", query={"limit": "2", "cursor": first["next_cursor"]}).json
    assert [row["id"] for row in (*first["data"], *rest["data"])] == made
    assert other("GET", "/v1/quarantine", query={"cursor": first["next_cursor"]}).status == 422
    shown = merchant("GET", f"/v1/quarantine/{made[0]}").json
    assert base64.b64decode(shown["body_base64"]) == b"\x00\xff\x02"
    assert shown["reason"] == "no stage"

    for method in ("GET", "DELETE"):
        assert other(method, f"/v1/quarantine/{made[0]}").status == 404
    assert merchant("DELETE", f"/v1/quarantine/{made[0]}").status == 204
    assert merchant("GET", f"/v1/quarantine/{made[0]}").status == 404
    assert len(merchant("GET", "/v1/quarantine").json["data"]) == 2
