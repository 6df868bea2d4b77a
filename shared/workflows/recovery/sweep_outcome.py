"""What became of one due row in a sweep."""

from dataclasses import dataclass

from shared.store.due import DueRow


class Unreadable(Exception):
    """The row, or one that it cannot be decided without, cannot be read."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The row could not be moved; ``error`` says by what."""

    row: DueRow
    error: Exception


type Outcome = str | Failed
"""A word for what was done, or what kept it from being done."""
