"""A run that plays a fault which nothing met has proved nothing of it, and says so."""

from collections import Counter

import pytest

from tests.chaos.books import Case, Ledger, Posted, Received
from tests.chaos.faults import FAULTS
from tests.chaos.report import met, told, unmet
from tests.chaos.run import Outcome
from tests.chaos.storm import Plan
from tests.chaos.vendors import MOODS

NOBODY = frozenset[str]()
ALL_MOODS = tuple(Received(1.0, role, "somebody", mood=mood.value) for role, moods in MOODS.items() for mood in moods)
POSTED = (Posted(1, "phone", NOBODY, 1.0, 1.1, 200),)
WRONG_CLOCKS = (Case(1, "walks away", "+919812300001", NOBODY, skew=-30), Case(2, "returns", "+1", NOBODY, skew=600))


def outcome(
    *, faults: Counter[str], received: tuple[Received, ...] = ALL_MOODS, cases: tuple[Case, ...] = WRONG_CLOCKS
) -> Outcome:
    """A run whose books balance."""
    books = Ledger(cases=cases, posted=POSTED, received=received)
    return Outcome(Plan.of(1, 100), books, [], [], [], faults, 60.0, 20.0)


EVERY = Counter({own.name: 1 for own in FAULTS})


def test_a_run_in_which_every_fault_was_met_says_so() -> None:
    run = outcome(faults=EVERY)

    assert unmet(run) == []
    assert f"kinds of fault met: {len(met(run))} of {len(met(run))}" in told(run)
    assert "WRONG" not in told(run)


@pytest.mark.parametrize("fault", [own.name for own in FAULTS])
def test_a_fault_that_nothing_met_is_wrong_though_the_books_balance(fault: str) -> None:
    run = outcome(faults=Counter({name: 0 if name == fault else 1 for name in EVERY}))

    assert unmet(run) == [fault]
    assert f"WRONG, seed 1: nothing met the fault: {fault}" in told(run)


def test_a_mood_that_no_vendor_had_and_a_clock_that_was_never_wrong_are_missed_too() -> None:
    run = outcome(faults=EVERY, received=tuple(own for own in ALL_MOODS if own.mood != "hangs"), cases=WRONG_CLOCKS[:1])

    assert unmet(run) == ["an endpoint: hangs", "a BSP: hangs", "a shop's clock is ahead"]


def test_there_are_many_kinds() -> None:
    assert len(met(outcome(faults=EVERY))) >= 40
