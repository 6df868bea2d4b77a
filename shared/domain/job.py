"""Work that takes longer than an answer: when nobody seems to be at it any more."""

from datetime import datetime, timedelta
from typing import Final

STALLED_AFTER: Final = timedelta(minutes=30)
"""A job at work writes down how far it is, also while it waits for its provider: every quarter of an hour at least."""
_AT_WORK: Final = frozenset({"queued", "running"})


def has_stalled(status: str, heard_of: datetime, now: datetime) -> bool:
    """Whether a job is at work by its row, and was not heard of for ``STALLED_AFTER``.

    That is told and not written: it need not be the end. The job's message may be late or lie among the dead letters,
    and the job goes on where it is sent again.
    """
    return status in _AT_WORK and now - heard_of > STALLED_AFTER
