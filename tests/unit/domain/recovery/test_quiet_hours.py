"""When a message may go out: the recipient's clocks, the countries' hours, midnight, and clocks that leap."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.checkout import Checkout, LeafValue
from shared.domain.quiet_hours import is_open, is_quiet, next_open
from shared.domain.recipient import Recipient, phone_region, recipient_of, zones_of
from shared.domain.settings import QuietHours
from tests.unit.domain.recovery.episodes import checkout_left

NIGHT = QuietHours(time(21), time(9))
SHORT_NIGHT = QuietHours(time(23), time(6))
NAP = QuietHours(time(13), time(15))
BERLIN = Recipient(("Europe/Berlin",), "DE")
KOLKATA = Recipient(("Asia/Kolkata",), "IN", phone_region="IN")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def shopper(phone: str | None, country: str | None = None, province: str | None = None) -> Checkout:
    leaves: dict[str, LeafValue] = {"customer.phone": phone} if phone else {}
    if country:
        leaves["shipping_address.country"] = (None, country)
    if province:
        leaves["shipping_address.province"] = (None, province)
    return replace(checkout_left(), leaves=leaves)


@pytest.mark.parametrize(
    ("phone", "country", "province", "zones"),
    [
        ("+917777788888", None, None, ("Asia/Kolkata",)),
        ("+917777788888", "DE", None, ("Europe/Berlin", "Europe/Busingen")),
        (None, "US", "NY", ("America/New_York",)),
        (None, "us", "US-NY", ("America/New_York",)),
        (None, "AU", "QLD", ("Australia/Brisbane",)),
        (None, "IN", "GJ", ("Asia/Kolkata",)),
        (None, "XX", None, ("Asia/Dubai",)),
        (None, None, None, ("Asia/Dubai",)),
        ("+441632960000", None, None, ("Europe/London",)),
    ],
)
def test_zones_come_from_the_address_else_the_phone_else_the_merchant(
    phone: str | None, country: str | None, province: str | None, zones: tuple[str, ...]
) -> None:
    assert recipient_of(shopper(phone, country, province), merchant_zone="Asia/Dubai").zones == zones


def test_a_country_of_many_zones_keeps_them_all() -> None:
    zones = recipient_of(shopper("+12025550123"), merchant_zone="Asia/Dubai").zones
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} <= set(zones)


def test_every_zone_of_the_tables_is_one_of_its_countrys() -> None:
    from shared.domain.recipient import _ZONES_OF_PROVINCES

    for country, provinces in _ZONES_OF_PROVINCES.items():
        everywhere = set(zones_of(country, None))
        assert all(set(zones) <= everywhere for zones in provinces.values())
    assert len(_ZONES_OF_PROVINCES["US"]) == 51


@pytest.mark.parametrize(
    ("phone", "region"),
    [("+12025550123", "US"), ("+16045550123", "CA"), ("+917777788888", "IN"), ("12", None), (None, None)],
)
def test_a_phones_region(phone: str | None, region: str | None) -> None:
    assert phone_region(phone) == region


@pytest.mark.parametrize(
    ("clock", "night", "nap"),
    [
        (time(21), True, False),
        (time(20, 59), False, False),
        (time(0), True, False),
        (time(8, 59, 59), True, False),
        (time(9), False, False),
        (time(13), False, True),
        (time(15), False, False),
    ],
)
def test_quiet_hours_include_their_start_and_may_span_midnight(clock: time, night: bool, nap: bool) -> None:
    assert is_quiet(clock, NIGHT) is night
    assert is_quiet(clock, NAP) is nap
    assert not is_quiet(clock, QuietHours(time(9), time(9)))


LORD_HOWE = Recipient(("Australia/Lord_Howe",))
US_ANYWHERE = Recipient(zones_of("US", None), "US", phone_region="US")


@pytest.mark.parametrize(
    ("recipient", "quiet", "at", "opens"),
    [
        (BERLIN, NIGHT, "2026-11-21T12:00", "2026-11-21T12:00"),
        (BERLIN, NIGHT, "2026-11-21T20:00", "2026-11-22T08:00"),
        (BERLIN, NIGHT, "2026-11-21T03:00", "2026-11-21T08:00"),
        (BERLIN, None, "2026-11-21T23:00", "2026-11-21T23:00"),
        (BERLIN, NAP, "2026-11-21T12:30", "2026-11-21T14:00"),
        # India opens at ten, whatever the merchant's night is.
        (KOLKATA, SHORT_NIGHT, "2026-11-21T15:30", "2026-11-22T04:30"),
        (KOLKATA, NIGHT, "2026-11-21T03:45", "2026-11-21T04:30"),
        # The United States from eight to nine, until eight in the stricter states.
        (Recipient(("America/New_York",), "US", "NY"), SHORT_NIGHT, "2026-11-22T01:30", "2026-11-22T01:30"),
        (Recipient(("America/New_York",), "US", "MD"), SHORT_NIGHT, "2026-11-22T01:30", "2026-11-22T13:00"),
        (Recipient(("America/New_York",), "US", "NY"), SHORT_NIGHT, "2026-11-22T02:00", "2026-11-22T13:00"),
        # Somewhere in the United States: from eight in Honolulu and Adak until eight in New York.
        (US_ANYWHERE, SHORT_NIGHT, "2026-11-22T14:00", "2026-11-22T18:00"),
        (US_ANYWHERE, SHORT_NIGHT, "2026-11-23T00:59", "2026-11-23T00:59"),
        (US_ANYWHERE, SHORT_NIGHT, "2026-11-23T01:00", "2026-11-23T18:00"),
        # Berlin leaps from two to three on 28 March 2027 and shows two to three twice on 31 October 2027.
        (BERLIN, QuietHours(time(22), time(2, 30)), "2027-03-28T00:00", "2027-03-28T01:00"),
        (BERLIN, QuietHours(time(22), time(2, 30)), "2027-10-31T00:00", "2027-10-31T00:30"),
        (BERLIN, QuietHours(time(22), time(2, 30)), "2027-10-31T01:00", "2027-10-31T01:30"),
        (BERLIN, NIGHT, "2027-03-28T00:30", "2027-03-28T07:00"),
        # At a quarter to three for the first time it is quiet; a quarter of an hour later it is two again, and not yet.
        (BERLIN, QuietHours(time(2, 30), time(9)), "2027-10-31T00:45", "2027-10-31T01:00"),
        (BERLIN, QuietHours(time(2, 30), time(9)), "2027-10-31T01:30", "2027-10-31T08:00"),
        # Lord Howe's clock leaps by half an hour.
        (LORD_HOWE, QuietHours(time(21), time(2, 15)), "2026-10-03T15:00", "2026-10-03T15:30"),
        (LORD_HOWE, QuietHours(time(1, 45), time(9)), "2027-04-03T14:50", "2027-04-03T15:00"),
        (Recipient(("Asia/Kathmandu",)), NIGHT, "2026-11-21T20:00", "2026-11-22T03:15"),
    ],
)
def test_the_next_instant_at_which_a_message_may_go_out(
    recipient: Recipient, quiet: QuietHours | None, at: str, opens: str
) -> None:
    assert next_open(utc(at), recipient, quiet) == utc(opens)


def test_where_no_hour_is_left_there_is_no_next_instant() -> None:
    afternoon_only = QuietHours(time(16), time(15))
    apart = Recipient(("Pacific/Honolulu", "Asia/Kolkata"))
    assert next_open(utc("2026-11-21T00:00"), apart, afternoon_only) is None


quarter_hours = st.integers(0, 95).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))


@given(
    at=st.integers(0, 2 * 365 * 96).map(lambda quarter: utc("2026-01-01T00:00") + timedelta(minutes=15 * quarter)),
    zones=st.sets(
        st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe"]),
        min_size=1,
        max_size=2,
    ),
    country=st.sampled_from([None, "IN", "US"]),
    quiet=st.builds(QuietHours, quarter_hours, quarter_hours),
)
def test_it_is_open_then_and_at_no_quarter_of_an_hour_before(
    at: datetime, zones: set[str], country: str | None, quiet: QuietHours
) -> None:
    recipient = Recipient(tuple(sorted(zones)), country)
    opens = next_open(at, recipient, quiet)
    until = at + timedelta(days=3) if opens is None else opens
    probe: Any = at
    while probe < until:
        assert not is_open(probe, recipient, quiet)
        probe += timedelta(minutes=15)
    assert opens is None or is_open(opens, recipient, quiet)
