"""Events about endpoints themselves, ``endpoint.test`` and ``endpoint.disabled``, delivered as any other.

They belong to no checkout, so each lies in a partition of its own that is derived like a checkout's. They say nothing
of shoppers.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryMessage
from shared.domain.announcement import EndpointAboutJson, EndpointEventJson, EventType
from shared.domain.ids import EventId, MerchantId, SourceId, checkout_digest, event_id
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import KEPT_FOR, DeliveryRecord, DeliveryStore
from shared.store.events import EventRecord, EventStore, read_event
from shared.store.table import ConditionFailed, Table
from shared.workflows.delivering.attempts import message_of, pending_delivery

type Enqueue = Callable[[list[DeliveryMessage]], None]

_SUBJECT = SourceId("endpoint")
_VERSION = 1


class EndpointEvents:
    """Tells endpoints about endpoints. One per process."""

    def __init__(
        self,
        table: Table,
        endpoints: EndpointStore,
        deliveries: DeliveryStore,
        enqueue: Enqueue,
        now: Callable[[], datetime],
    ) -> None:
        """``enqueue`` puts first attempts on whichever queue the function may send to."""
        self._table = table
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._enqueue = enqueue
        self._now = now

    def test(self, endpoint: Endpoint, unique: str) -> DeliveryRecord:
        """An ``endpoint.test`` event for this endpoint alone. ``unique`` tells one test from the next."""
        about: EndpointAboutJson = {**_about(endpoint), "test": True}
        (sent,) = self._tell(EventType.ENDPOINT_TEST, endpoint, unique, [endpoint], about)
        return sent

    def disable(self, endpoint: Endpoint, reason: str) -> bool:
        """Stop sending to the endpoint, and tell the merchant's others that subscribe to it; False if it was off."""
        if not self._endpoints.disable(endpoint.merchant_id, endpoint.id, reason):
            return False
        others = [
            own.value
            for own in self._endpoints.listed(endpoint.merchant_id)
            if own.value.id != endpoint.id and own.value.active and own.value.wants(EventType.ENDPOINT_DISABLED)
        ]
        unique = f"{reason}#{to_rfc3339(self._now())}"
        about: EndpointAboutJson = {**_about(endpoint), "status": "disabled", "disabled_reason": reason}
        self._tell(EventType.ENDPOINT_DISABLED, endpoint, unique, others, about)
        return True

    def _tell(
        self,
        event_type: EventType,
        subject: Endpoint,
        unique: str,
        recipients: Iterable[Endpoint],
        about: EndpointAboutJson,
    ) -> list[DeliveryRecord]:
        to = list(recipients)
        now = self._now()
        digest = checkout_digest(subject.merchant_id, _SUBJECT, f"{subject.id}#{event_type}#{unique}")
        own_id = event_id(now, digest, _VERSION, event_type)
        event = EventRecord(
            id=own_id,
            type=event_type.value,
            at=now,
            merchant_id=subject.merchant_id,
            checkout_digest=digest,
            version=_VERSION,
            body=_body(own_id, event_type, now, subject.merchant_id, about),
            endpoint_ids=tuple(own.id for own in to),
            do_not_send_after=None,
            expires_at=now + KEPT_FOR + timedelta(days=1),
        )
        try:
            self._table.put(EventStore(self._table).new(event))
        except ConditionFailed as failed:
            if failed.old is None:
                raise
            event = read_event(failed.old)  # told before, but perhaps not to all
        told = [pending_delivery(event, own.id) for own in to]
        for record in told:
            self._deliveries.create(record)
        if told:
            self._enqueue([message_of(own) for own in told])
        return told


def _about(subject: Endpoint) -> EndpointAboutJson:
    return {"id": subject.id, "kind": subject.kind, "name": subject.name, "url": subject.url}


def _body(event: EventId, event_type: EventType, at: datetime, merchant: MerchantId, about: EndpointAboutJson) -> bytes:
    envelope: EndpointEventJson = {
        "id": event,
        "type": event_type,
        "timestamp": to_rfc3339(at),
        "sequence": _VERSION,
        "merchant_id": merchant,
        "do_not_send_after": None,
        "messaging": None,
        "data": {"endpoint": about},
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
