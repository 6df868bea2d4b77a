"""From one event to its deliveries: one per endpoint that the event names, put if absent, then enqueued."""

from collections.abc import Iterable
from dataclasses import replace

from shared.aws.queues import DeliveryQueues
from shared.domain.merchant import Endpoint
from shared.store.deliveries import DeliveryStatus, DeliveryStore
from shared.store.events import EventRecord
from shared.workflows.delivering.attempts import delivery_of, message_of


class FanOut:
    """Hands events to the delivery queue. Repeated, it enqueues the same deliveries and makes none twice."""

    def __init__(self, deliveries: DeliveryStore, queues: DeliveryQueues) -> None:
        """Share the stores of one process."""
        self._deliveries = deliveries
        self._queues = queues

    def deliver(self, event: EventRecord, endpoints: Iterable[Endpoint]) -> None:
        """One delivery to each of these endpoints that the event names; a disabled endpoint's is held.

        One whose own format could not be made is recorded as failed, with the reason. Raises QueueUnavailable.
        """
        messages = []
        for endpoint in endpoints:
            if endpoint.id not in event.endpoint_ids:
                continue
            record = delivery_of(event, endpoint)
            if endpoint.id in event.problems:
                record = replace(record, status=DeliveryStatus.FAILED, reason=event.problems[endpoint.id])
            self._deliveries.create(record)
            if record.status is DeliveryStatus.PENDING:
                messages.append(message_of(record))
        self._queues.fresh(messages)
