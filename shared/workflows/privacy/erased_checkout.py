"""Erasing one checkout: a transaction takes what it says of its shopper, then goes what hangs on it.

Everything is read row by row as it lies in the table, so that a row nobody can decode any more goes like the others.
"""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.aws.quarantine_bucket import QuarantineBucket
from shared.domain.announcement import CustomerErasedJson, EventType
from shared.domain.campaign import CampaignId
from shared.domain.checkout import Checkout, Status
from shared.domain.identity import LEAVES_OF, Identity
from shared.domain.ids import (
    DeliveryId,
    EndpointId,
    EpisodeId,
    MerchantId,
    SourceId,
    delivery_id,
    endpoint_of,
    event_id,
    step_delivery_id,
    step_event_id,
)
from shared.domain.instants import from_ms, to_rfc3339
from shared.domain.merchant import Merchant
from shared.domain.settings import Settings
from shared.domain.step_state import StepState
from shared.domain.transitions import retention_end
from shared.store import keys
from shared.store.campaigns import CampaignStore
from shared.store.checkout_item import ERASED, contacts_of, from_item, identities_of
from shared.store.checkouts import CheckoutStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.store.episodes import EpisodeStore, read_episode
from shared.store.events import EventRecord, EventStore
from shared.store.orders import order_forgotten
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed, StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Item, ItemKey, Write
from shared.workflows.privacy.hanging import UNREADABLE, episodes_of, identities_in, orders_of

_ROUNDS = 5
_ROWS = 25


class CheckoutErasure:
    """Erases checkouts of one merchant at a time. Every piece may be repeated."""

    def __init__(
        self,
        table: Table,
        checkouts: CheckoutStore,
        deliveries: DeliveryStore,
        bucket: Callable[[], QuarantineBucket],
        now: Callable[[], datetime],
    ) -> None:
        """``bucket`` is made at first need; ``now`` is the clock."""
        self._table = table
        self._checkouts = checkouts
        self._deliveries = deliveries
        self._bucket = bucket
        self._now = now
        self._shoppers = ShopperStore(table)
        self._events = EventStore(table)
        self._campaigns = CampaignStore(table)

    def erase(
        self, row: Item, merchant: Merchant, identity: Identity, endpoints: Collection[EndpointId]
    ) -> EventRecord | None:
        """Erase the checkout of a row; its ``customer.erased``, where one of ``endpoints`` heard anything of it.

        The row itself stays, empty but for the contact and names that quarantined bodies are still to be searched for,
        until ``CheckoutStore.unlisted``. One past its time goes whole.

        Raises StoreUnavailable when others kept writing.
        """
        digest = row["pk"].removeprefix("C#")
        wanted = _deliveries_of(self._table, row["pk"]) | self._of_steps(row)
        if self._table.expired(row):
            self._end(row, merchant.id, identity)
        elif "era" not in row:
            heard = {own for _, named in wanted if (own := endpoint_of(named)) is not None}
            row = self._emptied(row, merchant, identity, tuple(sorted(heard & set(endpoints))))
        told = keys.event(digest, int(row["v"])) if "era" in row else None
        self._deliveries.erase(wanted)
        self._forget_orders(row["pk"], merchant.id)
        if isinstance(row.get("epi"), str):
            self._table.delete_all(self._table.keys_of(keys.episode(row["epi"])[0], prefix="K#"))
        kept = {keys.checkout(digest), told} if told is not None else set()
        self._table.delete_all(key for key in self._checkouts.forget(digest) if key not in kept)
        while self._bucket().delete_poison_of(merchant.id, digest):
            pass
        # Once more: a worker may have written what it was answered since.
        self._deliveries.erase(wanted)
        return None if told is None else self._events.get(digest, int(row["v"]))

    def end_episode(self, episode_id: EpisodeId) -> list[Write]:
        """The episode's end as a piece of a transaction; nothing where there is none."""
        return self._ended(keys.episode(episode_id))

    def _ended(self, key: ItemKey) -> list[Write]:
        row = self._table.rows_of([key]).get(key)
        return [] if row is None or self._table.expired(row) else [EpisodeStore.erased(row, self._now())]

    def _emptied(self, row: Item, merchant: Merchant, identity: Identity, recipients: tuple[EndpointId, ...]) -> Item:
        """The row after the transaction from which on nothing can be sent."""
        key = (row["pk"], row["sk"])
        for _ in range(_ROUNDS):
            now = self._now()
            bare = _bare(row, merchant, now)
            put = self._checkouts.erased(row, bare, merchant.settings)
            writes: list[Write] = [put]
            if recipients:
                writes.append(self._events.new(_event(row, bare, recipients, merchant.settings, now)))
            writes += self._ending(row, merchant.id, identity)
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                current = self._table.rows_of([key]).get(key)
                if current is None or "era" in current:
                    return current or row
                row = current
            else:
                return put.item
        raise StoreUnavailable("the checkout kept changing")

    def _end(self, row: Item, merchant_id: MerchantId, identity: Identity) -> None:
        """For a checkout past its time: what may outlive it."""
        for _ in range(_ROUNDS):
            writes = self._ending(row, merchant_id, identity)
            if not writes:
                return
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                continue
            return
        raise StoreUnavailable("the shopper's records kept changing")

    def _ending(self, row: Item, merchant_id: MerchantId, identity: Identity) -> list[Write]:
        """Its episodes ended, its orders and its identifiers' memory without a name."""
        writes: list[Write] = []
        for key in episodes_of(row):
            writes += self._ended(key)
        orders = {key: own for key, own in self._table.rows_of(orders_of(row)).items() if not self._table.expired(own)}
        writes += [order_forgotten(key, merchant_id) for key in orders]
        who = {*identities_of(row, merchant_id).values(), identity}
        cuts = [self._shoppers.cut(record) for record in self._shoppers.get_many(sorted(who)).values()]
        # What only its episodes and orders named is another's to erase, and still the merchant's.
        named = {one for own in self._named_by(row, orders) for one in identities_in(own, merchant_id)} - who
        cuts += [self._shoppers.found_by_itself(record) for record in self._shoppers.get_many(sorted(named)).values()]
        return writes + [cut for cut in cuts if cut is not None]

    def _named_by(self, row: Item, orders: Mapping[ItemKey, Item]) -> list[Item]:
        return [*orders.values(), *self._table.rows_of(episodes_of(row)).values()]

    def _forget_orders(self, partition: str, merchant_id: MerchantId) -> None:
        """Orders that the checkout's row does not name: more than one was taken for its own."""
        for entry in self._table.keys_of(partition, prefix=keys.ORDER_PREFIX):
            with contextlib.suppress(ConditionFailed):  # it is gone
                self._table.update(order_forgotten(keys.order_named(entry), merchant_id))

    def _of_steps(self, row: Item) -> set[ItemKey]:
        """Deliveries of its episode's steps. One whose message is on its way is there before its worker writes it."""
        key = keys.episode(EpisodeId(str(row.get("epi"))))
        found = self._table.rows_of([key]).get(key)
        try:
            episode = read_episode(found or {})
            campaign_id = CampaignId(str(episode.campaign_id))
            campaign = self._campaigns.version(episode.merchant_id, campaign_id, episode.campaign_version)
        except UNREADABLE:
            return set()
        wanted: set[ItemKey] = set()
        for step in episode.steps:
            planned = campaign.step(step.number) if campaign else None
            if planned is None:
                continue
            endpoint_id = planned.endpoint_id
            named = step_delivery_id(episode.started_at, episode.id, step.number, endpoint_id)
            if step.state is StepState.CLAIMED:
                self._deliveries.create(
                    DeliveryRecord(
                        id=named,
                        endpoint_id=endpoint_id,
                        merchant_id=episode.merchant_id,
                        event_id=step_event_id(episode.started_at, episode.id, step.number),
                        event_type="campaign.step",
                        checkout_digest=row["pk"].removeprefix("C#"),
                        event_version=0,
                        status=DeliveryStatus.SKIPPED,
                        created_at=episode.started_at,
                        reason="erased",
                        episode_id=episode.id,
                        step=step.number,
                    )
                )
            wanted.add(keys.delivery(named, endpoint_id))
        return wanted


def _deliveries_of(table: Table, partition: str) -> set[ItemKey]:
    """Deliveries that a checkout's events and timeline name. Read a few rows at a time: events may be large."""
    wanted = [key for key in table.keys_of(partition) if key[1][:2] in {"E#", "A#"}]
    found: set[ItemKey] = set()
    for start in range(0, len(wanted), _ROWS):
        for row in table.rows_of(wanted[start : start + _ROWS]).values():
            if row.get("ty") != EventType.CUSTOMER_ERASED.value:
                found |= set(_named_in(row))
    return found


def _named_in(row: Mapping[str, Any]) -> Iterator[ItemKey]:
    """The deliveries that an event's or an activity's row names, as far as it can be read."""
    detail, recipients = row.get("de"), row.get("eps")
    named = detail.get("delivery_id") if isinstance(detail, Mapping) else None
    if isinstance(named, str) and (endpoint_id := endpoint_of(named)) is not None:
        yield keys.delivery(DeliveryId(named), endpoint_id)
    try:
        at = from_ms(int(row["at"]))
        for own in map(EndpointId, recipients or ()):
            yield keys.delivery(delivery_id(at, str(row["id"]), own), own)
    except UNREADABLE:
        return


def _bare(row: Item, merchant: Merchant, now: datetime) -> Checkout:
    """What is kept of an erased checkout: that it was, and how it ended; never a name its provider gave it.

    For the time being also the contact that quarantined bodies are searched for.
    """
    try:
        known = from_item(row)
    except UNREADABLE:
        known = _unreadable(row, merchant, now)
    version = known.version + 1
    return replace(
        known,
        status=Status.DISCARDED if known.status.unfinished else known.status,
        reason=None,
        version=version,
        sequence=version,
        external_id=ERASED,
        updated_at=now,
        leaves={LEAVES_OF[kind][0]: value for kind, value in contacts_of(row).items()},
        cart=None,
        origins={},
        shape=None,
        order=None,
        announced=None,
        due_at=None,
        last_body=None,
        event_digests=frozenset(),
        erased=True,
    )


def _unreadable(row: Item, merchant: Merchant, now: datetime) -> Checkout:
    """A checkout in the place of one that cannot be decoded: late webhooks of it must bring nothing back."""
    version = row.get("v")
    return Checkout(
        merchant_id=merchant.id,
        source_id=SourceId(str(row.get("src"))),
        provider=str(row.get("pr")),
        external_id=ERASED,
        digest=row["pk"].removeprefix("C#"),
        status=Status.DISCARDED,
        version=int(version) if isinstance(version, Decimal) else 0,
        order_key="",
        ordered_at=now,
        created_at=now,
        updated_at=now,
        last_activity_at=now,
        idle_ms=0,
        erased=True,
    )


def _event(
    row: Item, bare: Checkout, recipients: Sequence[EndpointId], settings: Settings, now: datetime
) -> EventRecord:
    """``customer.erased``: the ids under which its receivers know what to delete, and nothing else."""
    own_id = event_id(now, bare.digest, bare.version, EventType.CUSTOMER_ERASED)
    body: CustomerErasedJson = {
        "id": own_id,
        "type": EventType.CUSTOMER_ERASED,
        "timestamp": to_rfc3339(now),
        "sequence": bare.version,
        "merchant_id": bare.merchant_id,
        "data": {
            "checkout_ids": [bare.id],
            "episode_ids": [row["epi"]] if isinstance(row.get("epi"), str) else [],
        },
    }
    return EventRecord(
        id=own_id,
        type=EventType.CUSTOMER_ERASED.value,
        at=now,
        merchant_id=bare.merchant_id,
        checkout_digest=bare.digest,
        version=bare.version,
        body=json.dumps(body, separators=(",", ":")).encode(),
        endpoint_ids=tuple(recipients),
        do_not_send_after=None,
        expires_at=retention_end(bare, settings),
    )
