"""How many webhooks a source or a merchant sent in its last minute, by slots of five seconds, over all processes."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from shared.domain.ids import MerchantId, SourceId
from shared.domain.instants import to_ms
from shared.domain.webhook_rate import counts_at
from shared.store import keys
from shared.store.table import Table
from shared.store.writes import Update

_KEPT_FOR = timedelta(hours=1)
_SLOT = "n"
"""A slot's count: this and the slot's number."""
_MOST_GONE = 40
"""Counts of slots that are over, which a row may hold: with those that are not it stays below a kilobyte."""


class WebhookCounts:
    """Counts in the table: one row per sender, which lives for an hour after the last."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def add(self, sender: SourceId | MerchantId, counts: Mapping[int, int], now: datetime) -> dict[int, int]:
        """Add to the sender's slots; what all processes together have counted by now in those that still count.

        One call; one more in some 40 slots, which takes those away that are over.
        """
        key = keys.webhook_rate(sender)
        kept_until = {"ttl": to_ms(now + _KEPT_FOR) // 1000}
        added = {f"{_SLOT}{slot}": count for slot, count in counts.items()}
        row = self._table.add(Update(key, set=kept_until, add=added))
        slots = {int(name[1:]): int(count) for name, count in row.items() if name[:1] == _SLOT and name[1:].isdigit()}
        gone = [slot for slot in slots if not counts_at(slot, now)]
        if len(gone) > _MOST_GONE:
            self._table.update(Update(key, remove=tuple(f"{_SLOT}{slot}" for slot in gone)))
        return {slot: count for slot, count in slots.items() if slot not in gone}
