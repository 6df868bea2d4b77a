"""Which delivery a vendor's message id belongs to: a small row per accepted message, for the vendor's later reports."""

from datetime import datetime, timedelta

from shared.domain.ids import DeliveryId, EndpointId, digest
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.table import Table
from shared.store.writes import ItemKey, Put

KEPT_FOR = timedelta(days=30)


class VendorMessageStore:
    """Deliveries by the vendor's message id, per endpoint."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def remember(self, endpoint_id: EndpointId, vendor_message_id: str, delivery: DeliveryId, now: datetime) -> None:
        """Keep whose message it is; repeating it changes nothing."""
        pk, sk = _key(endpoint_id, vendor_message_id)
        self._table.put(Put({"pk": pk, "sk": sk, "dlv": delivery, "ttl": to_ms(now + KEPT_FOR) // 1000}))

    def delivery_of(self, endpoint_id: EndpointId, vendor_message_id: str) -> DeliveryId | None:
        """The delivery behind a vendor's message id, or None."""
        item = self._table.get(_key(endpoint_id, vendor_message_id))
        return None if item is None else DeliveryId(item["dlv"])


def _key(endpoint_id: EndpointId, vendor_message_id: str) -> ItemKey:
    # Vendors' ids are of any length and may hold a phone number.
    return keys.vendor_message(endpoint_id, digest(vendor_message_id).hex()[:32])
