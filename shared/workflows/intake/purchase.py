"""A purchase: one transaction over the checkout, the order, the shopper's identities and the open episode.

After it is written no step's claim can succeed, because a claim is conditional on the episode it ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.aws.stores import Stores
from shared.domain.change import CheckoutChange
from shared.domain.checkout import Checkout, Status
from shared.domain.deadline import PURCHASE_SLACK, bought_elsewhere
from shared.domain.identity import Identity, IdentityHasher, IdentityKind
from shared.domain.ids import EpisodeId, checkout_digest
from shared.domain.reversal import TakenBack, together
from shared.domain.settings import Settings
from shared.domain.transitions import Applied, Arrival, Effect, apply, is_duplicate, purchased_at, row_end
from shared.store import keys
from shared.store.checkout_item import from_item
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeStore
from shared.store.orders import (
    OrderRecord,
    OrderRow,
    OrderStore,
    name_of_order,
    names_of_order,
    order_moved,
    order_noted,
    order_put,
    order_row,
    taken_back,
)
from shared.store.shoppers import ShopperRecord, ShopperStore, record_of
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Put, Write
from shared.workflows.intake.contention import ROUNDS, pause

_EPISODE_ENDED_BY_PURCHASE = "purchased"
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Known:
    """What stands in the table before the purchase is written."""

    checkout: Checkout | None
    row: OrderRow
    """What stands under the order's name: the order, or only what was taken back of it."""
    before: OrderRecord | None
    """The same purchase as recorded under its other name: one of its two webhooks names the order, one only the
    checkout."""
    shoppers: dict[Identity, ShopperRecord]

    @property
    def bought_at(self) -> datetime | None:
        """When the purchase was, where it is recorded already."""
        known = self.row.order or self.before
        return None if known is None else known.bought_at


class Purchases:
    """Writes purchases, each once, whatever arrives how often and in which order."""

    def __init__(
        self,
        table: Table,
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        episodes: EpisodeStore,
        hasher: IdentityHasher,
    ) -> None:
        """Share the stores of one process."""
        self._table = table
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._episodes = episodes
        self._orders = OrderStore(table)
        self._hasher = hasher

    def record(self, change: CheckoutChange, arrival: Arrival) -> Applied:
        """Record the purchase. Raises StoreUnavailable when others kept writing: the provider must try again."""
        joined = self.joined(change, arrival)
        missing_episodes: frozenset[EpisodeId] = frozenset()
        for round_number in range(ROUNDS):
            known = self._read(joined, arrival)
            if known.checkout is not None and (known.checkout.erased or is_duplicate(known.checkout, joined)):
                return Applied(known.checkout, Effect.DUPLICATE, None)
            if known.checkout is not None and _told_by_another(joined, known.checkout, known.shoppers, arrival):
                return Applied(known.checkout, Effect.DUPLICATE, None)
            applied = apply(known.checkout, joined, arrival)
            if known.bought_at is not None and applied.mark is None:
                applied = replace(applied, effect=Effect.DUPLICATE)
            writes, episodes = self._writes(joined, arrival, known, applied, missing_episodes)
            try:
                self._table.transact(writes)
            except TransactionCancelled as cancelled:
                refused = [own.failed_condition for own in cancelled.reasons]
                at = len(writes) - len(episodes)
                missing_episodes |= {own for own, failed in zip(episodes, refused[at:], strict=False) if failed}
                pause(round_number)
            else:
                return applied
        raise StoreUnavailable("the checkout kept changing")

    def joined(self, change: CheckoutChange, arrival: Arrival) -> CheckoutChange:
        """The change under the checkout it belongs to, where it names that only by a cart token or a contact."""
        merchant_id = arrival.merchant_id
        if not change.join_tokens and not change.join_contact:
            return change
        for token in change.join_tokens:
            identity = self._hasher.identity(merchant_id, IdentityKind.CART, token)
            found = self._same_source(self._checkouts.by_identity(identity), arrival)
            if found:
                begun = [own for own in found if not own.before_checkout] or found
                return replace(change, external_id=begun[0].external_id)
        if not change.join_contact:
            return change
        contacts = self._hasher.identities(merchant_id, change.leaves)
        for kind in (IdentityKind.CUSTOMER, IdentityKind.PHONE, IdentityKind.EMAIL):
            if kind in contacts:
                since = arrival.at - arrival.settings.recovery_horizon - arrival.settings.retention
                digests = self._checkouts.by_identity(contacts[kind], since=since)
                found = self._same_source(digests, arrival)
                unfinished = [own for own in found if own.status.unfinished and not own.sample]
                if unfinished:
                    return replace(change, external_id=unfinished[0].external_id)
        return change

    def _same_source(self, digests: list[str], arrival: Arrival) -> list[Checkout]:
        """The checkouts among the newest digests that came through this source, newest first."""
        found = self._checkouts.get_readable(digests[:20])
        ordered = [found[digest] for digest in digests[:20] if digest in found]
        return [own for own in ordered if own.source_id == arrival.source_id and not own.erased]

    def _read(self, change: CheckoutChange, arrival: Arrival) -> _Known:
        """Checkout, order and the payload's identities in one call; identities only the checkout knows in a second."""
        digest = checkout_digest(arrival.merchant_id, arrival.source_id, change.external_id)
        of_payload = list(self._hasher.identities(arrival.merchant_id, change.leaves).values())
        of_payload += [
            self._hasher.identity(arrival.merchant_id, IdentityKind.CART, token) for token in change.join_tokens
        ]
        checkout_key, order_key = keys.checkout(digest), keys.order(arrival.source_id, _order_name(change))
        rows = self._table.batch_get([checkout_key, order_key, *map(keys.identity, of_payload)])
        shoppers = {own: record_of(own, rows.get(keys.identity(own))) for own in of_payload}
        checkout = from_item(rows[checkout_key]) if checkout_key in rows else None
        row, before = order_row(rows.get(order_key)), None
        if checkout is not None:
            others = [own for own in self._hasher.of_checkout(checkout).values() if own not in shoppers]
            shoppers |= self._shoppers.get_many(others) if others else {}
            if row.order is None and _may_be_told_again(checkout, change):
                before = self._orders.get(arrival.source_id, _name_of_order(checkout)).order
        return _Known(checkout, row, before, shoppers)

    def _writes(
        self,
        change: CheckoutChange,
        arrival: Arrival,
        known: _Known,
        applied: Applied,
        missing_episodes: frozenset[EpisodeId],
    ) -> tuple[list[Write], list[EpisodeId]]:
        """The transaction, its episodes last."""
        bought_at = known.bought_at or purchased_at(change, arrival)
        settings = arrival.settings
        writes: list[Write] = [
            self._checkouts.replacement(
                known.checkout, applied.checkout, applied.mark, settings, change=change, at=arrival.at
            )
        ]
        order = self._order_writes(change, arrival, known, applied.checkout, bought_at)
        writes += order
        cooldown_until = bought_at + settings.cooldown
        since = self._begun_since(known, applied.checkout, bought_at, arrival.at)
        repeated = known.bought_at is not None
        fresh = [own for own in known.shoppers.values() if not repeated or not _knows(own, bought_at)]
        ends, named = _memory_end(applied.checkout, settings, bought_at), _named_by(order)
        writes += [
            self._shoppers.purchased(
                *(own, bought_at, cooldown_until, arrival.at),
                ends if _as_named(own.identity) in named else None,
                begun_since=own.episode_id in since,
            )
            for own in fresh
        ]
        open_episodes = {own.episode_id for own in fresh if own.episode_id is not None} - since
        if not repeated and known.checkout is not None and known.checkout.episode_id is not None:
            open_episodes.add(EpisodeId(known.checkout.episode_id))
        ended = sorted(open_episodes - missing_episodes)
        writes += [self._episodes.ended(own, _EPISODE_ENDED_BY_PURCHASE, arrival.at) for own in ended]
        return writes, ended

    def _begun_since(
        self, known: _Known, checkout: Checkout, bought_at: datetime, now: datetime
    ) -> frozenset[EpisodeId]:
        """The shopper's open episodes about a checkout that they began after a purchase which is told late."""
        if now - bought_at <= PURCHASE_SLACK:
            return frozenset()
        held = {own.episode_id for own in known.shoppers.values() if own.episode_id is not None}
        episodes = self._episodes.get_readable(own for own in held if own != checkout.episode_id)
        newest = {own.id: own.newest_checkout for own in episodes.values()}
        about = self._checkouts.get_readable({own for own in newest.values() if own is not None} - {checkout.digest})
        return frozenset(
            episode_id
            for episode_id, digest in newest.items()
            if digest in about and about[digest].status.unfinished and not bought_elsewhere(about[digest], bought_at)
        )

    @staticmethod
    def _order_writes(
        change: CheckoutChange, arrival: Arrival, known: _Known, checkout: Checkout, bought_at: datetime
    ) -> list[Write]:
        """One row for one purchase: new, or in place of the row that it had before its order's id was told."""
        row, before = known.row, known.before
        if row.order is not None:
            return _reinstated(row, row.order, change, arrival)
        if before is not None and (change.order is None or change.order.id is None):
            return []
        ends = row_end(checkout, arrival.settings)
        order = OrderRecord(
            merchant_id=arrival.merchant_id,
            source_id=arrival.source_id,
            order_id=_order_name(change),
            checkout_digest=checkout.digest,
            bought_at=bought_at,
            identities=tuple(dict.fromkeys((*known.shoppers, *(before.identities if before else ())))),
            correlation_id=change.correlation_id,
            taken_back=together(row.taken_back, None if before is None else before.taken_back, _standing(change)),
        )
        named = order.order_id in names_of_order(checkout)
        writes: list[Write] = [order_put(order, ends, row, named=named and row.revision == 0)]
        if before is not None:
            writes.append(order_moved(before, arrival.at))
        if not named:
            writes.append(order_noted(order, ends))
        return writes


def _reinstated(row: OrderRow, order: OrderRecord, change: CheckoutChange, arrival: Arrival) -> list[Write]:
    """The provider shows a cancelled order as placed again. That it stands is no news of any other."""
    known = together(row.taken_back, _standing(change))
    if known is None or row.taken_back is None or known.cancelled is row.taken_back.cancelled or order.forgotten:
        return []
    key = (arrival.source_id, order.order_id)
    return [taken_back(key, row, known, arrival.merchant_id, ends=arrival.at, cause=change.correlation_id)]


def _as_named(identity: Identity) -> tuple[str, str]:
    return identity.kind.value, identity.mac


def _named_by(order: list[Write]) -> set[tuple[str, str]]:
    """The identifiers that are found by a new order which its checkout names."""
    new = (own.item for own in order if isinstance(own, Put) and "oid" in own.item and "lp" not in own.item)
    return {named for item in new for named in item["who"].items()}


def _memory_end(checkout: Checkout, settings: Settings, bought_at: datetime) -> datetime | None:
    """Until when the purchase is remembered with its checkout; None where somebody may ask for it after that.

    The latest to ask are the rest after a purchase, and a checkout that was idle before it, until its horizon ends.
    """
    asked = settings.recovery_horizon + max(settings.idle_after, settings.payment_pending_after) + _A_DAY
    ends = row_end(checkout, settings)
    return ends if ends >= bought_at + max(settings.cooldown, asked) else None


def _knows(record: ShopperRecord, bought_at: datetime) -> bool:
    """Whether the identifier's memory holds this purchase, or a later one: a repeat must not end what began since."""
    return record.purchased_at is not None and record.purchased_at >= bought_at


def _told_by_another(
    change: CheckoutChange, checkout: Checkout, shoppers: Mapping[Identity, ShopperRecord], arrival: Arrival
) -> bool:
    """Whether a purchase at second hand is that of the checkout which took this one's place, or is known of already."""
    if not change.second_hand or checkout.status.purchased:
        return False
    at = purchased_at(change, arrival)
    known = (own.purchased_at for own in shoppers.values() if own.purchased_at is not None)
    return checkout.status is Status.SUPERSEDED or any(abs(own - at) <= PURCHASE_SLACK for own in known)


def _may_be_told_again(checkout: Checkout, change: CheckoutChange) -> bool:
    """Whether the purchase may be the one that ended the checkout already: one of the two names no order."""
    told = checkout.order.id if checkout.order else None
    named = change.order.id if change.order else None
    return checkout.status.purchased and (told is None) is not (named is None)


def _standing(change: CheckoutChange) -> TakenBack | None:
    """As of when the provider shows the order as placed."""
    at = change.order.stands_at if change.order else None
    return None if at is None else TakenBack(stands_at=at)


def _order_name(change: CheckoutChange) -> str:
    """What names the purchase's order."""
    return name_of_order(change.order.id if change.order else None, change.external_id)


def _name_of_order(checkout: Checkout) -> str:
    """What names the order that ended the checkout."""
    return name_of_order(checkout.order.id if checkout.order else None, checkout.external_id)


def purchases_over(stores: Stores) -> Purchases:
    """What writes purchases over a process's stores."""
    table = stores.table
    return Purchases(table, stores.checkouts, ShopperStore(table), EpisodeStore(table), stores.hasher)
