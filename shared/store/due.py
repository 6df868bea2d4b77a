"""The due index: what is due now in one shard of one kind, and nothing else is read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Update


@dataclass(frozen=True, slots=True)
class DueRow:
    """A due item's key and the due time (ms) it was seen at."""

    key: ItemKey
    seen: int


@dataclass(frozen=True, slots=True)
class DuePage:
    """Rows of one shard that are due, earliest first; ``last``: no more of them follow."""

    rows: list[DueRow]
    last: bool


class DueStore:
    """The sparse, sharded due index."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def put_off(self, row: DueRow, until: datetime) -> bool:
        """Look at the row again at ``until``; False where it was moved since it was seen, or is gone."""
        try:
            self._table.update(Update(row.key, set={"da": to_ms(until)}, condition=Attr("da").eq(row.seen)))
        except ConditionFailed:
            return False
        return True

    def pages(self, kind: str, shard: int, now: datetime, size: int = 100) -> Iterable[DuePage]:
        """Everything due at ``now``, earliest first, in pages of at most ``size``."""
        start: Item | None = None
        while True:
            page = self._table.query(
                Key("dq").eq(f"{kind}{shard}") & Key("da").lte(to_ms(now)),
                index=keys.DUE_INDEX,
                limit=size,
                start=start,
            )
            start = page.next_key
            if page.items:
                rows = [DueRow((item["pk"], item["sk"]), int(item["da"])) for item in page.items]
                yield DuePage(rows, last=start is None)
            if start is None:
                return
