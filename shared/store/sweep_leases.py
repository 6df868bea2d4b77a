"""Who sweeps a shard of the due index now: one sweep at a time, as long as its lease lasts."""

from datetime import datetime, timedelta

from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Put, Update

LEASE = timedelta(minutes=2)
"""How long a sweep that died keeps others out: two ticks are missed, SweepLate fires after five minutes."""
_NOBODY = "-"


class SweepLeases:
    """A row for each kind and shard, which is free where there is none, its time is over, or nobody's name is in it.

    Taking and letting go are one write unit each, and none is made where nothing is due.
    """

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def take(self, kind: str, shard: int, sweep: str, now: datetime) -> bool:
        """Hold the shard until ``LEASE`` after ``now``; False where another sweep holds it.

        Whoever holds it already holds it longer: so the write may be repeated when its answer was lost.
        """
        pk, sk = keys.sweep_lease(kind, shard)
        row = {"pk": pk, "sk": sk, "by": sweep, "ttl": -(-to_ms(now + LEASE) // 1000)}
        try:
            self._table.put(Put(row, Attr("pk").not_exists() | Attr("by").is_in([sweep, _NOBODY])))
        except ConditionFailed:
            return False
        return True

    def let_go(self, kind: str, shard: int, sweep: str) -> None:
        """Another may have the shard at once, whatever its clock shows; nothing happens where this lease is over."""
        over = Update(keys.sweep_lease(kind, shard), set={"by": _NOBODY}, condition=Attr("by").eq(sweep))
        try:
            self._table.update(over)
        except ConditionFailed:
            return
