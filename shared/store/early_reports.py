"""What a vendor says of a message whose delivery is not written down yet: kept until it is.

A vendor that takes a message at once and answers late, or never, reports before its answer is known to us.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.ids import DeliveryId, EndpointId, digest
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.deliveries import REPORT, reports_in
from shared.store.table import Table
from shared.store.writes import ItemKey, Update

KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EarlyReports:
    """The first of each status, and why it failed where one says so."""

    at: Mapping[str, datetime]
    failure: str | None = None


class EarlyReportStore:
    """Reports by delivery, among what is known of its endpoint's messages."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def note(
        self,
        delivery: DeliveryId,
        endpoint_id: EndpointId,
        status: str,
        at: datetime,
        reason: str | None,
        now: datetime,
    ) -> None:
        """Keep one report; repeating it changes nothing."""
        why = {} if reason is None else {"why": reason[:512]}
        first = {f"{REPORT}{status}": to_ms(at), "ttl": to_ms(now + KEPT_FOR) // 1000, **why}
        self._table.update(Update(_key(delivery, endpoint_id), set_if_absent=first))

    def of(self, delivery: DeliveryId, endpoint_id: EndpointId) -> EarlyReports | None:
        """What was said of the delivery, consistently read; None where nothing was."""
        item = self._table.get(_key(delivery, endpoint_id))
        if item is None:
            return None
        return EarlyReports(reports_in(item), item.get("why"))


def _key(delivery: DeliveryId, endpoint_id: EndpointId) -> ItemKey:
    # Not the digest of the id alone: a vendor's own id of the message may be ours.
    return keys.vendor_message(endpoint_id, digest(f"early {delivery}").hex()[:32])
