"""When to try again, decided from plain values: no clock, no dice of its own."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

RETRY_AFTER_CAP = timedelta(days=1)
JITTER_SHARE = 0.1
JITTER_CAP = timedelta(minutes=10)
MAX_RETRIES = 20
MAX_DELAY = timedelta(days=7)

_SECONDS = re.compile(r"[0-9]{1,9}")
_MORE_SECONDS = re.compile(r"[0-9]{10,}")


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The waits before attempts 2 to n, so ``len(delays) + 1`` attempts in all.

    Raises:
        ValueError: more than 20 retries, or a wait that is negative or over 7 days.
    """

    delays: tuple[timedelta, ...]

    def __post_init__(self) -> None:
        if len(self.delays) > MAX_RETRIES:
            raise ValueError(f"a retry schedule has at most {MAX_RETRIES} entries")
        if any(not timedelta() <= delay <= MAX_DELAY for delay in self.delays):
            raise ValueError(f"a retry delay lies between zero and {MAX_DELAY.days} days")

    def delay_after(self, attempts_made: int) -> timedelta | None:
        """The wait after this many attempts (1: the first has been made); None when all are used up."""
        return self.delays[attempts_made - 1] if 0 < attempts_made <= len(self.delays) else None


DEFAULT_SCHEDULE = RetrySchedule(
    (
        timedelta(seconds=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=5),
        timedelta(hours=10),
        timedelta(hours=10),
    )
)


class GaveUp(StrEnum):
    """Why there is no further attempt."""

    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """Either the instant of the next attempt or the reason why there is none."""

    at: datetime | None
    gave_up: GaveUp | None


def plan_retry(
    *,
    attempts_made: int,
    now: datetime,
    random: Callable[[], float],
    schedule: RetrySchedule = DEFAULT_SCHEDULE,
    retry_after: datetime | None = None,
    do_not_send_after: datetime | None = None,
) -> RetryPlan:
    """Plan the attempt after a failure at ``now`` (aware, as all times here).

    Args:
        attempts_made: attempts so far, the one that just failed included; at least 1.
        random: a number in [0, 1), asked once. Jitter only delays: at most a tenth of the wait and 10
            minutes.
        retry_after: what the answer asked for. Respected up to a day ahead, never undercut.
        do_not_send_after: nothing is planned past it; it cuts jitter short, but neither the schedule nor the
            ask.

    Raises:
        ValueError: ``attempts_made`` below 1.
    """
    if attempts_made < 1:
        raise ValueError("a retry follows at least one attempt")
    delay = schedule.delay_after(attempts_made)
    if delay is None:
        return RetryPlan(None, GaveUp.ATTEMPTS_EXHAUSTED)
    asked = min(retry_after - now, RETRY_AFTER_CAP) if retry_after is not None else timedelta()
    wait = max(delay, asked)
    earliest = now + wait
    if do_not_send_after is not None and earliest > do_not_send_after:
        return RetryPlan(None, GaveUp.TOO_LATE)
    jittered = earliest + min(wait * JITTER_SHARE, JITTER_CAP) * min(max(random(), 0.0), 1.0)
    return RetryPlan(jittered if do_not_send_after is None else min(jittered, do_not_send_after), None)


def parse_retry_after(value: str, now: datetime) -> datetime | None:
    """The instant a ``Retry-After`` field asks for (RFC 9110, 10.2.3: seconds or an HTTP date), else None.

    Never before ``now`` and at most a day after it.
    """
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return now + min(timedelta(seconds=int(text)), RETRY_AFTER_CAP)
    if _MORE_SECONDS.fullmatch(text):
        return now + RETRY_AFTER_CAP
    try:
        asked = parsedate_to_datetime(text)
        # RFC 9110: every HTTP date is in GMT, so a date without a zone is too.
        asked = asked.replace(tzinfo=UTC) if asked.tzinfo is None else asked.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(asked, now), now + RETRY_AFTER_CAP)
