"""Erasing a customer: every checkout that carries the identifier, and what hangs on it.

One transaction per checkout takes its contents, ends its episode and cuts its identifiers' memory down to the last
purchase and the suppressions: from then on nothing can be sent. What is left after it (events, timeline, answers of
receivers) goes next, receivers are told, and only then the checkout leaves the identity indexes, so that a call that
was cut short is gone on with by the next. Quarantined bodies are searched last.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from boto3.dynamodb.conditions import Attr

from shared.aws.quarantine_bucket import QuarantineBucket
from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.domain.announcement import EventType
from shared.domain.checkout import Checkout, Status
from shared.domain.contact_search import ContactSearch
from shared.domain.identity import LEAVES_OF, SHOPPER_KINDS, Identity, IdentityHasher, IdentityKind
from shared.domain.ids import DeliveryId, EndpointId, EpisodeId, delivery_id, endpoint_of, event_id
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Endpoint, Merchant
from shared.domain.suppression import EndReason
from shared.domain.transitions import retention_end
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus, DeliveryStore, Recorded
from shared.store.episodes import EpisodeStore
from shared.store.events import EventRecord, EventStore
from shared.store.quarantine import QuarantineStore
from shared.store.shoppers import ShopperStore
from shared.store.table import (
    ConditionFailed,
    ItemKey,
    StoreUnavailable,
    Table,
    TransactionCancelled,
    Update,
    Write,
)
from shared.workflows.delivering.attempts import delivery_of
from shared.workflows.privacy.erased_bodies import QuarantinedBodies
from shared.workflows.privacy.merchant_erasure import BUDGET, Clock, OutOfTime

_ROUNDS = 5
_TOLD_KINDS = frozenset({"webhook"})
"""Kinds that can take an event without a checkout; a message kind has nobody left to send it to."""


@dataclass(slots=True)
class Erased:
    """What a call did. ``cursor`` is the place in the quarantine to go on from; ``done`` when nothing is left."""

    checkouts: int = 0
    quarantined: int = 0
    told: set[EndpointId] = field(default_factory=set)
    done: bool = False
    cursor: str | None = None


class CustomerErasure:
    """Erases customers of one merchant at a time; every piece may be repeated."""

    def __init__(
        self,
        table: Table,
        checkouts: CheckoutStore,
        deliveries: DeliveryStore,
        queues: Callable[[], DeliveryQueues],
        hasher: IdentityHasher,
        bucket: Callable[[], QuarantineBucket],
        now: Callable[[], datetime],
        clock: Clock | None = None,
    ) -> None:
        """``queues`` and ``bucket`` are made at first need; ``now`` is the clock, ``clock`` measures the call."""
        self._table = table
        self._checkouts = checkouts
        self._deliveries = deliveries
        self._queues = queues
        self._hasher = hasher
        self._bucket = bucket
        self._bodies = QuarantinedBodies(QuarantineStore(table), bucket, now)
        self._now = now
        self._clock = clock or Clock()
        self._shoppers = ShopperStore(table)
        self._events = EventStore(table)
        self._activities = ActivityStore(table)
        self._endpoints = EndpointStore(table)

    def erase(self, merchant: Merchant, kind: IdentityKind, value: str, cursor: str | None = None) -> Erased:
        """Erase what the call's time allows. Raises StoreUnavailable, QueueUnavailable: repeat."""
        ends = self._clock.read() + BUDGET.total_seconds()
        erased = Erased()
        contacts = {(kind, value)}
        identity = self._hasher.identity(merchant.id, kind, value)
        endpoints = {own.value.id: own.value for own in self._endpoints.listed(merchant.id)}
        try:
            for digest in self._checkouts.by_identity(identity):
                checkout = self._checkouts.get(digest)
                if checkout is not None and checkout.merchant_id == merchant.id:
                    contacts |= _contacts(checkout)
                    erased.told |= self._erase_checkout(checkout, merchant, identity, endpoints)
                    erased.checkouts += 1
                    self._check(ends)
            self._cut([identity])

            def reached(place: str | None, dropped: int) -> None:
                erased.quarantined += dropped
                if place is not None:
                    erased.cursor = place
                    self._check(ends)

            self._bodies.drop(merchant.id, ContactSearch(contacts), cursor, reached)
        except OutOfTime:
            return erased
        erased.done, erased.cursor = True, None
        return erased

    def _erase_checkout(
        self, checkout: Checkout, merchant: Merchant, identity: Identity, endpoints: dict[EndpointId, Endpoint]
    ) -> set[EndpointId]:
        """One checkout, whole; the endpoints that are told."""
        bare = checkout if checkout.erased else self._emptied(checkout, merchant, identity, endpoints)
        event = self._events.get(bare.digest, bare.version)
        self._silence(bare)
        kept = {keys.checkout(bare.digest), keys.event(bare.digest, bare.version)}
        self._table.delete_all(key for key in self._checkouts.forget(bare.digest) if key not in kept)
        while self._bucket().delete_poison_of(merchant.id, bare.digest):
            pass
        told = set() if event is None else self._tell(event, endpoints)
        self._checkouts.unlisted(bare.digest)
        return told

    def _emptied(
        self, checkout: Checkout, merchant: Merchant, identity: Identity, endpoints: dict[EndpointId, Endpoint]
    ) -> Checkout:
        """The transaction after which nothing can be sent. Raises StoreUnavailable when others kept writing."""
        current: Checkout | None = checkout
        for _ in range(_ROUNDS):
            if current is None or current.erased:
                return current or checkout
            now = self._now()
            bare = _bare(current, now)
            own = set(self._hasher.of_checkout(current).values()) | {identity}
            episode_id = EpisodeId(current.episode_id) if current.episode_id else None
            recipients = tuple(sorted(self._heard(current.digest) & endpoints.keys()))
            writes: list[Write] = [self._checkouts.erased(current, bare, merchant.settings)]
            if recipients:
                writes.append(self._events.new(_event(current, bare, recipients, merchant, now)))
            if episode_id is not None and EpisodeStore(self._table).get(episode_id) is not None:
                ended = EpisodeStore.ended(episode_id, EndReason.ERASED, now)
                writes.append(replace(ended, set={**ended.set, "who": {}}))
            cuts = (self._shoppers.cut(record) for record in self._shoppers.get_many(sorted(own)).values())
            writes += [cut for cut in cuts if cut is not None]
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                current = self._checkouts.get(checkout.digest)
                continue
            self._forget_order(current)
            return bare
        raise StoreUnavailable("the checkout kept changing")

    def _heard(self, digest: str) -> set[EndpointId]:
        """Every endpoint that an event or a step of the checkout was meant for."""
        found = {endpoint_id for event in self._events.of_checkout(digest) for endpoint_id in event.endpoint_ids}
        return found | {own for named in self._named_deliveries(digest) if (own := endpoint_of(named)) is not None}

    def _named_deliveries(self, digest: str) -> set[str]:
        """Deliveries that the timeline names: those of campaign steps."""
        named: set[str] = set()
        after: str | None = None
        while True:
            entries, after = self._activities.page(digest, limit=200, after=after)
            named |= {str(own.detail["delivery_id"]) for own in entries if "delivery_id" in own.detail}
            if after is None:
                return named

    def _silence(self, bare: Checkout) -> None:
        """End what still waits, and drop what receivers answered: their words may name the shopper."""
        wanted: set[ItemKey] = set()
        for event in self._events.of_checkout(bare.digest):
            if event.version != bare.version:
                ids = ((delivery_id(event.at, event.id, own), own) for own in event.endpoint_ids)
                wanted |= {keys.delivery(*pair) for pair in ids}
        for named in self._named_deliveries(bare.digest):
            endpoint_id = endpoint_of(named)
            if endpoint_id is not None:
                wanted.add(keys.delivery(DeliveryId(named), endpoint_id))
        for delivery in self._deliveries.get_many(wanted).values():
            over = delivery.status.waiting or delivery.status is DeliveryStatus.HELD
            attempts = tuple({**own, "response_body": None} for own in delivery.attempts)
            outcome = Recorded(
                DeliveryStatus.SKIPPED if over else delivery.status, "erased" if over else delivery.reason
            )
            if over or attempts != delivery.attempts:
                self._deliveries.record(replace(delivery, attempts=attempts), outcome)

    def _tell(self, event: EventRecord, endpoints: dict[EndpointId, Endpoint]) -> set[EndpointId]:
        """One delivery of ``customer.erased`` per endpoint, put if absent, then enqueued."""
        messages: list[DeliveryMessage] = []
        told: set[EndpointId] = set()
        for endpoint in (endpoints[own] for own in event.endpoint_ids if own in endpoints):
            if endpoint.kind not in _TOLD_KINDS:
                continue
            record = delivery_of(event, endpoint)
            self._deliveries.create(record)
            told.add(endpoint.id)
            if endpoint.active:
                messages.append(DeliveryMessage(record.id, record.merchant_id))
        if messages:
            self._queues().fresh(messages)
        return told

    def _cut(self, identities: Sequence[Identity]) -> None:
        """Cut the memory of identifiers whose checkouts are gone already; their open episodes end."""
        for _ in range(_ROUNDS):
            writes: list[Write] = []
            for record in self._shoppers.get_many(identities).values():
                cut = self._shoppers.cut(record)
                if cut is not None:
                    writes.append(cut)
                if record.episode_id is not None and EpisodeStore(self._table).get(record.episode_id) is not None:
                    ended = EpisodeStore.ended(record.episode_id, EndReason.ERASED, self._now())
                    writes.append(replace(ended, set={**ended.set, "who": {}}))
            if not writes:
                return
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                continue
            return
        raise StoreUnavailable("the shopper's records kept changing")

    def _forget_order(self, checkout: Checkout) -> None:
        """The order row keeps that there was one, not whose."""
        if checkout.completed_at is None:
            return
        order_id = checkout.order.id if checkout.order else None
        name = f"id:{order_id}" if order_id else f"checkout:{checkout.external_id}"
        update = Update(
            keys.order(checkout.source_id, name), set={"who": {}}, remove=("tr", "te"), condition=Attr("pk").exists()
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return

    def _check(self, ends: float) -> None:
        if self._clock.read() >= ends:
            raise OutOfTime


def _bare(checkout: Checkout, now: datetime) -> Checkout:
    """What is kept of an erased checkout: that it was, and how it ended; never a name its provider gave it."""
    version = checkout.version + 1
    return replace(
        checkout,
        status=Status.DISCARDED if checkout.status.unfinished else checkout.status,
        reason=None,
        version=version,
        sequence=version,
        external_id="erased",
        updated_at=now,
        leaves={},
        cart=None,
        order=None,
        announced=None,
        due_at=None,
        last_body=None,
        event_digests=frozenset(),
        erased=True,
    )


def _event(
    checkout: Checkout, bare: Checkout, recipients: tuple[EndpointId, ...], merchant: Merchant, now: datetime
) -> EventRecord:
    """``customer.erased``: the ids under which its receivers know what to delete, and nothing else."""
    own_id = event_id(now, bare.digest, bare.version, EventType.CUSTOMER_ERASED)
    body = {
        "id": own_id,
        "type": EventType.CUSTOMER_ERASED.value,
        "timestamp": to_rfc3339(now),
        "sequence": bare.version,
        "merchant_id": merchant.id,
        "data": {"checkout_ids": [bare.id], "episode_ids": [checkout.episode_id] if checkout.episode_id else []},
    }
    return EventRecord(
        id=own_id,
        type=EventType.CUSTOMER_ERASED.value,
        at=now,
        merchant_id=merchant.id,
        checkout_digest=bare.digest,
        version=bare.version,
        body=json.dumps(body, separators=(",", ":")).encode(),
        endpoint_ids=recipients,
        do_not_send_after=None,
        expires_at=retention_end(bare, merchant.settings),
    )


def _contacts(checkout: Checkout) -> set[tuple[IdentityKind, str]]:
    """The checkout's own identifiers, which quarantined bodies are searched for too."""
    found = ((kind, checkout.text(LEAVES_OF[kind][0])) for kind in SHOPPER_KINDS)
    return {(kind, value) for kind, value in found if value}
