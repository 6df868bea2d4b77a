"""Campaigns: what may be stored, which one takes a shopper, and whose carts a schedule looks at."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.campaign import (
    Campaign,
    CampaignId,
    CampaignStep,
    Limits,
    Trigger,
    Window,
    chosen,
    expression_problem,
    in_window,
    problems_of,
)
from shared.domain.coupon import CouponRule
from shared.domain.durations import duration_text, parse_duration
from tests.unit.domain.recovery.episodes import DAY, ENDPOINT, HOUR, campaign_of, checkout_left
from tests.unit.domain.sessions import NOON, after

HOURLY = Trigger("schedule", "rate(1 hour)", "Asia/Kolkata", Window(DAY, HOUR))


@pytest.mark.parametrize(
    "expression",
    [
        *("rate(1 minute)", "rate(1 hour)", "rate(5 minutes)", "rate(7 days)", "cron(0 10 * * ? *)"),
        *("cron(0/15 * * * ? *)", "cron(0 18 ? * MON-FRI *)", "cron(0 8 1 * ? *)", "cron(0 10 L * ? *)"),
        *("cron(0 10 ? * 6L *)", "cron(0 10 3W * ? *)", "cron(0 10 ? * 3#2 *)", "cron(0  10 *  * ? 2026-2030)"),
    ],
)
def test_the_schedulers_expressions_are_taken(expression: str) -> None:
    assert expression_problem(expression) is None


@pytest.mark.parametrize(
    "expression",
    [
        *("", "rate(0 minutes)", "rate(1 hours)", "rate(2 hour)", "rate(1.5 hours)", "rate(-1 hours)"),
        *("rate(1 week)", "at(2026-11-21T10:00:00)", "every hour", "0 10 * * ? *", "cron()", "cron(0 10 * * *)"),
        *("cron(0 10 * * * *)", "cron(0 10 ? * ? *)", "cron(60 10 * * ? *)", "cron(0 24 * * ? *)"),
        *("cron(0 10 32 * ? *)", "cron(0 10 ? * 8 *)", "cron(0 10 ? * 3#6 *)", "cron(0 10 * 13 ? *)"),
        *("cron(0 10 * * ? 1969)", "cron(0 10 * * ? *) ", "cron(" + "0," * 200 + "0 10 * * ? *)"),
    ],
)
def test_what_the_scheduler_would_refuse_is_refused_here(expression: str) -> None:
    assert expression_problem(expression)


def steps(*offsets: timedelta) -> tuple[CampaignStep, ...]:
    return tuple(CampaignStep(own, ENDPOINT) for own in offsets)


@pytest.mark.parametrize(
    ("campaign", "pointers"),
    [
        (campaign_of(), []),
        (campaign_of(trigger=HOURLY), []),
        (campaign_of(timedelta(), trigger=HOURLY), []),
        (campaign_of(steps=()), ["/steps"]),
        (campaign_of(*[HOUR] * 11), ["/steps"]),
        (campaign_of(timedelta(minutes=9)), ["/steps/0/after"]),
        (campaign_of(DAY, HOUR), ["/steps/1/after"]),
        (campaign_of(HOUR, 3 * DAY), ["/steps/1/after"]),
        (campaign_of(do_not_send_after=timedelta(minutes=30)), ["/steps/0/after", "/steps/1/after", "/steps/2/after"]),
        (campaign_of(do_not_send_after=31 * DAY), ["/do_not_send_after"]),
        (campaign_of(priority=1001), ["/priority"]),
        (campaign_of(limits=Limits(0)), ["/limits/max_per_episode"]),
        (campaign_of(criteria={"field": "x", "op": "eq", "value": 1}), ["/criteria/field"]),
        (campaign_of(coupon=CouponRule("static")), ["/coupon/code"]),
        (
            campaign_of(steps=(CampaignStep(HOUR, ENDPOINT, coupon=CouponRule("pool", code="A")),)),
            ["/steps/0/coupon/code", "/steps/0/coupon/pool_id"],
        ),
        (campaign_of(trigger=Trigger("abandonment", "rate(1 hour)")), ["/trigger/expression"]),
        (campaign_of(trigger=Trigger("schedule")), ["/trigger/expression"]),
        (campaign_of(trigger=replace(HOURLY, timezone="Asia/Bombay")), ["/trigger/timezone"]),
        (campaign_of(trigger=replace(HOURLY, window=Window(HOUR, DAY))), ["/trigger/window"]),
        (campaign_of(trigger=replace(HOURLY, window=Window(99 * DAY))), ["/trigger/window/modified_after"]),
    ],
)
def test_what_is_wrong_with_a_campaign_is_pointed_to(campaign: Campaign, pointers: list[str]) -> None:
    problems = problems_of(campaign)
    own = [pointer for pointer, _ in problems if pointer != "/do_not_send_after" or pointers == [pointer]]
    assert own == pointers


def test_only_the_local_stage_is_quick() -> None:
    quick = campaign_of(timedelta(seconds=1), do_not_send_after=timedelta(minutes=1))
    assert problems_of(quick, local=True) == []
    assert [pointer for pointer, _ in problems_of(quick)] == ["/steps/0/after", "/do_not_send_after"]


def test_the_highest_priority_takes_the_shopper_then_the_oldest() -> None:
    def named(name: str, **changes: object) -> Campaign:
        return replace(campaign_of(), id=CampaignId(f"cmp_{name}"), **changes)  # type: ignore[arg-type]  # by name

    dear = {"field": "total", "op": "gte", "value": "1000"}
    old, young = named("old", created_at=NOON - 9 * DAY), named("young")
    vip = named("vip", priority=5, criteria=dear)
    late = named("late", priority=9, activated_at=NOON + HOUR)
    off = named("off", priority=9, status="paused")
    cron = named("cron", priority=9, trigger=HOURLY)
    checkout = checkout_left()
    everyone = [young, vip, late, off, cron, old]
    assert chosen(everyone, checkout, NOON + HOUR) == old
    assert chosen([young, named("first", priority=1)], checkout, NOON) == named("first", priority=1)
    assert chosen([vip, late, off, cron], checkout, NOON) is None
    # Abandoned at 12:30: a campaign activated at that instant takes it, one activated later never will.
    assert chosen([replace(young, activated_at=after(minutes=30))], checkout, NOON) is not None
    assert chosen([replace(young, activated_at=None)], checkout, NOON) is None


@pytest.mark.parametrize(
    ("window", "age", "inside"),
    [
        (None, 90 * DAY, True),
        (Window(DAY, HOUR), HOUR, True),
        (Window(DAY, HOUR), DAY, True),
        (Window(DAY, HOUR), timedelta(minutes=59), False),
        (Window(DAY, HOUR), DAY + HOUR, False),
        (Window(modified_before=HOUR), 9 * DAY, True),
    ],
)
def test_a_schedule_looks_at_carts_by_their_last_modification(
    window: Window | None, age: timedelta, inside: bool
) -> None:
    assert in_window(window, checkout_left(), NOON + age) is inside


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("PT30M", timedelta(minutes=30)),
        ("P1DT12H", timedelta(hours=36)),
        ("P2W", timedelta(days=14)),
        ("PT90S", timedelta(seconds=90)),
        ("P0D", timedelta()),
        *((wrong, None) for wrong in ("P", "PT", "P1M", "1H", "-PT1H", "PT1.5H", "", None, 5)),
    ],
)
def test_durations(text: object, duration: timedelta | None) -> None:
    assert parse_duration(text) == duration
    if duration is not None:
        assert parse_duration(duration_text(duration)) == duration
