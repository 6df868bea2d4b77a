"""A checkout's timeline: entries in the checkout's own partition, oldest first."""

from datetime import datetime
from typing import Any

from shared.domain.checkout import Activity
from shared.domain.ids import digest
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.codec import thawed
from shared.store.conditions import Attr, Key
from shared.store.expiry import emptied
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, Put

_PREFIX = "A#"


class ActivityStore:
    """Activities by checkout."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def add(self, of_digest: str, activity: Activity, expires_at: datetime) -> None:
        """Write an entry once: a repeat of the same entry (instant, type and detail) changes nothing."""
        try:
            self._table.put(self.new(of_digest, activity, expires_at))
        except ConditionFailed:
            return

    @staticmethod
    def new(of_digest: str, activity: Activity, expires_at: datetime) -> Put:
        """The entry as a piece of a transaction, only where it is new."""
        detail = sorted(f"{name}={value}" for name, value in activity.detail.items())
        unique = digest(activity.type, *detail).hex()[:12]
        pk, sk = keys.activity(of_digest, activity.at, unique)
        item: Item = {
            "pk": pk,
            "sk": sk,
            "ty": activity.type,
            "at": to_ms(activity.at),
            "de": dict(activity.detail),
            "ttl": to_ms(expires_at) // 1000,
        }
        return Put(item, Attr("pk").not_exists())

    def clear(self, of_digest: str, now: datetime) -> None:
        """Leave nothing of a timeline whose checkout was erased."""
        for key in self._table.keys_of(keys.checkout(of_digest)[0], prefix=_PREFIX):
            self._table.put(emptied(key, now))

    def page(self, of_digest: str, *, limit: int, after: str | None) -> tuple[list[Activity], str | None]:
        """One page, oldest first, and the place after which the next begins."""
        low = f"{_PREFIX}{after}" if after else _PREFIX
        condition = Key("pk").eq(keys.checkout(of_digest)[0]) & Key("sk").between(low, f"{_PREFIX}~")
        # The place itself is inside the range: one more is read and left out, another tells whether a page follows.
        page = self._table.query(condition, limit=limit + 2, consistent=True)
        items = [item for item in page.items if item["sk"] != low]
        shown = items[:limit]
        more = len(items) > limit
        readable = list(self._table.readable(shown, _activity))
        return readable, shown[-1]["sk"].removeprefix(_PREFIX) if more else None

    def count(self, of_digest: str) -> int:
        """How many entries there are."""
        condition = Key("pk").eq(keys.checkout(of_digest)[0]) & Key("sk").begins_with(_PREFIX)
        return sum(1 for _ in self._table.query_all(condition, consistent=True))


def _activity(item: Item) -> Activity:
    detail: dict[str, Any] = thawed(item.get("de", {}))
    return Activity(from_ms(int(item["at"])), item["ty"], detail)
