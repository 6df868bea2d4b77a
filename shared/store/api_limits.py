"""How often each source's API may be asked, shared by every worker: a pause the provider asked for, and its rate.

A refusal is a delay, not an attempt. It gives a place in the rate, so that what waits comes back once and not at the
beginning of every window together with all the rest.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.ids import SourceId
from shared.domain.instants import from_ms, to_ms
from shared.domain.rate_limit import RateLimit, is_now
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.rate_places import RatePlaces
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Update

_PAUSE_KEPT = timedelta(days=2)
_HORIZON = timedelta(days=2)
"""Places further away are not given: nobody would wait for them."""
_CROWDED = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Come again at ``until``; ``reserved``: there is a place then, for whoever brings it back."""

    until: datetime
    reserved: bool = False


class ApiLimits:
    """Rate state of sources' APIs."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table
        self._places = RatePlaces(table)

    def take(
        self,
        source_id: SourceId,
        requests: int,
        most: int,
        per: timedelta,
        now: datetime,
        place: datetime | None = None,
    ) -> Refusal | None:
        """Take ``requests`` out of the source's rate, together: one read and at most one write.

        ``place`` was reserved for them by an earlier refusal. None: they may go out now.
        """
        paused, places = keys.source_pause(source_id), keys.source_places(source_id)
        rows = self._table.batch_get([paused, places])
        if paused in rows and int(rows[paused]["until"]) > to_ms(now):
            return Refusal(from_ms(int(rows[paused]["until"])))
        limit = RateLimit(most, per)
        if place is not None and limit.holds(place, now):
            return None if is_now(place, now) else Refusal(place, reserved=True)
        missed = [place] * requests if place is not None else []
        given = self._places.reserve(places, rows.get(places), limit, requests, now, now + _HORIZON, missed)
        if given is None:
            return Refusal(now + _CROWDED)
        if len(given) < requests:
            return Refusal(now + _HORIZON)
        return None if is_now(given[-1], now) else Refusal(given[-1], reserved=True)

    def pause(self, source_id: SourceId, until: datetime) -> None:
        """Leave the source's API alone until then; a longer pause stays."""
        update = Update(
            keys.source_pause(source_id),
            set={"until": to_ms(until), "ttl": to_ms(until + _PAUSE_KEPT) // 1000},
            condition=Attr("until").not_exists() | Attr("until").lt(to_ms(until)),
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return
