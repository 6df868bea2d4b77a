"""A rate limit's windows, and when refused sends come back."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.rate_limit import RateLimit, rate_limit_of
from tests.unit.domain.sessions import NOON

MINUTE = timedelta(minutes=1)


def test_windows_begin_at_multiples_of_their_length() -> None:
    limit = RateLimit(10, MINUTE)
    assert limit.window_end(NOON) == NOON + MINUTE
    assert limit.window_end(NOON + timedelta(seconds=59)) == NOON + MINUTE
    assert limit.window(NOON + MINUTE) == limit.window(NOON) + 1


@given(st.integers(1, 50), st.integers(0, 500), st.floats(0, 1), st.integers(0, 59))
def test_a_refused_send_comes_back_in_a_window_that_has_room_for_it(
    most: int, position: int, chance: float, second: int
) -> None:
    limit, now = RateLimit(most, MINUTE), NOON + timedelta(seconds=second)
    turn = limit.turn(now, position, chance)
    assert limit.window(turn) == limit.window(now) + 1 + position // most


def test_settings_hold_it_in_milliseconds() -> None:
    assert rate_limit_of({"rate_limit": {"max": 3, "per": 60_000}}) == RateLimit(3, MINUTE)
    assert rate_limit_of({}) is None
