"""How often one link may be used: a count per link and minute, kept with its checkout for an hour."""

from datetime import datetime, timedelta

from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Update

MOST_PER_MINUTE = 30
"""Far more than a shopper, their mail scanner and a chat's preview need together."""
_WINDOW_MS = 60_000
_KEPT_FOR = timedelta(hours=1)


class LinkLimits:
    """Counts uses of links."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def take(self, of_digest: str, link: str, now: datetime) -> bool:
        """Whether the checkout's ``link`` may be used once more in this minute; the use is counted."""
        update = Update(
            keys.link_window(of_digest, link, to_ms(now) // _WINDOW_MS),
            set={"ttl": to_ms(now + _KEPT_FOR) // 1000},
            add={"used": 1},
            condition=Attr("used").not_exists() | Attr("used").lt(MOST_PER_MINUTE),
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return False
        return True
