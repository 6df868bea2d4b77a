"""An event's place among all that a merchant is told: when it was written, by the writer's clock."""

from dataclasses import dataclass

from shared.domain.ids import EventId, MerchantId
from shared.store import keys
from shared.store.conditions import Key
from shared.store.table import Table
from shared.store.writes import ItemKey

FIRST = "0"
"""Before every place."""
_LAST = "~"


def place_of(written_ms: int, event_id: EventId, event_type: str) -> str:
    """The place of an event that is being written; it sorts as text, and names the type, by which a reader chooses."""
    return f"{written_ms:015d}#{event_id}#{event_type}"


def first_place(at_ms: int) -> str:
    """Not behind any place of this instant or later."""
    return f"{max(at_ms, 0):015d}"


@dataclass(frozen=True, slots=True)
class Placed:
    """An event's place and its row; the row is yet to be read."""

    place: str
    key: ItemKey

    @property
    def event_type(self) -> str:
        """What it tells."""
        return self.place.rpartition("#")[2]

    @property
    def event_id(self) -> str:
        """The event's id."""
        return self.place.split("#")[1]


class EventPlaces:
    """Reads the places of a merchant's events, in their order."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def now_ms(self) -> int:
        """The instant on the clock by which places are given, in epoch milliseconds."""
        return self._table.now_ms()

    def after(self, merchant_id: MerchantId, place: str, limit: int) -> tuple[list[Placed], bool]:
        """At least the first ``limit`` (where there are so many) behind ``place``; whether that is all there is now.

        None between the first and the last of them is left out, whichever of the index's partitions holds it.
        """
        found: list[Placed] = []
        known_to = _LAST
        for partition in keys.told_events(merchant_id):
            condition = Key("lp").eq(partition) & Key("ls").between(place, _LAST)
            page = self._table.query(condition, index=keys.LIST_INDEX, limit=limit + 1)
            found += [Placed(row["ls"], (row["pk"], row["sk"])) for row in page.items if row["ls"] != place]
            if page.next_key is not None and page.items:
                known_to = min(known_to, page.items[-1]["ls"])
        seen = sorted((own for own in found if own.place <= known_to), key=lambda own: own.place)
        return seen, known_to == _LAST
