"""A merchant's rate limit on an endpoint: so many sends per fixed window of time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.domain.instants import from_ms, to_ms


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``most`` sends in each window of ``per``; windows begin at multiples of ``per`` since the epoch."""

    most: int
    per: timedelta

    def window(self, now: datetime) -> int:
        """The number of the window that ``now`` lies in."""
        return to_ms(now) // self._per_ms

    def window_end(self, now: datetime) -> datetime:
        """When the next window begins."""
        return from_ms((self.window(now) + 1) * self._per_ms)

    def turn(self, now: datetime, position: int, chance: float) -> datetime:
        """When to ask again for the refused send number ``position`` (from 0) of a batch.

        Refused sends spread over the windows they will need, and ``chance`` (0 to 1) over each window: they must not
        come back all at once.
        """
        windows_later = position // self.most
        return self.window_end(now) + self.per * windows_later + self.per * (min(max(chance, 0.0), 1.0) * 0.5)

    @property
    def _per_ms(self) -> int:
        return max(self.per // timedelta(milliseconds=1), 1)


def rate_limit_of(settings: Mapping[str, Any]) -> RateLimit | None:
    """The limit in an endpoint's stored settings (``{max, per}``, milliseconds), None where it has none."""
    stored = settings.get("rate_limit")
    if not isinstance(stored, Mapping):
        return None
    return RateLimit(int(stored["max"]), timedelta(milliseconds=int(stored["per"])))
