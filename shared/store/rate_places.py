"""Places in a rate, given out by all workers together: one row per rate, each write conditional on the version it read.

What is kept are the places given lately, as lots (``shared.domain.rate_limit``).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.domain.instants import from_ms, to_ms
from shared.domain.rate_limit import Lot, RateLimit
from shared.store.conditions import Attr
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Update

_KEPT_FOR = timedelta(hours=1)
_ROUNDS = 20
"""Every lost round is another worker's success: as many workers at once as this all find their places."""


class RatePlaces:
    """Gives out places."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def reserve(
        self,
        key: ItemKey,
        row: Item | None,
        limit: RateLimit,
        wanted: int,
        now: datetime,
        latest: datetime,
        missed: Sequence[datetime] = (),
    ) -> list[datetime] | None:
        """Up to ``wanted`` places of the rate at ``key``, none beyond ``latest``: one write.

        ``row`` is what was read there. ``missed`` places are given back. None where so many others reserved at the
        same time that no round was won.
        """
        now = from_ms(to_ms(now))  # as it is stored
        for _ in range(_ROUNDS):
            version = int(row["version"]) if row else 0
            places, lots = limit.reserve(_lots(row), wanted, now, latest, missed)
            if not places:
                return []
            try:
                self._write(key, limit, lots, version)
            except ConditionFailed as failed:
                row = failed.old
                continue
            return places
        return None

    def take(self, key: ItemKey, limit: RateLimit, now: datetime) -> bool:
        """Whether there is room at once for one more in the rate at ``key``; it is counted then: a read and a write.

        False, too, where so many others took some at the same time that no round was won.
        """
        now, row = from_ms(to_ms(now)), self._table.get(key)
        for _ in range(_ROUNDS):
            lots = limit.take(_lots(row), now)
            if lots is None:
                return False
            try:
                self._write(key, limit, lots, int(row["version"]) if row else 0)
            except ConditionFailed as failed:
                row = failed.old
                continue
            return True
        return False

    def _write(self, key: ItemKey, limit: RateLimit, lots: Sequence[Lot], version: int) -> None:
        """What is remembered from now on, over the version read (0: none). Raises ConditionFailed."""
        values = {
            "lots": [[to_ms(own.at), own.count] for own in lots],
            "version": version + 1,
            "ttl": to_ms(lots[-1].at + limit.per + _KEPT_FOR) // 1000,
        }
        expected = Attr("version").eq(version) if version else Attr("pk").not_exists()
        self._table.update(Update(key, set=values, condition=expected))


def _lots(row: Mapping[str, Any] | None) -> list[Lot]:
    return [Lot(from_ms(int(at)), int(count)) for at, count in (row or {}).get("lots", ())]
