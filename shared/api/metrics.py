"""Figures: query parameters, and how they are shown. Rates are numbers, money is a decimal string per currency."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Annotated, Any, Literal

from shared.api.checkouts import FIRST_YEAR, LAST_YEAR, asked_instant
from shared.api.fields import described
from shared.api.problems import invalid_parameter
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Merchant, Source
from shared.domain.metrics import DEFINITIONS, Lift, Sums, cohort_of, figures
from shared.domain.money import Money
from shared.workflows.insight.metrics import MOST_DAYS, Group
from shared.workflows.insight.source_health import SourceHealth, SourcesHealth

GroupBy = Literal["day", "endpoint", "campaign", "step", "provider"]
DEFAULT_DAYS = 30
COUNTS = (
    *("abandoned", "direct", "contactable", "messaged", "messages", "not_sent", "delivered", "read", "clicked"),
    *("recovered", "reversed", "attributed", "treated", "treated_converted", "holdout", "holdout_converted"),
)
_COUNT_DEFINITIONS = {
    "direct": "checkouts bought without an abandonment that counts; by day of purchase",
    "contactable": "abandoned checkouts with a phone number or an e-mail address",
    "messaged": "episodes with at least one message handed over; messages and not_sent count steps",
    "delivered": "episodes with a message that its vendor reported as delivered",
    "read": "episodes with a message that its vendor reported as read; never evidence for an order",
    "clicked": "episodes with a visit through a recovery link that is not classed as a bot's",
    "recovered": "checkouts bought after their abandonment, within the recovery horizon; one order per episode",
    "attributed": "recovered with a click (not a bot's) or our coupon at most 5 days before the order (tier 1)",
    "treated": "episodes of a campaign whose shopper may be messaged; holdout: those left without a message",
    "recovered_revenue": "totals of the recovered orders, per currency; currencies are never added",
    "reversed_revenue": "what is taken back of the recovered orders by now, no order by more than its total",
    "attributed_revenue": "totals of the attributed orders, per currency",
    "coupon_cost": "discounts of recovered orders that carry one of our codes, per currency; not taken off net_revenue",
    "cohort": "everything is dated by the day of the first abandonment on the merchant's clock",
    "immature": "the recovery horizon of a cohort is not over: more orders may come",
}
_SOURCE_DEFINITIONS = {
    "last_webhook_at": "the newest activity that a webhook told of, or the newest body in quarantine",
    "last_purchase_at": "the newest checkout of the source that counts as bought",
    "checkouts": "among the newest checkouts of all sources",
    "quarantined": "among the newest bodies in quarantine of all sources, without those that a replay understood",
    "understood": "checkouts / (checkouts + quarantined); null where there are none",
    "looked_at": "what is older than these instants was not looked at; null: all that is kept was",
}
Day = Annotated[
    str,
    described(
        anyOf=[{"format": "date"}, {"format": "date-time"}],
        description=f"A day, or an instant on the merchant's clock, of the years {FIRST_YEAR} to {LAST_YEAR}; "
        f"at most {MOST_DAYS} days in one report",
        examples=["2026-11-21"],
    ),
]
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def period(since: str | None, until: str | None, merchant: Merchant, now: datetime) -> tuple[date, date]:
    """The days asked for, both included: dates, or instants on the merchant's clock. Raises Problem 422."""
    last = cohort_of(now, merchant.timezone) if until is None else _day("to", until, merchant.timezone)
    first = last - timedelta(days=DEFAULT_DAYS - 1) if since is None else _day("from", since, merchant.timezone)
    if first > last:
        raise invalid_parameter("from", "lies after to")
    if (last - first).days >= MOST_DAYS:
        raise invalid_parameter("from", f"at most {MOST_DAYS} days in one report")
    return first, last


def _day(name: str, text: str, zone: str) -> date:
    if _DATE.fullmatch(text):
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise invalid_parameter(name, "not a day of the calendar") from None
        if not FIRST_YEAR <= day.year <= LAST_YEAR:
            raise invalid_parameter(name, f"a day of the years {FIRST_YEAR} to {LAST_YEAR}")
        return day
    at = asked_instant(text)
    if at is None:
        raise invalid_parameter(name, "a day, like 2026-11-21, or an RFC 3339 time")
    return cohort_of(at, zone)


def report_json(
    rows: Sequence[Group], total: Group, first: date, last: date, merchant: Merchant, now: datetime, **more: Any
) -> dict[str, Any]:
    """A report with its definitions beside it."""
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
        "timezone": merchant.timezone,
        "generated_at": to_rfc3339(now),
        **more,
        "data": [_row(row) for row in rows],
        "total": _row(total),
        "definitions": {**_COUNT_DEFINITIONS, **DEFINITIONS},
    }


def _row(group: Group) -> dict[str, Any]:
    sums = group.sums
    shown = figures(sums)
    recovered = [Money(minor, code) for code, minor in sorted(sums.amounts.get("recovered", {}).items())]
    reversed_ = [Money(minor, code) for code, minor in sorted(sums.amounts.get("reversed", {}).items())]
    return {
        "key": group.key,
        "immature": group.immature,
        **{name: sums.count(name) for name in COUNTS},
        "abandonment_rate": _rate(shown.abandonment_rate),
        "contactable_rate": _rate(shown.contactable_rate),
        "recovery_rate": _rate(shown.recovery_rate),
        "attributed_rate": _rate(shown.attributed_rate),
        "lift": _lift(shown.lift),
        "recovered_revenue": _moneys(recovered),
        "reversed_revenue": _moneys(reversed_),
        "net_revenue": _moneys(shown.net_revenue),
        "attributed_revenue": _moneys(shown.attributed_revenue),
        "coupon_cost": _moneys(shown.coupon_cost),
    }


def funnel_json(stages: Sequence[Group], total: Group) -> list[dict[str, Any]]:
    """The stages at which checkouts were left, with what became of them, the commonest first."""
    rows = sorted(stages, key=lambda own: (-own.sums.count("abandoned"), own.key))
    whole = total.sums.count("abandoned")
    return [{"stage": own.key, "share": _rate(_share(own.sums, whole)), **_row(own)} for own in rows]


def _share(sums: Sums, whole: int) -> Fraction | None:
    return Fraction(sums.count("abandoned"), whole) if whole else None


def _rate(rate: Fraction | None) -> float | None:
    return None if rate is None else round(float(rate), 6)


def _lift(lift: Lift | None) -> dict[str, float] | None:
    if lift is None:
        return None
    return {
        "difference": round(lift.difference, 6),
        "low": round(lift.low, 6),
        "high": round(lift.high, 6),
        "confidence": lift.confidence,
    }


def _moneys(amounts: Sequence[Money]) -> list[dict[str, str]]:
    return [own.as_json() for own in amounts]


def sources_json(sources: Sequence[Source], health: SourcesHealth, now: datetime) -> dict[str, Any]:
    """How sources are doing, with the definitions beside it."""
    return {
        "generated_at": to_rfc3339(now),
        "data": [_source_json(own, health.of(own.id)) for own in sources],
        "looked_at": {
            "checkouts_since": _instant(health.checkouts_since),
            "purchases_since": _instant(health.purchases_since),
            "quarantined_since": _instant(health.quarantined_since),
        },
        "definitions": _SOURCE_DEFINITIONS,
    }


def _source_json(source: Source, own: SourceHealth) -> dict[str, Any]:
    return {
        "source_id": source.id,
        "provider": source.provider,
        "name": source.name,
        "last_webhook_at": _instant(own.heard_at),
        "last_purchase_at": _instant(own.last_purchase_at),
        "checkouts": own.checkouts,
        "quarantined": own.quarantined,
        "understood": own.understood,
    }


def _instant(at: datetime | None) -> str | None:
    return None if at is None else to_rfc3339(at)
