"""A run that plays a fault which nothing met has proved nothing of it, and says so."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.chaos.books import Case, Finding, Ledger, Posted, Received
from tests.chaos.faults import FAULTS
from tests.chaos.report import holds, met, told, unmet
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


def missing(*faults: str) -> Outcome:
    return outcome(faults=Counter({name: 0 if name in faults else 1 for name in EVERY}))


class TestSpareSeeds:
    """A short run may play a further seed for what its own did not meet."""

    NAMES = tuple(EVERY)

    def holds(self, outcomes: dict[int, Outcome], seeds: list[int], spare: int) -> tuple[bool, list[int]]:
        played: list[int] = []

        def play(seed: int) -> Outcome:
            played.append(seed)
            return outcomes[seed]

        return holds(play, seeds, spare), played

    def test_none_is_played_where_everything_was_met(self) -> None:
        assert self.holds({1: missing()}, [1], 1) == (True, [1])

    def test_what_the_first_missed_the_next_may_meet(self) -> None:
        first, second = self.NAMES[:2]
        assert self.holds({1: missing(first), 2: missing(second)}, [1], 1) == (True, [1, 2])

    def test_what_both_missed_is_wrong(self) -> None:
        first = missing(self.NAMES[0])
        assert self.holds({1: first, 2: first}, [1], 1) == (False, [1, 2])

    def test_without_a_spare_one_each_seed_must_meet_everything(self) -> None:
        first, second = self.NAMES[:2]
        assert self.holds({1: missing(first), 2: missing(second)}, [1, 2], 0) == (False, [1, 2])

    def test_books_that_do_not_balance_are_not_played_away(self) -> None:
        wrong = replace(missing(self.NAMES[0]), findings=[Finding("a promise", "is broken")])
        assert self.holds({1: wrong, 2: missing()}, [1], 1) == (False, [1])
        assert self.holds({1: replace(missing(), findings=wrong.findings)}, [1], 1) == (False, [1])
