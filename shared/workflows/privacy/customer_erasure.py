"""Erasing a customer: every checkout that carries the identifier, and what hangs on it.

One transaction per checkout takes its contents, ends its episode and cuts its identifiers' memory down to the last
purchase and the suppressions: from then on nothing can be sent. What is left after it (events, timeline, answers of
receivers, poison records) goes next, receivers are told, quarantined bodies are searched. Until all of that is done the
checkouts can still be found by the identifier and still name their contact, so that a call that was cut short is gone
on with by the next; only then they lose both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.aws.quarantine_bucket import QuarantineBucket
from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.destinations import registry
from shared.domain.contact_search import ContactSearch
from shared.domain.identity import Identity, IdentityHasher, IdentityKind
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint, Merchant
from shared.store import keys
from shared.store.checkout_item import contacts_of, names_of
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStore
from shared.store.events import EventRecord
from shared.store.jobs import JobStore
from shared.store.quarantine import QuarantineStore
from shared.store.shoppers import ShopperStore
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Item, Write
from shared.workflows.delivering.attempts import delivery_of, message_of
from shared.workflows.privacy.erased_bodies import QuarantinedBodies
from shared.workflows.privacy.erased_checkout import CheckoutErasure
from shared.workflows.privacy.merchant_erasure import BUDGET, Clock, OutOfTime

_ROUNDS = 5


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
        self._bodies = QuarantinedBodies(QuarantineStore(table), bucket, now)
        self._checkout_erasure = CheckoutErasure(table, checkouts, deliveries, bucket, now)
        self._clock = clock or Clock()
        self._now = now
        self._shoppers = ShopperStore(table)
        self._jobs = JobStore(table)
        self._endpoints = EndpointStore(table)

    def erase(self, merchant: Merchant, kind: IdentityKind, value: str, cursor: str | None = None) -> Erased:
        """Erase what the call's time allows.

        Raises StoreUnavailable, QueueUnavailable, BucketUnavailable, and what AWS raises: repeat.
        """
        ends = self._clock.read() + BUDGET.total_seconds()
        erased = Erased()
        identity = self._hasher.identity(merchant.id, kind, value)
        endpoints = {own.value.id: own.value for own in self._endpoints.listed(merchant.id)}
        rows = self._rows(identity, merchant)
        contacts = {(kind, value)} | {own for row in rows.values() for own in contacts_of(row).items()}
        names = {(IdentityKind.CART, own) for row in rows.values() for own in names_of(row)}

        def reached(place: str | None, dropped: int) -> None:
            erased.quarantined += dropped
            if place is not None:
                erased.cursor = place
                self._check(ends)

        try:
            for digest, row in rows.items():
                if "cln" not in row:
                    told = self._checkout_erasure.erase(row, merchant, identity, endpoints)
                    erased.told |= set() if told is None else self._tell(told, endpoints)
                    self._checkouts.cleaned(digest)
                    erased.checkouts += 1
                    self._check(ends)
            self._cut(identity)
            if customers := {own for named, own in contacts if named is IdentityKind.CUSTOMER}:
                self._jobs.forget(merchant.id, customers, self._now())
            self._bodies.drop(merchant.id, ContactSearch(contacts | names), cursor, reached)
        except OutOfTime:
            return erased
        for digest in rows:
            self._checkouts.unlisted(digest)
        erased.done, erased.cursor = True, None
        return erased

    def _rows(self, identity: Identity, merchant: Merchant) -> dict[str, Item]:
        """The checkouts that carry the identifier, by digest, also those past their time or beyond reading."""
        digests = self._checkouts.by_identity(identity)
        found = self._table.rows_of(map(keys.checkout, digests))
        rows = {own: found.get(keys.checkout(own)) for own in digests}
        return {own: row for own, row in rows.items() if row is not None and row.get("mer", merchant.id) == merchant.id}

    def _tell(self, event: EventRecord, endpoints: Mapping[EndpointId, Endpoint]) -> set[EndpointId]:
        """One delivery of ``customer.erased`` per endpoint, put if absent, then enqueued."""
        messages: list[DeliveryMessage] = []
        told: set[EndpointId] = set()
        for endpoint in (endpoints[own] for own in event.endpoint_ids if own in endpoints):
            # It is an event without a checkout; a message kind has nobody left to send it to.
            if not registry.takes_events(endpoint.kind):
                continue
            record = delivery_of(event, endpoint)
            self._deliveries.create(record)
            told.add(endpoint.id)
            if endpoint.active:
                messages.append(message_of(record))
        if messages:
            self._queues().fresh(messages)
        return told

    def _cut(self, identity: Identity) -> None:
        """Cut the memory of an identifier whose checkouts are gone already; its open episode ends."""
        for _ in range(_ROUNDS):
            record = self._shoppers.get_many([identity])[identity]
            cut = self._shoppers.cut(record)
            writes: list[Write] = [] if cut is None else [cut]
            if record.episode_id is not None:
                writes += self._checkout_erasure.end_episode(record.episode_id)
            if not writes:
                return
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                continue
            return
        raise StoreUnavailable("the shopper's records kept changing")

    def _check(self, ends: float) -> None:
        if self._clock.read() >= ends:
            raise OutOfTime
