"""Places for those who wait for an event: each holds a run of the API's function, so there are few.

A merchant has two of the stage's, chosen by its id: nobody takes all.
"""

from dataclasses import dataclass

from shared.domain.ids import MerchantId, digest
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.table import ConditionFailed, StoreUnavailable, Table
from shared.store.writes import ItemKey, Update

PLACES = 16
"""Of a stage: at most so many runs of the API's function wait, a third of what a production stage reserves for it."""
OF_A_MERCHANT = 2
_KEPT_S = 3_600


@dataclass(frozen=True, slots=True)
class WaitingPlace:
    """A place that is held until ``until_ms``."""

    key: ItemKey
    until_ms: int


class WaitingPlaces:
    """Gives places out, one conditional write each, and takes them back."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def take(self, merchant_id: MerchantId, seconds: float) -> WaitingPlace | None:
        """A place for so long, or None where all the merchant's are taken. It falls back by itself."""
        now = self._table.now_ms()
        until = now + int(seconds * 1000)
        free = Attr("until").not_exists() | Attr("until").lte(now)
        for turn in range(OF_A_MERCHANT):
            key = keys.waiting_place(int.from_bytes(digest(merchant_id, str(turn))[:4], "big") % PLACES)
            held = Update(key, set={"until": until, "ttl": until // 1000 + _KEPT_S}, condition=free)
            try:
                self._table.update(held)
            except (ConditionFailed, StoreUnavailable):
                continue
            return WaitingPlace(key, until)
        return None

    def leave(self, place: WaitingPlace) -> None:
        """Give the place back before its time; one that has fallen to another meanwhile stays the other's."""
        own = Attr("until").eq(place.until_ms)
        try:
            self._table.update(Update(place.key, set={"until": self._table.now_ms()}, condition=own))
        except ConditionFailed:
            return
