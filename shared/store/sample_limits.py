"""How many samples a merchant may send within any minute: its last ones, kept for an hour."""

from datetime import datetime, timedelta

from shared.domain.ids import MerchantId
from shared.domain.rate_limit import RateLimit
from shared.store import keys
from shared.store.rate_places import RatePlaces
from shared.store.table import Table

PER = timedelta(minutes=1)
MOST = 10
"""Within ``PER``: far more than anybody looks at."""
_LIMIT = RateLimit(MOST, PER)


class SampleLimits:
    """Counts samples."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._places = RatePlaces(table)

    def take(self, merchant_id: MerchantId, now: datetime) -> bool:
        """Whether the merchant may send one more; it is counted."""
        return self._places.take(keys.webhook_rate(merchant_id, "S"), _LIMIT, now)
