"""The list index: a merchant's checkouts by status and hour of activity, partitions merged, read either way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.store import keys, list_keys
from shared.store.conditions import Key
from shared.store.table import Table


@dataclass(frozen=True, slots=True)
class Listed:
    """A checkout's place in the list (it sorts) and its digest."""

    place: str
    digest: str


class CheckoutListing:
    """Reads the list index. The place in the list is the sort key, one order for all partitions."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def newest(
        self,
        partitions: Sequence[str],
        since: datetime | None,
        before: datetime | None,
        *,
        below: str | None,
        limit: int,
    ) -> list[Listed]:
        """At most ``limit`` checkouts below the place ``below``, newest first; fewer mean that the list ends."""
        low, high = list_keys.list_range(since, before)
        high = high if below is None else min(high, below)
        return self._merged(partitions, low, high, ends=(below,), rising=False, limit=limit)

    def between(
        self, partitions: Sequence[str], above: str | None, below: str | None, *, rising: bool, limit: int
    ) -> list[Listed]:
        """At most ``limit`` checkouts between two places, neither included: from the lower end on, or from the upper.

        Fewer mean that there are no more. One query for each partition, of at most ``limit`` keys and the two ends.
        """
        low, high = list_keys.list_range(None, None)
        low, high = low if above is None else max(low, above), high if below is None else min(high, below)
        return self._merged(partitions, low, high, ends=(above, below), rising=rising, limit=limit)

    def _merged(
        self, partitions: Sequence[str], low: str, high: str, *, ends: Sequence[str | None], rising: bool, limit: int
    ) -> list[Listed]:
        """``ends`` lie inside the range and are left out: as many more are read."""
        if high < low:
            return []
        found: list[Listed] = []
        for partition in partitions:
            page = self._table.query(
                Key("lp").eq(partition) & Key("ls").between(low, high),
                index=keys.LIST_INDEX,
                limit=limit + len(ends),
                forward=rising,
            )
            listed = (Listed(item["ls"], item["pk"].removeprefix("C#")) for item in page.items)
            found += [own for own in listed if own.place not in ends]
        return sorted(found, key=lambda own: own.place, reverse=not rising)[:limit]
