"""What follows from a decision that is written: done in the end, and nothing keeps anything else from it."""

import logging

import pytest

from shared.store.table import StoreUnavailable
from shared.workflows.campaigns.follow_ups import FollowUps


class Act:
    """Fails so many times."""

    def __init__(self, failures: int, error: type[Exception] = StoreUnavailable) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def follow_ups(waits: list[float]) -> FollowUps:
    return FollowUps(waits.append)


def test_what_fails_twice_is_done_at_once(follow_ups: FollowUps, waits: list[float]) -> None:
    act = Act(2)
    assert follow_ups.do(act)
    assert (act.calls, len(waits)) == (3, 2)
    follow_ups.catch_up()
    assert act.calls == 3


def test_what_still_fails_is_owed_and_done_at_a_later_batch(follow_ups: FollowUps) -> None:
    act, other = Act(4), Act(0)
    assert not follow_ups.do(act)
    assert follow_ups.do(other)
    follow_ups.catch_up()
    follow_ups.catch_up()
    follow_ups.catch_up()
    assert (act.calls, other.calls) == (5, 1)


def test_where_something_more_urgent_waits_one_try_is_made_and_nothing_is_owed(
    follow_ups: FollowUps, waits: list[float]
) -> None:
    act = Act(1)
    assert not follow_ups.once(act)
    assert (act.calls, waits) == (1, [])
    follow_ups.catch_up()
    assert act.calls == 1
    assert follow_ups.once(act)


def test_what_nobody_can_do_is_given_up_and_told(follow_ups: FollowUps, caplog: pytest.LogCaptureFixture) -> None:
    act = Act(1_000)
    follow_ups.do(act)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            follow_ups.catch_up()
    assert act.calls == 6
    assert [own.message for own in caplog.records if own.levelname == "ERROR"] == [
        "given up: what follows from a step's outcome could not be written"
    ]


def test_a_defect_is_not_repeated_and_told_without_its_words(
    follow_ups: FollowUps, caplog: pytest.LogCaptureFixture
) -> None:
    whom = "asha" + "@example.com"

    def broken() -> None:
        raise ValueError(whom)

    assert not follow_ups.do(broken)
    follow_ups.catch_up()
    assert [own.levelname for own in caplog.records] == ["ERROR"]
    assert whom not in caplog.text
    assert "broken" in caplog.text
