"""A merchant's timing and consent rules, with the defaults of the contract. Durations are timedeltas."""

from dataclasses import dataclass
from datetime import time, timedelta
from typing import Literal


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
    list_shards: int = 1
