"""What is remembered of a shopper's identifiers: purchase, open episode, caps, suppressions. Hashes only."""

import contextlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.consent import Channel
from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId
from shared.domain.instants import from_ms, to_ms
from shared.domain.shopper import UNKNOWN_SHOPPER, Shopper
from shared.store import keys
from shared.store.conditions import Attr, Condition
from shared.store.expiry import emptied
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Check, Delete, Item, Put, Update

REMEMBERED_FOR = timedelta(days=90)
_CAP = "cap_"
"""Attributes of vendors' caps: this and the channel."""


@dataclass(frozen=True, slots=True)
class ShopperRecord:
    """One identifier's memory; ``version`` is 0 where nothing is stored yet."""

    identity: Identity
    version: int = 0
    episode_id: EpisodeId | None = None
    memory: Shopper = UNKNOWN_SHOPPER
    listed: bool = False
    """Whether the row stands in the list index; else a checkout, its episode or its order names it as long as it is
    kept."""
    kept_until: datetime | None = None

    @property
    def purchased_at(self) -> datetime | None:
        """When the shopper last bought anything, anywhere."""
        return self.memory.purchased_at


class ShopperStore:
    """Identity rows. Every piece is conditional on the record as it was read, unless it says otherwise."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get_many(self, identities: Iterable[Identity]) -> dict[Identity, ShopperRecord]:
        """A record for every identity, consistently read; an empty one where nothing is stored."""
        wanted = list(dict.fromkeys(identities))
        items = self._table.batch_get(keys.identity(identity) for identity in wanted)
        return {identity: record_of(identity, items.get(keys.identity(identity))) for identity in wanted}

    def get_readable(self, identities: Iterable[Identity]) -> dict[Identity, ShopperRecord]:
        """``get_many`` for several shoppers at once: without records that cannot be read.

        Whoever finds one missing must leave that shopper alone: it may hold an opt-out.
        """
        wanted = {keys.identity(identity): identity for identity in identities}
        items = self._table.batch_get(wanted)
        found = {identity: ShopperRecord(identity) for key, identity in wanted.items() if key not in items}
        read = self._table.readable(items.values(), lambda item: record_of(wanted[item["pk"], item["sk"]], item))
        return found | {record.identity: record for record in read}

    def write(self, update: Update) -> None:
        """Write one piece alone. Raises ConditionFailed."""
        self._table.update(update)

    @staticmethod
    def unchanged(record: ShopperRecord) -> Check:
        """That the record still stands as it was read, as a piece of a transaction."""
        return Check(keys.identity(record.identity), _as_read(record))

    @staticmethod
    def purchased(
        record: ShopperRecord,
        bought_at: datetime,
        cooldown_until: datetime,
        now: datetime,
        ends: datetime | None = None,
        *,
        begun_since: bool = False,
    ) -> Update:
        """Remember a purchase and let go of the open episode; of several purchases the latest instants stay.

        ``ends``: when the order that names the identifier goes; None where the row must be found by itself.
        ``begun_since``: the open episode is of after the purchase, and stays held.
        """
        latest = max(bought_at, record.purchased_at or bought_at)
        rest = max(cooldown_until, record.memory.cooldown_until or cooldown_until)
        life = _Life.of(record, now, ends)
        return Update(
            key=keys.identity(record.identity),
            set={"po": to_ms(latest), "cd": to_ms(rest), **life.set},
            set_if_absent=life.listed,
            add={"v": 1},
            remove=life.removed if begun_since else ("ep", *life.removed),
            condition=_as_read(record),
        )

    @staticmethod
    def joined(
        record: ShopperRecord, episode_id: EpisodeId, floor: datetime, now: datetime, ends: datetime | None = None
    ) -> Update:
        """Hold the open episode, unless the shopper bought at or after ``floor`` or holds another one.

        Not conditional on the version: a message or a suppression in between does not matter. ``ends``: when the
        episode that names the identifier goes; None where the row must be found by itself.
        """
        not_bought = Attr("po").not_exists() | Attr("po").lt(to_ms(floor))
        free: Condition = Attr("ep").not_exists() | Attr("ep").eq(episode_id)
        if record.episode_id is not None:
            free |= Attr("ep").eq(record.episode_id)
        life = _Life.of(record, now, ends)
        condition = not_bought & free if life.still is None else not_bought & free & life.still
        if not record.memory.suppressed:
            # A suppression written meanwhile took the row's end away: read again, or it would come back.
            condition &= Attr("sup").not_exists()
        return Update(
            key=keys.identity(record.identity),
            set={"ep": episode_id, **life.set},
            set_if_absent=life.listed,
            add={"v": 1},
            remove=life.removed,
            condition=condition,
        )

    @staticmethod
    def moved(identity: Identity, from_episode: EpisodeId, to_episode: EpisodeId) -> Update:
        """Hold another episode in place of the one that was joined to it."""
        return Update(
            key=keys.identity(identity),
            set={"ep": to_episode},
            add={"v": 1},
            condition=Attr("ep").eq(from_episode),
        )

    def forget_episode(self, identity: Identity, episode_id: EpisodeId, now: datetime) -> None:
        """Let go of an episode that was taken back; a row that holds nothing else goes with it.

        What is left lives longer than whoever named it before, and is found by itself.
        """
        nothing_else = Attr("v").eq(1) & Attr("ep").eq(episode_id)
        with contextlib.suppress(ConditionFailed):
            self._table.put(Put(emptied(keys.identity(identity), now).item, nothing_else))
            return
        with contextlib.suppress(ConditionFailed):
            self._table.update(replace(self.released(identity, episode_id), set_if_absent=_listed(identity)))

    @staticmethod
    def released(identity: Identity, episode_id: EpisodeId) -> Update:
        """Let go of an episode that has ended, if it is the one held; fails harmlessly where it is not."""
        return Update(key=keys.identity(identity), remove=("ep",), add={"v": 1}, condition=Attr("ep").eq(episode_id))

    def messaged(self, identity: Identity, at: datetime, *, discount: bool = False) -> None:
        """Remember the last hand-over of a message (and of a discount), whatever else is written meanwhile."""
        self._note(identity, {"lm": to_ms(at)} | ({"ld": to_ms(at)} if discount else {}), at)

    def capped(self, identity: Identity, channels: Iterable[Channel], until: datetime, now: datetime) -> None:
        """Remember until when a vendor takes no marketing for this person over these channels; the later word stays."""
        for channel in channels:
            name = f"{_CAP}{channel.value}"
            with contextlib.suppress(ConditionFailed):
                earlier = Attr(name).not_exists() | Attr(name).lt(to_ms(until))
                self._note(identity, {name: to_ms(until)}, now, earlier)

    def _note(
        self, identity: Identity, values: Mapping[str, int], now: datetime, only: Condition | None = None
    ) -> None:
        """Set values; a row that holds a suppression lives for ever, any other for 90 days from now.

        Raises ConditionFailed where the row is not as ``only`` says.
        """
        key = keys.identity(identity)
        mortal, first = {**values, "ttl": _ttl(now)}, _listed(identity)
        condition: Condition = Attr("sup").not_exists()
        condition = condition if only is None else condition & only
        try:
            self._table.update(Update(key, set=mortal, set_if_absent=first, add={"v": 1}, condition=condition))
        except ConditionFailed:
            self._table.update(Update(key, set=values, add={"v": 1}, condition=only))

    @staticmethod
    def remembering(record: ShopperRecord, suppressed: Mapping[Channel, str], now: datetime) -> Update:
        """Replace the suppressions (``suppression.suppressed`` / ``lifted``); while there are any, no TTL."""
        held = {channel.value: reason for channel, reason in suppressed.items()}
        return Update(
            key=keys.identity(record.identity),
            set={"sup": held} if held else {"ttl": _ttl(now)},
            set_if_absent=_listed(record.identity),
            add={"v": 1},
            remove=("ttl",) if held else ("sup",),
            condition=_as_read(record),
        )

    @staticmethod
    def cut(record: ShopperRecord) -> Update | Delete | None:
        """Keep only the last purchase and the suppressions, for an erasure; None where there is nothing to cut.

        What is left is found by itself: the checkout names nobody any more.
        """
        if record.version == 0:
            return None
        if record.memory.purchased_at is None and not record.memory.suppressed:
            return Delete(keys.identity(record.identity), _as_read(record))
        return Update(
            key=keys.identity(record.identity),
            set_if_absent=_listed(record.identity),
            remove=("ep", "cd", "lm", "cap", "ld", *(f"{_CAP}{channel.value}" for channel in Channel)),
            add={"v": 1},
            condition=_as_read(record),
        )

    @staticmethod
    def found_by_itself(record: ShopperRecord) -> Update | None:
        """Into the list index, where whoever names the identifier is about to forget it; None where it need not be."""
        if record.version == 0 or record.listed:
            return None
        return Update(keys.identity(record.identity), set=_listed(record.identity), condition=Attr("v").exists())

    def find_by_themselves(self, identities: Collection[Identity]) -> None:
        """``found_by_itself``, each alone."""
        for record in self.get_many(identities).values() if identities else ():
            update = self.found_by_itself(record)
            if update is not None:
                with contextlib.suppress(ConditionFailed):  # it is gone
                    self._table.update(update)


def record_of(identity: Identity, item: Item | None) -> ShopperRecord:
    """The record of an identity row, an empty one for None."""
    if item is None:
        return ShopperRecord(identity)
    return ShopperRecord(
        identity=identity,
        version=int(item.get("v", 0)),
        episode_id=EpisodeId(item["ep"]) if "ep" in item else None,
        memory=Shopper(
            purchased_at=_instant(item, "po"),
            cooldown_until=_instant(item, "cd"),
            last_message_at=_instant(item, "lm"),
            capped=_capped(item),
            last_discount_at=_instant(item, "ld"),
            suppressed={Channel(name): str(reason) for name, reason in item.get("sup", {}).items()},
        ),
        listed="lp" in item,
        kept_until=from_ms(int(item["ttl"]) * 1000) if "ttl" in item else None,
    )


def _capped(item: Item) -> dict[Channel, datetime]:
    """By channel. What an older release wrote counts for all of them, as it did."""
    of_all = _instant(item, "cap")
    found = {channel: _instant(item, f"{_CAP}{channel.value}") or of_all for channel in Channel}
    return {channel: until for channel, until in found.items() if until is not None}


def _instant(item: Item, name: str) -> datetime | None:
    return from_ms(int(item[name])) if name in item else None


def _as_read(record: ShopperRecord) -> Condition:
    return Attr("v").eq(record.version) if record.version else Attr("v").not_exists()


@dataclass(frozen=True, slots=True)
class _Life:
    """How long a row lives after a write, and how it is found until then.

    For ever while it holds a suppression; 90 days where it stands in the list index; else as long as who names it.
    """

    set: Mapping[str, int]
    listed: Mapping[str, str]
    removed: tuple[str, ...]
    still: Condition | None
    """That nobody has given the row a longer life since it was read, where this life may be shorter."""

    @classmethod
    def of(cls, record: ShopperRecord, now: datetime, ends: datetime | None) -> "_Life":
        listed = _listed(record.identity)
        if record.memory.suppressed:
            return cls({}, listed, ("ttl",), None)
        if ends is None or record.listed:
            return cls({"ttl": _ttl(now)}, listed, (), None)
        ttl = to_ms(max(ends, record.kept_until or ends)) // 1000
        return cls({"ttl": ttl}, {}, (), Attr("ttl").not_exists() | Attr("ttl").lte(ttl))


def _listed(identity: Identity) -> dict[str, str]:
    return keys.owned(identity.merchant_id, keys.identity(identity)[0])


def _ttl(now: datetime) -> int:
    return to_ms(now + REMEMBERED_FOR) // 1000
