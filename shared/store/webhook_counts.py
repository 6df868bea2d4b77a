"""How many webhooks a source or a merchant sent in one minute, added up over all processes."""

from datetime import datetime, timedelta

from shared.domain.ids import MerchantId, SourceId
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.table import Table
from shared.store.writes import Update

_KEPT_FOR = timedelta(hours=1)


class WebhookCounts:
    """Counts in the table; each row lives for an hour."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def add(self, sender: SourceId | MerchantId, minute: int, count: int, now: datetime) -> int:
        """Add ``count`` to the sender's minute; what all processes together have counted in it by now. One call."""
        kept_until = {"ttl": to_ms(now + _KEPT_FOR) // 1000}
        return self._table.add(Update(keys.webhook_minute(sender, minute), set=kept_until, add={"used": count}))["used"]
