"""Which stream records were begun and never ended: a function that runs out of time, or of memory, raises nothing."""

import secrets
from datetime import datetime, timedelta

from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Update

MOST_UNFINISHED = 2
"""How often a record may be begun without being ended."""
MOST_LOST = 8
"""The same while too little time has passed for it to have used up the function's: its workers were killed."""
_OF_TWO = timedelta(seconds=40)
"""What a record needs that outlasts the function's time twice: it is begun with twenty seconds left or more."""
_KEPT_FOR = timedelta(days=2)
"""Longer than the stream keeps a record."""
_BEGINNINGS = "beginnings"
"""Beginnings that did not end, each by a name of its own: botocore repeats a write whose answer was lost."""


class Tellings:
    """Beginnings by the record's event id. A row holds no more than eight and costs a single unit to write."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def begin(self, event_id: str, now: datetime) -> bool:
        """Note that the record is begun; False where it was begun twice already and never ended.

        A worker that was killed is no fault of the record's: while less time has passed than two of the function's own
        ends would take, it is begun some times more. Two that begin it at once are two beginnings, and whichever ends
        first ends both: it is no record that never ends.
        """
        beginning = secrets.token_hex(8)
        begun = Attr(_BEGINNINGS)
        killed = Attr("since").gt(to_ms(now - _OF_TWO)) & begun.size().lt(MOST_LOST)
        update = Update(
            keys.telling(event_id),
            set={"ttl": to_ms(now + _KEPT_FOR) // 1000},
            set_if_absent={"since": to_ms(now)},
            add={_BEGINNINGS: {beginning}},
            condition=begun.not_exists() | begun.size().lt(MOST_UNFINISHED) | begun.contains(beginning) | killed,
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return False
        return True

    def ended(self, event_id: str) -> None:
        """The record ended, well or not: what it was begun before counts no more."""
        update = Update(keys.telling(event_id), remove=(_BEGINNINGS, "since"), condition=Attr("pk").exists())
        try:
            self._table.update(update)
        except ConditionFailed:
            return
