"""What an attempt stands on: the rows that say whether its event is still true, read consistently before every attempt.

A checkout says itself what became of it. Only an abandonment asks further: the shopper may have bought in another
session, on another device or through another provider, and what calls this checkout off (dispatch) may stand behind.
The purchase's own write is remembered of the shopper's identifiers: nobody is told of an abandonment after it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeGuard

from shared.domain.announcement import EventType, staleness
from shared.domain.checkout import Checkout
from shared.domain.deadline import bought_elsewhere
from shared.domain.identity import Identity, IdentityHasher
from shared.store import keys
from shared.store.checkout_item import from_item
from shared.store.checkouts import CheckoutStore
from shared.store.deliveries import DeliveryRecord
from shared.store.events import EventRecord, EventStore
from shared.store.shoppers import record_of
from shared.store.table import Table
from shared.store.writes import Item, ItemKey

type Rows = dict[ItemKey, dict[str, Any]]

_BOUGHT = "purchased"


class DeliveryTruth:
    """Reads what decides about attempts, and decides whether their events are still true."""

    def __init__(
        self, table: Table, checkouts: CheckoutStore, hasher: IdentityHasher, now: Callable[[], datetime]
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self.events = EventStore(table)
        self._table = table
        self._checkouts = checkouts
        self._hasher = hasher
        self._now = now

    def rows(self, records: Sequence[DeliveryRecord], health: Callable[[DeliveryRecord], ItemKey]) -> Rows:
        """Events, checkouts, endpoints and their health in one read; of abandonments, their shoppers in a second."""
        wanted: list[ItemKey] = []
        for record in records:
            wanted += [
                record.event_key,
                keys.checkout(record.checkout_digest),
                keys.endpoint(record.merchant_id, record.endpoint_id),
                health(record),
            ]
        rows = self._table.batch_get(wanted)
        shoppers = [keys.identity(own) for own in self._named_by_abandonments(records, rows)]
        return rows | self._table.batch_get(shoppers) if shoppers else rows

    def staleness(self, event: EventRecord, record: DeliveryRecord, rows: Rows) -> str | None:
        """Why the event must not go out any more, or None while it is true. Raises what an unreadable row raises."""
        row = rows.get(keys.checkout(record.checkout_digest))
        checkout = from_item(row) if _is_checkout(row) else None
        stale = staleness(event.type, event.version, checkout)
        if stale is not None or checkout is None or event.type != EventType.ABANDONED:
            return stale
        return _BOUGHT if self._bought(checkout, rows) else None

    def _bought(self, checkout: Checkout, rows: Rows) -> bool:
        for identity in self._hasher.of_shopper(checkout):
            known = record_of(identity, rows.get(keys.identity(identity)))
            bought = bought_elsewhere(checkout, known.purchased_at)
            if bought and not self._checkouts.is_shared(identity, self._now()):
                return True
        return False

    def _named_by_abandonments(self, records: Iterable[DeliveryRecord], rows: Rows) -> Iterator[Identity]:
        """Whoever may have bought. A row that cannot be read is told of where its own message is decided."""
        abandoned = {
            own.checkout_digest for own in records if rows.get(own.event_key, {}).get("ty") == EventType.ABANDONED
        }
        found = (rows.get(keys.checkout(own)) for own in abandoned)
        for checkout in self._table.readable((own for own in found if _is_checkout(own)), from_item):
            yield from self._hasher.of_shopper(checkout)


def _is_checkout(row: Item | None) -> TypeGuard[Item]:
    """A row of a checkout, and not what an erasure left of it."""
    return row is not None and "st" in row
