"""What hand-overs of events and of steps share: the endpoint as its kind needs it, the attempt as it is shown."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict

from shared.aws.queues import DeliveryMessage
from shared.delivery.exchange import DEFAULT_TIMEOUT, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.destinations.destination import Endpoint as Target
from shared.domain.announcement import EventType
from shared.domain.ids import EndpointId, delivery_id, event_id, made_at
from shared.domain.instants import InstantText, to_rfc3339
from shared.domain.merchant import Endpoint, EndpointCredentials
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.store.events import EventRecord


def target_of(endpoint: Endpoint, credentials: EndpointCredentials, now: datetime) -> Target:
    """The endpoint as its kind needs it, secrets in the clear."""
    return Target(
        id=endpoint.id,
        kind=endpoint.kind,
        url=endpoint.url or str(endpoint.settings.get("base_url") or ""),
        signing_secrets=credentials.signing_at(now, endpoint.signatures),
        bearer_token=credentials.bearer_token,
        headers=credentials.headers,
        settings={**endpoint.settings, **credentials.settings},
        timeout=timeout_of(endpoint),
        merchant_id=endpoint.merchant_id,
    )


def timeout_of(endpoint: Endpoint) -> timedelta:
    """How long one attempt at the endpoint may take."""
    stored = endpoint.settings.get("timeout")
    return DEFAULT_TIMEOUT if stored is None else timedelta(milliseconds=int(stored))


def delivery_of(event: EventRecord, endpoint: Endpoint) -> DeliveryRecord:
    """As ``pending_delivery``; a disabled endpoint's is held."""
    made = pending_delivery(event, endpoint.id)
    return made if endpoint.active else replace(made, status=DeliveryStatus.HELD, reason="endpoint_disabled")


def pending_delivery(event: EventRecord, endpoint_id: EndpointId) -> DeliveryRecord:
    """An event's delivery to an endpoint before any attempt, the same at a retry."""
    return DeliveryRecord(
        id=delivery_id(event.at, event.id, endpoint_id),
        endpoint_id=endpoint_id,
        merchant_id=event.merchant_id,
        event_id=event.id,
        event_type=event.type,
        checkout_digest=event.checkout_digest,
        event_version=event.version,
        status=DeliveryStatus.PENDING,
        created_at=event.at,
        correlation_id=event.correlation_id,
    )


def message_of(record: DeliveryRecord) -> DeliveryMessage:
    """What a queue carries for the delivery's next attempt: ids, and nothing of a person's."""
    update = (record.checkout_digest, record.event_version) if record.unwritten else None
    return DeliveryMessage(
        record.id, record.merchant_id, record.attempt_count, correlation_id=record.correlation_id, update=update
    )


def unwritten_of(message: DeliveryMessage) -> DeliveryRecord | None:
    """The delivery that its first message tells of, before it has a row; None where the row must be there."""
    if message.update is None:
        return None
    (digest, version), at = message.update, made_at(message.delivery_id)
    return DeliveryRecord(
        id=message.delivery_id,
        endpoint_id=message.endpoint_id,
        merchant_id=message.merchant_id,
        event_id=event_id(at, digest, version, EventType.UPDATED),
        event_type=EventType.UPDATED.value,
        checkout_digest=digest,
        event_version=version,
        status=DeliveryStatus.PENDING,
        created_at=at,
        correlation_id=message.correlation_id,
        unwritten=True,
    )


class AttemptJson(TypedDict):
    """One attempt to deliver."""

    at: InstantText
    status_code: int | None
    """Null where there was no answer."""
    latency_ms: int
    response_body: str | None
    """The first KiB of the answer, secrets and contact data masked."""
    outcome: Outcome
    reason: str | None
    next_attempt_at: InstantText | None


def attempt_json(result: SendResult, attempt: Attempt, next_attempt_at: datetime | None) -> AttemptJson:
    """One attempt as the API shows it."""
    return {
        "at": to_rfc3339(result.started_at),
        "status_code": attempt.status_code,
        "latency_ms": attempt.latency_ms,
        "response_body": attempt.response_body,
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "next_attempt_at": None if next_attempt_at is None else to_rfc3339(next_attempt_at),
    }
