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
    """A purchase of the same shopper at or after this instant is the one the checkout was heading for."""
    return max(checkout.created_at, checkout.last_activity_at - PURCHASE_SLACK)


def bought_elsewhere(checkout: Checkout, shopper_bought_at: datetime | None) -> bool:
    """Whether the shopper's last purchase, from any checkout, device or provider, settles this checkout."""
    return shopper_bought_at is not None and shopper_bought_at >= floor_of(checkout)


def at_deadline(
    checkout: Checkout, now: datetime, settings: Settings, shopper_bought_at: datetime | None
) -> Due | None:
    """What the due checkout becomes at ``now``; None when it is not due any more and holds no deadline."""
    if not checkout.status.unfinished or checkout.due_at is None:
        return None if checkout.due_at is None else Due(_written(checkout, due_at=None), None)
    if checkout.status is not Status.ABANDONED and bought_elsewhere(checkout, shopper_bought_at):
        return Due(superseded(checkout), superseded_mark(checkout))
    horizon_ends = horizon_end(checkout, settings)
    if checkout.status is Status.ABANDONED:
        return _expired_or_later(checkout, now, horizon_ends)
    wait = timedelta(milliseconds=checkout.idle_ms)
    if checkout.status is Status.PAYMENT_PENDING:
        wait = settings.payment_pending_after
    deadline = checkout.last_activity_at + wait
    if deadline > now:
        return Due(_written(checkout, due_at=deadline), None)
    if not worth_recovering(checkout.cart):
        return _expired_or_later(checkout, now, horizon_ends)
    reason = checkout.reason or Reason.INCOMPLETE
    if checkout.status is Status.PAYMENT_PENDING:
        reason = Reason.PAYMENT_UNRESOLVED
    moved = abandoned(_written(checkout), now, reason, settings)
    return Due(replace(moved, sequence=moved.version), Mark.ABANDONED)


def horizon_end(checkout: Checkout, settings: Settings) -> datetime:
    """When the checkout can no longer be recovered."""
    since = checkout.last_activity_at
    if checkout.status is Status.ABANDONED and checkout.abandoned_at is not None:
        since = checkout.abandoned_at
    return since + settings.recovery_horizon


def superseded(checkout: Checkout) -> Checkout:
    """The checkout after its shopper bought elsewhere."""
    moved = _written(checkout, due_at=None)
    return replace(moved, status=Status.SUPERSEDED, reason=Reason.PURCHASED_ELSEWHERE, sequence=moved.version)


def superseded_mark(checkout: Checkout) -> Mark | None:
    """Only whoever was told of the abandonment is told that it is called off."""
    return None if checkout.announced is None else Mark.SUPERSEDED


def _expired_or_later(checkout: Checkout, now: datetime, horizon_ends: datetime) -> Due:
    if horizon_ends > now:
        return Due(_written(checkout, due_at=horizon_ends), None)
    moved = _written(checkout, due_at=None)
    return Due(replace(moved, status=Status.EXPIRED, reason=None, sequence=moved.version), Mark.EXPIRED)


def _written(checkout: Checkout, **changes: datetime | None) -> Checkout:
    """The next version of the checkout. Sweeps are not activity: ``updated_at`` stays."""
    due_at = changes.get("due_at", checkout.due_at)
    return replace(checkout, version=checkout.version + 1, due_at=due_at)
