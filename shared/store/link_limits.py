"""How often one link may be used within any minute: its last uses, kept with its checkout for an hour."""

from datetime import datetime, timedelta

from shared.domain.rate_limit import RateLimit
from shared.store import keys
from shared.store.rate_places import RatePlaces
from shared.store.table import Table

MOST_PER_MINUTE = 30
"""Far more than a shopper, their mail scanner and a chat's preview need together."""
_LIMIT = RateLimit(MOST_PER_MINUTE, timedelta(minutes=1))


class LinkLimits:
    """Counts uses of links."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._places = RatePlaces(table)

    def take(self, of_digest: str, link: str, now: datetime) -> bool:
        """Whether the checkout's ``link`` may be used once more; the use is counted."""
        return self._places.take(keys.link_uses(of_digest, link), _LIMIT, now)
