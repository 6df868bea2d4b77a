"""An endpoint's health: a circuit breaker, suspicion of a hung endpoint, and five days of nothing but failures.

One small value per endpoint, shared by all workers; everything here is a pure function of it. A healthy endpoint has
no row at all, and its successes change nothing, so that it costs no write.

- Closed: attempts go out. ``TRIP_AFTER`` failures in a row open it.
- Open: attempts wait, each time twice as long (30 s to 10 min).
- Half open: the wait is over; one attempt at a time probes. Its success closes, its failure opens again.
- Suspect: an attempt has been out for longer than ``SUSPICIOUS_AFTER``. Others wait until it is answered, so that a
  hung endpoint holds a few workers and not all. An endpoint that then answers well is merely slow, and for a while
  no longer suspected.
- Slow: it took longer than that, or was not waited for. Its attempts go by a lane of their own, until ``QUICK_AGAIN``
  of them in a row have ended quickly, however they ended.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

TRIP_AFTER = 5
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=10)
SUSPICIOUS_AFTER = timedelta(seconds=2)
PATIENT_FOR = timedelta(minutes=5)
QUICK_AGAIN = 3
DISABLE_AFTER = timedelta(days=5)
_WAIT_FOR_ANOTHER = timedelta(seconds=5)
"""How much later to ask again while somebody else's probe or suspicious attempt is out."""
_SPREAD = 0.4


class BreakerState(StrEnum):
    """The breaker as the merchant sees it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of an endpoint. ``failures`` are in a row, ``trips`` the openings since the last success.

    ``open_until``: set while open or half open. ``probe_until``: the lease of the attempt that probes.
    ``suspect_until``: the lease of an attempt that takes long. ``patient_until``: known to be slow until then.
    ``slow_since``: set while its attempts go by the slow lane; ``quick`` those that ended quickly there, in a row.
    ``version`` counts the writes; 0 where nothing was ever written.
    """

    failures: int = 0
    trips: int = 0
    failing_since: datetime | None = None
    last_failure_at: datetime | None = None
    last_success_at: datetime | None = None
    open_until: datetime | None = None
    probe_until: datetime | None = None
    suspect_until: datetime | None = None
    patient_until: datetime | None = None
    slow_since: datetime | None = None
    quick: int = 0
    version: int = 0

    def state(self, now: datetime) -> BreakerState:
        """The breaker's state at ``now``."""
        if self.open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self.open_until else BreakerState.HALF_OPEN


HEALTHY = Health()


@dataclass(frozen=True, slots=True)
class Observation:
    """What one attempt told of the endpoint: it works, or it does not; None where it was not waited for."""

    at: datetime
    succeeded: bool | None
    slow: bool = False
    """It took longer than ``SUSPICIOUS_AFTER``."""


@dataclass(frozen=True, slots=True)
class Go:
    """Attempts may go out; ``probe``: one alone, after ``probing`` has been written."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """No attempt now; ask again at ``until``. No attempt is used up.

    ``reserved``: ``until`` is a place in the endpoint's rate, kept free for this one.
    """

    until: datetime
    reason: str
    reserved: bool = False


def admit(health: Health, now: datetime) -> Go | Wait:
    """Whether an attempt may be made at ``now``."""
    if health.open_until is not None:
        if now < health.open_until:
            return Wait(health.open_until, "breaker_open")
        if health.probe_until is not None and now < health.probe_until:
            return Wait(min(health.probe_until, now + _WAIT_FOR_ANOTHER), "breaker_half_open")
        return Go(probe=True)
    if health.suspect_until is not None and now < health.suspect_until:
        return Wait(health.suspect_until, "endpoint_slow")
    return Go()


def spread(health: Health) -> timedelta:
    """Over how long those that wait for an open breaker come back: in proportion to the wait.

    Few meet the probe, and once it has succeeded the others do not arrive all at once.
    """
    return _wait(max(health.trips - 1, 0)) * _SPREAD


def probing(health: Health, now: datetime, longest: timedelta) -> Health:
    """The half-open breaker while one attempt of at most ``longest`` probes."""
    return replace(health, probe_until=now + longest + _WAIT_FOR_ANOTHER)


def suspected(health: Health, now: datetime, longest: timedelta) -> Health:
    """The endpoint while an attempt that takes long is out; unchanged where it is known to be slow or broken."""
    patient = health.patient_until is not None and now < health.patient_until
    already = health.suspect_until is not None and now < health.suspect_until
    if patient or already or health.open_until is not None:
        return health
    return replace(health, suspect_until=now + longest, slow_since=health.slow_since or now, quick=0)


def observed(health: Health, observations: Iterable[Observation]) -> Health:
    """The endpoint after some attempts, in the order of their ends. Equal to ``health`` when nothing was learnt."""
    for own in sorted(observations, key=lambda one: one.at):
        if own.succeeded is not None:
            health = _succeeded(health, own) if own.succeeded else _failed(health, own.at)
        health = _paced(health, own)
    return health


def given_up(health: Health) -> bool:
    """Whether the endpoint has had nothing but failures, and more than one delivery's few, for five days."""
    if health.failing_since is None or health.last_failure_at is None or health.failures < TRIP_AFTER:
        return False
    return health.last_failure_at - health.failing_since >= DISABLE_AFTER


def _succeeded(health: Health, own: Observation) -> Health:
    troubled = health.failures or health.open_until is not None or health.suspect_until is not None
    patient = health.patient_until
    if own.slow and (patient is None or own.at > patient - PATIENT_FOR / 2):
        patient = own.at + PATIENT_FOR
    if not troubled and patient == health.patient_until:
        return health
    return Health(
        last_failure_at=health.last_failure_at,
        last_success_at=own.at,
        patient_until=patient,
        slow_since=health.slow_since,
        quick=health.quick,
        version=health.version,
    )


def _paced(health: Health, own: Observation) -> Health:
    """Whether the endpoint is slow, after an attempt."""
    if own.slow:
        return replace(health, slow_since=health.slow_since or own.at, quick=0)
    if health.slow_since is None:
        return health
    if health.quick + 1 < QUICK_AGAIN:
        return replace(health, quick=health.quick + 1)
    return replace(health, slow_since=None, quick=0)


def _failed(health: Health, at: datetime) -> Health:
    failures = health.failures + 1
    after = replace(
        health,
        failures=failures,
        failing_since=health.failing_since or at,
        last_failure_at=at if health.last_failure_at is None else max(at, health.last_failure_at),
        suspect_until=None,
    )
    probed = health.open_until is not None and at >= health.open_until
    tripped = health.open_until is None and failures >= TRIP_AFTER
    if not (probed or tripped):
        return after
    return replace(after, trips=health.trips + 1, open_until=at + _wait(health.trips), probe_until=None)


def _wait(trips: int) -> timedelta:
    """How long the breaker stays open after so many openings without a success in between."""
    grown: timedelta = FIRST_WAIT * 2 ** min(trips, 16)
    return min(grown, LONGEST_WAIT)
