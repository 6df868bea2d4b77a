"""Health of endpoints and the places given in their rate, shared by all workers."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from shared.domain.breaker import HEALTHY, Health
from shared.domain.ids import EndpointId
from shared.domain.instants import to_ms
from shared.domain.rate_limit import RateLimit
from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.conditions import Attr
from shared.store.rate_places import RatePlaces
from shared.store.table import ConditionFailed, Table
from shared.store.writes import ItemKey, Update

KEPT_FOR = timedelta(days=30)


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
        self._places = RatePlaces(table)

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

    def reserve(
        self,
        endpoint_id: EndpointId,
        limit: RateLimit,
        wanted: int,
        now: datetime,
        latest: datetime,
        missed: Sequence[datetime] = (),
    ) -> list[datetime] | None:
        """Up to ``wanted`` places of the endpoint's rate, none beyond ``latest``: one read and one write.

        ``missed`` places are given back. None where so many others reserved at the same time that no round was won.
        """
        key = keys.rate_places(endpoint_id)
        return self._places.reserve(key, self._table.get(key), limit, wanted, now, latest, missed)
