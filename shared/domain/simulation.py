"""The simulator: what a campaign would have done about a checkout, from stored facts alone. Nothing is written.

It plays the same planning and the same gate over time: each step at its due time, again after every deferral. What
the past does not hold it cannot know: contents are those of now, and suppressions count for the whole time. A
scheduled campaign is played as if it ran at ``now``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from shared.domain import coupon as coupons
from shared.domain import criteria, planning, step_state
from shared.domain.campaign import Campaign, CampaignId, CampaignStep, chosen, in_window, outranks
from shared.domain.campaign_choice import ANOTHER_CAMPAIGN, is_told, rival_of, stays
from shared.domain.cart import reaches_minimum
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.consent import Channel
from shared.domain.coupon import Allocation, CouponRule
from shared.domain.deadline import bought_elsewhere
from shared.domain.episode import Episode
from shared.domain.gate import (
    CloseChannel,
    Defer,
    EndEpisode,
    GateFacts,
    Refusal,
    Replan,
    Send,
    Skip,
    gate,
)
from shared.domain.holdout import in_holdout
from shared.domain.identity import Identity
from shared.domain.ids import CheckoutId, EndpointId
from shared.domain.merchant import Merchant
from shared.domain.settings import Settings
from shared.domain.shopper import Shopper
from shared.domain.step_state import EpisodeStep, StepState

NOT_IN_WINDOW = "not_in_window"
"""A scheduled run does not look at the checkout: modified outside its window, or not open and not abandoned."""
NOTHING_IN_CART = "nothing_in_cart"
ENDPOINT_DELETED = "endpoint_deleted"
ENDPOINT_DISABLED = "endpoint_disabled"
_MOST_DEFERRALS = 30

_REFUSED_AS = {
    Status.COMPLETED: Refusal.PURCHASED,
    Status.RECOVERED: Refusal.PURCHASED,
    Status.SUPERSEDED: Refusal.SUPERSEDED,
    Status.DISCARDED: Refusal.SUPPRESSED,
    Status.EXPIRED: Refusal.TOO_OLD,
    Status.PAYMENT_PENDING: Refusal.PAYMENT_PENDING,
}


@dataclass(frozen=True, slots=True)
class StepTarget:
    """Where a step would go. ``channel`` None where the receiver chooses it."""

    channel: Channel | None = None
    filter: criteria.Criteria = criteria.EVERYTHING
    refused: str | None = None
    """The endpoint is gone or disabled."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds a simulation: the merchant, its endpoints, whether a rule still has codes to give.

    ``campaigns`` are the merchant's as they are now, ``open_episode`` is that of a checkout's shopper.
    """

    merchant: Merchant
    target: Callable[[CampaignStep], StepTarget]
    has_code: Callable[[CouponRule], bool]
    now: datetime
    campaigns: Mapping[CampaignId, Campaign] = field(default_factory=dict)
    open_episode: Callable[[Checkout], Episode | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class SimulatedStep:
    """What would have become of a step. ``planned`` lies ahead of now; ``deferred_by`` are the reasons on the way."""

    number: int
    endpoint_id: EndpointId
    outcome: Literal["sent", "planned", "skipped"]
    at: datetime
    channels: tuple[str, ...] = ()
    reason: str | None = None
    deferred_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the campaign would have done about one checkout: a start with steps, or the reason why it never began."""

    checkout_id: CheckoutId
    status: Status
    started_at: datetime | None
    reason: str | None
    steps: tuple[SimulatedStep, ...] = ()
    taken_by: CampaignId | None = None
    """With ``another_campaign``: which."""


def simulate(
    campaign: Campaign, checkout: Checkout, identities: Sequence[Identity], shopper: Shopper, setting: Setting
) -> Simulated:
    """Play the campaign over one checkout."""
    start = _start(campaign, checkout, setting)
    if isinstance(start, str):
        return Simulated(checkout.id, checkout.status, None, start)
    known = _as_of(shopper, start)
    begun = _abandoned(checkout, start)
    reason = None
    if not identities:
        reason = Refusal.NO_CONTACT
    elif bought_elsewhere(checkout, known.purchased_at):
        reason = Refusal.PURCHASED
    elif not criteria.matches(campaign.rules(), begun, start):
        reason = Refusal.CRITERIA_NOT_MET
    if reason is not None:
        return Simulated(checkout.id, checkout.status, None, reason)
    taker = _taker(campaign, checkout, begun, start, setting)
    if taker is not None:
        return Simulated(checkout.id, checkout.status, None, ANOTHER_CAMPAIGN, taken_by=taker)
    return _Play(campaign, checkout, identities, shopper, setting, start).played()


def _taker(
    campaign: Campaign, checkout: Checkout, begun: Checkout, start: datetime, setting: Setting
) -> CampaignId | None:
    """The other campaign that has the shopper, or would have had them; by the rules of a start."""
    others = [own for own in setting.campaigns.values() if own.id != campaign.id]
    left = checkout if checkout.status is Status.ABANDONED else begun
    episode = setting.open_episode(checkout)
    held = None if episode is None or episode.campaign_id in {None, campaign.id} else episode.campaign_id
    holder = None if held is None else setting.campaigns.get(CampaignId(held))
    if campaign.trigger.type == "schedule":
        if episode is not None and held is not None:
            return CampaignId(held) if stays(episode, holder, campaign) else None
        untold = checkout.status is Status.OPEN or not is_told(checkout)
        rival = rival_of(campaign, others, left, start) if untold and episode is None else None
        return None if rival is None else rival.id
    if holder is not None and holder.active and holder.trigger.type == "schedule" and outranks(holder, campaign):
        return holder.id
    rival = chosen(others, left, start)
    return rival.id if rival is not None and outranks(rival, campaign) else None


def _start(campaign: Campaign, checkout: Checkout, setting: Setting) -> datetime | str:
    """When the campaign takes the checkout, or why it does not."""
    now, worthless = setting.now, _worthless(checkout, setting.merchant.settings)
    if campaign.trigger.type == "schedule":
        if checkout.status not in {Status.OPEN, Status.ABANDONED}:
            return _REFUSED_AS[checkout.status]
        if worthless is not None:
            return worthless
        return now if may_run_over(campaign, checkout, now) else NOT_IN_WINDOW
    if checkout.status not in {Status.OPEN, Status.PAYMENT_PENDING}:
        known = checkout.abandoned_at or checkout.first_abandoned_at
        return known if known is not None else _REFUSED_AS.get(checkout.status, Refusal.TOO_OLD)
    wait = timedelta(milliseconds=checkout.idle_ms)
    if checkout.status is Status.PAYMENT_PENDING:
        wait = setting.merchant.settings.payment_pending_after
    deadline = checkout.last_activity_at + wait
    if worthless is not None:
        return worthless
    if deadline > now:
        return _REFUSED_AS.get(checkout.status, Refusal.SHOPPER_ACTIVE)
    return deadline


def _worthless(checkout: Checkout, settings: Settings) -> str | None:
    """Why no message would be worth its while: nothing is in the cart, or less than the merchant's minimum."""
    if checkout.cart is None or checkout.cart.is_empty():
        return NOTHING_IN_CART
    return None if reaches_minimum(checkout.cart, settings.minimum_total) else Refusal.BELOW_MINIMUM_TOTAL


def may_run_over(campaign: Campaign, checkout: Checkout, now: datetime) -> bool:
    """Whether a scheduled run at ``now`` may take an open or abandoned checkout, by its window.

    An open one is left to its shopper: where the window says nothing of how fresh it may be, for its idle time.
    """
    window = campaign.trigger.window
    if not in_window(window, checkout, now):
        return False
    if checkout.status is not Status.OPEN or (window is not None and window.modified_before is not None):
        return True
    return now - checkout.last_activity_at >= timedelta(milliseconds=checkout.idle_ms)


class _Play:
    """One checkout's episode, played step by step."""

    def __init__(
        self,
        campaign: Campaign,
        checkout: Checkout,
        identities: Sequence[Identity],
        shopper: Shopper,
        setting: Setting,
        start: datetime,
    ) -> None:
        self._campaign = campaign
        self._checkout = checkout
        self._shopper = shopper
        self._setting = setting
        self._settings = setting.merchant.settings
        self._start = start
        self._done: list[SimulatedStep] = []
        self._deferred: dict[int, list[str]] = {}
        self._codes: list[Allocation] = []
        self._episode: Episode = planning.opened(
            _abandoned(checkout, start),
            identities,
            start,
            campaign=campaign,
            holdout=in_holdout(identities, self._settings.holdout_percent),
            settings=self._settings,
            anchor=start if campaign.trigger.type == "schedule" else None,
        )

    def played(self) -> Simulated:
        """The whole episode."""
        while (step := self._next()) is not None:
            self._take(step)
        self._never_planned()
        steps = tuple(sorted(self._done, key=lambda own: own.number))
        return Simulated(self._checkout.id, self._checkout.status, self._start, None, steps)

    def _next(self) -> EpisodeStep | None:
        planned = [own for own in self._episode.steps if own.state is StepState.PLANNED]
        return min(planned, key=lambda own: (own.due_at, own.number), default=None)

    def _take(self, step: EpisodeStep) -> None:
        own = self._campaign.steps[step.number - 1]
        target = self._setting.target(own)
        at = max(step.due_at, self._start)
        if target.refused is not None:
            self._skip(step, at, target.refused)
            return
        plan = self._coupon(step.number, own, at)
        decision = gate(self._facts(step, target, at, coupon=not isinstance(plan, coupons.Unavailable)))
        match decision:
            case Send(channels):
                self._send(step, at, channels, plan)
            case Defer(until, reason):
                self._defer(step, at, until, reason)
            case Skip(reason) | Replan(reason):
                self._skip(step, at, reason)
            case CloseChannel(closed, reason):
                shut = self._episode.closed_channels | {channel.value for channel in closed}
                self._episode = replace(self._episode, closed_channels=shut)
                self._skip(step, at, reason)
            case EndEpisode(reason):
                while (left := self._next()) is not None:
                    self._skip(left, max(left.due_at, at), reason)

    def _facts(self, step: EpisodeStep, target: StepTarget, at: datetime, *, coupon: bool) -> GateFacts:
        merchant = self._setting.merchant
        return GateFacts(
            now=at,
            checkout=_standing(self._checkout, self._start, at),
            settings=self._settings,
            merchant_zone=merchant.timezone,
            merchant_country=merchant.country,
            episode=self._episode,
            campaign=self._campaign,
            step=step.number,
            channel=target.channel,
            shopper=_as_of(self._shopper, self._start, bought_until=at),
            endpoint_filter=target.filter,
            coupon_available=coupon,
        )

    def _coupon(self, number: int, own: CampaignStep, at: datetime) -> coupons.CouponPlan:
        rule = coupons.rule_of(number, own.coupon, self._campaign.coupon)
        last = _as_of(self._shopper, self._start).last_discount_at
        plan = coupons.planned_coupon(number, rule, self._codes, last, at)
        exhausted = isinstance(plan, coupons.Allocate) and not self._setting.has_code(plan.rule)
        return coupons.Unavailable("exhausted") if exhausted else plan

    def _send(self, step: EpisodeStep, at: datetime, channels: tuple[Channel, ...], plan: coupons.CouponPlan) -> None:
        if isinstance(plan, coupons.Allocate):
            self._codes.append(Allocation(step.number, "", at))
        claimed = step_state.claimed(step, self._checkout.digest, at)
        limit = planning.send_limit(self._episode, self._campaign, self._settings)
        channel = channels[0].value if len(channels) == 1 else None
        sent = step_state.concluded(claimed, "delivered", at, do_not_send_after=limit, channel=channel).step
        after = planning.with_step(self._episode, sent)
        self._episode = planning.replanned(after, self._campaign, self._settings, at)
        outcome: Literal["sent", "planned"] = "planned" if at > self._setting.now else "sent"
        self._note(step, outcome, at, channels=tuple(own.value for own in channels))

    def _defer(self, step: EpisodeStep, at: datetime, until: datetime, reason: str) -> None:
        reasons = self._deferred.setdefault(step.number, [])
        if len(reasons) >= _MOST_DEFERRALS:
            self._skip(step, at, reason)
            return
        reasons.append(reason)
        self._episode = planning.with_step(self._episode, step_state.deferred(step, until))

    def _skip(self, step: EpisodeStep, at: datetime, reason: str) -> None:
        after = planning.with_step(self._episode, step_state.skipped(step, reason, at))
        self._episode = planning.replanned(after, self._campaign, self._settings, at)
        self._note(step, "skipped", at, reason=str(reason))

    def _never_planned(self) -> None:
        """Steps for which there was no time, or no message left, and those that planning itself dropped."""
        limit = planning.send_limit(self._episode, self._campaign, self._settings)
        noted = {own.number for own in self._done}
        for number, own in enumerate(self._campaign.steps, start=1):
            if number in noted:
                continue
            known = self._episode.step(number)
            at = known.due_at if known is not None else self._episode.anchor + own.after
            fallback = Refusal.TOO_OLD if at >= limit else Refusal.FREQUENCY_CAP
            reason = known.reason if known is not None and known.reason else fallback.value
            self._done.append(SimulatedStep(number, own.endpoint_id, "skipped", at, reason=reason))

    def _note(
        self,
        step: EpisodeStep,
        outcome: Literal["sent", "planned", "skipped"],
        at: datetime,
        *,
        channels: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> None:
        endpoint_id = self._campaign.steps[step.number - 1].endpoint_id
        deferred_by = tuple(dict.fromkeys(str(own) for own in self._deferred.get(step.number, ())))
        self._done.append(SimulatedStep(step.number, endpoint_id, outcome, at, channels, reason, deferred_by))


def _abandoned(checkout: Checkout, at: datetime) -> Checkout:
    """The checkout as it stood abandoned at ``at``."""
    reason = checkout.reason if checkout.status is Status.ABANDONED else Reason.INCOMPLETE
    return replace(checkout, status=Status.ABANDONED, reason=reason, abandoned_at=at, completed_at=None, order=None)


def _standing(checkout: Checkout, start: datetime, at: datetime) -> Checkout:
    """The checkout as it stood at ``at``, as far as that is known: its end counts from when it ended."""
    ended_at = checkout.completed_at if checkout.status.purchased else None
    if checkout.status in {Status.SUPERSEDED, Status.DISCARDED, Status.EXPIRED}:
        ended_at = checkout.updated_at
    return checkout if ended_at is not None and ended_at <= at else _abandoned(checkout, start)


def _as_of(shopper: Shopper, start: datetime, *, bought_until: datetime | None = None) -> Shopper:
    """What was known of the shopper: purchases until ``bought_until``, messages and discounts before the start."""
    purchased_at = shopper.purchased_at
    bought = purchased_at is not None and purchased_at <= (bought_until or start)
    messaged = shopper.last_message_at is not None and shopper.last_message_at < start
    discounted = shopper.last_discount_at is not None and shopper.last_discount_at < start
    return replace(
        shopper,
        purchased_at=purchased_at if bought else None,
        cooldown_until=shopper.cooldown_until if bought else None,
        last_message_at=shopper.last_message_at if messaged else None,
        capped=shopper.capped if messaged else {},
        last_discount_at=shopper.last_discount_at if discounted else None,
    )
