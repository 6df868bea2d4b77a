"""How far the daily walk over all merchants' facts has come: one row, by which a walk that was cut short goes on."""

from dataclasses import dataclass
from datetime import date

from shared.domain.ids import MerchantId
from shared.store import keys
from shared.store.table import Table
from shared.store.writes import Put


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk of one UTC day.

    ``after``: the last merchant that is done, None before the first. ``at``: whose files are being written, ``day``:
    the last of its days that is done. ``done``: nothing is left of the walk.
    """

    of: date
    after: MerchantId | None = None
    at: MerchantId | None = None
    day: date | None = None
    done: bool = False


class FactWalkStore:
    """The row."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self) -> Walk | None:
        """The latest walk, None before the first."""
        row = self._table.get(keys.fact_walk())
        if row is None:
            return None
        after, at, day = row.get("after"), row.get("merchant"), row.get("cohort")
        return Walk(
            date.fromisoformat(row["walk"]),
            None if after is None else MerchantId(after),
            None if at is None else MerchantId(at),
            None if day is None else date.fromisoformat(day),
            bool(row["done"]),
        )

    def put(self, walk: Walk) -> None:
        """Write how far it is. Of two walks at once the later word stands: what is done twice ends the same."""
        pk, sk = keys.fact_walk()
        day = None if walk.day is None else walk.day.isoformat()
        row = {"pk": pk, "sk": sk, "walk": walk.of.isoformat(), "after": walk.after, "merchant": walk.at, "cohort": day}
        row = {name: own for name, own in row.items() if own is not None}
        self._table.put(Put({**row, "done": walk.done}))
