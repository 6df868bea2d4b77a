"""A merchant's timing and consent rules, with the defaults of the contract. Durations are timedeltas."""

from dataclasses import dataclass
from datetime import time, timedelta
from typing import Literal

from shared.domain.money import Money


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The time in which nothing is sent, on the recipient's clock; ``end`` before ``start`` spans midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Settings:
    """What a merchant may tune."""

    idle_after: timedelta = timedelta(minutes=30)
    recovery_horizon: timedelta = timedelta(days=7)
    retention: timedelta = timedelta(days=30)
    cooldown: timedelta = timedelta(days=1)
    min_step_gap: timedelta = timedelta(hours=4)
    payment_pending_after: timedelta = timedelta(minutes=30)
    do_not_send_after: timedelta = timedelta(days=3)
    quiet_hours: QuietHours | None = QuietHours(time(21, 0), time(9, 0))
    consent: Literal["required", "unknown_allowed"] = "required"
    holdout_percent: int = 5
    minimum_total: tuple[Money, ...] = ()
    """From which total on a cart is worth a message, per currency; in any other it must be above zero."""
    list_shards: int = 1
    webhooks_per_minute: int | None = None
    """None: the stage's limit."""


_RANGES = {
    "idle_after": (timedelta(minutes=10), timedelta(days=7)),
    "payment_pending_after": (timedelta(minutes=10), timedelta(days=7)),
    "recovery_horizon": (timedelta(days=1), timedelta(days=30)),
    "retention": (timedelta(days=7), timedelta(days=90)),
    "cooldown": (timedelta(), timedelta(days=30)),
    "min_step_gap": (timedelta(minutes=15), timedelta(days=7)),
    "do_not_send_after": (timedelta(hours=1), timedelta(days=30)),
}
_LOCAL_LEAST = {
    "idle_after": timedelta(seconds=1),
    "payment_pending_after": timedelta(seconds=1),
    "min_step_gap": timedelta(),
    "do_not_send_after": timedelta(seconds=1),
}
"""Only the stage ``local`` may be this quick: tests and demonstrations do not wait half an hour."""


def duration_range(name: str, *, local: bool) -> tuple[timedelta, timedelta]:
    """The least and the greatest value of a duration among the settings; ``local``: on the stage of that name."""
    least, greatest = _RANGES[name]
    return (_LOCAL_LEAST.get(name, least) if local else least), greatest


def out_of_range(settings: Settings, *, local: bool) -> dict[str, tuple[timedelta, timedelta]]:
    """The durations that lie outside their range, with it."""
    ranges = {name: duration_range(name, local=local) for name in _RANGES}
    return {name: own for name, own in ranges.items() if not own[0] <= getattr(settings, name) <= own[1]}
