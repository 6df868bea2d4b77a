"""From one event to its deliveries: one per endpoint that the event names, put if absent, then enqueued in tens."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace

from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint
from shared.store.deliveries import DeliveryStatus, DeliveryStore
from shared.store.events import EventRecord
from shared.workflows.delivering.attempts import delivery_of, message_of, pending_delivery

_REPORTS_NOTHING = "webhook"
"""The kind that says nothing of a delivery after its answer."""


class FanOut:
    """Hands events to the delivery queue. Repeated, it enqueues the same deliveries and makes none twice.

    ``deliver`` gathers messages, ``gathered`` takes them away, ``hand_over`` sends them: those of several events go in
    one request.
    """

    def __init__(self, deliveries: DeliveryStore, queues: DeliveryQueues) -> None:
        """Share the stores of one process."""
        self._deliveries = deliveries
        self._queues = queues
        self._gathered: list[DeliveryMessage] = []

    def deliver(self, event: EventRecord, endpoints: Iterable[Endpoint], *, of_many: bool = False) -> None:
        """One delivery to each of these endpoints that the event names; a disabled endpoint's is held.

        One whose own format could not be made is recorded as failed, with the reason. Of one that was there before
        a message goes out whatever became of its endpoint: the queue may not have taken the first.

        ``of_many``: the event is an update among many, outdated by the next. Its delivery to a URL is written with the
        first attempt, in one write: the message names the event, from which all else follows.
        """
        given = list(endpoints)
        for endpoint in given:
            if endpoint.id not in event.endpoint_ids:
                continue
            record = delivery_of(event, endpoint)
            if endpoint.id in event.problems:
                record = replace(record, status=DeliveryStatus.FAILED, reason=event.problems[endpoint.id])
            fresh = True
            if of_many and record.status is DeliveryStatus.PENDING and endpoint.kind == _REPORTS_NOTHING:
                record = replace(record, unwritten=True)
            else:
                fresh = self._deliveries.create(record)
            if record.status is DeliveryStatus.PENDING or not fresh:
                self._gathered.append(message_of(record))
        if not of_many:
            self._deliver_to_others(event, {own.id for own in given})

    def _deliver_to_others(self, event: EventRecord, given: Container[EndpointId]) -> None:
        """An event told before names who unsubscribed or went since: whoever delivers says which."""
        for endpoint_id in event.endpoint_ids:
            if endpoint_id not in given:
                record = pending_delivery(event, endpoint_id)
                self._deliveries.create(record)
                self._gathered.append(message_of(record))

    def gathered(self) -> list[DeliveryMessage]:
        """What was made since this was last asked for, and is yet to be handed over."""
        taken, self._gathered = self._gathered, []
        return taken

    def hand_over(self, messages: Sequence[DeliveryMessage]) -> None:
        """Enqueue these. Raises QueueUnavailable, QueueRefused, and what SQS raises."""
        self._queues.fresh(messages)
