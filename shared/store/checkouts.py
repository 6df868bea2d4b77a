"""Checkouts: reading them, the one-call write of a webhook in order, and every other write under its version."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Checkout, Status
from shared.domain.contents import names_in, shape_of
from shared.domain.identity import Identity, IdentityHasher, IdentityKind
from shared.domain.instants import to_ms
from shared.domain.place import REORDERING_WINDOW
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival, Mark, activity_at, event_digest, is_stale
from shared.store import keys, list_keys
from shared.store.checkout_item import (
    CAUSE,
    CONTACT_ATTRIBUTES,
    CONTENTS,
    EVENT_SETS,
    IDENTITY_ATTRIBUTE,
    LISTED_IN,
    OUTBOX,
    RAW,
    UNDIFFED,
    from_item,
    identities_of,
    names_of,
    to_item,
)
from shared.store.conditions import Attr, Condition, Key, none_of
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Put, Update

_AT_CREATION = ("ca", "dq", "da")
_CART_IDENTITY = IDENTITY_ATTRIBUTE[IdentityKind.CART]
_IN_NO_EPISODE = Attr("epi").not_exists()
_DAY_MS = 86_400_000
_DAY = timedelta(days=1)
SHARED_IDENTIFIER = 20
"""An identifier seen on more checkouts than this in a day joins nobody."""


@dataclass(frozen=True, slots=True)
class CheckoutPage:
    """Checkouts of one page and where the next begins."""

    checkouts: list[Checkout]
    next_key: Item | None


class StaleVersion(Exception):
    """The checkout was written meanwhile; ``current`` is what stands there now."""

    def __init__(self, current: Checkout | None) -> None:
        """Keep what was met."""
        super().__init__("checkout changed meanwhile")
        self.current = current


class CheckoutStore:
    """Checkouts in the table. ``due_shards`` is the stage's number of due index shards per kind."""

    def __init__(self, table: Table, hasher: IdentityHasher, due_shards: int) -> None:
        """Share one table and one hasher per process."""
        self._table = table
        self._hasher = hasher
        self._due_shards = due_shards

    def get(self, digest: str) -> Checkout | None:
        """The checkout, consistently read, or None."""
        item = self._table.get(keys.checkout(digest))
        return from_item(item) if item else None

    def get_many(self, digests: Iterable[str]) -> dict[str, Checkout]:
        """The checkouts that exist, by digest, consistently read."""
        items = self._table.batch_get(keys.checkout(digest) for digest in digests)
        found = (from_item(item) for item in items.values())
        return {checkout.digest: checkout for checkout in found}

    def get_readable(self, digests: Iterable[str]) -> dict[str, Checkout]:
        """``get_many`` for a list: without those that cannot be read."""
        items = self._table.batch_get(keys.checkout(digest) for digest in digests)
        return {checkout.digest: checkout for checkout in self._table.readable(items.values(), from_item)}

    def merge_in_order(self, fresh: Checkout, change: CheckoutChange, arrival: Arrival) -> None:
        """Create the checkout or merge activity in order into an open one, in one call and without reading.

        ``fresh`` is the checkout that the event alone makes. Raises StaleVersion with the stored checkout for
        everything else: a duplicate, an event out of order, a checkout that is not open.
        """
        item = self._item(fresh, arrival.settings)
        event_sets = self._remember(change, arrival.at)
        # A cart id does not take the place of the join token that an earlier event may have given.
        kept = _AT_CREATION if "join_token" in change.leaves else (*_AT_CREATION, _CART_IDENTITY)
        apart = {*UNDIFFED, *kept, "lu"}
        update = Update(
            key=keys.checkout(fresh.digest),
            set={name: value for name, value in item.items() if name not in apart}
            | ({"te": Mark.UPDATED.value} if arrival.feed else {})
            | _body_of(change)
            | _caused(change.correlation_id),
            set_if_absent={name: item[name] for name in kept if name in item},
            set_next=("tr", "lu") if arrival.feed else (),
            remove=(*event_sets.forget, *(() if arrival.feed else OUTBOX), *_body_gone(change)),
            add={"v": 1, **event_sets.add},
            condition=_in_order(change, arrival, item["ttl"]),
        )
        self._write(update)

    def replace(
        self,
        old: Checkout | None,
        new: Checkout,
        mark: Mark | None,
        settings: Settings,
        *,
        change: CheckoutChange | None = None,
        at: datetime | None = None,
        cause: str | None = None,
    ) -> None:
        """Write ``new`` where ``old`` still stands (None: where nothing stands). Raises StaleVersion otherwise.

        ``cause``: the correlation id of a webhook about another checkout; a change brings its own.
        """
        self._write(self.replacement(old, new, mark, settings, change=change, at=at, cause=cause))

    def replacement(
        self,
        old: Checkout | None,
        new: Checkout,
        mark: Mark | None,
        settings: Settings,
        *,
        change: CheckoutChange | None = None,
        at: datetime | None = None,
        cause: str | None = None,
    ) -> Update:
        """``replace`` as a piece of a transaction. ``change`` and ``at`` remember the provider's event id."""
        before = {} if old is None else self._item(old, settings)
        after = self._item(new, settings)
        # A replay of days ago must not make today's ids forgotten: its own is remembered as of the newest arrival.
        event_sets = self._remember(change, at if old is None or at is None else max(at, old.updated_at))
        marks = {} if mark is None else {"tr": new.version, "te": mark.value}
        gone = {name for name in before.keys() - after.keys() if name not in UNDIFFED}
        changed = {
            name: value
            for name, value in after.items()
            if name not in UNDIFFED and (name not in before or before[name] != value or name == LISTED_IN)
        }
        bodies = change if change is not None and _is_last(old, new, change, at) else None
        return Update(
            key=keys.checkout(new.digest),
            set=changed
            | marks
            | {"v": new.version}
            | _body_of(bodies)
            | _caused(cause if change is None else change.correlation_id),
            remove=(
                *sorted(gone),
                *event_sets.forget,
                *(OUTBOX if mark is None else ()),
                *_body_gone(bodies),
            ),
            add=event_sets.add,
            condition=Attr("pk").not_exists() if old is None else Attr("v").eq(old.version),
        )

    @staticmethod
    def announced(checkout: Checkout, episode_id: str | None) -> Update:
        """Remember that the abandonment at ``checkout.sequence`` was told, while it is still true; once.

        The episode that the checkout named until now is remembered too.
        """
        values = {"ann": checkout.sequence, "epi": episode_id}
        return Update(
            key=keys.checkout(checkout.digest),
            set={name: value for name, value in values.items() if value is not None},
            add={"v": 1} | _former(checkout, episode_id),
            remove=OUTBOX,
            condition=Attr("st").eq(Status.ABANDONED.value)
            & Attr("sq").eq(checkout.sequence)
            & (Attr("ann").not_exists() | Attr("ann").ne(checkout.sequence)),
        )

    @staticmethod
    def in_episode(checkout: Checkout, episode_id: str) -> Update:
        """Remember the episode that a campaign started for the abandonment at ``checkout.sequence``."""
        return Update(
            key=keys.checkout(checkout.digest),
            set={"epi": episode_id},
            add={"v": 1} | _former(checkout, episode_id),
            remove=OUTBOX,
            condition=Attr("st").eq(Status.ABANDONED.value) & Attr("sq").eq(checkout.sequence),
        )

    def erased(self, row: Item, bare: Checkout, settings: Settings) -> Put:
        """``bare`` in place of everything the row held, readable or not, at the version read.

        It can still be found by its identifiers, and still has its names, so that an erasure that was cut short goes
        on; ``unlisted`` ends that.
        """
        identities = identities_of(row, bare.merchant_id)
        as_read = Attr("v").eq(row["v"]) if "v" in row else Attr("v").not_exists()
        names = {"xn": sorted(found)} if (found := names_of(row)) else {}
        former = {"epw": row["epw"]} if "epw" in row else {}
        return Put(to_item(bare, identities, settings, self._due_shards) | names | former, as_read)

    def cleaned(self, digest: str) -> None:
        """What hung on an erased checkout is gone too; only its identifiers are still needed."""
        self._of_erased(Update(keys.checkout(digest), set={"cln": True}, condition=Attr("era").exists()))

    def unlisted(self, digest: str) -> None:
        """Drop identifiers and names of an erased checkout, also from the indexes; one that is gone stays gone."""
        gone = (*IDENTITY_ATTRIBUTE.values(), *CONTACT_ATTRIBUTES.values(), "xn", "cln")
        self._of_erased(Update(keys.checkout(digest), remove=gone, condition=Attr("era").exists()))

    def _of_erased(self, update: Update) -> None:
        with contextlib.suppress(ConditionFailed):
            self._table.update(update)

    def by_identity(self, identity: Identity, *, since: datetime | None = None) -> list[str]:
        """Digests of the checkouts that carry an identity, newest first; the index may lag by a moment."""
        attribute = IDENTITY_ATTRIBUTE[identity.kind]
        condition: Condition = Key(attribute).eq(identity.mac)
        if since is not None:
            condition &= Key("ca").gte(to_ms(since))
        found = self._table.query_all(condition, index=identity.kind.value)
        return [item["pk"].removeprefix("C#") for item in found][::-1]

    def of_same_cart(self, checkout: Checkout) -> list[str]:
        """Digests of the other checkouts that name the checkout's cart, newest first."""
        cart = self._hasher.of_checkout(checkout).get(IdentityKind.CART)
        return [] if cart is None else [own for own in self.by_identity(cart) if own != checkout.digest]

    def is_shared(self, identity: Identity, now: datetime) -> bool:
        """Whether the identifier stands on too many checkouts of a day to name anybody (a shop's phone)."""
        condition = Key(IDENTITY_ATTRIBUTE[identity.kind]).eq(identity.mac) & Key("ca").gte(to_ms(now - _DAY))
        page = self._table.query(condition, index=identity.kind.value, limit=SHARED_IDENTIFIER + 1)
        return len(page.items) > SHARED_IDENTIFIER

    def listed(
        self,
        partition: str,
        since: datetime | None,
        before: datetime | None,
        *,
        limit: int,
        start: Item | None,
    ) -> tuple[list[str], Item | None]:
        """Digests of one list partition by hour of activity, newest first, and where the next page begins."""
        low, high = list_keys.list_range(since, before)
        page = self._table.query(
            Key("lp").eq(partition) & Key("ls").between(low, high),
            index=keys.LIST_INDEX,
            limit=limit,
            start=start,
            forward=False,
        )
        return [item["pk"].removeprefix("C#") for item in page.items], page.next_key

    def cause_of(self, digest: str) -> str | None:
        """The request that last had a say in the checkout, where one is known."""
        item = self._table.get(keys.checkout(digest))
        return None if item is None else item.get(CAUSE)

    def forget(self, digest: str) -> Sequence[ItemKey]:
        """The keys of everything kept with a checkout: itself, its events, its timeline."""
        return self._table.keys_of(keys.checkout(digest)[0])

    def _item(self, checkout: Checkout, settings: Settings) -> Item:
        return to_item(checkout, self._hasher.of_checkout(checkout), settings, self._due_shards)

    def _write(self, update: Update) -> None:
        try:
            self._table.update(update)
        except ConditionFailed as failed:
            raise StaleVersion(from_item(failed.old) if failed.old else None) from failed

    @staticmethod
    def _remember(change: CheckoutChange | None, at: datetime | None) -> "_EventSets":
        """Event ids are remembered in three sets by day, the oldest of which is dropped: 24 to 48 hours."""
        if change is None or change.event_id is None or at is None:
            return _EventSets({}, ())
        day = to_ms(at) // _DAY_MS
        today, oldest = EVENT_SETS[day % 3], EVENT_SETS[(day + 1) % 3]
        return _EventSets({today: {event_digest(change.event_id)}}, (oldest,))


@dataclass(frozen=True, slots=True)
class _EventSets:
    add: dict[str, set[bytes]]
    forget: tuple[str, ...]


def _former(checkout: Checkout, episode_id: str | None) -> dict[str, set[str]]:
    """The episode that the checkout is in no more."""
    former = checkout.episode_id
    return {} if former is None or episode_id in {None, former} else {"epw": {former}}


def _in_order(change: CheckoutChange, arrival: Arrival, ends: int) -> Condition:
    """Nothing stands there, or an open checkout to which the event is new and in order.

    ``ends``: the row's time after it (seconds), which may not come nearer under an episode (``row_end``).
    """
    if not change.order_key.value:
        return Attr("pk").not_exists()
    ordered: Condition = Attr("o").lte(change.order_key.value)
    if change.order_key.clockless:
        ordered |= Attr("oa").lt(to_ms(arrival.at - REORDERING_WINDOW))
    acted_at = to_ms(activity_at(change, arrival))
    condition = Attr("st").eq(Status.OPEN.value) & ordered & Attr("la").lte(acted_at)
    # What comes later than something that arrived after it (a replay, a retry) is for the domain to judge.
    condition &= Attr("ua").lte(to_ms(arrival.at)) & (_IN_NO_EPISODE | Attr("ttl").lte(ends))
    if change.event_id is None:
        condition &= Attr("lb").ne(change.body_digest)
    else:
        for name in EVENT_SETS:
            condition &= ~Attr(name).contains(event_digest(change.event_id))
    return Attr("pk").not_exists() | (condition & _leaves_nothing_behind(change))


def _leaves_nothing_behind(change: CheckoutChange) -> Condition:
    """Whatever the event does not name is not there, or its origin is on record: the last one named the same.

    Otherwise who writes must know what was there, to record where it is from.
    """
    return Attr("shp").eq(shape_of(change)) | _nothing_else(names_in(change))


@lru_cache(maxsize=256)
def _nothing_else(named: frozenset[str]) -> Condition:
    return none_of(["og", *(attribute for name, attribute in CONTENTS.items() if name not in named)])


def _caused(correlation_id: str | None) -> Item:
    return {} if correlation_id is None else {CAUSE: correlation_id}


def _is_last(old: Checkout | None, new: Checkout, change: CheckoutChange, at: datetime | None) -> bool:
    """Whether the change's body is the last accepted one: an older one would not be what the checkout says now.

    A purchase moves the checkout whenever it comes, so its body counts.
    """
    if old is None:
        return True
    if old.last_body == new.last_body:
        return False
    if at is None or not change.order_key.value or change.signal is Signal.PURCHASED:
        return True
    return not is_stale(old, change, at)


def _body_of(change: CheckoutChange | None) -> Item:
    return {} if change is None or change.raw is None or change.bodiless else {RAW: change.raw}


def _body_gone(change: CheckoutChange | None) -> tuple[str, ...]:
    """The kept body, where the change has one of its own that may not be kept."""
    return () if change is None or change.raw is not None or change.bodiless else (RAW,)
