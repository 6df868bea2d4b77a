"""An endpoint's health as a pure state machine."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import breaker
from shared.domain.breaker import (
    DISABLE_AFTER,
    FIRST_WAIT,
    HEALTHY,
    LONGEST_WAIT,
    TRIP_AFTER,
    BreakerState,
    Go,
    Health,
    Observation,
    Wait,
    admit,
    given_up,
    observed,
    probing,
    suspected,
)
from tests.unit.domain.sessions import NOON

SECOND = timedelta(seconds=1)


def failures(count: int, since: timedelta = timedelta()) -> list[Observation]:
    return [Observation(NOON + since + SECOND * at, succeeded=False) for at in range(count)]


def opened() -> Health:
    return observed(HEALTHY, failures(TRIP_AFTER))


def test_a_healthy_endpoint_learns_nothing_from_success() -> None:
    assert observed(HEALTHY, [Observation(NOON, succeeded=True)] * 9) == HEALTHY
    assert admit(HEALTHY, NOON) == Go()


def test_failures_in_a_row_open_the_breaker() -> None:
    almost = observed(HEALTHY, failures(TRIP_AFTER - 1))
    assert almost.state(NOON) is BreakerState.CLOSED
    after = opened()
    assert after.state(NOON) is BreakerState.OPEN
    wait = admit(after, NOON + SECOND * TRIP_AFTER)
    assert isinstance(wait, Wait)
    assert wait == Wait(NOON + SECOND * (TRIP_AFTER - 1) + FIRST_WAIT, "breaker_open")


def test_a_success_between_failures_starts_the_count_again() -> None:
    told = [*failures(TRIP_AFTER - 1), Observation(NOON + 5 * SECOND, True), *failures(TRIP_AFTER - 1, 6 * SECOND)]
    after = observed(HEALTHY, told)
    assert after.state(NOON) is BreakerState.CLOSED
    assert after.failures == TRIP_AFTER - 1
    assert after.failing_since == NOON + 6 * SECOND


def test_when_the_wait_is_over_one_attempt_probes() -> None:
    after = opened()
    assert after.open_until is not None
    now = after.open_until
    assert after.state(now) is BreakerState.HALF_OPEN
    assert admit(after, now) == Go(probe=True)
    leased = probing(after, now, 15 * SECOND)
    assert isinstance(admit(leased, now + SECOND), Wait)
    assert admit(leased, now + timedelta(minutes=1)) == Go(probe=True), "a crashed probe does not block for ever"


def test_a_probe_that_succeeds_closes_the_breaker() -> None:
    after = opened()
    assert after.open_until is not None
    healed = observed(after, [Observation(after.open_until + SECOND, succeeded=True)])
    assert (healed.state(NOON), healed.failures, healed.failing_since) == (BreakerState.CLOSED, 0, None)
    assert healed.last_success_at == after.open_until + SECOND
    assert healed.last_failure_at == after.last_failure_at


def test_every_probe_that_fails_doubles_the_wait_up_to_ten_minutes() -> None:
    health, waits = opened(), []
    for _ in range(8):
        assert health.open_until is not None
        at = health.open_until
        health = observed(health, [Observation(at, succeeded=False)])
        assert health.open_until is not None
        waits.append(health.open_until - at)
    assert waits[:3] == [FIRST_WAIT * 2, FIRST_WAIT * 4, FIRST_WAIT * 8]
    assert waits[-1] == LONGEST_WAIT


def test_late_answers_of_attempts_that_were_out_do_not_lengthen_the_wait() -> None:
    after = opened()
    late = observed(after, [Observation(NOON + 10 * SECOND, succeeded=False)])
    assert (late.open_until, late.trips) == (after.open_until, after.trips)
    assert late.failures == after.failures + 1


def test_an_attempt_that_takes_long_holds_the_others_back() -> None:
    hung = suspected(HEALTHY, NOON, 15 * SECOND)
    wait = admit(hung, NOON + SECOND)
    assert isinstance(wait, Wait)
    assert wait.reason == "endpoint_slow"
    assert admit(hung, NOON + 16 * SECOND) == Go(), "a crashed worker's suspicion ends"
    assert suspected(hung, NOON + SECOND, 15 * SECOND) == hung


def test_a_slow_endpoint_that_answers_well_is_not_suspected_again_for_a_while() -> None:
    hung = suspected(HEALTHY, NOON, 15 * SECOND)
    slow = observed(hung, [Observation(NOON + 5 * SECOND, succeeded=True, slow=True)])
    assert admit(slow, NOON + 5 * SECOND) == Go()
    assert suspected(slow, NOON + 6 * SECOND, 15 * SECOND) == slow
    assert observed(slow, [Observation(NOON + 9 * SECOND, succeeded=True, slow=True)]) == slow, "no write each time"
    much_later = NOON + timedelta(hours=1)
    assert suspected(slow, much_later, 15 * SECOND) != slow


@pytest.mark.parametrize(
    ("count", "lasting", "expected"),
    [
        (TRIP_AFTER, DISABLE_AFTER, True),
        (TRIP_AFTER, DISABLE_AFTER - SECOND, False),
        (TRIP_AFTER - 1, DISABLE_AFTER, False),
    ],
)
def test_five_days_of_nothing_but_failures_are_enough(count: int, lasting: timedelta, expected: bool) -> None:
    health = Health(failures=count, failing_since=NOON, last_failure_at=NOON + lasting)
    assert given_up(health) is expected


@given(st.lists(st.tuples(st.integers(0, 10_000), st.booleans(), st.booleans()), max_size=60))
def test_whatever_happens_the_last_word_counts(told: list[tuple[int, bool, bool]]) -> None:
    observations = [Observation(NOON + SECOND * at, good, slow) for at, good, slow in told]
    health = observed(HEALTHY, observations)
    in_order = sorted(observations, key=lambda own: own.at)
    streak = 0
    for own in in_order:
        streak = 0 if own.succeeded else streak + 1
    assert health.failures == streak
    assert (health.failing_since is None) == (streak == 0)
    assert (health.open_until is not None) == (streak >= TRIP_AFTER)
    assert health.version == 0, "only the store counts writes"
    if health.open_until is not None:
        assert isinstance(breaker.admit(health, in_order[-1].at), Wait | Go)
        assert health.open_until - in_order[-1].at <= LONGEST_WAIT
