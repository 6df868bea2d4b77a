"""A merchant's deliveries: by endpoint, by checkout, one by one; and trying one again by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryQueues
from shared.domain.ids import DeliveryId, EndpointId, MerchantId, delivery_id, digest_of, endpoint_of
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.configuration import EndpointStore
from shared.store.deliveries import KEPT_FOR, DeliveryRecord, DeliveryStatus, DeliveryStore, Recorded
from shared.store.events import EventStore
from shared.workflows.delivering.attempts import message_of
from shared.workflows.delivering.refusals import Conflict, NotFound

_ROUNDS = 4
_TIMELINE = 500
_SAFETY_NET = timedelta(minutes=2)
"""Should the queue refuse the message, the sweep finds the delivery due after this time."""


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries to show."""

    endpoint_id: str | None = None
    checkout_id: str | None = None
    status: DeliveryStatus | None = None


class DeliveryHistory:
    """Reads deliveries for one merchant at a time."""

    def __init__(
        self,
        deliveries: DeliveryStore,
        events: EventStore,
        endpoints: EndpointStore,
        activities: ActivityStore,
        queues: Callable[[], DeliveryQueues],
        now: Callable[[], datetime],
    ) -> None:
        """``queues`` is only asked for to try again."""
        self._deliveries = deliveries
        self._events = events
        self._endpoints = endpoints
        self._activities = activities
        self._queues = queues
        self._now = now

    def find(
        self, merchant_id: MerchantId, query: DeliveryQuery, *, limit: int, before: str | None
    ) -> tuple[list[DeliveryRecord], str | None]:
        """One page, newest first, and the id below which the next begins."""
        if query.checkout_id is not None:
            return self._of_checkout(merchant_id, query, query.checkout_id, limit, before)
        endpoints = self._owned(merchant_id, query.endpoint_id)
        matching: list[DeliveryRecord] = []
        for _ in range(_ROUNDS):
            wanted = limit - len(matching)
            pages = [self._deliveries.of_endpoint(own, limit=wanted, before=before) for own in endpoints]
            # Below the end of any page that goes on, deliveries of its endpoint may lie between those of others.
            ends_at = max((page.ends_at for page in pages if page.ends_at is not None), default=None)
            found = (own for page in pages for own in page.records if ends_at is None or own.id >= ends_at)
            newest = sorted(found, key=lambda own: own.id, reverse=True)[:wanted]
            matching += [own for own in newest if self._shown(own, merchant_id, query)]
            before = newest[-1].id if len(newest) == wanted else ends_at
            if before is None:
                return matching, None
            if len(matching) >= limit:
                break
        return matching, before

    def read(self, merchant_id: MerchantId, delivery: str) -> DeliveryRecord:
        """The merchant's delivery. Raises NotFound."""
        endpoint_id = endpoint_of(delivery)
        found = None if endpoint_id is None else self._deliveries.get(DeliveryId(delivery), endpoint_id)
        if found is None or not self._shown(found, merchant_id, DeliveryQuery()):
            raise NotFound("There is no such delivery.")
        return found

    def retry(self, merchant_id: MerchantId, delivery: str) -> DeliveryRecord:
        """Try once more, now. Raises NotFound, Conflict."""
        record = self.read(merchant_id, delivery)
        if record.step is not None:
            raise Conflict("A campaign step is sent by its episode alone, so that nobody gets it twice.")
        if record.status.waiting:
            raise Conflict("The delivery is still being tried by itself.")
        if record.status is DeliveryStatus.DELIVERED:
            raise Conflict("The delivery has succeeded.")
        endpoint = self._endpoints.get(merchant_id, record.endpoint_id)
        if endpoint is None or not endpoint.value.active:
            raise Conflict("The endpoint is disabled or gone.")
        again = Recorded(DeliveryStatus.PENDING, None, next_attempt_at=self._now() + _SAFETY_NET, by_sweep=True)
        if not self._deliveries.record(record, again):
            raise Conflict("The delivery changed at the same time.")
        self._queues().retry([(message_of(record), timedelta())])
        return self.read(merchant_id, delivery)

    def _of_checkout(
        self, merchant_id: MerchantId, query: DeliveryQuery, checkout: str, limit: int, before: str | None
    ) -> tuple[list[DeliveryRecord], str | None]:
        digest = digest_of(checkout)
        events = self._events.listed(digest) if digest else []
        ids = [
            (delivery_id(event.at, event.id, endpoint_id), endpoint_id)
            for event in events
            if event.merchant_id == merchant_id
            for endpoint_id in event.endpoint_ids
            if query.endpoint_id in {None, endpoint_id}
        ]
        ids += [own for own in self._of_steps(digest) if query.endpoint_id in {None, own[1]}] if digest else []
        found = self._deliveries.get_readable(keys.delivery(own, endpoint_id) for own, endpoint_id in ids)
        shown = [own for own in found.values() if self._shown(own, merchant_id, query)]
        below = sorted((own for own in shown if before is None or own.id < before), key=lambda own: own.id)[::-1]
        return below[:limit], below[limit - 1].id if len(below) > limit else None

    def _of_steps(self, digest: str) -> list[tuple[DeliveryId, EndpointId]]:
        """The deliveries of campaign steps about a checkout: its timeline names each."""
        entries, _ = self._activities.page(digest, limit=_TIMELINE, after=None)
        named = {str(own.detail["delivery_id"]) for own in entries if "delivery_id" in own.detail}
        pairs = ((DeliveryId(own), endpoint_of(own)) for own in sorted(named))
        return [(own, endpoint_id) for own, endpoint_id in pairs if endpoint_id is not None]

    def _owned(self, merchant_id: MerchantId, endpoint_id: str | None) -> list[EndpointId]:
        """The merchant's own endpoints, or the one asked for where it is one of them."""
        if endpoint_id is None:
            return [own.value.id for own in self._endpoints.listed(merchant_id)]
        found = self._endpoints.get(merchant_id, EndpointId(endpoint_id))
        return [] if found is None else [found.value.id]

    def _shown(self, record: DeliveryRecord, merchant_id: MerchantId, query: DeliveryQuery) -> bool:
        kept = record.created_at + KEPT_FOR > self._now()
        return record.merchant_id == merchant_id and kept and query.status in {None, record.status}
