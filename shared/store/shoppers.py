"""What is remembered of a shopper's identifiers: last purchase, open episode, cooldown. Hashes only, no contact."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from boto3.dynamodb.conditions import Attr, ConditionBase

from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.table import Item, Table, Update

REMEMBERED_FOR = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class ShopperRecord:
    """One identifier's memory; ``version`` is 0 where nothing is stored yet."""

    identity: Identity
    version: int = 0
    purchased_at: datetime | None = None
    episode_id: EpisodeId | None = None
    cooldown_until: datetime | None = None


class ShopperStore:
    """Identity rows."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get_many(self, identities: Iterable[Identity]) -> dict[Identity, ShopperRecord]:
        """A record for every identity, consistently read; an empty one where nothing is stored."""
        wanted = list(dict.fromkeys(identities))
        items = self._table.batch_get(keys.identity(identity) for identity in wanted)
        return {identity: record_of(identity, items.get(keys.identity(identity))) for identity in wanted}

    @staticmethod
    def purchased(record: ShopperRecord, bought_at: datetime, cooldown_until: datetime, now: datetime) -> Update:
        """Remember a purchase and let go of the open episode, if the record still stands as read."""
        latest = max(bought_at, record.purchased_at or bought_at)
        return Update(
            key=keys.identity(record.identity),
            set={"po": to_ms(latest), "cd": to_ms(cooldown_until), "ttl": _ttl(now)},
            add={"v": 1},
            remove=("ep",),
            condition=_as_read(record),
        )

    @staticmethod
    def joined(record: ShopperRecord, episode_id: EpisodeId, floor: datetime, now: datetime) -> Update:
        """Hold the open episode, unless the shopper bought at or after ``floor`` or holds another one."""
        not_bought = Attr("po").not_exists() | Attr("po").lt(to_ms(floor))
        free: ConditionBase = Attr("ep").not_exists() | Attr("ep").eq(episode_id)
        if record.episode_id is not None:
            free |= Attr("ep").eq(record.episode_id)
        return Update(
            key=keys.identity(record.identity),
            set={"ep": episode_id, "ttl": _ttl(now)},
            add={"v": 1},
            condition=not_bought & free,
        )


def record_of(identity: Identity, item: Item | None) -> ShopperRecord:
    """The record of an identity row, an empty one for None."""
    if item is None:
        return ShopperRecord(identity)
    return ShopperRecord(
        identity=identity,
        version=int(item.get("v", 0)),
        purchased_at=from_ms(int(item["po"])) if "po" in item else None,
        episode_id=EpisodeId(item["ep"]) if "ep" in item else None,
        cooldown_until=from_ms(int(item["cd"])) if "cd" in item else None,
    )


def _as_read(record: ShopperRecord) -> ConditionBase:
    return Attr("v").eq(record.version) if record.version else Attr("v").not_exists()


def _ttl(now: datetime) -> int:
    return to_ms(now + REMEMBERED_FOR) // 1000
