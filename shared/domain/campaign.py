"""Campaigns: whom to win back, when, and with what. Changing one makes a new version; an episode keeps its own."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.domain import criteria as rules
from shared.domain.checkout import Checkout
from shared.domain.consent import Channel
from shared.domain.coupon import CouponRule, rule_problems
from shared.domain.durations import duration_text
from shared.domain.ids import CampaignId as CampaignId  # noqa: PLC0414 - a campaign's own word
from shared.domain.ids import EndpointId, MerchantId
from shared.domain.settings import duration_range

CampaignStatus = Literal["active", "paused", "deleted"]

MOST_STEPS = 10
MESSAGES_PER_EPISODE = 3
LONGEST_OFFSET = timedelta(days=30)
LEAST_OFFSET = timedelta(minutes=10)
LOCAL_LEAST_OFFSET = timedelta(seconds=1)
PRIORITIES = range(-1000, 1001)
LONGEST_EXPRESSION = 256
LONGEST_WINDOW = timedelta(days=90)

_RATE = re.compile(r"rate\((?P<value>[1-9][0-9]{0,5}) (?P<unit>minute|hour|day)(?P<plural>s?)\)")
_CRON = re.compile(r"cron\((?P<fields>[^()]+)\)")


@dataclass(frozen=True, slots=True)
class Window:
    """Which carts a run of a schedule looks at, by how long ago they were modified; None is unbounded."""

    modified_after: timedelta | None = None
    """Modified less than this ago."""
    modified_before: timedelta | None = None
    """Modified at least this ago."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a campaign: an abandonment, or a schedule of its own (EventBridge Scheduler's expressions)."""

    type: Literal["abandonment", "schedule"] = "abandonment"
    expression: str | None = None
    timezone: str | None = None
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class CampaignStep:
    """One planned message, ``after`` the shopper's last activity (in a scheduled run: after the run).

    ``channel`` where the endpoint's kind does not tell it: what a BSP behind a webhook will use.
    """

    after: timedelta
    endpoint_id: EndpointId
    template: Mapping[str, Any] = field(default_factory=dict)
    coupon: CouponRule | None = None
    channel: Literal["email", "sms", "whatsapp"] | None = None

    def own_channel(self) -> Channel | None:
        """The channel that the step names itself."""
        return None if self.channel is None else Channel(self.channel)


@dataclass(frozen=True, slots=True)
class Limits:
    """At most so many messages to a shopper in one episode."""

    max_per_episode: int = MESSAGES_PER_EPISODE


@dataclass(frozen=True, slots=True)
class Campaign:
    """One version of a campaign. ``criteria`` is the contract's JSON, validated; ``rules()`` parses it.

    ``priority``: the highest takes the shopper (``outranks``); among equals the older. ``activated_at`` is the first
    activation: abandonments before it are left alone.
    """

    id: CampaignId
    merchant_id: MerchantId
    version: int
    name: str
    created_at: datetime
    status: CampaignStatus = "active"
    trigger: Trigger = Trigger()
    criteria: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[CampaignStep, ...] = ()
    do_not_send_after: timedelta = timedelta(days=3)
    priority: int = 0
    limits: Limits = Limits()
    coupon: CouponRule | None = None
    """For every step from the second on that names none."""
    activated_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it may send."""
        return self.status == "active"

    def rules(self) -> rules.Criteria:
        """The criteria, parsed. Raises ValueError for criteria that were stored without validation."""
        parsed, problems = rules.parse(self.criteria)
        if problems:
            raise ValueError(f"campaign {self.id} has criteria that cannot be read: {problems[0]}")
        return parsed

    def step(self, number: int) -> CampaignStep | None:
        """The step with this number, counted from 1."""
        return self.steps[number - 1] if 1 <= number <= len(self.steps) else None


def problems_of(campaign: Campaign, *, local: bool = False) -> list[rules.Problem]:
    """Everything wrong with a campaign about to be stored, as pointers into the request.

    ``local``: on the stage of that name, where offsets may be a second. Whether endpoints and pools exist is the
    caller's to check.
    """
    _, problems = rules.parse(campaign.criteria, new=True)
    problems += trigger_problems(campaign.trigger)
    problems += _step_problems(campaign, local=local)
    least, greatest = duration_range("do_not_send_after", local=local)
    if not least <= campaign.do_not_send_after <= greatest:
        problems.append(("/do_not_send_after", _between(least, greatest)))
    if campaign.priority not in PRIORITIES:
        problems.append(("/priority", f"must lie between {PRIORITIES[0]} and {PRIORITIES[-1]}"))
    if not 1 <= campaign.limits.max_per_episode <= MOST_STEPS:
        problems.append(("/limits/max_per_episode", f"must lie between 1 and {MOST_STEPS}"))
    if campaign.coupon is not None:
        problems += rule_problems(campaign.coupon, "/coupon")
    return problems


def _step_problems(campaign: Campaign, *, local: bool) -> list[rules.Problem]:
    if not 1 <= len(campaign.steps) <= MOST_STEPS:
        return [("/steps", f"1 to {MOST_STEPS} steps")]
    problems = []
    least = timedelta()
    if campaign.trigger.type == "abandonment":
        least = LOCAL_LEAST_OFFSET if local else LEAST_OFFSET
    before = timedelta()
    for position, step in enumerate(campaign.steps):
        pointer = f"/steps/{position}"
        if not least <= step.after <= LONGEST_OFFSET:
            problems.append((f"{pointer}/after", _between(least, LONGEST_OFFSET)))
        elif step.after < before:
            problems.append((f"{pointer}/after", "must not come before the step above it"))
        elif step.after >= campaign.do_not_send_after:
            problems.append((f"{pointer}/after", "must be earlier than do_not_send_after"))
        before = max(before, step.after)
        if step.coupon is not None:
            problems += rule_problems(step.coupon, f"{pointer}/coupon")
    return problems


def trigger_problems(trigger: Trigger, pointer: str = "/trigger") -> list[rules.Problem]:
    """What is wrong with a trigger."""
    if trigger.type == "abandonment":
        given = [name for name in ("expression", "timezone", "window") if getattr(trigger, name) is not None]
        return [(f"{pointer}/{name}", "belongs to a trigger of type schedule") for name in given]
    problems = []
    wrong = expression_problem(trigger.expression or "")
    if wrong is not None:
        problems.append((f"{pointer}/expression", wrong))
    if trigger.timezone is not None and not is_timezone(trigger.timezone):
        problems.append((f"{pointer}/timezone", "not an IANA time zone name"))
    window = trigger.window or Window()
    for name, bound in (("modified_after", window.modified_after), ("modified_before", window.modified_before)):
        if bound is not None and not timedelta() <= bound <= LONGEST_WINDOW:
            problems.append((f"{pointer}/window/{name}", _between(timedelta(), LONGEST_WINDOW)))
    if window.modified_after and window.modified_before and window.modified_after <= window.modified_before:
        problems.append((f"{pointer}/window", "modified_after must reach further back than modified_before"))
    return problems


def expression_problem(expression: str) -> str | None:
    """What is wrong with a schedule's expression, None when EventBridge Scheduler takes it.

    Source: EventBridge Scheduler User Guide, "Schedule types": rates from one minute up, in the singular for one;
    cron with six fields, one of the two day fields ``?``.
    """
    if len(expression) > LONGEST_EXPRESSION:
        return f"at most {LONGEST_EXPRESSION} characters"
    rate = _RATE.fullmatch(expression)
    if rate is not None:
        singular = int(rate["value"]) == 1
        if singular == bool(rate["plural"]):
            return f"write {rate['unit']}{'' if singular else 's'}"
        return None
    cron = _CRON.fullmatch(expression)
    if cron is None:
        return "rate(value unit) or cron(minutes hours day-of-month month day-of-week year)"
    from aws_cron_expression_validator.validator import AWSCronExpressionError, AWSCronExpressionValidator

    try:
        AWSCronExpressionValidator.validate(" ".join(cron["fields"].split()))
    except AWSCronExpressionError as wrong:
        return str(wrong)
    return None


def is_timezone(name: str) -> bool:
    """Whether ``name`` is a zone of the IANA database."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def chosen(campaigns: Iterable[Campaign], checkout: Checkout, now: datetime) -> Campaign | None:
    """The campaign that takes an abandoned checkout's episode, or None: the first that is ``fitting``."""
    return next(fitting(campaigns, checkout, now), None)


def fitting(campaigns: Iterable[Campaign], checkout: Checkout, now: datetime) -> Iterator[Campaign]:
    """The active campaigns that an abandonment starts and whose criteria the checkout meets, the first in rank first.

    Only abandonments after the campaign's activation count.
    """
    abandoned_at = checkout.abandoned_at or now
    candidates = (
        own
        for own in campaigns
        if own.active
        and own.trigger.type == "abandonment"
        and own.activated_at is not None
        and abandoned_at >= own.activated_at
    )
    return (own for own in sorted(candidates, key=_rank) if rules.matches(own.rules(), checkout, now))


def outranks(one: Campaign, other: Campaign) -> bool:
    """Whether ``one`` takes a shopper before ``other``: the higher priority, then the older campaign, then its id."""
    return _rank(one) < _rank(other)


def _rank(campaign: Campaign) -> tuple[int, datetime, CampaignId]:
    return -campaign.priority, campaign.created_at, campaign.id


def in_window(window: Window | None, checkout: Checkout, now: datetime) -> bool:
    """Whether a scheduled run at ``now`` looks at the checkout: by its last activity, both bounds inclusive."""
    age = now - checkout.last_activity_at
    bounds = window or Window()
    if bounds.modified_after is not None and age > bounds.modified_after:
        return False
    return bounds.modified_before is None or age >= bounds.modified_before


def _between(least: timedelta, greatest: timedelta) -> str:
    return f"must lie between {duration_text(least)} and {duration_text(greatest)}"
