"""Figures: immutable facts, their sums, and the rates made from the sums.

A fact is put if absent under an id of its own, so that no webhook counts twice and no counter is fought over. All
facts of an abandonment belong to its cohort, the day of the abandonment on the merchant's clock, however late they
come; a cohort is immature until its recovery horizon has ended. Amounts of different currencies are never added.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from math import sqrt
from statistics import NormalDist
from zoneinfo import ZoneInfo

from shared.domain.attribution import Tier
from shared.domain.ids import digest
from shared.domain.money import Money

EVERYTHING = "all"
_BECAUSE = "not_sent:"


class FactKind(StrEnum):
    """Every kind of fact there is. The subject of the first five is a checkout, of the others an episode."""

    ABANDONED = "abandoned"
    CONTACTABLE = "contactable"
    SUPERSEDED = "superseded"
    DIRECT = "direct"
    """Bought without ever being abandoned; its cohort is the day of the purchase."""
    RECOVERED = "recovered"
    """With the order's total, its tier and the step it is owed to."""
    STARTED = "started"
    """An episode with a campaign began; ``treated`` tells whether its shopper may be messaged."""
    MESSAGED = "messaged"
    NOT_SENT = "not_sent"
    DELIVERED = "delivered"
    READ = "read"
    CLICKED = "clicked"
    REVERSED = "reversed"
    """What is taken back of an order by now, in one currency: cancelled, refunded or returned."""
    COUPON_COST = "coupon_cost"
    """What a used coupon took off an order."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One countable fact. ``part`` tells apart what may happen several times to one subject (a step, a refund)."""

    kind: FactKind
    cohort: date
    subject: str
    at: datetime
    part: str = ""
    episode: str | None = None
    provider: str | None = None
    stage: str | None = None
    campaign: str | None = None
    step: int | None = None
    endpoint: str | None = None
    treated: bool | None = None
    tier: int | None = None
    amount: Money | None = None
    reason: str | None = None

    @property
    def id(self) -> str:
        """The same fact has the same id, whoever tells it and how often."""
        return f"{self.kind}#{digest(self.subject, self.part)[:12].hex()}"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The keys of the sums that the fact belongs to."""
        named = {"provider": self.provider, "stage": self.stage, "campaign": self.campaign, "endpoint": self.endpoint}
        keys = [f"{name}:{value}" for name, value in named.items() if value is not None]
        if self.campaign is not None and self.step is not None:
            keys.append(f"step:{self.campaign}/{self.step}")
        return (EVERYTHING, *keys)


@dataclass(frozen=True, slots=True)
class Sums:
    """What adds up: counts by name, and minor units by name and currency."""

    counts: Mapping[str, int] = field(default_factory=dict)
    amounts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __add__(self, other: "Sums") -> "Sums":
        """Two cohorts, or two shards of one dimension, together."""
        counts = {name: self.count(name) + other.count(name) for name in {*self.counts, *other.counts}}
        amounts: dict[str, dict[str, int]] = {}
        for name in {*self.amounts, *other.amounts}:
            mine, theirs = self.amounts.get(name, {}), other.amounts.get(name, {})
            amounts[name] = {code: mine.get(code, 0) + theirs.get(code, 0) for code in {*mine, *theirs}}
        return Sums(counts, amounts)

    def count(self, name: str) -> int:
        """The count of that name, 0 where there is none."""
        return self.counts.get(name, 0)

    @property
    def not_sent_reasons(self) -> dict[str, int]:
        """Steps that ended without a message, by reason. Fewer than ``not_sent`` where sums are older than reasons."""
        found = {name.removeprefix(_BECAUSE): count for name, count in self.counts.items() if name.startswith(_BECAUSE)}
        return dict(sorted(found.items()))


def cohort_of(at: datetime, zone: str) -> date:
    """The day of an instant on the merchant's clock."""
    return at.astimezone(ZoneInfo(zone)).date()


def immature(cohort: date, zone: str, horizon: timedelta, now: datetime) -> bool:
    """Whether orders of the cohort may still come."""
    day_ends = datetime.combine(cohort + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
    return now < day_ends + horizon


def roll_up(facts: Iterable[Fact]) -> dict[str, Sums]:
    """The sums of one cohort's facts, by dimension: all facts of the cohort at once, in any order, repeats allowed."""
    distinct = list({fact.id: fact for fact in facts}.values())
    recovered = sorted((own for own in distinct if own.kind is FactKind.RECOVERED), key=_by_time, reverse=True)
    orders = {fact.episode: fact for fact in recovered if fact.episode} | {fact.subject: fact for fact in recovered}
    recovered_checkouts = {fact.subject for fact in recovered}
    left_out = {fact.subject for fact in distinct if fact.kind is FactKind.SUPERSEDED} - recovered_checkouts
    by_dimension: dict[str, list[Fact]] = defaultdict(list)
    for fact in distinct:
        if fact.subject not in left_out:
            # What is taken back counts wherever its order does, and of no other.
            counted = orders.get(fact.subject) if fact.kind is FactKind.REVERSED else fact
            for key in counted.dimensions if counted is not None else ():
                by_dimension[key].append(fact)
    return {key: _sums(own) for key, own in by_dimension.items()}


_PER_CHECKOUT = (FactKind.ABANDONED, FactKind.CONTACTABLE, FactKind.DIRECT)
_PER_EPISODE = (FactKind.MESSAGED, FactKind.DELIVERED, FactKind.READ, FactKind.CLICKED)


def _sums(facts: list[Fact]) -> Sums:
    """Checkouts and episodes are counted once each; one order counts per episode, the first."""
    counts: dict[str, int] = {}
    for kind in (*_PER_CHECKOUT, *_PER_EPISODE):
        subjects = {_whose(fact) if kind in _PER_EPISODE else fact.subject for fact in facts if fact.kind is kind}
        counts[kind.value] = len(subjects)
    orders: dict[str, Fact] = {}
    for fact in sorted((own for own in facts if own.kind is FactKind.RECOVERED), key=_by_time):
        orders.setdefault(_whose(fact), fact)
    counts["recovered"] = len(orders)
    taken_back = [own for own in facts if own.kind is FactKind.REVERSED and _counts(own, orders.get(_whose(own)))]
    counts["reversed"] = len({_whose(own) for own in taken_back})
    counts["attributed"] = sum(own.tier == Tier.CLICKED for own in orders.values())
    counts["messages"] = sum(own.kind is FactKind.MESSAGED for own in facts)
    not_sent = [own for own in facts if own.kind is FactKind.NOT_SENT]
    counts["not_sent"] = len(not_sent)
    counts |= Counter(f"{_BECAUSE}{own.reason or 'other'}" for own in not_sent)
    arms = {_whose(own): own.treated for own in facts if own.kind is FactKind.STARTED}
    for name, treated in (("treated", True), ("holdout", False)):
        members = {who for who, arm in arms.items() if arm is treated}
        counts[name] = len(members)
        counts[f"{name}_converted"] = len(members & orders.keys())
    amounts: dict[str, dict[str, int]] = {}
    attributed = [own for own in orders.values() if own.tier == Tier.CLICKED]
    _add(amounts, "recovered", orders.values())
    _add(amounts, "attributed", attributed)
    _add(amounts, "reversed", taken_back)
    _add(amounts, "coupon_cost", (own for own in facts if own.kind is FactKind.COUPON_COST))
    return Sums({name: count for name, count in counts.items() if count}, amounts)


def _by_time(fact: Fact) -> tuple[datetime, str]:
    return fact.at, fact.id


def _whose(fact: Fact) -> str:
    return fact.episode or fact.subject


def _counts(reversal: Fact, order: Fact | None) -> bool:
    """Whether something is taken back of the order that counts: one does per episode."""
    something = reversal.amount is not None and reversal.amount.minor != 0
    return something and order is not None and reversal.subject in {order.subject, order.episode}


def _add(amounts: dict[str, dict[str, int]], name: str, facts: Iterable[Fact]) -> None:
    for fact in facts:
        if fact.amount is not None:
            per_currency = amounts.setdefault(name, {})
            code = fact.amount.currency
            per_currency[code] = per_currency.get(code, 0) + fact.amount.minor


@dataclass(frozen=True, slots=True)
class Lift:
    """Conversion of the treated minus that of the holdout, with its confidence interval."""

    difference: float
    low: float
    high: float
    confidence: float


DEFINITIONS: Mapping[str, str] = {
    "abandonment_rate": "abandoned / (abandoned + direct)",
    "contactable_rate": "contactable / abandoned",
    "recovery_rate": "recovered / contactable",
    "attributed_rate": "orders of tier 1 / episodes messaged",
    "lift": "conversion of treated minus conversion of holdout, Newcombe interval",
    "abandoned": "ever abandoned, whatever came later, without superseded; by day of abandonment",
    "reversed": "recovered orders of which something was cancelled, refunded or returned",
    "net_revenue": "recovered orders less cancellations, refunds and returns, per currency; coupon cost beside it",
}
"""What is printed beside the figures."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The rates of some sums; None where nothing is to be divided by. Money per currency."""

    abandonment_rate: Fraction | None
    contactable_rate: Fraction | None
    recovery_rate: Fraction | None
    attributed_rate: Fraction | None
    lift: Lift | None
    net_revenue: tuple[Money, ...]
    attributed_revenue: tuple[Money, ...]
    coupon_cost: tuple[Money, ...]


def figures(sums: Sums) -> Figures:
    """The figures as ``DEFINITIONS`` has them."""
    abandoned, direct = sums.count("abandoned"), sums.count("direct")
    recovered, reversed_ = sums.amounts.get("recovered", {}), sums.amounts.get("reversed", {})
    net = {code: recovered.get(code, 0) - reversed_.get(code, 0) for code in {*recovered, *reversed_}}
    return Figures(
        abandonment_rate=_rate(abandoned, abandoned + direct),
        contactable_rate=_rate(sums.count("contactable"), abandoned),
        recovery_rate=_rate(sums.count("recovered"), sums.count("contactable")),
        attributed_rate=_rate(sums.count("attributed"), sums.count("messaged")),
        lift=lift(
            sums.count("treated_converted"),
            sums.count("treated"),
            sums.count("holdout_converted"),
            sums.count("holdout"),
        ),
        net_revenue=_moneys(net),
        attributed_revenue=_moneys(sums.amounts.get("attributed", {})),
        coupon_cost=_moneys(sums.amounts.get("coupon_cost", {})),
    )


def funnel(by_dimension: Mapping[str, Sums]) -> dict[str, Sums]:
    """The sums by the stage at which the checkout was left; a checkout without a stage is in none."""
    return {key.removeprefix("stage:"): own for key, own in by_dimension.items() if key.startswith("stage:")}


def lift(treated_converted: int, treated: int, held_converted: int, held: int, confidence: float = 0.95) -> Lift | None:
    """The difference of two proportions with Newcombe's hybrid score interval; None where a group is empty.

    Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, method 10. Sound for the small groups that a
    holdout has, where the ordinary (Wald) interval is not.
    """
    if treated == 0 or held == 0:
        return None
    first, second = treated_converted / treated, held_converted / held
    low1, high1 = wilson(treated_converted, treated, confidence)
    low2, high2 = wilson(held_converted, held, confidence)
    difference = first - second
    return Lift(
        difference=difference,
        low=difference - sqrt((first - low1) ** 2 + (high2 - second) ** 2),
        high=difference + sqrt((high1 - first) ** 2 + (second - low2) ** 2),
        confidence=confidence,
    )


def wilson(converted: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion; ``of`` is 1 or more."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = converted / of
    centre = share + z * z / (2 * of)
    spread = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0)


def _rate(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None


def _moneys(minor_by_currency: Mapping[str, int]) -> tuple[Money, ...]:
    return tuple(Money(minor, code) for code, minor in sorted(minor_by_currency.items()))
