"""The life of a step: planned, claimed by one worker, and ended by exactly one recorded outcome.

What a receiver's answer means for the step is decided here, in the vocabulary of attempt outcomes (``delivered``,
``retry``, ``unknown``, ``fail_recipient``, ``fail_message``, ``fail_config``, ``gone``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

CLAIM_LEASE = timedelta(minutes=7)
"""Longer than any batch may run, and than a queue hides a message that was taken (six times the function's time).

Whoever takes it again finds an outcome, or a claim that its own process may still settle. A claim that outlives its
lease has an unknown outcome.
"""
LEASE_LOST = "lease_lost"
"""Why a step is unknown whose worker vanished."""
MOST_ATTEMPTS = 3
BACKOFF = (timedelta(minutes=1), timedelta(minutes=10))
"""Waits before the second and the third attempt."""
CAP_BACKOFF = (timedelta(days=1), timedelta(days=2), timedelta(days=4))
"""Waits after WhatsApp's 131049 (marketing cap of the person): a repeat within a day only fails again."""
LONGEST_RETRY_AFTER = timedelta(days=1)
MOST_PAUSES = 12
"""Pauses that a receiver may ask for: one that never ends asking is not asked for days."""
_FIRST_FLOOR = timedelta(seconds=5)

_PERSON_CAPPED = frozenset({"frequency_cap", "131049"})
_OTHER_MESSAGE_WOULD_DO = frozenset({"this_message", "no_contact", "130472"})
"""This message never arrives (an experiment group of the vendor, no address in this checkout); the next may."""
_PASSING = frozenset({"not_on_channel", "no_opt_in", "region_blocked"})
"""Nothing arrives now, but people join a channel, opt in and move."""
PASSING_REST = timedelta(days=30)


class StepState(StrEnum):
    """Where a step stands. ``skipped``, ``failed`` and ``expired`` carry a reason."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    SENT = "sent"
    UNKNOWN = "unknown"
    """Handed over without a usable answer: counts as sent, is parked and shown, never sent again."""
    SKIPPED = "skipped"
    FAILED = "failed"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether its outcome is recorded."""
        return self not in {StepState.PLANNED, StepState.CLAIMED}

    @property
    def counts_as_sent(self) -> bool:
        """Whether the shopper has, or may have, a message of it."""
        return self in {StepState.SENT, StepState.UNKNOWN}


ALLOWED: Mapping[StepState, frozenset[StepState]] = {
    StepState.PLANNED: frozenset({StepState.PLANNED, StepState.CLAIMED, StepState.SKIPPED, StepState.EXPIRED}),
    StepState.CLAIMED: frozenset(StepState) - {StepState.CLAIMED},
    StepState.UNKNOWN: frozenset({StepState.SENT, StepState.FAILED}),
    **dict.fromkeys((StepState.SENT, StepState.SKIPPED, StepState.FAILED, StepState.EXPIRED), frozenset()),
}
"""Every move there is. A vendor's later status report may settle what was unknown."""


class IllegalMove(Exception):
    """The step is not in a state that allows the move: another worker or a fact came first."""

    def __init__(self, number: int, state: StepState, to: StepState) -> None:
        """Keep what was tried."""
        super().__init__(f"step {number} is {state} and cannot become {to}")
        self.state = state
        self.to = to


@dataclass(frozen=True, slots=True)
class EpisodeStep:
    """A step of an episode.

    ``attempts`` counts failed ones; ``pauses`` those that the receiver put off by ``Retry-After`` or its like;
    ``capped`` the vendor's refusals for its own cap.
    """

    number: int
    state: StepState
    due_at: datetime
    attempts: int = 0
    pauses: int = 0
    capped: int = 0
    reason: str | None = None
    lease_until: datetime | None = None
    claimed_by: str | None = None
    """The name of its last claim: of two workers each knows its own."""
    handed_over_at: datetime | None = None
    channel: str | None = None
    """Set when it was handed over."""
    ended_at: datetime | None = None
    checkout: str | None = None
    """Digest of the checkout that its message is about, from the claim on."""
    vendor_message_id: str | None = None

    @property
    def put_off(self) -> bool:
        """Whether a receiver has had it, and answered that it should come again: it is not due before."""
        return bool(self.attempts or self.pauses or self.capped)


@dataclass(frozen=True, slots=True)
class Concluded:
    """A step after an attempt, and what else the answer asks for."""

    step: EpisodeStep
    suppress: bool = False
    """Never contact the shopper over this channel again."""
    capped_until: datetime | None = None
    """The vendor takes no marketing for this person over the channel before then."""
    disable_endpoint: bool = False
    alert: bool = False
    """The merchant's set-up is at fault."""


def moved(step: EpisodeStep, to: StepState) -> EpisodeStep:
    """The step in its next state. Raises IllegalMove."""
    if to not in ALLOWED[step.state]:
        raise IllegalMove(step.number, step.state, to)
    return replace(step, state=to, lease_until=None)


def claimed(
    step: EpisodeStep, checkout: str, now: datetime, lease: timedelta = CLAIM_LEASE, *, by: str | None = None
) -> EpisodeStep:
    """The step as one worker's own until the lease ends. Raises IllegalMove unless it is planned."""
    return replace(moved(step, StepState.CLAIMED), lease_until=now + lease, checkout=checkout, claimed_by=by)


def released(step: EpisodeStep) -> EpisodeStep:
    """The claimed step, planned as before: nothing was sent. Raises IllegalMove unless it is claimed."""
    if step.state is not StepState.CLAIMED:
        raise IllegalMove(step.number, step.state, StepState.PLANNED)
    return replace(moved(step, StepState.PLANNED), checkout=None)


def deferred(step: EpisodeStep, until: datetime) -> EpisodeStep:
    """The step, still planned, due later. Raises IllegalMove unless it is planned."""
    if step.state is not StepState.PLANNED:
        raise IllegalMove(step.number, step.state, StepState.PLANNED)
    return replace(moved(step, StepState.PLANNED), due_at=until)


def tried_in_vain(step: EpisodeStep, now: datetime) -> EpisodeStep | None:
    """The step, due again after a pause because it lacked something; None where that was its last attempt."""
    attempts = step.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        return None
    return replace(deferred(step, now + BACKOFF[attempts - 1]), attempts=attempts)


def skipped(step: EpisodeStep, reason: str, now: datetime) -> EpisodeStep:
    """The step ended without a message. Raises IllegalMove."""
    return replace(moved(step, StepState.SKIPPED), reason=reason, ended_at=now)


def lease_lost(step: EpisodeStep, now: datetime) -> EpisodeStep | None:
    """A claim whose worker vanished: its outcome is unknown. None while the lease runs or nothing is claimed."""
    if step.state is not StepState.CLAIMED or step.lease_until is None or now < step.lease_until:
        return None
    # The worker may have sent until the lease's end: the gap to the next message counts from there.
    return replace(_ended(step, StepState.UNKNOWN, LEASE_LOST, now), handed_over_at=step.lease_until)


def found_sent(step: EpisodeStep) -> EpisodeStep:
    """A step of unknown outcome that turns out to have been sent. Raises IllegalMove unless it is unknown."""
    if step.state is not StepState.UNKNOWN:
        raise IllegalMove(step.number, step.state, StepState.SENT)
    return replace(moved(step, StepState.SENT), reason=None)


def concluded(
    step: EpisodeStep,
    outcome: str,
    now: datetime,
    *,
    do_not_send_after: datetime,
    channel: str | None = None,
    reason: str | None = None,
    retry_after: datetime | None = None,
    deduplicates: bool = False,
    vendor_message_id: str | None = None,
) -> Concluded:
    """The claimed step after an attempt.

    ``reason`` is the vendor's code or our own word; ``retry_after`` the instant the other side asked for;
    ``deduplicates``: the receiver drops a repeat of the same key, so that an unknown outcome may be repeated. An
    outcome that is none of the vocabulary counts as unknown. Raises IllegalMove unless the step is claimed.
    """
    if step.state is not StepState.CLAIMED:
        raise IllegalMove(step.number, step.state, StepState.SENT)
    if outcome == "delivered":
        sent = _ended(step, StepState.SENT, None, now)
        sent = replace(sent, handed_over_at=now, channel=channel, vendor_message_id=vendor_message_id)
        return Concluded(sent)
    if outcome == "retry" or (outcome == "unknown" and deduplicates):
        return Concluded(_again(step, now, do_not_send_after, reason, retry_after))
    if outcome == "fail_recipient":
        return _recipient_refused(step, now, do_not_send_after, reason)
    if outcome in {"fail_message", "fail_config", "gone"}:
        failed = _ended(step, StepState.FAILED, reason or outcome, now)
        return Concluded(failed, disable_endpoint=outcome == "gone", alert=outcome == "fail_config")
    parked = _ended(step, StepState.UNKNOWN, reason or "unknown", now)
    return Concluded(replace(parked, handed_over_at=now, channel=channel))


def _again(
    step: EpisodeStep, now: datetime, do_not_send_after: datetime, reason: str | None, retry_after: datetime | None
) -> EpisodeStep:
    """Planned once more: when the receiver asked for a pause without a failed attempt, otherwise three in all.

    The first pause is as short as was asked; those that follow grow, so that ``Retry-After: 0`` is no loop.
    """
    if retry_after is not None:
        if step.pauses >= MOST_PAUSES:
            return _ended(step, StepState.FAILED, reason or "attempts_exhausted", now)
        shortest = _FIRST_FLOOR * 2 ** (step.pauses - 1) if step.pauses else timedelta()
        at = min(max(retry_after, now + shortest), now + LONGEST_RETRY_AFTER)
        return _planned_or_expired(replace(step, pauses=step.pauses + 1), at, do_not_send_after, now)
    attempts = step.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        return replace(_ended(step, StepState.FAILED, reason or "attempts_exhausted", now), attempts=attempts)
    again = replace(step, attempts=attempts)
    return _planned_or_expired(again, now + BACKOFF[attempts - 1], do_not_send_after, now)


def _recipient_refused(step: EpisodeStep, now: datetime, do_not_send_after: datetime, reason: str | None) -> Concluded:
    """The person cannot or must not get it: for good, except where the reason's opening word says otherwise."""
    word = (reason or "").partition(":")[0].strip()
    if word in _PERSON_CAPPED:
        until = now + CAP_BACKOFF[min(step.capped, len(CAP_BACKOFF) - 1)]
        later = _planned_or_expired(replace(step, capped=step.capped + 1), until, do_not_send_after, now)
        return Concluded(later, capped_until=until)
    failed = _ended(step, StepState.FAILED, reason or "fail_recipient", now)
    if word in _PASSING:
        return Concluded(failed, capped_until=now + PASSING_REST)
    return Concluded(failed, suppress=word not in _OTHER_MESSAGE_WOULD_DO)


def _planned_or_expired(step: EpisodeStep, at: datetime, do_not_send_after: datetime, now: datetime) -> EpisodeStep:
    if at >= do_not_send_after:
        return _ended(step, StepState.EXPIRED, "too_old", now)
    return replace(moved(step, StepState.PLANNED), due_at=at, checkout=None)


def _ended(step: EpisodeStep, state: StepState, reason: str | None, now: datetime) -> EpisodeStep:
    return replace(moved(step, state), reason=reason, ended_at=now)
