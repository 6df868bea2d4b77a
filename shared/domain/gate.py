"""The gate: whether a message may go out at this instant, and if not, why and what follows.

Run in full before every hand-over and again after every deferral. The rules stand in the order of ``REASONS``; the
first that fails decides and is stored and shown. Without an episode, campaign or step it is the verdict for a BSP
that sends on its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain import criteria, planning
from shared.domain.campaign import Campaign
from shared.domain.cart import reaches_minimum
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.consent import CONTACT_OF, Channel, channel_consent, permits
from shared.domain.deadline import bought_elsewhere
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.instants import parse_instant
from shared.domain.quiet_hours import next_open
from shared.domain.recipient import UNITED_STATES, Recipient, recipient_of
from shared.domain.settings import Settings
from shared.domain.shopper import UNKNOWN_SHOPPER, Shopper
from shared.domain.step_state import StepState
from shared.domain.suppression import EndReason

PAYMENT_HOLD = timedelta(hours=2)
"""After a payment that nobody could resolve: its success may still arrive."""
US_SMS_WINDOW = timedelta(hours=48)
"""CTIA, Short Code Monitoring Handbook: one cart reminder by text per abandoned cart, within 48 hours."""


class Refusal(StrEnum):
    """Why a message does not go out: the closed list, in the order in which the rules are asked."""

    CAMPAIGN_PAUSED = "campaign_paused"
    HOLDOUT = "holdout"
    ALREADY_SENT = "already_sent"
    PURCHASED = "purchased"
    PAYMENT_PENDING = "payment_pending"
    SUPERSEDED = "superseded"
    BELOW_MINIMUM_TOTAL = "below_minimum_total"
    SHOPPER_ACTIVE = "shopper_active"
    TOO_OLD = "too_old"
    NO_CONTACT = "no_contact"
    QUARANTINED = "quarantined"
    SUPPRESSED = "suppressed"
    NO_CONSENT = "no_consent"
    REGION_BLOCKED = "region_blocked"
    FREQUENCY_CAP = "frequency_cap"
    CRITERIA_NOT_MET = "criteria_not_met"
    COUPON_UNAVAILABLE = "coupon_unavailable"
    LINK_DEAD = "link_dead"
    OUTSIDE_WINDOW = "outside_window"


REASONS = tuple(Refusal)


@dataclass(frozen=True, slots=True)
class GateFacts:
    """Everything the gate looks at, read consistently just before.

    ``checkout`` is the one the message would be about; ``step`` the number of the episode's step; ``channel`` None
    where the receiver chooses it (a BSP behind a webhook, the feed).
    """

    now: datetime
    checkout: Checkout
    settings: Settings
    merchant_zone: str | None = None
    merchant_country: str | None = None
    episode: Episode | None = None
    campaign: Campaign | None = None
    campaign_active: bool = True
    """Of the campaign as it is now: pausing acts at once although the episode keeps its version."""
    step: int | None = None
    channel: Channel | None = None
    shopper: Shopper = UNKNOWN_SHOPPER
    quarantined: bool = False
    other_activity_at: datetime | None = None
    """Last activity in another open checkout of the same shopper."""
    endpoint_filter: criteria.Criteria = criteria.EVERYTHING
    coupon_available: bool = True
    link_needed: bool = False
    """The message cannot do without a recovery link."""
    soft_opt_in: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Hand it over, over one of these channels."""

    channels: tuple[Channel, ...]
    reason: None = None


@dataclass(frozen=True, slots=True)
class Defer:
    """Ask again at ``until``."""

    until: datetime
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Skip:
    """This step ends without a message; the episode goes on."""

    reason: Refusal


@dataclass(frozen=True, slots=True)
class EndEpisode:
    """Nothing more goes out in this episode."""

    reason: Refusal


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """The step is skipped, and so is every later one over these channels."""

    channels: tuple[Channel, ...]
    reason: Refusal = Refusal.SUPPRESSED


@dataclass(frozen=True, slots=True)
class Replan:
    """The checkout was replaced by a newer one of the episode: plan again and ask about that one."""

    reason: Refusal = Refusal.SUPERSEDED


type Decision = Send | Defer | Skip | EndEpisode | CloseChannel | Replan


def gate(facts: GateFacts) -> Decision:
    """The decision at ``facts.now``. A deferral that would end too late drops the step at once."""
    run = _Run(facts)
    over = facts.episode is not None and facts.episode.status is EpisodeStatus.ENDED
    for rule in _RULES:
        decision = rule(run)
        if over and isinstance(decision, Defer | Replan):
            continue  # an episode that has ended waits for nothing
        if isinstance(decision, Defer) and decision.until >= run.limit:
            return Skip(decision.reason)
        if decision is not None:
            return decision
    return Send(run.channels)


class _Run:
    """One run: the facts, what follows from them, and the channels still left."""

    def __init__(self, facts: GateFacts) -> None:
        self.facts = facts
        self.channels: tuple[Channel, ...] = tuple(Channel) if facts.channel is None else (facts.channel,)
        self.limit = do_not_send_after(facts.checkout, facts.settings, facts.episode, facts.campaign)
        self._recipient: Recipient | None = None

    @property
    def recipient(self) -> Recipient:
        """Worked out only where a rule asks: it needs the phone library."""
        if self._recipient is None:
            facts = self.facts
            self._recipient = recipient_of(
                facts.checkout, merchant_zone=facts.merchant_zone, merchant_country=facts.merchant_country
            )
        return self._recipient

    def left(self, allowed: Callable[[Channel], bool]) -> tuple[Channel, ...]:
        """Keep the allowed channels unless none is left; answers those before."""
        before = self.channels
        kept = tuple(channel for channel in before if allowed(channel))
        if kept:
            self.channels = kept
            return ()
        return before


def do_not_send_after(
    checkout: Checkout, settings: Settings, episode: Episode | None = None, campaign: Campaign | None = None
) -> datetime:
    """From this instant on no message goes out: counted from the episode's anchor, or later activity."""
    own = settings.do_not_send_after if campaign is None else campaign.do_not_send_after
    wait = min(own, settings.recovery_horizon)
    by_checkout = checkout.last_activity_at + wait
    return by_checkout if episode is None else max(by_checkout, planning.send_limit(episode, campaign, settings))


def _campaign_paused(run: _Run) -> Decision | None:
    return None if run.facts.campaign_active else Skip(Refusal.CAMPAIGN_PAUSED)


def _holdout(run: _Run) -> Decision | None:
    episode = run.facts.episode
    return Skip(Refusal.HOLDOUT) if episode is not None and episode.holdout else None


def _already_sent(run: _Run) -> Decision | None:
    facts = run.facts
    episode = facts.episode
    step = episode.step(facts.step) if episode is not None and facts.step is not None else None
    if episode is None or step is None or step.state is StepState.PLANNED:
        return None
    if episode.status is EpisodeStatus.ENDED and step.state is StepState.SKIPPED:
        return None  # why the episode ended says more
    return Skip(Refusal.ALREADY_SENT)


def _purchased(run: _Run) -> Decision | None:
    facts = run.facts
    checkout, episode = facts.checkout, facts.episode
    bought = checkout.status.purchased or checkout.reason is Reason.PURCHASED_ELSEWHERE
    if episode is not None and episode.status is EpisodeStatus.ENDED:
        bought = bought or episode.end_reason == EndReason.PURCHASED
    # A webhook may come so late that the checkout is created after the purchase that followed its activity.
    bought_at = facts.shopper.purchased_at
    bought = bought or (bought_at is not None and bought_at >= checkout.last_activity_at)
    return EndEpisode(Refusal.PURCHASED) if bought or bought_elsewhere(checkout, bought_at) else None


def _payment_pending(run: _Run) -> Decision | None:
    checkout = run.facts.checkout
    if checkout.status is Status.PAYMENT_PENDING:
        until = checkout.last_activity_at + run.facts.settings.payment_pending_after
        return Defer(max(until, run.facts.now + timedelta(minutes=1)), Refusal.PAYMENT_PENDING)
    if checkout.reason is Reason.PAYMENT_UNRESOLVED and checkout.abandoned_at is not None:
        until = checkout.abandoned_at + PAYMENT_HOLD
        return Defer(until, Refusal.PAYMENT_PENDING) if run.facts.now < until else None
    return None


def _superseded(run: _Run) -> Decision | None:
    checkout, episode = run.facts.checkout, run.facts.episode
    if episode is not None and episode.newest_checkout not in {None, checkout.digest}:
        return Replan()
    if episode is not None and episode.end_reason == EndReason.JOINED:
        return EndEpisode(Refusal.SUPERSEDED)
    return Skip(Refusal.SUPERSEDED) if checkout.status is Status.SUPERSEDED else None


def _below_minimum_total(run: _Run) -> Decision | None:
    """Asked once nobody is at the cart any more: until then it may still be filled."""
    facts = run.facts
    checkout = facts.checkout
    left = checkout.last_activity_at + timedelta(milliseconds=checkout.idle_ms) <= facts.now
    if checkout.status is Status.OPEN and not left:
        return None
    return None if reaches_minimum(checkout.cart, facts.settings.minimum_total) else Skip(Refusal.BELOW_MINIMUM_TOTAL)


def _shopper_active(run: _Run) -> Decision | None:
    facts = run.facts
    checkout, episode = facts.checkout, facts.episode
    idle = timedelta(milliseconds=checkout.idle_ms)
    back = checkout.status is Status.OPEN or (episode is not None and episode.status is EpisodeStatus.PAUSED)
    if back:
        # At its deadline the sweep decides; a sweep that is late must not let a message through.
        return Defer(max(checkout.last_activity_at + idle, facts.now + timedelta(minutes=1)), Refusal.SHOPPER_ACTIVE)
    if facts.other_activity_at is not None and facts.now < facts.other_activity_at + idle:
        return Defer(facts.other_activity_at + idle, Refusal.SHOPPER_ACTIVE)
    return None


def _too_old(run: _Run) -> Decision | None:
    facts = run.facts
    episode = facts.episode
    over = episode is not None and episode.end_reason in {EndReason.TOO_OLD, EndReason.HORIZON}
    if over or facts.checkout.status is Status.EXPIRED or facts.now >= run.limit:
        return EndEpisode(Refusal.TOO_OLD)
    return None


def _no_contact(run: _Run) -> Decision | None:
    checkout = run.facts.checkout
    return Skip(Refusal.NO_CONTACT) if run.left(lambda own: checkout.text(CONTACT_OF[own]) is not None) else None


def _quarantined(run: _Run) -> Decision | None:
    return Skip(Refusal.QUARANTINED) if run.facts.quarantined else None


def _suppressed(run: _Run) -> Decision | None:
    facts = run.facts
    episode = facts.episode
    if facts.checkout.status is Status.DISCARDED:
        return EndEpisode(Refusal.SUPPRESSED)
    if episode is not None and episode.status is EpisodeStatus.ENDED:
        # Ended by a reply, an opt-out, a dismissal or an erasure; the other ends have rules of their own.
        return EndEpisode(Refusal.SUPPRESSED)
    closed = set(facts.shopper.suppressed) | (set() if episode is None else set(episode.closed_channels))
    refused = run.left(lambda own: own not in closed)
    return CloseChannel(refused) if refused else None


def _no_consent(run: _Run) -> Decision | None:
    facts = run.facts

    def may(channel: Channel) -> bool:
        said = channel_consent(facts.checkout, channel)
        return permits(said, channel, facts.settings, run.recipient.countries, soft_opt_in=facts.soft_opt_in)

    return Skip(Refusal.NO_CONSENT) if run.left(may) else None


def _region_blocked(run: _Run) -> Decision | None:
    """United States numbers: no marketing by WhatsApp (Meta, since April 2025); one SMS per episode, within 48 h."""
    if set(run.channels) == {Channel.EMAIL} or run.recipient.phone_region != UNITED_STATES:
        return None
    facts = run.facts
    anchor = facts.checkout.last_activity_at if facts.episode is None else facts.episode.anchor
    texted = facts.episode is not None and any(
        own.state.counts_as_sent and own.channel in {Channel.SMS, None} for own in facts.episode.steps
    )
    may_text = not texted and facts.now < anchor + US_SMS_WINDOW
    refused = run.left(lambda own: own is Channel.EMAIL or (own is Channel.SMS and may_text))
    return Skip(Refusal.REGION_BLOCKED) if refused else None


def _frequency_cap(run: _Run) -> Decision | None:
    facts = run.facts
    episode, campaign, shopper = facts.episode, facts.campaign, facts.shopper
    if episode is not None and campaign is not None:
        sent = sum(own.state.counts_as_sent for own in episode.steps)
        if sent >= campaign.limits.max_per_episode:
            return Skip(Refusal.FREQUENCY_CAP)
    untils = [shopper.cooldown_until]
    capped = run.left(lambda own: shopper.capped.get(own, facts.now) <= facts.now)
    if capped:
        untils.append(min(shopper.capped[own] for own in capped))
    handed_over = None if episode is None else episode.last_hand_over
    if handed_over is not None:
        untils.append(handed_over + facts.settings.min_step_gap)
    last = shopper.last_message_at
    if last is not None:
        # A shopper has one open episode at a time: what came after its start belongs to it.
        own = episode is not None and last >= episode.started_at
        untils.append(last + (facts.settings.min_step_gap if own else facts.settings.cooldown))
    until = max((own for own in untils if own is not None), default=None)
    return Defer(until, Refusal.FREQUENCY_CAP) if until is not None and facts.now < until else None


def _criteria_not_met(run: _Run) -> Decision | None:
    facts = run.facts
    asked = [facts.endpoint_filter] + ([] if facts.campaign is None else [facts.campaign.rules()])
    met = all(criteria.matches(own, facts.checkout, facts.now) for own in asked)
    return None if met else Skip(Refusal.CRITERIA_NOT_MET)


def _coupon_unavailable(run: _Run) -> Decision | None:
    return None if run.facts.coupon_available else Skip(Refusal.COUPON_UNAVAILABLE)


def _link_dead(run: _Run) -> Decision | None:
    """A link that has expired leads nowhere; one the provider never gave is missed only where it is needed."""
    facts = run.facts
    _, destination = facts.checkout.pair("checkout_url")
    expires_at = parse_instant(facts.checkout.text("expires_at"))
    expired = destination is not None and expires_at is not None and expires_at <= facts.now
    return Skip(Refusal.LINK_DEAD) if expired or (facts.link_needed and destination is None) else None


def _outside_window(run: _Run) -> Decision | None:
    facts = run.facts
    quiet = facts.settings.quiet_hours
    if quiet is None:
        return None
    opens_at = next_open(facts.now, run.recipient, quiet)
    if opens_at is None:
        return Skip(Refusal.OUTSIDE_WINDOW)
    return None if opens_at <= facts.now else Defer(opens_at, Refusal.OUTSIDE_WINDOW)


_RULES: tuple[Callable[[_Run], Decision | None], ...] = (
    _campaign_paused,
    _holdout,
    _already_sent,
    _purchased,
    _payment_pending,
    _superseded,
    _below_minimum_total,
    _shopper_active,
    _too_old,
    _no_contact,
    _quarantined,
    _suppressed,
    _no_consent,
    _region_blocked,
    _frequency_cap,
    _criteria_not_met,
    _coupon_unavailable,
    _link_dead,
    _outside_window,
)
"""One rule per refusal, in the order of the list."""
