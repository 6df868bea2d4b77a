"""Planning: which steps an episode has ahead of it and when each is due; and how an episode begins and ends.

due = max(anchor + offset, last hand-over + the merchant's step gap), nothing at or after ``do_not_send_after``, at
most ``max_per_episode`` messages. Offsets count from the anchor, the shopper's last activity, never from detection.
What was sent stays sent: planning again, after a reopening or a newer checkout, moves only what is still planned, and
the step counter carries on.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.domain import step_state
from shared.domain.campaign import Campaign
from shared.domain.checkout import Checkout
from shared.domain.episode import Episode, EpisodeStatus, episode_id
from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId
from shared.domain.settings import Settings
from shared.domain.step_state import EpisodeStep, StepState


def own_episode(checkout: Checkout, now: datetime) -> EpisodeId:
    """The id of the episode that the checkout's present abandonment opens."""
    return episode_id(checkout.abandoned_at or now, checkout.digest, checkout.sequence)


def opened(
    checkout: Checkout,
    identities: Iterable[Identity],
    now: datetime,
    *,
    campaign: Campaign | None,
    holdout: bool,
    settings: Settings,
    anchor: datetime | None = None,
) -> Episode:
    """The episode that an abandoned checkout opens, planned. Derived: a retry opens the same one.

    A scheduled run gives its own time as ``anchor``: its steps count from there, not from the shopper's activity.
    """
    at = checkout.abandoned_at or now
    episode = Episode(
        id=own_episode(checkout, now),
        merchant_id=checkout.merchant_id,
        status=EpisodeStatus.ACTIVE,
        version=1,
        anchor=max(checkout.last_activity_at, anchor or checkout.last_activity_at),
        started_at=at,
        identities=tuple(sorted(identities)),
        checkouts=(checkout.digest,),
        campaign_id=None if campaign is None else campaign.id,
        campaign_version=0 if campaign is None else campaign.version,
        holdout=holdout,
    )
    return replanned(episode, campaign, settings, now)


def joined(
    episode: Episode,
    checkout: Checkout,
    identities: Iterable[Identity],
    now: datetime,
    *,
    campaign: Campaign | None,
    settings: Settings,
) -> Episode:
    """The open episode after a checkout of its shopper was abandoned, newly or again: that one's contents from now on.

    ``campaign`` is the version the episode was opened with; the caller loads it by the episode's own id and version.
    """
    after = replace(
        episode,
        status=EpisodeStatus.ACTIVE,
        version=episode.version + 1,
        anchor=max(episode.anchor, checkout.last_activity_at),
        identities=tuple(sorted({*episode.identities, *identities})),
        checkouts=(*(own for own in episode.checkouts if own != checkout.digest), checkout.digest),
    )
    return replanned(after, campaign, settings, now)


def paused(episode: Episode) -> Episode:
    """The episode while its shopper is back at the checkout; an ended one stays ended."""
    if episode.status is EpisodeStatus.ENDED:
        return episode
    return replace(episode, status=EpisodeStatus.PAUSED, version=episode.version + 1)


def ended(episode: Episode, reason: str, now: datetime) -> Episode:
    """The episode after its end: what was planned is recorded as skipped with the reason; the first end stays.

    A claimed step is in somebody's hands and gets its own outcome.
    """
    if episode.status is EpisodeStatus.ENDED:
        return episode
    return replace(
        episode,
        status=EpisodeStatus.ENDED,
        version=episode.version + 1,
        ended_at=now,
        end_reason=reason,
        steps=tuple(
            step_state.skipped(own, reason, now) if own.state is StepState.PLANNED else own for own in episode.steps
        ),
    )


def with_step(episode: Episode, step: EpisodeStep) -> Episode:
    """The episode with this step in place of the one of its number.

    An ended episode plans nothing: a step that comes back planned is recorded as skipped with the episode's reason.
    """
    if episode.status is EpisodeStatus.ENDED and step.state is StepState.PLANNED:
        step = step_state.skipped(step, episode.end_reason or "ended", episode.ended_at or step.due_at)
    others = [own for own in episode.steps if own.number != step.number]
    steps = tuple(sorted((*others, step), key=lambda own: own.number))
    return replace(episode, steps=steps, version=episode.version + 1)


def replanned(episode: Episode, campaign: Campaign | None, settings: Settings, now: datetime) -> Episode:
    """The episode with its unsent steps planned from its anchor; the version stays.

    A step that was planned and can no longer be sent in time ends ``skipped`` with ``too_old``; one that was never
    planned stays absent, and may find its place after the next reopening.
    """
    if episode.status is EpisodeStatus.ENDED or campaign is None:
        return episode
    limit = send_limit(episode, campaign, settings)
    steps = {own.number: own for own in episode.steps}
    messages = sum(own.state.counts_as_sent or own.state is StepState.CLAIMED for own in episode.steps)
    earliest = episode.last_hand_over
    if earliest is not None:
        earliest += settings.min_step_gap
    for number, planned in enumerate(campaign.steps, start=1):
        known = steps.get(number)
        if known is not None and known.state is not StepState.PLANNED:
            continue
        due_at = episode.anchor + planned.after
        if earliest is not None:
            due_at = max(due_at, earliest)
        if known is not None and known.put_off:
            due_at = max(due_at, known.due_at)
        if due_at < limit and messages < campaign.limits.max_per_episode:
            fresh = known or EpisodeStep(number, StepState.PLANNED, due_at)
            steps[number] = step_state.deferred(fresh, due_at)
            messages += 1
            earliest = due_at + settings.min_step_gap
        elif known is not None:
            reason = "too_old" if due_at >= limit else "frequency_cap"
            steps[number] = step_state.skipped(known, reason, now)
    return replace(episode, steps=tuple(steps[number] for number in sorted(steps)))


def why_none_is_left(episode: Episode) -> str | None:
    """Why an open episode of a campaign has no message ahead; None where it has one, or no campaign."""
    ahead = any(not own.state.ended for own in episode.steps)
    if episode.campaign_id is None or episode.status is EpisodeStatus.ENDED or ahead:
        return None
    if any(own.state.counts_as_sent for own in episode.steps):
        return "frequency_cap"
    return next((own.reason for own in reversed(episode.steps) if own.reason is not None), "too_old")


def send_limit(episode: Episode, campaign: Campaign | None, settings: Settings) -> datetime:
    """``do_not_send_after``: at or after this instant nothing of the episode goes out."""
    own = settings.do_not_send_after if campaign is None else campaign.do_not_send_after
    return episode.anchor + min(own, settings.recovery_horizon)


def next_due(episode: Episode) -> datetime | None:
    """When the episode must be looked at next: a claim's lease, else a planned step's time; None where nothing waits.

    While a step is claimed no other one is gated: whoever holds the claim writes the episode anew, or its lease ends.
    A paused episode waits for its checkout, but a claim in it still has its lease.
    """
    leases = [own.lease_until for own in episode.steps if own.lease_until is not None]
    if leases:
        return min(leases)
    active = episode.status is EpisodeStatus.ACTIVE
    return min((own.due_at for own in episode.steps if own.state is StepState.PLANNED and active), default=None)


def due_of(episode: Episode, settings: Settings) -> datetime | None:
    """When the episode is to be looked at next: its next step, else the end of its horizon.

    None where no campaign plans anything in it: it ends with its newest checkout, which is due at that time itself.
    """
    if episode.campaign_id is None:
        return None
    horizon_ends = episode.anchor + settings.recovery_horizon
    return min(next_due(episode) or horizon_ends, horizon_ends)


def is_over(episode: Episode, settings: Settings, now: datetime) -> bool:
    """Whether the episode's horizon is over: it ends, if it has not."""
    return now >= episode.anchor + settings.recovery_horizon


def is_finished(episode: Episode, campaign: Campaign | None, settings: Settings, checkout: Checkout) -> bool:
    """Whether a cart of its shopper's is another attempt's: left when nothing of this one could go out any more.

    An episode of which nothing has become yet, sent or not, takes up the cart. ``campaign`` is the version the episode
    was opened with.
    """
    if campaign is None or not any(own.state.ended for own in episode.steps):
        return False
    return checkout.last_activity_at >= send_limit(episode, campaign, settings)


def due_step(episode: Episode, now: datetime) -> EpisodeStep | None:
    """The planned step to gate now, the earliest first; None where none is due, or another one is claimed."""
    if episode.status is not EpisodeStatus.ACTIVE or any(own.state is StepState.CLAIMED for own in episode.steps):
        return None
    due = [own for own in episode.steps if own.state is StepState.PLANNED and own.due_at <= now]
    return min(due, key=lambda own: (own.due_at, own.number), default=None)
