"""When a message may go out, on the recipient's own clock.

Closed are the merchant's quiet hours and, in India and the United States, the hours the country itself closes. Where
the recipient may be in several zones, all of them must be open. A merchant without quiet hours (null) answers for the
hours itself: nothing is closed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.domain.recipient import UNITED_STATES, Recipient
from shared.domain.settings import QuietHours

_DAYS_AHEAD = 9


@dataclass(frozen=True, slots=True)
class OpenHours:
    """From ``start`` until just before ``end``, the same day."""

    start: time
    end: time


INDIA = OpenHours(time(10), time(21))
"""TRAI, Telecom Commercial Communications Customer Preference Regulations 2018: promotional traffic 10:00-21:00."""
FEDERAL = OpenHours(time(8), time(21))
"""47 CFR 64.1200(c)(1): no telephone solicitation before 8:00 or after 21:00 at the called party's location."""
_UNTIL_EIGHT = OpenHours(time(8), time(20))
_NINE_TO_EIGHT = OpenHours(time(9), time(20))
_FROM_NINE = OpenHours(time(9), time(21))


def _each(states: str, hours: OpenHours) -> dict[str, OpenHours]:
    return dict.fromkeys(states.split(), hours)


STRICTER_STATES: Mapping[str, OpenHours] = {
    **_each("AL FL LA MA MD MS NJ OK WA", _UNTIL_EIGHT),
    **_each("CT NV", _NINE_TO_EIGHT),
    **_each("MI MN NM TX", _FROM_NINE),
    "KY": OpenHours(time(10), time(21)),
    "RI": OpenHours(time(10), time(17)),
}
"""State laws on calls and texts; where hours depend on the weekday, the narrowest that leave every day some (Texas'
Sunday mornings and the states that close Sundays are left to the merchant)."""


def legal_hours(recipient: Recipient) -> tuple[OpenHours, ...]:
    """The hours that the recipient's countries allow; all of them hold at once.

    A recipient somewhere in the United States is served until 20:00, as the stricter states want it.
    """
    hours = []
    if "IN" in recipient.countries:
        hours.append(INDIA)
    if UNITED_STATES in recipient.countries:
        state = recipient.province if recipient.country == UNITED_STATES else None
        hours.append(_UNTIL_EIGHT if state is None else STRICTER_STATES.get(state, FEDERAL))
    return tuple(hours)


def is_open(at: datetime, recipient: Recipient, quiet: QuietHours | None) -> bool:
    """Whether a message may go out at the instant ``at``."""
    if quiet is None:
        return True
    hours = legal_hours(recipient)
    clocks = {at.astimezone(_zone(name)).time() for name in recipient.zones}
    return not any(is_quiet(clock, quiet) for clock in clocks) and all(
        own.start <= clock < own.end for clock in clocks for own in hours
    )


def is_quiet(clock: time, quiet: QuietHours) -> bool:
    """Whether a time of day lies in the quiet hours: from ``start`` until just before ``end``, past midnight too."""
    if quiet.start <= quiet.end:
        return quiet.start <= clock < quiet.end
    return clock >= quiet.start or clock < quiet.end


def next_open(at: datetime, recipient: Recipient, quiet: QuietHours | None) -> datetime | None:
    """The first instant from ``at`` on at which a message may go out; None where no hour is ever left."""
    if is_open(at, recipient, quiet) or quiet is None:
        return at
    openings = {quiet.end, *(own.start for own in legal_hours(recipient))}
    candidates = sorted(set(_instants(at, recipient.zones, openings)))
    return next((own for own in candidates if own > at and is_open(own, recipient, quiet)), None)


def _instants(at: datetime, zones: Iterable[str], clocks: Iterable[time]) -> Iterator[datetime]:
    """When the clocks of the zones show one of these times in the days ahead, and when they leap.

    A time that a clock shows twice gives both instants. Ahead, a clock leaps over a time; back, it may leap out of the
    quiet hours to before they began.
    """
    for zone in {_zone(name) for name in zones}:
        today = at.astimezone(zone).date()
        midnight = datetime.combine(today + timedelta(days=-2), time(), zone).astimezone(UTC)
        for days in range(-1, _DAYS_AHEAD):
            before, midnight = midnight, datetime.combine(today + timedelta(days=days), time(), zone).astimezone(UTC)
            if before.astimezone(zone).utcoffset() != midnight.astimezone(zone).utcoffset():
                yield _leap(before, midnight, zone)
            for clock in clocks:
                local = datetime.combine(today + timedelta(days=days), clock, zone)
                yield from (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _leap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant between the two at which the zone's clock leaps, to the second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
