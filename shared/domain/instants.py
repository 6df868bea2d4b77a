"""Instants: aware UTC in the domain, epoch milliseconds in storage, RFC 3339 with ``Z`` in the contract."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Written:
    """How a text is written, by the name that JSON Schema has for it (``format``). Read where the API is described."""

    format: str

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """The text's schema with its format."""
        return {**handler(schema), "format": self.format}


InstantText = Annotated[str, Written("date-time")]
"""An instant as ``to_rfc3339`` writes it."""
DurationText = Annotated[str, Written("duration")]
"""ISO 8601, `PT30M`."""
DayText = Annotated[str, Written("date")]
"""A day, ``2026-11-21``."""


def to_ms(instant: datetime) -> int:
    """Whole milliseconds since the epoch; ``instant`` must be aware."""
    return (instant - EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """The aware UTC instant ``ms`` milliseconds after the epoch."""
    return EPOCH + timedelta(milliseconds=ms)


def to_rfc3339(instant: datetime) -> str:
    """``2026-11-21T10:00:00Z``; milliseconds only where there are any."""
    utc = instant.astimezone(UTC)
    timespec = "milliseconds" if utc.microsecond // 1000 else "seconds"
    return utc.isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_instant(text: object) -> datetime | None:
    """An ISO 8601 / RFC 3339 text as aware UTC, or None when it is not one.

    A text without an offset counts as UTC: the vendors that leave it out (WooCommerce's ``*_gmt``) mean UTC.
    """
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        return None


MOST_AHEAD = timedelta(minutes=5)
"""How far a provider's clock may run ahead of ours and still be believed."""


def trustworthy(
    own_time: datetime | None,
    arrived_at: datetime,
    *,
    horizon: timedelta,
    ahead: timedelta = MOST_AHEAD,
) -> datetime | None:
    """The event's own time where it may drive timers: within the recovery horizon and at most 5 minutes ahead."""
    if own_time is None or not arrived_at - horizon <= own_time <= arrived_at + ahead:
        return None
    return own_time
