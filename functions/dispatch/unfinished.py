"""Records that dispatch began and did not end: one that outlasts the function's time twice is set aside like one that
raised.

Counting costs two writes a record, so it is only done where the batch may have been tried before: where its oldest
record is older than a batch at its first try. Fresh batches, the normal case, cost nothing.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.domain.instants import from_ms
from shared.store.tellings import Tellings

TRIED_BEFORE = timedelta(seconds=30)
"""Half the function's time: older records were tried before, or dispatch is behind."""


class OutOfTime(Exception):
    """The function's time is nearly over: what is left of the batch comes again."""


class NeverEnded(Exception):
    """The record was begun twice, had the time to end, and ended neither time."""


class Unfinished:
    """Counts the beginnings of one batch's records, outside the process. ``begin`` starts a batch."""

    def __init__(self, tellings: Tellings, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._tellings = tellings
        self._now = now
        self._counting = False

    def begin(self, records: Sequence[dict[str, Any]]) -> None:
        """Look at a batch's age."""
        written = [at for record in records if (at := written_at(record)) is not None]
        self._counting = bool(written) and self._now() - min(written) >= TRIED_BEFORE

    def begun(self, record: dict[str, Any]) -> None:
        """A record is begun. Raises NeverEnded for one that ended none of its last two times."""
        event_id = record.get("eventID")
        if self._counting and isinstance(event_id, str) and not self._tellings.begin(event_id, self._now()):
            raise NeverEnded

    def ended(self, record: dict[str, Any]) -> None:
        """The record ended, well or by raising."""
        event_id = record.get("eventID")
        if self._counting and isinstance(event_id, str):
            self._tellings.ended(event_id)


def written_at(record: dict[str, Any]) -> datetime | None:
    """When the record was written, to the second; None where it does not say."""
    try:
        return from_ms(int(float(record["dynamodb"]["ApproximateCreationDateTime"]) * 1000))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
