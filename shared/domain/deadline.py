"""What a due checkout becomes: the sweep's decisions, pure.

A deadline is armed once and compared lazily: later webhooks only move the last activity, and the sweep re-arms.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.cart import worth_recovering
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.settings import Settings
from shared.domain.transitions import Mark, abandoned

PURCHASE_SLACK = timedelta(minutes=10)
"""How long before a checkout's last activity the same shopper's purchase still counts as the one it led to."""


@dataclass(frozen=True, slots=True)
class Due:
    """The checkout after its deadline; ``mark`` is None where there is nothing to tell."""

    checkout: Checkout
    mark: Mark | None


def floor_of(checkout: Checkout) -> datetime:
    """A purchase of the same shopper at or after this instant is the one the checkout was heading for.

    A checkout whose first webhook arrived late began with its activity, not with the arrival.
    """
    begun_at = min(checkout.created_at, checkout.last_activity_at)
    return max(begun_at, checkout.last_activity_at - PURCHASE_SLACK)


def bought_elsewhere(checkout: Checkout, shopper_bought_at: datetime | None) -> bool:
    """Whether the shopper's last purchase, from any checkout, device or provider, settles this checkout."""
    return shopper_bought_at is not None and shopper_bought_at >= floor_of(checkout)


def at_deadline(
    checkout: Checkout, now: datetime, settings: Settings, shopper_bought_at: datetime | None
) -> Due | None:
    """What the due checkout becomes at ``now``; None when it is not due any more and holds no deadline."""
    if not checkout.status.unfinished or checkout.due_at is None:
        return None if checkout.due_at is None else Due(_rearmed(checkout, None), None)
    if checkout.status is not Status.ABANDONED and bought_elsewhere(checkout, shopper_bought_at):
        return Due(superseded(checkout, now), superseded_mark(checkout))
    horizon_ends = horizon_end(checkout, settings)
    if checkout.status is Status.ABANDONED:
        return _expired_or_later(checkout, now, horizon_ends)
    wait = timedelta(milliseconds=checkout.idle_ms)
    if checkout.status is Status.PAYMENT_PENDING:
        wait = settings.payment_pending_after
    deadline = checkout.last_activity_at + wait
    if deadline > now:
        return Due(_rearmed(checkout, deadline), None)
    if not worth_recovering(checkout.cart, settings.minimum_total):
        return _expired_or_later(checkout, now, horizon_ends)
    return Due(given_up(checkout, now, settings), Mark.ABANDONED)


def given_up(checkout: Checkout, now: datetime, settings: Settings) -> Checkout:
    """The unfinished checkout abandoned at ``now``: at its deadline, or earlier by a campaign's own schedule."""
    reason = checkout.reason or Reason.INCOMPLETE
    if checkout.status is Status.PAYMENT_PENDING:
        reason = Reason.PAYMENT_UNRESOLVED
    return abandoned(_moved(checkout, now), now, reason, settings)


def horizon_end(checkout: Checkout, settings: Settings) -> datetime:
    """When the checkout can no longer be recovered."""
    since = checkout.last_activity_at
    if checkout.status is Status.ABANDONED and checkout.abandoned_at is not None:
        since = checkout.abandoned_at
    return since + settings.recovery_horizon


def superseded(checkout: Checkout, now: datetime) -> Checkout:
    """The checkout after its shopper bought elsewhere."""
    moved = _moved(checkout, now)
    return replace(moved, status=Status.SUPERSEDED, reason=Reason.PURCHASED_ELSEWHERE, due_at=None)


def replaced(checkout: Checkout, now: datetime) -> Checkout:
    """The abandoned checkout after a newer one of the same shopper was abandoned too: that one is recovered now."""
    return replace(_moved(checkout, now), status=Status.SUPERSEDED, reason=None, due_at=None)


def superseded_mark(checkout: Checkout) -> Mark | None:
    """Only whoever was told of the abandonment is told that it is called off."""
    return None if checkout.announced is None else Mark.SUPERSEDED


def _expired_or_later(checkout: Checkout, now: datetime, horizon_ends: datetime) -> Due:
    if horizon_ends > now:
        return Due(_rearmed(checkout, horizon_ends), None)
    return Due(replace(_moved(checkout, now), status=Status.EXPIRED, reason=None, due_at=None), Mark.EXPIRED)


def _rearmed(checkout: Checkout, due_at: datetime | None) -> Checkout:
    """The next version, due at another time; nothing about it has changed."""
    return replace(checkout, version=checkout.version + 1, due_at=due_at)


def _moved(checkout: Checkout, now: datetime) -> Checkout:
    """The next version, whose status changes."""
    version = checkout.version + 1
    return replace(checkout, version=version, sequence=version, updated_at=now)
