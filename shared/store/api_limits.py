"""How often each source's API may be asked, shared by every worker: a pause the provider asked for, and a rate window.

A refusal is a delay, not an attempt.
"""

from datetime import datetime, timedelta

from boto3.dynamodb.conditions import Attr

from shared.domain.ids import SourceId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Update

_WINDOW_KEPT = timedelta(hours=1)
_PAUSE_KEPT = timedelta(days=2)


class ApiLimits:
    """Rate state of sources' APIs."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def take(self, source_id: SourceId, requests: int, most: int, per: timedelta, now: datetime) -> datetime | None:
        """Take ``requests`` out of the window around ``now``; returns when to come again where there are too few."""
        paused = self._table.get(keys.source_pause(source_id))
        if paused is not None and int(paused["until"]) > to_ms(now):
            return from_ms(int(paused["until"]))
        length = max(per // timedelta(milliseconds=1), 1)
        window = to_ms(now) // length
        update = Update(
            keys.source_window(source_id, window),
            set={"ttl": to_ms(now + per + _WINDOW_KEPT) // 1000},
            add={"used": requests},
            condition=Attr("used").not_exists() | Attr("used").lte(max(most - requests, 0)),
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return from_ms((window + 1) * length)
        return None

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
