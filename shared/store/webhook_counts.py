"""How many webhooks a source or a merchant sent in one minute, added up over all processes."""

from datetime import datetime, timedelta

from shared.domain.ids import MerchantId, SourceId
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.table import Table, Update

_KEPT_FOR = timedelta(hours=1)


class WebhookCounts:
    """Counts in the table; each row lives for an hour."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def add(self, sender: SourceId | MerchantId, minute: int, count: int, now: datetime) -> int:
        """Add ``count`` to the sender's minute; what all processes together have counted in it by now."""
        key = keys.webhook_minute(sender, minute)
        self._table.update(Update(key, set={"ttl": to_ms(now + _KEPT_FOR) // 1000}, add={"used": count}))
        row = self._table.get(key)
        return 0 if row is None else int(row["used"])
