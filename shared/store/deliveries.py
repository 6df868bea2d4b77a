"""Deliveries: what was to reach an endpoint, every attempt, and when the next one is due."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.ids import DeliveryId, EndpointId, EventId, MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.codec import thawed
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, StoreUnavailable, Table
from shared.store.writes import Item, ItemKey, Put, Update

KEPT_FOR = timedelta(days=30)
KEPT_ATTEMPTS = 12
_ROUNDS = 5
WOKEN_AHEAD = timedelta(minutes=5)
"""How long before its place the sweep wakes a delivery: it comes by the minute, a queue's delay by the second."""


REPORT = "r_"
"""Attributes of a vendor's reports: this and the status."""
ARRIVED = ("delivered", "read", "clicked", "replied")
"""Reports after which the message is known to have reached the shopper; any of them may be missing."""


class DeliveryStatus(StrEnum):
    """The contract's delivery states."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    FAILED = "failed"
    HELD = "held"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"

    @property
    def waiting(self) -> bool:
        """Whether an attempt may still be made by itself."""
        return self in {DeliveryStatus.PENDING, DeliveryStatus.RETRYING}


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery of one event to one endpoint. ``attempts`` are the newest 12, as the API shows them."""

    id: DeliveryId
    endpoint_id: EndpointId
    merchant_id: MerchantId
    event_id: EventId
    event_type: str
    checkout_digest: str
    event_version: int
    status: DeliveryStatus
    created_at: datetime
    reason: str | None = None
    attempt_count: int = 0
    attempts: tuple[Mapping[str, Any], ...] = ()
    next_attempt_at: datetime | None = None
    episode_id: str | None = None
    """Of a campaign step: its episode and, beside it, the step's number. Steps are sent by their claim alone."""
    step: int | None = None
    reports: Mapping[str, datetime] = field(default_factory=dict)
    """A vendor's later word on the message, by status."""
    due_at: datetime | None = None
    """When the sweep wakes it, and with it a message that may be on its way."""
    place: datetime | None = None
    """What is reserved for its next attempt in its endpoint's rate."""
    correlation_id: str | None = None
    """The request whose webhook caused it."""
    unwritten: bool = False
    """It has no row yet: whoever handles its first attempt writes one."""

    @property
    def key(self) -> ItemKey:
        """Its place in the table."""
        return keys.delivery(self.id, self.endpoint_id)

    @property
    def of_checkout(self) -> bool:
        """Whether it tells of a checkout, and not of an endpoint or an erasure."""
        return bool(self.checkout_digest) and self.event_type.startswith("checkout.")

    @property
    def event_key(self) -> ItemKey:
        """Its event's place in the table."""
        return keys.event(self.checkout_digest, self.event_version)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one attempt (or the decision against one) makes of a delivery."""

    status: DeliveryStatus
    reason: str | None
    attempt: Mapping[str, Any] | None = None
    next_attempt_at: datetime | None = None
    by_sweep: bool = False
    """The due index wakes the next attempt, and not a queue's delay."""
    reserved: bool = False
    """``next_attempt_at`` is a place in the endpoint's rate: woken a little earlier, it comes at that instant."""


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """One page of an endpoint's deliveries; ``looked_at`` counts those that cannot be read as well.

    ``ends_at`` is the last id looked at, None where the list ends.
    """

    records: list[DeliveryRecord]
    looked_at: int
    ends_at: str | None


@dataclass(frozen=True, slots=True)
class ShardPage:
    """The newest of a shard; ``whole``: there were no more."""

    records: list[DeliveryRecord]
    whole: bool


class DeliveryStore:
    """Deliveries in their endpoint's shards."""

    def __init__(self, table: Table, due_shards: int) -> None:
        """``due_shards``: the stage's number of due index shards per kind."""
        self._table = table
        self._due_shards = due_shards

    def create(self, delivery: DeliveryRecord) -> bool:
        """Write a delivery that is new; one that is there stays as it is. Whether it was new."""
        try:
            self._table.put(Put(_item(delivery), Attr("pk").not_exists()))
        except ConditionFailed:
            return False
        return True

    def keep(self, delivery: DeliveryRecord) -> bool:
        """Write a step's delivery as it stands: only the worker that holds the step's claim does.

        False where it was erased meanwhile: over that nothing is written.
        """
        return self._noted_by(lambda: self._table.put(Put(_item(delivery), Attr("era").not_exists())))

    def get(self, delivery_id: DeliveryId, endpoint_id: EndpointId) -> DeliveryRecord | None:
        """The delivery, consistently read, or None."""
        item = self._table.get(keys.delivery(delivery_id, endpoint_id))
        return None if item is None else read_delivery(item)

    def get_many(self, wanted: Iterable[ItemKey]) -> dict[ItemKey, DeliveryRecord]:
        """Deliveries by key, consistently read."""
        return {key: read_delivery(item) for key, item in self._table.batch_get(wanted).items()}

    def get_readable(self, wanted: Iterable[ItemKey]) -> dict[ItemKey, DeliveryRecord]:
        """``get_many`` for a list: without those that cannot be read."""
        records = self._table.readable(self._table.batch_get(wanted).values(), read_delivery)
        return {record.key: record for record in records}

    def of_endpoint(self, endpoint_id: EndpointId, *, limit: int, before: str | None = None) -> DeliveryPage:
        """The endpoint's newest deliveries below the id ``before``: its shards merged by id."""
        upper = before or "dlv_~"
        found: list[Item] = []
        for partition in keys.deliveries(endpoint_id):
            condition = Key("pk").eq(partition) & Key("sk").lt(upper)
            found += self._table.query(condition, limit=limit, forward=False, consistent=True).items
        return self._page(sorted(found, key=_by_id, reverse=True)[:limit], limit)

    def since(self, endpoint_id: EndpointId, *, after: str, below: str, limit: int) -> DeliveryPage:
        """The endpoint's deliveries between two ids, oldest first: its shards merged by id."""
        found: list[Item] = []
        for partition in keys.deliveries(endpoint_id):
            # The place itself is inside the range: one more is read and left out.
            condition = Key("pk").eq(partition) & Key("sk").between(after, below)
            page = self._table.query(condition, limit=limit + 1, consistent=True)
            found += [item for item in page.items if after < item["sk"] < below]
        return self._page(sorted(found, key=_by_id)[:limit], limit)

    def of_shard(self, endpoint_id: EndpointId, shard: int, *, after: str, limit: int) -> ShardPage:
        """The newest deliveries above the id ``after`` in one of the endpoint's shards: an eighth of all, by a hash.

        Read as they may have been a moment ago: whoever counts many needs no better.
        """
        condition = Key("pk").eq(keys.deliveries(endpoint_id)[shard]) & Key("sk").between(after, "dlv_~")
        page = self._table.query(condition, limit=limit, forward=False)
        return ShardPage(list(self._table.readable(page.items, read_delivery)), whole=page.next_key is None)

    def _page(self, items: list[Item], limit: int) -> DeliveryPage:
        records = list(self._table.readable(items, read_delivery))
        return DeliveryPage(records, len(items), items[-1]["sk"] if len(items) == limit else None)

    def record(self, delivery: DeliveryRecord, outcome: Recorded) -> bool:
        """Record an outcome if the delivery still has the attempts it was read with; False when another was faster.

        One that has no row yet gets it so.

        A write whose answer was lost is repeated by the SDK, and fails on itself: then what is stored is this attempt.
        """
        count = delivery.attempt_count + (1 if outcome.attempt is not None else 0)
        attempts: Sequence[Mapping[str, Any]] = delivery.attempts
        if outcome.attempt is not None:
            attempts = (*attempts, outcome.attempt)[-KEPT_ATTEMPTS:]
        values: dict[str, Any] = {
            "st": outcome.status.value,
            "n": count,
            "log": [dict(attempt) for attempt in attempts],
            "why": outcome.reason,
            "nx": None if outcome.next_attempt_at is None else to_ms(outcome.next_attempt_at),
        }
        if outcome.by_sweep and outcome.next_attempt_at is not None:
            values["dq"] = keys.due_queue(keys.RETRY_KIND, delivery.checkout_digest, self._due_shards)
            values["da"] = to_ms(outcome.next_attempt_at - (WOKEN_AHEAD if outcome.reserved else timedelta()))
            values["pl"] = to_ms(outcome.next_attempt_at) if outcome.reserved else None
        gone = tuple(name for name in ("why", "nx", "dq", "da", "pl") if values.get(name) is None)
        told = {name: value for name, value in values.items() if value is not None}
        try:
            if delivery.unwritten:
                self._table.put(Put(_item(delivery) | told, Attr("pk").not_exists()))
            else:
                as_read = Attr("n").eq(delivery.attempt_count) & Attr("st").eq(delivery.status.value)
                self._table.update(Update(delivery.key, set=told, remove=gone, condition=as_read))
        except ConditionFailed:
            return outcome.attempt is not None and self._has(delivery.key, count, outcome.attempt)
        return True

    def _has(self, key: ItemKey, count: int, attempt: Mapping[str, Any]) -> bool:
        """Whether the delivery's last attempt is this one."""
        item = self._table.get(key)
        stored = None if item is None else read_delivery(item)
        return stored is not None and stored.attempt_count == count and dict(stored.attempts[-1]) == dict(attempt)

    def reported(self, delivery: DeliveryRecord, status: str, at: datetime) -> None:
        """Note a vendor's later word (``delivered``, ``read``, ...); the first of each kind stays.

        A message of unknown outcome that its vendor speaks of was taken by it.
        """
        noted = Update(delivery.key, set_if_absent={f"{REPORT}{status}": to_ms(at)}, condition=Attr("pk").exists())
        self._noted_by(lambda: self._table.update(noted))
        if delivery.status is DeliveryStatus.UNKNOWN:
            still = Attr("st").eq(DeliveryStatus.UNKNOWN.value) & Attr("era").not_exists()
            known = Update(delivery.key, set={"st": DeliveryStatus.DELIVERED.value}, remove=("why",), condition=still)
            self._noted_by(lambda: self._table.update(known))

    def refused(self, delivery: DeliveryRecord, reason: str, at: datetime) -> None:
        """The vendor took the message and could not deliver it; one that reached the shopper after all stays so."""
        taken = Attr("st").eq(DeliveryStatus.DELIVERED.value) | Attr("st").eq(DeliveryStatus.UNKNOWN.value)
        condition = taken & Attr("era").not_exists()
        for report in ARRIVED:
            condition &= Attr(f"{REPORT}{report}").not_exists()
        values = {"st": DeliveryStatus.FAILED.value, "why": reason[:512]}
        noted = Update(delivery.key, set=values, set_if_absent={f"{REPORT}failed": to_ms(at)}, condition=condition)
        self._noted_by(lambda: self._table.update(noted))

    def erase(self, wanted: Iterable[ItemKey]) -> None:
        """End what still waits and drop every word of the receivers; nothing is written over it any more.

        What cannot be read is removed. Raises StoreUnavailable when workers kept writing.
        """
        pending = set(wanted)
        for _ in range(_ROUNDS):
            rows = self._table.rows_of(pending)
            pending = {key for key, row in rows.items() if not self._erased(key, row)}
            if not pending:
                return
        raise StoreUnavailable("the deliveries kept changing")

    def _erased(self, key: ItemKey, row: Item) -> bool:
        """False where a worker was faster."""
        try:
            delivery = read_delivery(row)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            delivery = None
        if delivery is None or self._table.expired(row):
            self._table.delete_all([key])
            return True
        over = delivery.status.waiting or delivery.status is DeliveryStatus.HELD
        silent = {"response_body": None, "reason": None}
        values: dict[str, Any] = {
            "era": True,
            "st": DeliveryStatus.SKIPPED.value if over else delivery.status.value,
            "log": [{**attempt, **silent} for attempt in delivery.attempts],
        }
        if over or delivery.reason is not None:
            values["why"] = "erased"
        condition = Attr("n").eq(delivery.attempt_count) & Attr("st").eq(delivery.status.value)
        update = Update(key, set=values, remove=("nx", "dq", "da", "pl"), condition=condition)
        try:
            self._table.update(update)
        except ConditionFailed:
            return False
        return True

    @staticmethod
    def _noted_by(write: Callable[[], None]) -> bool:
        """False where the row is not as it must be."""
        try:
            write()
        except ConditionFailed:
            return False
        return True

    def lease(self, key: ItemKey, seen: int, until: datetime) -> bool:
        """Push a due retry ahead while it is on its way to the queue; False when another sweep was faster."""
        update = Update(key=key, set={"da": to_ms(until)}, condition=Attr("da").eq(seen))
        try:
            self._table.update(update)
        except ConditionFailed:
            return False
        return True


def _by_id(item: Item) -> str:
    return str(item["sk"])


def _item(delivery: DeliveryRecord) -> Item:
    pk, sk = delivery.key
    item: Item = {
        "pk": pk,
        "sk": sk,
        "mer": delivery.merchant_id,
        "ep": delivery.endpoint_id,
        "eid": delivery.event_id,
        "ty": delivery.event_type,
        "chk": delivery.checkout_digest,
        "ver": delivery.event_version,
        "st": delivery.status.value,
        "ca": to_ms(delivery.created_at),
        "n": delivery.attempt_count,
        "why": delivery.reason,
        "log": [dict(attempt) for attempt in delivery.attempts] or None,
        "nx": None if delivery.next_attempt_at is None else to_ms(delivery.next_attempt_at),
        "epi": delivery.episode_id,
        "stp": delivery.step,
        "cid": delivery.correlation_id,
        "ttl": to_ms(delivery.created_at + KEPT_FOR) // 1000,
    }
    return {name: value for name, value in item.items() if value is not None}


def reports_in(item: Item) -> dict[str, datetime]:
    """A vendor's reports in a row of ours: when it first told of each status."""
    return {name.removeprefix(REPORT): from_ms(int(at)) for name, at in item.items() if name.startswith(REPORT)}


def read_delivery(item: Item) -> DeliveryRecord:
    """The delivery of a row."""
    return DeliveryRecord(
        id=DeliveryId(item["sk"]),
        endpoint_id=EndpointId(item["ep"]),
        merchant_id=MerchantId(item["mer"]),
        event_id=EventId(item["eid"]),
        event_type=item["ty"],
        checkout_digest=item["chk"],
        event_version=int(item["ver"]),
        status=DeliveryStatus(item["st"]),
        created_at=from_ms(int(item["ca"])),
        reason=item.get("why"),
        attempt_count=int(item["n"]),
        attempts=tuple(thawed(attempt) for attempt in item.get("log", ())),
        next_attempt_at=from_ms(int(item["nx"])) if "nx" in item else None,
        episode_id=item.get("epi"),
        step=int(item["stp"]) if "stp" in item else None,
        due_at=from_ms(int(item["da"])) if "da" in item else None,
        place=from_ms(int(item["pl"])) if "pl" in item else None,
        correlation_id=item.get("cid"),
        reports=reports_in(item),
    )
