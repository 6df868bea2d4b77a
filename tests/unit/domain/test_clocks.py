"""A provider's clock orders its events, unless it runs ahead of ours."""

from dataclasses import replace
from datetime import timedelta

from shared.domain.change import clock_key, on_our_clock
from shared.domain.instants import MOST_AHEAD
from tests.unit.domain.sessions import NOON, flat

DIGEST = b"d" * 16


def test_a_timestamp_from_the_future_is_ordered_by_its_arrival() -> None:
    ahead = NOON + timedelta(days=365)
    wrong = replace(flat(1), occurred_at=ahead, order_key=clock_key(ahead, DIGEST), body_digest=DIGEST)
    assert on_our_clock(wrong, NOON, MOST_AHEAD).order_key == clock_key(NOON, DIGEST)


def test_a_believable_time_and_a_sequence_stay_as_they_are() -> None:
    believed = replace(flat(1), occurred_at=NOON, order_key=clock_key(NOON, DIGEST), body_digest=DIGEST)
    assert on_our_clock(believed, NOON, MOST_AHEAD) == believed
    by_rank = replace(flat(1), occurred_at=NOON + timedelta(days=1))
    assert on_our_clock(by_rank, NOON, MOST_AHEAD) == by_rank
