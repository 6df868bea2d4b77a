"""The merchant's list of suppressions: what the identity rows hold, once more, so that it can be listed.

Every piece here goes into the transaction that writes the identity row. Hashes only, no contact; no TTL.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.domain.consent import Channel
from shared.domain.episode import Episode
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.conditions import Attr, Key
from shared.store.table import Table
from shared.store.writes import Delete, Item, Update


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Why and since when one channel is closed."""

    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Suppression:
    """One identifier that is not to be contacted, by channel."""

    identity: Identity
    channels: Mapping[Channel, Suppressed]


class SuppressionStore:
    """The list of a merchant's suppressions."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, identity: Identity) -> Suppression | None:
        """The identifier's entry, or None."""
        item = self._table.get(keys.suppression(identity))
        return None if item is None else _suppression(identity.merchant_id, item)

    def listed(self, merchant_id: MerchantId, *, limit: int, after: str | None) -> tuple[list[Suppression], str | None]:
        """One page in the order of the hashes, and the place after which the next begins."""
        partition, prefix = keys.merchant(merchant_id), keys.SUPPRESSION_PREFIX
        start = {"pk": partition, "sk": prefix + after} if after else None
        condition = Key("pk").eq(partition) & Key("sk").begins_with(prefix)
        page = self._table.query(condition, limit=limit, start=start, consistent=True)
        last = page.next_key["sk"].removeprefix(prefix) if page.next_key else None
        return list(self._table.readable(page.items, partial(_suppression, merchant_id))), last

    @staticmethod
    def added(identity: Identity, channels: Iterable[Channel], reason: str, at: datetime) -> Update:
        """Close these channels; what is closed already keeps its first reason and time."""
        values: dict[str, object] = {}
        for channel in channels:
            values |= {f"r_{channel}": reason, f"a_{channel}": to_ms(at)}
        return Update(key=keys.suppression(identity), set_if_absent=values)

    @staticmethod
    def lifted(identity: Identity, gone: Iterable[Channel], left: Iterable[Channel]) -> Update | Delete:
        """Open these channels again; without any ``left`` the entry goes."""
        key = keys.suppression(identity)
        if not any(True for _ in left):
            return Delete(key)
        return Update(key=key, remove=[f"{part}_{channel}" for channel in gone for part in ("r", "a")])


def channels_closed(episode: Episode, channels: Iterable[str]) -> Update:
    """Close channels for the rest of an open episode, at the version it was read at."""
    return Update(
        key=keys.episode(episode.id),
        set={"shut": sorted({*episode.closed_channels, *channels})},
        add={"v": 1},
        condition=Attr("v").eq(episode.version),
    )


def _suppression(merchant_id: MerchantId, item: Item) -> Suppression:
    kind, _, mac = item["sk"].removeprefix(keys.SUPPRESSION_PREFIX).partition("#")
    closed = {
        channel: Suppressed(str(item[f"r_{channel}"]), from_ms(int(item[f"a_{channel}"])))
        for channel in Channel
        if f"r_{channel}" in item
    }
    return Suppression(Identity(merchant_id, IdentityKind(kind), mac), closed)
