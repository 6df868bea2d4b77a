"""A rate limit's places: how many there are in any window, and when a send that finds no room has its turn."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.rate_limit import MOST_LOTS, Lot, RateLimit, is_now, rate_limit_of
from tests.unit.domain.sessions import NOON

SECOND, MINUTE, FOREVER = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=400)


def played(limit: RateLimit, asks: list[tuple[int, int]]) -> list[datetime]:
    """The places given to sends that ask in these numbers, each so many ms after the one before."""
    lots: tuple[Lot, ...] = ()
    now, places = NOON, list[datetime]()
    for wait, wanted in asks:
        now += timedelta(milliseconds=wait)
        given_now, lots = limit.reserve(lots, wanted, now, now + FOREVER)
        assert len(given_now) == wanted
        assert all(own >= now for own in given_now)
        places += given_now
    return places


def exact(limit: RateLimit, asks: list[tuple[int, int]]) -> list[datetime]:
    """The same with every single place remembered."""
    now, places = NOON, list[datetime]()
    for wait, wanted in asks:
        now += timedelta(milliseconds=wait)
        for _ in range(wanted):
            earlier = places[-limit.most] + limit.per if len(places) >= limit.most else now
            places.append(max([now, earlier, *places[-1:]]))
    return places


asking = st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 12)), max_size=60)
limits = st.builds(RateLimit, st.integers(1, 40), st.sampled_from([SECOND, MINUTE, timedelta(hours=1)]))


@given(limits, asking)
def test_no_window_wherever_it_begins_holds_more_than_the_limit(limit: RateLimit, asks: list[tuple[int, int]]) -> None:
    places = played(limit, asks)
    assert places == sorted(places)
    for first, later in zip(places, places[limit.most :], strict=False):
        assert later - first >= limit.per


@given(limits, asking)
def test_a_refused_send_comes_back_in_a_window_that_has_room_for_it(
    limit: RateLimit, asks: list[tuple[int, int]]
) -> None:
    """It comes back at the earliest such instant, while not more lots are needed than are remembered."""
    few = asks[:MOST_LOTS]
    assert played(limit, few) == exact(limit, few)


def test_windows_slide_so_that_no_edge_lets_twice_the_limit_through() -> None:
    limit = RateLimit(10, MINUTE)
    late = NOON + timedelta(seconds=59)
    _, lots = limit.reserve((), 10, late, late + FOREVER)
    places, _ = limit.reserve(lots, 10, late + SECOND, late + FOREVER)
    assert places == [late + MINUTE] * 10


def test_a_backlog_gets_lot_after_lot_and_little_is_remembered() -> None:
    limit, lots = RateLimit(10, SECOND), tuple[Lot, ...]()
    for batch in range(200):
        places, lots = limit.reserve(lots, 10, NOON + timedelta(milliseconds=batch), NOON + FOREVER)
        assert set(places) == {NOON + batch * SECOND}
        assert len(lots) == 1


def test_many_single_sends_are_remembered_in_few_lots_and_most_of_the_limit_is_reached() -> None:
    limit = RateLimit(600, MINUTE)
    places = played(limit, [(90, 1)] * 3000)
    assert places[-1] - NOON <= timedelta(milliseconds=100) * 3000 * 1.04


def test_nothing_is_reserved_beyond_the_latest_time() -> None:
    limit = RateLimit(2, MINUTE)
    places, lots = limit.reserve((), 9, NOON, NOON + timedelta(seconds=90))
    assert places == [NOON, NOON, NOON + MINUTE, NOON + MINUTE]
    assert limit.reserve(lots, 1, NOON, NOON + timedelta(seconds=90)) == ([], lots)


def test_a_place_that_was_missed_is_given_to_another() -> None:
    limit = RateLimit(2, MINUTE)
    _, lots = limit.reserve((), 4, NOON, NOON + FOREVER)
    late = NOON + 1.5 * MINUTE
    places, lots = limit.reserve(lots, 3, late, late + FOREVER, missed=[NOON + MINUTE] * 2)
    assert places == [late, late, late + MINUTE]
    assert lots == (Lot(late + MINUTE, 1),), "the lot that nobody used is forgotten"
    assert limit.reserve(lots, 2, late, late, missed=[NOON] * 9) == ([], lots), "nor does it free another"


def test_a_limit_that_was_lowered_holds_back_until_the_old_sends_are_out_of_its_window() -> None:
    _, lots = RateLimit(10, MINUTE).reserve((), 8, NOON, NOON)
    places, _ = RateLimit(3, MINUTE).reserve(lots, 1, NOON + SECOND, NOON + FOREVER)
    assert places == [NOON + MINUTE]


def test_a_place_is_used_when_it_comes_or_soon_after() -> None:
    limit = RateLimit(10, MINUTE)
    assert limit.holds(NOON, NOON + timedelta(seconds=15))
    assert not limit.holds(NOON, NOON + timedelta(seconds=16))
    assert RateLimit(1, SECOND).holds(NOON, NOON + timedelta(seconds=5)), "a queue counts in whole seconds"
    assert is_now(NOON, NOON)
    assert is_now(NOON + timedelta(milliseconds=20), NOON), "clocks differ"
    assert not is_now(NOON + SECOND, NOON)


def test_settings_hold_it_in_milliseconds() -> None:
    assert rate_limit_of({"rate_limit": {"max": 3, "per": 60_000}}) == RateLimit(3, MINUTE)
    assert rate_limit_of({}) is None
