"""The state table of checkouts, one case per row."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from shared.domain.change import Signal
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.deadline import at_deadline
from shared.domain.settings import Settings
from shared.domain.transitions import Mark, apply
from tests.unit.domain.sessions import EMPTY_CART, NOON, after, arrival, begun, cart_of, flat, told

SETTINGS = Settings()
HALF_HOUR = timedelta(minutes=30)


def stored(status: Status, reason: Reason | None = None) -> Checkout:
    """A checkout begun at noon that stands in ``status``."""
    due_at = after(minutes=30) if status.unfinished else None
    abandoned_at = NOON if status is Status.ABANDONED else None
    own = replace(begun(), status=status, reason=reason, due_at=due_at)
    return replace(own, abandoned_at=abandoned_at, first_abandoned_at=abandoned_at)


def test_the_first_event_opens_a_checkout_due_half_an_hour_after_the_activity() -> None:
    applied = apply(None, told(at=after(minutes=-1)), arrival(NOON))
    assert applied.checkout.status is Status.OPEN
    assert applied.checkout.due_at == after(minutes=29)
    assert applied.mark is None
    assert apply(None, told(), arrival(feed=True)).mark is Mark.UPDATED


@pytest.mark.parametrize(
    ("signal", "status", "reason", "mark"),
    [
        (Signal.ACTIVITY, Status.OPEN, None, None),
        (Signal.PAYMENT_STARTED, Status.PAYMENT_PENDING, None, None),
        (Signal.PAYMENT_FAILED, Status.OPEN, Reason.PAYMENT_FAILED, None),
        (Signal.ABANDONED, Status.ABANDONED, Reason.PROVIDER_DECLARED, Mark.ABANDONED),
        (Signal.ENDED, Status.EXPIRED, None, None),
        (Signal.PURCHASED, Status.COMPLETED, None, Mark.COMPLETED),
    ],
)
def test_a_first_event_of_any_kind_has_a_state(
    signal: Signal, status: Status, reason: Reason | None, mark: Mark | None
) -> None:
    applied = apply(None, told(signal), arrival())
    assert (applied.checkout.status, applied.checkout.reason, applied.mark) == (status, reason, mark)


@pytest.mark.parametrize(
    ("before", "signal", "status", "reason", "mark"),
    [
        (Status.OPEN, Signal.ACTIVITY, Status.OPEN, None, None),
        (Status.OPEN, Signal.PAYMENT_STARTED, Status.PAYMENT_PENDING, None, None),
        (Status.OPEN, Signal.PAYMENT_FAILED, Status.OPEN, Reason.PAYMENT_FAILED, None),
        (Status.OPEN, Signal.ABANDONED, Status.ABANDONED, Reason.PROVIDER_DECLARED, Mark.ABANDONED),
        (Status.OPEN, Signal.ENDED, Status.EXPIRED, None, Mark.EXPIRED),
        (Status.OPEN, Signal.PURCHASED, Status.COMPLETED, None, Mark.COMPLETED),
        (Status.PAYMENT_PENDING, Signal.ACTIVITY, Status.OPEN, None, None),
        (Status.PAYMENT_PENDING, Signal.PAYMENT_STARTED, Status.PAYMENT_PENDING, None, None),
        (Status.PAYMENT_PENDING, Signal.PAYMENT_FAILED, Status.OPEN, Reason.PAYMENT_FAILED, None),
        (Status.PAYMENT_PENDING, Signal.PURCHASED, Status.COMPLETED, None, Mark.COMPLETED),
        (Status.ABANDONED, Signal.ACTIVITY, Status.OPEN, None, Mark.REOPENED),
        (Status.ABANDONED, Signal.PAYMENT_STARTED, Status.PAYMENT_PENDING, None, Mark.REOPENED),
        (Status.ABANDONED, Signal.PAYMENT_FAILED, Status.OPEN, Reason.PAYMENT_FAILED, Mark.REOPENED),
        (Status.ABANDONED, Signal.ABANDONED, Status.ABANDONED, Reason.INCOMPLETE, None),
        (Status.ABANDONED, Signal.ENDED, Status.EXPIRED, None, Mark.EXPIRED),
        (Status.ABANDONED, Signal.PURCHASED, Status.RECOVERED, None, Mark.RECOVERED),
        (Status.SUPERSEDED, Signal.ABANDONED, Status.SUPERSEDED, Reason.PURCHASED_ELSEWHERE, None),
        (Status.SUPERSEDED, Signal.PURCHASED, Status.COMPLETED, None, Mark.COMPLETED),
        (Status.DISCARDED, Signal.ACTIVITY, Status.DISCARDED, None, None),
        (Status.DISCARDED, Signal.ABANDONED, Status.DISCARDED, None, None),
        (Status.DISCARDED, Signal.PURCHASED, Status.COMPLETED, None, Mark.COMPLETED),
        (Status.EXPIRED, Signal.ACTIVITY, Status.OPEN, None, Mark.REOPENED),
        (Status.EXPIRED, Signal.ENDED, Status.EXPIRED, None, None),
        (Status.EXPIRED, Signal.PURCHASED, Status.COMPLETED, None, Mark.COMPLETED),
    ],
)
def test_an_event_in_order_moves_the_checkout(
    before: Status, signal: Signal, status: Status, reason: Reason | None, mark: Mark | None
) -> None:
    own = {Status.ABANDONED: Reason.INCOMPLETE, Status.SUPERSEDED: Reason.PURCHASED_ELSEWHERE}.get(before)
    old = stored(before, own)
    applied = apply(old, told(signal, after(minutes=5)), arrival(after(minutes=5)))
    assert (applied.checkout.status, applied.checkout.reason, applied.mark) == (status, reason, mark)
    told_or_moved = status is not before or mark is not None
    assert applied.checkout.sequence == (applied.checkout.version if told_or_moved else old.sequence)
    assert applied.checkout.version == old.version + 1


@pytest.mark.parametrize("before", [Status.COMPLETED, Status.RECOVERED])
@pytest.mark.parametrize("signal", [own for own in Signal if own is not Signal.ABANDONED])
def test_completion_wins_over_every_later_event(before: Status, signal: Signal) -> None:
    old = replace(stored(before), completed_at=NOON)
    applied = apply(old, told(signal, after(minutes=5)), arrival(after(minutes=5), feed=True))
    assert (applied.checkout.status, applied.mark, applied.checkout.due_at) == (before, None, None)


@pytest.mark.parametrize(
    ("before", "reason"),
    [(Status.OPEN, Reason.INCOMPLETE), (Status.PAYMENT_PENDING, Reason.PAYMENT_UNRESOLVED)],
)
def test_the_deadline_makes_it_abandoned(before: Status, reason: Reason) -> None:
    due = at_deadline(stored(before), after(minutes=30), SETTINGS, None)
    assert due is not None
    assert (due.checkout.status, due.checkout.reason, due.mark) == (Status.ABANDONED, reason, Mark.ABANDONED)
    assert due.checkout.abandoned_at == after(minutes=30)
    assert due.checkout.due_at == after(minutes=30) + SETTINGS.recovery_horizon
    assert due.checkout.sequence == due.checkout.version


def test_a_failed_payment_stays_the_reason_at_the_deadline() -> None:
    due = at_deadline(stored(Status.OPEN, Reason.PAYMENT_FAILED), after(minutes=30), SETTINGS, None)
    assert due is not None
    assert due.checkout.reason is Reason.PAYMENT_FAILED


def test_a_deadline_overtaken_by_activity_is_armed_again_and_tells_nothing() -> None:
    busy = apply(stored(Status.OPEN), told(at=after(minutes=20)), arrival(after(minutes=20))).checkout
    assert busy.due_at == after(minutes=30)
    due = at_deadline(busy, after(minutes=30), SETTINGS, None)
    assert due is not None
    assert due.mark is None
    assert (due.checkout.status, due.checkout.due_at) == (Status.OPEN, after(minutes=50))


def test_an_older_event_never_moves_the_deadline_back() -> None:
    late = apply(begun(), told(at=after(minutes=-10)), arrival(after(minutes=1))).checkout
    assert late.last_activity_at == NOON


@pytest.mark.parametrize("before", [Status.OPEN, Status.PAYMENT_PENDING])
@pytest.mark.parametrize("bought_at", [NOON, after(minutes=20)])
def test_a_purchase_elsewhere_supersedes_silently_at_the_deadline(before: Status, bought_at: datetime) -> None:
    due = at_deadline(stored(before), after(minutes=30), SETTINGS, bought_at)
    assert due is not None
    assert (due.checkout.status, due.checkout.reason) == (Status.SUPERSEDED, Reason.PURCHASED_ELSEWHERE)
    assert due.mark is None


def test_one_that_was_announced_before_is_called_off_aloud() -> None:
    due = at_deadline(replace(stored(Status.OPEN), announced=3), after(minutes=30), SETTINGS, after(minutes=5))
    assert due is not None
    assert due.mark is Mark.SUPERSEDED


def test_a_purchase_long_before_the_last_activity_settles_nothing() -> None:
    later = apply(begun(at=after(hours=-2)), told(at=NOON), arrival(NOON)).checkout
    due = at_deadline(later, after(minutes=30), SETTINGS, after(hours=-1))
    assert due is not None
    assert due.checkout.status is Status.ABANDONED


def test_a_purchase_after_the_activity_settles_a_checkout_whose_webhook_came_later_still() -> None:
    slow = apply(None, told(at=after(minutes=-2), cart=cart_of()), arrival(after(minutes=1))).checkout
    due = at_deadline(slow, after(hours=1), SETTINGS, NOON)
    assert due is not None
    assert due.checkout.status is Status.SUPERSEDED


@pytest.mark.parametrize("cart", [None, EMPTY_CART])
def test_nothing_worth_recovering_is_never_abandoned_and_expires_at_the_horizon(cart: object) -> None:
    bare = replace(stored(Status.OPEN), cart=cart)  # type: ignore[arg-type]  # parametrised
    early = at_deadline(bare, after(minutes=30), SETTINGS, None)
    assert early is not None
    assert (early.checkout.status, early.checkout.due_at, early.mark) == (Status.OPEN, after(days=7), None)
    late = at_deadline(early.checkout, after(days=7), SETTINGS, None)
    assert late is not None
    assert (late.checkout.status, late.checkout.due_at, late.mark) == (Status.EXPIRED, None, Mark.EXPIRED)


def test_an_abandoned_checkout_expires_when_its_horizon_ends() -> None:
    waiting = at_deadline(stored(Status.ABANDONED), after(days=6), SETTINGS, None)
    assert waiting is not None
    assert (waiting.checkout.status, waiting.mark, waiting.checkout.due_at) == (Status.ABANDONED, None, after(days=7))
    over = at_deadline(waiting.checkout, after(days=7), SETTINGS, None)
    assert over is not None
    assert (over.checkout.status, over.mark) == (Status.EXPIRED, Mark.EXPIRED)


@pytest.mark.parametrize("status", [own for own in Status if not own.unfinished])
def test_a_finished_checkout_has_no_deadline(status: Status) -> None:
    finished = replace(stored(status), due_at=None)
    assert at_deadline(finished, after(days=30), SETTINGS, NOON) is None
    left_over = at_deadline(replace(finished, due_at=NOON), after(days=30), SETTINGS, NOON)
    assert left_over is not None
    assert (left_over.checkout.status, left_over.checkout.due_at, left_over.mark) == (status, None, None)


def test_payment_pending_waits_by_its_own_clock() -> None:
    settings = Settings(idle_after=timedelta(hours=5), payment_pending_after=timedelta(minutes=30))
    pending = apply(begun(settings=settings), told(Signal.PAYMENT_STARTED, after(minutes=1)), arrival(NOON, settings))
    assert pending.checkout.due_at == after(minutes=31)
    due = at_deadline(pending.checkout, after(minutes=31), settings, None)
    assert due is not None
    assert due.checkout.reason is Reason.PAYMENT_UNRESOLVED


def test_without_a_clock_every_arrival_moves_the_deadline() -> None:
    first = begun(flat(4, cart=cart_of()))
    stale = apply(first, flat(2), arrival(after(minutes=1))).checkout
    assert stale.last_activity_at == after(minutes=1)
    assert stale.order_key == first.order_key
