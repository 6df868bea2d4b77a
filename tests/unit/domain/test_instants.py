"""Instants: aware UTC inside, milliseconds in storage, RFC 3339 outside."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.change import clock_key
from shared.domain.instants import from_ms, parse_instant, to_ms, to_rfc3339, trustworthy
from tests.unit.domain.sessions import NOON, after

AWARE = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda own: own.replace(tzinfo=UTC))  # noqa: DTZ001
ZONED = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.timezones())  # noqa: DTZ001


@given(AWARE)
def test_milliseconds_round_trip(instant: datetime) -> None:
    assert from_ms(to_ms(instant)) == instant - timedelta(microseconds=instant.microsecond % 1000)


@given(ZONED)
def test_rfc3339_round_trips_to_the_millisecond(instant: datetime) -> None:
    text = to_rfc3339(instant)
    assert text.endswith("Z")
    parsed = parse_instant(text)
    assert parsed is not None
    assert to_ms(parsed) == to_ms(instant)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21T17:30:00+05:30", NOON),
        ("2026-11-21T12:00:00", NOON),
        (" 2026-11-21T12:00:00.000Z ", NOON),
        ("2026-02-30T12:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("soon", None),
        ("", None),
        (None, None),
        (1_763_726_400, None),
    ],
)
def test_a_vendors_time_is_utc_or_nothing(text: object, instant: datetime | None) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("own", "trusted"),
    [
        (NOON, True),
        (after(minutes=5), True),
        (after(minutes=5, seconds=1), False),
        (after(days=-7), True),
        (after(days=-7, seconds=-1), False),
        (None, False),
    ],
)
def test_an_own_time_counts_inside_the_horizon_and_at_most_five_minutes_ahead(
    own: datetime | None, trusted: bool
) -> None:
    assert trustworthy(own, NOON, horizon=timedelta(days=7)) == (own if trusted else None)


@given(AWARE, AWARE, st.binary(min_size=4, max_size=4))
def test_clock_keys_sort_as_their_instants(one: datetime, other: datetime, digest: bytes) -> None:
    first, second = clock_key(one, digest), clock_key(other, digest)
    assert (first.value < second.value) == (one < other)
