"""When a failed delivery is tried again, and when not any more."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.retry import (
    DEFAULT_SCHEDULE,
    JITTER_CAP,
    JITTER_SHARE,
    RETRY_AFTER_CAP,
    GaveUp,
    RetryPlan,
    RetrySchedule,
    parse_retry_after,
    plan_retry,
)

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)

delays = st.timedeltas(timedelta(), timedelta(days=7))
schedules = st.lists(delays, max_size=20).map(lambda found: RetrySchedule(tuple(found)))
chances = st.floats(0, 1, exclude_max=True)
instants = st.none() | st.timedeltas(timedelta(days=-2), timedelta(days=9)).map(lambda ahead: NOW + ahead)


def never() -> float:
    return 0.0


def test_the_default_ladder() -> None:
    waits = []
    for attempts in range(1, 8):
        plan = plan_retry(attempts_made=attempts, now=NOW, random=never)
        assert plan.at is not None
        waits.append(plan.at - NOW)
    assert waits == [
        timedelta(seconds=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=5),
        timedelta(hours=10),
        timedelta(hours=10),
    ]


def test_after_the_last_attempt_we_give_up() -> None:
    assert plan_retry(attempts_made=8, now=NOW, random=never) == RetryPlan(None, GaveUp.ATTEMPTS_EXHAUSTED)


def test_an_endpoint_may_want_no_retry_at_all() -> None:
    plan = plan_retry(attempts_made=1, now=NOW, random=never, schedule=RetrySchedule(()))
    assert plan == RetryPlan(None, GaveUp.ATTEMPTS_EXHAUSTED)


def test_the_answer_can_ask_for_more_patience_but_not_for_haste() -> None:
    later = plan_retry(attempts_made=1, now=NOW, random=never, retry_after=NOW + timedelta(minutes=2))
    sooner = plan_retry(attempts_made=2, now=NOW, random=never, retry_after=NOW + timedelta(seconds=1))
    assert later.at == NOW + timedelta(minutes=2)
    assert sooner.at == NOW + timedelta(minutes=5)


def test_a_week_of_patience_is_cut_to_a_day() -> None:
    plan = plan_retry(attempts_made=1, now=NOW, random=never, retry_after=NOW + timedelta(days=7))
    assert plan.at == NOW + timedelta(days=1)


def test_nothing_is_sent_when_it_has_lost_its_worth() -> None:
    limit = NOW + timedelta(minutes=4)
    assert plan_retry(attempts_made=2, now=NOW, random=never, do_not_send_after=limit).gave_up is GaveUp.TOO_LATE


def test_jitter_is_cut_short_rather_than_the_attempt_lost() -> None:
    limit = NOW + timedelta(minutes=5)
    assert plan_retry(attempts_made=2, now=NOW, random=lambda: 0.99, do_not_send_after=limit).at == limit


@given(
    schedule=schedules,
    attempts=st.integers(1, 25),
    chance=chances,
    retry_after=instants,
    do_not_send_after=instants,
)
def test_a_plan_keeps_every_promise(
    schedule: RetrySchedule,
    attempts: int,
    chance: float,
    retry_after: datetime | None,
    do_not_send_after: datetime | None,
) -> None:
    plan = plan_retry(
        attempts_made=attempts,
        now=NOW,
        random=lambda: chance,
        schedule=schedule,
        retry_after=retry_after,
        do_not_send_after=do_not_send_after,
    )
    assert (plan.at is None) != (plan.gave_up is None)
    delay = schedule.delay_after(attempts)
    if delay is None:
        assert plan.gave_up is GaveUp.ATTEMPTS_EXHAUSTED
        return
    asked = min(retry_after, NOW + RETRY_AFTER_CAP) if retry_after else NOW
    earliest = max(NOW + delay, asked)
    if plan.at is None:
        assert do_not_send_after is not None
        assert earliest > do_not_send_after
    else:
        assert earliest <= plan.at <= earliest + min((earliest - NOW) * JITTER_SHARE, JITTER_CAP)
        assert do_not_send_after is None or plan.at <= do_not_send_after


@given(schedule=schedules, chance=chances)
def test_every_ladder_ends(schedule: RetrySchedule, chance: float) -> None:
    attempts = 1
    while plan_retry(attempts_made=attempts, now=NOW, random=lambda: chance, schedule=schedule).at:
        attempts += 1
    assert attempts == len(schedule.delays) + 1


@given(first=chances, second=chances)
def test_more_chance_never_means_sooner(first: float, second: float) -> None:
    low, high = sorted((first, second))
    sooner = plan_retry(attempts_made=3, now=NOW, random=lambda: low).at
    later = plan_retry(attempts_made=3, now=NOW, random=lambda: high).at
    assert sooner is not None
    assert later is not None
    assert sooner <= later


@pytest.mark.parametrize(
    "bad",
    [(timedelta(seconds=-1),), (timedelta(days=8),), (timedelta(seconds=1),) * 21],
)
def test_a_schedule_is_bounded(bad: tuple[timedelta, ...]) -> None:
    with pytest.raises(ValueError, match="retry"):
        RetrySchedule(bad)


def test_a_retry_needs_an_attempt() -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        plan_retry(attempts_made=0, now=NOW, random=never, schedule=DEFAULT_SCHEDULE)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("999999999", 86400),
        ("99999999999999999999999999", 86400),
        ("Sat, 21 Nov 2026 10:05:00 GMT", 300),
        ("Saturday, 21-Nov-26 10:05:00 GMT", 300),
        ("Sat Nov 21 10:05:00 2026", 300),
        ("Sat, 21 Nov 2026 15:35:00 +0530", 300),
        ("Sat, 21 Nov 2026 10:05:00 -0000", 300),
        ("Sat, 21 Nov 2020 10:05:00 GMT", 0),
        ("Sat, 21 Nov 2099 10:05:00 GMT", 86400),
    ],
)
def test_retry_after_in_seconds_and_as_a_date(value: str, seconds: int) -> None:
    assert parse_retry_after(value, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "-5", "1.5", "soon", "٣", "Sat, 99 Nov 2026 10:05:00 GMT", "31 Dec 9999 23:59:59 -2359"]
)
def test_nonsense_asks_for_nothing(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


@given(value=st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d [+-]?\w+"))
def test_any_text_is_survived_and_bounded(value: str) -> None:
    asked = parse_retry_after(value, NOW)
    assert asked is None or NOW <= asked <= NOW + RETRY_AFTER_CAP


@given(asked=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001
def test_http_dates_are_read_as_written(asked: datetime) -> None:
    instant = asked.replace(tzinfo=UTC, microsecond=0)
    expected = min(max(instant, NOW), NOW + RETRY_AFTER_CAP)
    assert parse_retry_after(format_datetime(instant, usegmt=True), NOW) == expected
