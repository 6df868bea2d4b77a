"""A merchant's figures: cohorts by day of abandonment, summed from facts.

A mature cohort's sums are written down once and stay; a younger one is summed anew at every look. A fact that comes
after its cohort's sums takes them away, so that the next look makes them again.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shared.domain.ids import MerchantId
from shared.domain.merchant import Merchant
from shared.domain.metrics import EVERYTHING, Sums, cohort_of, immature, roll_up
from shared.store.facts import FactStore, facts_end

MOST_DAYS = 366
SETTLED_AT_ONCE = 7
_THREADS = 8


@dataclass(frozen=True, slots=True)
class Cohort:
    """One day: its sums by dimension, and whether orders may still come."""

    day: date
    immature: bool
    sums: Mapping[str, Sums]


@dataclass(frozen=True, slots=True)
class Group:
    """One row of a report."""

    key: str
    immature: bool
    sums: Sums


class Metrics:
    """Reads a merchant's cohorts."""

    def __init__(self, facts: FactStore, now: Callable[[], datetime], *, remembers: bool = False) -> None:
        """``now`` is the clock. ``remembers``: a period is summed once; for what shows one moment, and is then gone."""
        self._facts = facts
        self._now = now
        self._summed: dict[tuple[MerchantId, date, date], list[Cohort]] | None = {} if remembers else None

    def cohorts(self, merchant: Merchant, first: date, last: date) -> list[Cohort]:
        """The cohorts of the days from ``first`` to ``last``, both included, at most ``MOST_DAYS``."""
        if self._summed is None:
            return self._cohorts(merchant, first, last)
        asked = (merchant.id, first, last)
        if asked not in self._summed:
            self._summed[asked] = self._cohorts(merchant, first, last)
        return self._summed[asked]

    def _cohorts(self, merchant: Merchant, first: date, last: date) -> list[Cohort]:
        days = [first + timedelta(days=count) for count in range((last - first).days + 1)][:MOST_DAYS]
        now, horizon = self._now(), merchant.settings.recovery_horizon
        young = {day: immature(day, merchant.timezone, horizon, now) for day in days}
        sums = self._facts.rolled_up(merchant.id, (day for day in days if not young[day]))
        # No cohort is in the future; the facts of one that is long past are gone, its sums were written in time.
        missing = [day for day in days if day not in sums and day <= _tomorrow(now) and facts_end(day) > now]
        settling = {day for day in missing if not young[day]}
        facts = self._facts.of_cohorts(merchant.id, missing, settling=settling)
        found = {day: roll_up(own) for day, own in facts.items()}
        settled = [day for day in found if day in settling]
        with ThreadPoolExecutor(_THREADS) as threads:
            # All of them, before anything is raised; a day without a fact costs a look, and needs no sums.
            list(threads.map(lambda day: self._facts.roll_up(merchant.id, day, found[day], now), settled))
        sums |= found
        return [Cohort(day, young[day], sums.get(day, {})) for day in days]

    def settle(self, merchant: Merchant) -> None:
        """Write down the sums of the cohorts that matured lately, so that they outlive their facts unlooked at."""
        now = self._now()
        ripe = cohort_of(now - merchant.settings.recovery_horizon, merchant.timezone) - timedelta(days=1)
        self.cohorts(merchant, ripe - timedelta(days=SETTLED_AT_ONCE - 1), ripe)


def by_day(cohorts: Iterable[Cohort]) -> list[Group]:
    """One row a day."""
    return [Group(own.day.isoformat(), own.immature, own.sums.get(EVERYTHING, Sums())) for own in cohorts]


def by_dimension(cohorts: Iterable[Cohort], dimension: str) -> list[Group]:
    """One row for each value of a dimension (``provider``, ``stage``, ``campaign``, ``step``, ``endpoint``)."""
    prefix = f"{dimension}:"
    found: dict[str, Group] = {}
    for cohort in cohorts:
        for name, sums in cohort.sums.items():
            if name.startswith(prefix):
                key = name.removeprefix(prefix)
                earlier = found.get(key, Group(key, immature=False, sums=Sums()))
                found[key] = Group(key, earlier.immature or cohort.immature, earlier.sums + sums)
    return [found[key] for key in sorted(found)]


def altogether(cohorts: Iterable[Cohort]) -> Group:
    """All of them in one row."""
    days = list(cohorts)
    sums = sum((own.sums.get(EVERYTHING, Sums()) for own in days), Sums())
    return Group("total", any(own.immature for own in days), sums)


def _tomorrow(now: datetime) -> date:
    """The latest day that is today anywhere."""
    return now.astimezone(UTC).date() + timedelta(days=1)
