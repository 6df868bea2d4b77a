"""What an order is owed to, what is counted, and the rates made of it."""

from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.attribution import Attribution, Click, Tier, Touch, attributed
from shared.domain.holdout import in_holdout
from shared.domain.identity import Identity, IdentityKind
from shared.domain.metrics import (
    DEFINITIONS,
    EVERYTHING,
    Fact,
    FactKind,
    Figures,
    Sums,
    cohort_of,
    figures,
    funnel,
    immature,
    lift,
    roll_up,
    wilson,
)
from shared.domain.money import Money
from tests.unit.domain.recovery.episodes import DAY, HOUR, PHONE
from tests.unit.domain.sessions import MERCHANT, NOON, after

TODAY = date(2026, 11, 21)
FIRST = Touch(1, NOON, delivered_at=NOON)
SECOND = Touch(2, NOON + DAY, delivered_at=NOON + DAY, coupon="BACK10")


def click(at: Any, step: int = 1, classed: Any = "human") -> Click:
    return Click(at, step, classed)


@pytest.mark.parametrize(
    ("ordered_after", "touches", "clicks", "codes", "expected"),
    [
        (HOUR, [FIRST], [click(after(minutes=5))], [], Attribution(Tier.CLICKED, 1)),
        (HOUR, [FIRST], [click(after(minutes=5), classed="unknown")], [], Attribution(Tier.CLICKED, 1)),
        (HOUR, [FIRST], [click(after(minutes=5), classed="probable_bot")], [], Attribution(Tier.DELIVERED, 1)),
        (5 * DAY, [FIRST], [click(NOON)], [], Attribution(Tier.CLICKED, 1)),
        (5 * DAY + HOUR, [FIRST], [click(NOON)], [], Attribution(Tier.ALONE)),
        (HOUR, [FIRST], [click(NOON + 2 * HOUR)], [], Attribution(Tier.DELIVERED, 1)),
        (2 * DAY, [FIRST, SECOND], [click(NOON + HOUR)], [], Attribution(Tier.CLICKED, 1)),
        (2 * DAY, [FIRST, SECOND], [click(NOON + HOUR), click(NOON + DAY, 2)], [], Attribution(Tier.CLICKED, 2)),
        (2 * DAY, [FIRST, SECOND], [click(NOON + HOUR, 0)], [], Attribution(Tier.CLICKED, 1)),
        (3 * DAY, [FIRST, SECOND], [], ["back10"], Attribution(Tier.CLICKED, 2)),
        (6 * DAY + HOUR, [FIRST, SECOND], [], ["BACK10"], Attribution(Tier.ALONE)),
        (2 * DAY, [FIRST, SECOND], [], ["OTHER"], Attribution(Tier.DELIVERED, 2)),
        (DAY, [FIRST], [], [], Attribution(Tier.DELIVERED, 1)),
        (DAY + HOUR, [FIRST], [], [], Attribution(Tier.ALONE)),
        (HOUR, [replace(FIRST, delivered_at=None)], [], [], Attribution(Tier.ALONE)),
        (HOUR, [SECOND], [], ["BACK10"], Attribution(Tier.ALONE)),
        (HOUR, [], [], [], Attribution(Tier.ALONE)),
    ],
)
def test_the_evidence_decides_the_tier_and_the_last_touch_the_step(
    ordered_after: timedelta, touches: list[Touch], clicks: list[Click], codes: list[str], expected: Attribution
) -> None:
    assert attributed(NOON + ordered_after, touches, clicks, codes) == expected


def fact(kind: FactKind, subject: str, **more: Any) -> Fact:
    return Fact(kind, TODAY, subject, NOON, **more)


INR = Money(10_000, "INR")
FACTS = [
    *(fact(FactKind.ABANDONED, f"c{n}", provider="flexype", stage="address") for n in range(4)),
    *(fact(FactKind.CONTACTABLE, f"c{n}", provider="flexype", stage="address") for n in range(3)),
    fact(FactKind.ABANDONED, "replaced", provider="flexype"),
    fact(FactKind.CONTACTABLE, "replaced", provider="flexype"),
    fact(FactKind.SUPERSEDED, "replaced", provider="flexype"),
    fact(FactKind.DIRECT, "d1", provider="wix"),
    fact(FactKind.STARTED, "e0", treated=True, campaign="cmp"),
    fact(FactKind.STARTED, "e1", treated=True, campaign="cmp"),
    fact(FactKind.STARTED, "e2", treated=False, campaign="cmp"),
    fact(FactKind.MESSAGED, "e0", part="1", campaign="cmp", step=1, endpoint="ep"),
    fact(FactKind.MESSAGED, "e0", part="2", campaign="cmp", step=2, endpoint="ep"),
    fact(FactKind.MESSAGED, "e1", part="1", campaign="cmp", step=1, endpoint="ep"),
    fact(FactKind.NOT_SENT, "e1", part="2", campaign="cmp", step=2, reason="no_consent"),
    fact(FactKind.RECOVERED, "c0", episode="e0", campaign="cmp", step=2, treated=True, tier=1, amount=INR),
    Fact(FactKind.RECOVERED, TODAY, "c1", NOON + HOUR, episode="e0", campaign="cmp", treated=True, tier=3, amount=INR),
    fact(FactKind.RECOVERED, "c2", episode="e2", treated=False, tier=3, amount=Money(500, "EUR")),
    fact(FactKind.REVERSED, "e0", part="refund", campaign="cmp", amount=Money(2_500, "INR")),
    fact(FactKind.COUPON_COST, "e0", campaign="cmp", amount=Money(1_000, "INR")),
]


def test_the_figures_of_a_cohort_by_hand() -> None:
    shown = figures(roll_up(FACTS)[EVERYTHING])
    assert shown.abandonment_rate == Fraction(4, 5)
    assert shown.contactable_rate == Fraction(3, 4)
    assert shown.recovery_rate == Fraction(2, 3)
    assert shown.attributed_rate == Fraction(1, 2)
    assert shown.net_revenue == (Money(500, "EUR"), Money(7_500, "INR"))
    assert shown.attributed_revenue == (INR,)
    assert shown.coupon_cost == (Money(1_000, "INR"),)
    assert shown.lift is not None
    assert shown.lift.difference == pytest.approx(1 / 2 - 1)
    assert set(DEFINITIONS) >= {"abandonment_rate", "recovery_rate", "attributed_rate", "lift"}


def test_sums_by_dimension() -> None:
    sums = roll_up(FACTS)
    assert sums["provider:wix"].count("direct") == 1
    assert sums["step:cmp/1"].count("messaged") == 2
    assert sums["step:cmp/2"].count("attributed") == 1
    assert sums["campaign:cmp"].count("not_sent") == 1
    assert sums["campaign:cmp"].not_sent_reasons == {"no_consent": 1}
    assert sums["step:cmp/1"].not_sent_reasons == {}
    assert (sums["campaign:cmp"] + sums[EVERYTHING]).not_sent_reasons == {"no_consent": 2}
    assert sums["campaign:cmp"].count("messages") == 3
    assert sums["campaign:cmp"].count("holdout") == 1
    assert sums["endpoint:ep"].count("messaged") == 2
    assert funnel(sums)["address"].count("abandoned") == 4


def test_a_superseded_checkout_that_was_bought_after_all_counts() -> None:
    bought = fact(FactKind.RECOVERED, "replaced", tier=3)
    assert roll_up([*FACTS, bought])[EVERYTHING].count("abandoned") == 5


@given(st.permutations(FACTS), st.lists(st.sampled_from(FACTS)))
def test_sums_know_no_order_and_no_repeats(facts: list[Fact], repeats: list[Fact]) -> None:
    assert roll_up([*facts, *repeats]) == roll_up(FACTS)


def test_cohorts_add_up_and_currencies_never_do() -> None:
    one = roll_up(FACTS)[EVERYTHING]
    both = one + one
    assert both.count("abandoned") == 8
    assert both.amounts["recovered"] == {"INR": 20_000, "EUR": 1_000}
    assert one + Sums() == one
    empty = figures(Sums())
    assert empty == Figures(None, None, None, None, None, (), (), ())


def test_a_cohort_is_a_day_on_the_merchants_clock_and_ripens_after_the_horizon() -> None:
    late = after(hours=7)
    assert cohort_of(late, "Asia/Kolkata") == date(2026, 11, 22)
    assert cohort_of(late, "Europe/Berlin") == TODAY
    ripe = after(hours=12, days=7)
    assert immature(TODAY, "UTC", 7 * DAY, ripe - timedelta(seconds=1))
    assert not immature(TODAY, "UTC", 7 * DAY, ripe)


def test_newcombes_own_example() -> None:
    """56/70 against 48/80: 0.0524 to 0.3339 (Newcombe 1998, table II, method 10)."""
    own = lift(56, 70, 48, 80)
    assert own is not None
    assert (own.difference, own.low, own.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert lift(1, 0, 1, 5) is None
    assert wilson(0, 10)[0] == pytest.approx(0.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_the_lift_lies_in_its_interval_and_the_interval_within_reason(
    treated: int, held: int, data: st.DataObject
) -> None:
    own = lift(data.draw(st.integers(0, treated)), treated, data.draw(st.integers(0, held)), held)
    assert own is not None
    assert -1 - 1e-9 <= own.low <= own.difference + 1e-9
    assert own.difference - 1e-9 <= own.high <= 1 + 1e-9


def who(number: int, kind: IdentityKind = IdentityKind.PHONE) -> Identity:
    return Identity(MERCHANT, kind, f"{kind}-{number:015d}"[:20])


def test_the_holdout_is_a_stable_share_of_shoppers() -> None:
    share = sum(in_holdout([who(n)], 5) for n in range(20_000)) / 20_000
    assert 0.045 < share < 0.055
    assert not any(in_holdout([who(n)], 0) for n in range(500))
    assert all(in_holdout([who(n)], 100) for n in range(500))
    assert not in_holdout([], 100)


@given(st.integers(0, 999), st.floats(0, 100))
def test_a_shopper_known_by_more_stays_where_the_phone_put_them(number: int, percent: float) -> None:
    email = who(number, IdentityKind.EMAIL)
    assert in_holdout([PHONE], percent) == in_holdout([email, PHONE], percent)
    assert not in_holdout([PHONE], percent) or in_holdout([PHONE], min(percent + 1, 100))


def test_what_is_taken_back_counts_wherever_its_order_does_and_of_no_other() -> None:
    step = {"campaign": "cmp", "step": 2, "endpoint": "ep", "provider": "wix"}
    facts = [
        fact(FactKind.RECOVERED, "c1", episode="e", tier=1, amount=INR, **step),
        Fact(FactKind.RECOVERED, TODAY, "c2", NOON + HOUR, episode="e", tier=3, amount=INR),
        fact(FactKind.REVERSED, "c1", part="INR", episode="e", amount=Money(4_000, "INR")),
        fact(FactKind.REVERSED, "c2", part="INR", episode="e", amount=Money(10_000, "INR")),
        fact(FactKind.DIRECT, "d", amount=INR),
        fact(FactKind.REVERSED, "d", part="INR", amount=Money(10_000, "INR")),
        fact(FactKind.RECOVERED, "c3", amount=INR),
        fact(FactKind.REVERSED, "c3", part="INR", amount=Money(0, "INR")),
    ]
    sums = roll_up(facts)
    for name in ("step:cmp/2", "endpoint:ep", "campaign:cmp", "provider:wix"):
        assert figures(sums[name]).net_revenue == (Money(6_000, "INR"),), name
        assert sums[name].count("reversed") == 1
    assert figures(sums[EVERYTHING]).net_revenue == (Money(16_000, "INR"),)
    assert sums[EVERYTHING].count("reversed") == 1
