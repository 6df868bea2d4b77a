"""Replaying quarantined bodies after a mapping, a setting or Checkback itself has learned to read them."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from shared.domain.ids import SourceId
from shared.providers.provider import WebhookRequest
from shared.store.quarantine import QuarantineRecord, QuarantineStore
from shared.workflows.delivering.refusals import Conflict
from shared.workflows.intake.receive import Receipt, Receiver, UnknownSource


class KeptBodies(Protocol):
    """Where quarantined bytes are."""

    def body(self, key: str) -> bytes:
        """The exact bytes kept under ``key``."""
        ...


def request_of(record: QuarantineRecord, body: bytes) -> WebhookRequest:
    """The webhook as it came, but for its proof."""
    return WebhookRequest(
        headers=dict(record.headers),
        query={},
        body=body,
        arrived_at=record.received_at,
        event=record.event,
        id=record.correlation_id,
    )


class Replays:
    """Sends quarantined bodies through the same reading and merging as on their day."""

    def __init__(
        self,
        receiver: Callable[[], Receiver],
        quarantine: QuarantineStore,
        bodies: Callable[[], KeptBodies],
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is the clock; the rest is made at first need."""
        self._receiver = receiver
        self._quarantine = quarantine
        self._bodies = bodies
        self._now = now

    def replay(self, record: QuarantineRecord) -> Receipt:
        """What the body becomes now, with its original arrival time; noted on the row, which stays.

        Not authenticated again: it was authentic, and its proof was not kept. A repeat changes nothing: merging knows
        what it has seen. Raises Conflict when the source is gone, StoreUnavailable, QueueUnavailable.
        """
        request = request_of(record, self._bodies().body(record.object_key))
        try:
            receipt = self._receiver().replay(SourceId(record.source_id), request)
        except UnknownSource:
            raise Conflict("The source of this body is gone.") from None
        self._quarantine.replayed(record.id, self._now(), receipt.status)
        return receipt
