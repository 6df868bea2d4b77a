"""Figures: query parameters, and how they are shown. Rates are numbers, money is a decimal string per currency."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Annotated, Literal, TypedDict

from shared.api.checkouts import FIRST_YEAR, LAST_YEAR, asked_instant
from shared.api.fields import described
from shared.api.problems import invalid_parameter
from shared.domain.instants import DayText, InstantText, to_rfc3339
from shared.domain.merchant import Merchant, Source
from shared.domain.metrics import DEFINITIONS, Lift, Sums, cohort_of, figures
from shared.domain.money import Money, MoneyJson
from shared.workflows.insight.metrics import MOST_DAYS, Group
from shared.workflows.insight.source_health import SourceHealth, SourcesHealth

GroupBy = Literal["day", "endpoint", "campaign", "step", "provider"]
DEFAULT_DAYS = 30
_COUNT_DEFINITIONS = {
    "direct": "checkouts bought without an abandonment that counts; by day of purchase",
    "contactable": "abandoned checkouts with a phone number or an e-mail address",
    "messaged": "episodes with at least one message handed over; messages and not_sent count steps",
    "not_sent_reasons": "not_sent by reason, at most one a step; days summed before reasons were kept have none",
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
    "last_webhook_at": "the newest activity that a webhook told of, or the newest body in quarantine; what a sample of "
    "the API made is left out of all these",
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


class LiftJson(TypedDict):
    """What messages add: the treated episodes' rate of conversion beyond that of the holdout."""

    difference: float
    low: float
    high: float
    confidence: float


class FiguresJson(TypedDict):
    """Figures of one group; `definitions` of the report says what each counts. Money per currency, never added."""

    key: str
    """Of the group: a day, an id, a name."""
    immature: bool
    abandoned: int
    direct: int
    contactable: int
    messaged: int
    messages: int
    not_sent: int
    not_sent_reasons: dict[str, int]
    """By reason, as in the checkout's activity without a vendor's words."""
    delivered: int
    read: int
    clicked: int
    recovered: int
    reversed: int
    attributed: int
    treated: int
    treated_converted: int
    holdout: int
    holdout_converted: int
    abandonment_rate: float | None
    contactable_rate: float | None
    recovery_rate: float | None
    attributed_rate: float | None
    lift: LiftJson | None
    recovered_revenue: list[MoneyJson]
    reversed_revenue: list[MoneyJson]
    net_revenue: list[MoneyJson]
    attributed_revenue: list[MoneyJson]
    coupon_cost: list[MoneyJson]


class StageFiguresJson(FiguresJson):
    """Figures of the checkouts that were left at one stage."""

    stage: str
    share: float | None
    """Of all that were abandoned."""


PeriodJson = TypedDict("PeriodJson", {"from": DayText, "to": DayText})
"""Days on the merchant's clock, both included."""


class _ReportJson(PeriodJson):
    timezone: str
    generated_at: InstantText
    total: FiguresJson
    definitions: dict[str, str]


class RecoveryReportJson(_ReportJson):
    """What recovery achieved, by cohort of abandonment."""

    group_by: GroupBy
    data: list[FiguresJson]


class FunnelReportJson(_ReportJson):
    """Where checkouts are left, the commonest stage first."""

    data: list[StageFiguresJson]


def report_json(
    rows: Sequence[Group], total: Group, days: tuple[date, date], merchant: Merchant, now: datetime, group_by: GroupBy
) -> RecoveryReportJson:
    """A report with its definitions beside it; ``days`` are the first and the last."""
    return {
        "from": days[0].isoformat(),
        "to": days[1].isoformat(),
        "timezone": merchant.timezone,
        "generated_at": to_rfc3339(now),
        "group_by": group_by,
        "data": [_row(row) for row in rows],
        "total": _row(total),
        "definitions": {**_COUNT_DEFINITIONS, **DEFINITIONS},
    }


def funnel_json(
    stages: Sequence[Group], total: Group, days: tuple[date, date], merchant: Merchant, now: datetime
) -> FunnelReportJson:
    """The stages at which checkouts were left, with what became of them, the commonest first."""
    rows = sorted(stages, key=lambda own: (-own.sums.count("abandoned"), own.key))
    whole = total.sums.count("abandoned")
    return {
        "from": days[0].isoformat(),
        "to": days[1].isoformat(),
        "timezone": merchant.timezone,
        "generated_at": to_rfc3339(now),
        "data": [{**_row(own), "stage": own.key, "share": _rate(_share(own.sums, whole))} for own in rows],
        "total": _row(total),
        "definitions": {**_COUNT_DEFINITIONS, **DEFINITIONS},
    }


def _row(group: Group) -> FiguresJson:
    sums = group.sums
    shown = figures(sums)
    recovered = [Money(minor, code) for code, minor in sorted(sums.amounts.get("recovered", {}).items())]
    reversed_ = [Money(minor, code) for code, minor in sorted(sums.amounts.get("reversed", {}).items())]
    return {
        "key": group.key,
        "immature": group.immature,
        "abandoned": sums.count("abandoned"),
        "direct": sums.count("direct"),
        "contactable": sums.count("contactable"),
        "messaged": sums.count("messaged"),
        "messages": sums.count("messages"),
        "not_sent": sums.count("not_sent"),
        "not_sent_reasons": sums.not_sent_reasons,
        "delivered": sums.count("delivered"),
        "read": sums.count("read"),
        "clicked": sums.count("clicked"),
        "recovered": sums.count("recovered"),
        "reversed": sums.count("reversed"),
        "attributed": sums.count("attributed"),
        "treated": sums.count("treated"),
        "treated_converted": sums.count("treated_converted"),
        "holdout": sums.count("holdout"),
        "holdout_converted": sums.count("holdout_converted"),
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


def _share(sums: Sums, whole: int) -> Fraction | None:
    return Fraction(sums.count("abandoned"), whole) if whole else None


def _rate(rate: Fraction | None) -> float | None:
    return None if rate is None else round(float(rate), 6)


def _lift(lift: Lift | None) -> LiftJson | None:
    if lift is None:
        return None
    return {
        "difference": round(lift.difference, 6),
        "low": round(lift.low, 6),
        "high": round(lift.high, 6),
        "confidence": lift.confidence,
    }


def _moneys(amounts: Sequence[Money]) -> list[MoneyJson]:
    return [own.as_json() for own in amounts]


class SourceHealthJson(TypedDict):
    """How one source is doing."""

    source_id: str
    provider: str
    name: str | None
    last_webhook_at: InstantText | None
    last_purchase_at: InstantText | None
    checkouts: int
    quarantined: int
    understood: float | None


class LookedAtJson(TypedDict):
    """Since when something would have been seen; null where everything that is kept was looked at."""

    checkouts_since: InstantText | None
    purchases_since: InstantText | None
    quarantined_since: InstantText | None


class SourcesReportJson(TypedDict):
    """How sources are doing, by the newest that there is; `definitions` says what each figure is."""

    generated_at: InstantText
    data: list[SourceHealthJson]
    looked_at: LookedAtJson
    definitions: dict[str, str]


def sources_json(sources: Sequence[Source], health: SourcesHealth, now: datetime) -> SourcesReportJson:
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


def _source_json(source: Source, own: SourceHealth) -> SourceHealthJson:
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
