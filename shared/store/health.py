"""Health of endpoints and their rate windows, shared by all workers."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr

from shared.domain.breaker import HEALTHY, Health
from shared.domain.ids import EndpointId
from shared.domain.instants import to_ms
from shared.domain.rate_limit import RateLimit
from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.table import ConditionFailed, ItemKey, Table, Update

KEPT_FOR = timedelta(days=30)
_WINDOW_KEPT_FOR = timedelta(hours=1)


def key_of(endpoint_id: EndpointId) -> ItemKey:
    """Where an endpoint's health is: one more key in a batch's read."""
    return keys.endpoint_health(endpoint_id)


def read_health(item: Mapping[str, Any] | None) -> Health:
    """The health in a row; an endpoint without one is healthy."""
    return HEALTHY if item is None else unpack(Health, item)


class HealthStore:
    """Health by endpoint, each write conditional on the version it was read at."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, endpoint_id: EndpointId) -> Health:
        """The endpoint's health."""
        return read_health(self._table.get(key_of(endpoint_id)))

    def replace(self, endpoint_id: EndpointId, new: Health, now: datetime) -> Health | None:
        """Write ``new`` over the version it was made from; what stands there now where another was faster.

        None: it is written.
        """
        plain = pack(new)
        values = {name: value for name, value in plain.items() if name != "version"}
        values |= {"version": new.version + 1, "ttl": to_ms(now + KEPT_FOR) // 1000}
        gone = tuple(own.name for own in fields(Health) if own.name not in values)
        expected = Attr("version").eq(new.version) if new.version else Attr("pk").not_exists()
        try:
            self._table.update(Update(key_of(endpoint_id), set=values, remove=gone, condition=expected))
        except ConditionFailed as failed:
            return read_health(failed.old)
        return None

    def take(self, endpoint_id: EndpointId, limit: RateLimit, wanted: int, now: datetime) -> int:
        """Take up to ``wanted`` sends of the present rate window: one write, a second where only some are left."""
        left = min(wanted, limit.most)
        for _ in range(4):
            if left <= 0:
                return 0
            used = self._taken(endpoint_id, limit, left, now)
            if used is None:
                return left
            left = min(left, limit.most - used)
        return 0

    def _taken(self, endpoint_id: EndpointId, limit: RateLimit, count: int, now: datetime) -> int | None:
        """None when ``count`` sends were taken, else how many of the window are used."""
        end = limit.window_end(now) + _WINDOW_KEPT_FOR
        update = Update(
            keys.rate_window(endpoint_id, f"{to_ms(limit.window_end(now))}"),
            set={"ttl": to_ms(end) // 1000},
            add={"used": count},
            condition=Attr("used").not_exists() | Attr("used").lte(limit.most - count),
        )
        try:
            self._table.update(update)
        except ConditionFailed as failed:
            return int((failed.old or {}).get("used", 0))
        return None
