"""How often a link may be used: in any minute at most so often, by all workers together, wherever the minute begins."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from botocore.exceptions import ConnectionClosedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.rate_limit import MOST_LOTS, RateLimit
from shared.store.link_limits import MOST_PER_MINUTE, LinkLimits
from shared.store.rate_places import RatePlaces
from shared.store.table import Table
from tests.unit.domain.sessions import NOON, after

DIGEST = "a" * 26


def test_no_second_burst_goes_through_behind_the_edge_of_a_minute(table: Table) -> None:
    limits = LinkLimits(table)
    late = after(seconds=59)
    assert [limits.take(DIGEST, "r", late) for _ in range(MOST_PER_MINUTE + 1)] == [True] * MOST_PER_MINUTE + [False]
    assert not limits.take(DIGEST, "r", after(seconds=61))
    assert not limits.take(DIGEST, "r", after(seconds=118.9))
    assert limits.take(DIGEST, "r", after(seconds=119))
    assert limits.take(DIGEST, "u", late), "another link has uses of its own"


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(-200, 30_000), st.integers(1, 8)), min_size=1, max_size=25),
    st.integers(0, 10**9),
)
def test_in_any_window_at_most_the_limit_is_taken(
    table: Table, most: int, bursts: list[tuple[int, int]], name: int
) -> None:
    """Workers' clocks differ by a fifth of a second: what one took counts for another whose clock is behind."""
    places, limit = RatePlaces(table), RateLimit(most, timedelta(minutes=1))
    key = (f"C#{DIGEST}", f"L#{name}")
    taken, at_ms = list[int](), 0
    for later_ms, size in bursts:
        at_ms = max(at_ms + later_ms, 0)
        counted_at = max([at_ms, *taken[-1:]])
        for _ in range(size):
            if places.take(key, limit, NOON + timedelta(milliseconds=at_ms)):
                taken.append(counted_at)
            else:
                full = sum(own > counted_at - 60_000 for own in taken) >= most
                assert full or len(set(taken)) > MOST_LOTS, "who stays below the limit is not refused"
    for begin in taken:
        assert sum(begin <= own < begin + 60_000 for own in taken) <= most
    table.delete_all([key])


def test_workers_that_take_at_once_get_no_more_than_the_limit_together(table: Table) -> None:
    limits, workers = LinkLimits(table), 4
    together = threading.Barrier(workers)

    def uses(_: int) -> int:
        together.wait()
        return sum(limits.take(DIGEST, "r", NOON) for _ in range(12))

    with ThreadPoolExecutor(workers) as threads:
        assert sum(threads.map(uses, range(workers))) == MOST_PER_MINUTE


def test_a_write_whose_answer_was_lost_is_a_use_and_never_allows_one_more(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, update = LinkLimits(table), Table.update
    lost = iter([True])

    def unseen(self: Table, given: object) -> None:
        update(self, given)  # type: ignore[arg-type]  # as it was given
        if next(lost, False):
            raise ConnectionClosedError(endpoint_url="https://dynamodb.example")

    monkeypatch.setattr(Table, "update", unseen)
    with pytest.raises(ConnectionClosedError):
        limits.take(DIGEST, "r", NOON)
    assert sum(limits.take(DIGEST, "r", NOON) for _ in range(MOST_PER_MINUTE)) == MOST_PER_MINUTE - 1
