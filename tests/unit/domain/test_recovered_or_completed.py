"""Recovered or completed: the abandonment precedes the order's own time inside the horizon, or it does not."""

from datetime import datetime, timedelta
from itertools import permutations

import pytest

from shared.domain.change import CheckoutChange, Signal
from shared.domain.checkout import Order, Reason, Status
from shared.domain.settings import Settings
from shared.domain.transitions import Mark, abandoned, apply
from tests.unit.domain.sessions import NOON, after, arrival, begun, cart_of, flat, folded, told

SETTINGS = Settings()


def bought(at: datetime) -> CheckoutChange:
    return told(Signal.PURCHASED, at)


@pytest.mark.parametrize(
    ("bought_at", "status"),
    [
        (after(minutes=29), Status.COMPLETED),
        (after(minutes=30), Status.RECOVERED),
        (after(days=6), Status.RECOVERED),
        (after(days=7, minutes=30), Status.RECOVERED),
        (after(days=7, minutes=31), Status.COMPLETED),
    ],
)
def test_an_order_after_our_abandonment_and_inside_the_horizon_is_recovered(
    bought_at: datetime, status: Status
) -> None:
    walked_away = abandoned(begun(), after(minutes=30), Reason.INCOMPLETE, SETTINGS)
    applied = apply(walked_away, bought(bought_at), arrival(bought_at))
    assert applied.checkout.status is status
    assert applied.mark is (Mark.RECOVERED if status is Status.RECOVERED else Mark.COMPLETED)
    assert applied.checkout.completed_at == bought_at
    assert applied.checkout.due_at is None


def test_an_order_placed_before_the_deadline_but_told_after_it_is_completed() -> None:
    walked_away = abandoned(begun(), after(minutes=30), Reason.INCOMPLETE, SETTINGS)
    applied = apply(walked_away, bought(after(minutes=20)), arrival(after(minutes=40)))
    assert applied.checkout.status is Status.COMPLETED


def test_an_order_without_a_time_of_its_own_counts_by_its_arrival() -> None:
    walked_away = abandoned(begun(flat(3, cart=cart_of())), after(minutes=30), Reason.INCOMPLETE, SETTINGS)
    applied = apply(walked_away, flat(7, Signal.PURCHASED), arrival(after(minutes=40)))
    assert (applied.checkout.status, applied.checkout.completed_at) == (Status.RECOVERED, after(minutes=40))


def test_a_shopper_who_came_back_and_bought_is_recovered() -> None:
    walked_away = abandoned(begun(), after(minutes=30), Reason.INCOMPLETE, SETTINGS)
    back = apply(walked_away, told(at=after(hours=1)), arrival(after(hours=1))).checkout
    assert back.status is Status.OPEN
    assert apply(back, bought(after(hours=1.1)), arrival(after(hours=1.1))).checkout.status is Status.RECOVERED


def test_the_providers_abandonment_named_in_the_order_itself_counts() -> None:
    change = told(Signal.PURCHASED, after(hours=2), abandoned_at=after(hours=1))
    applied = apply(begun(), change, arrival(after(hours=2)))
    assert (applied.checkout.status, applied.checkout.abandoned_at) == (Status.RECOVERED, after(hours=1))


def test_an_abandonment_told_after_the_purchase_makes_it_recovered_silently() -> None:
    done = apply(begun(), bought(after(hours=1)), arrival(after(hours=1))).checkout
    assert done.status is Status.COMPLETED
    late = apply(done, told(Signal.ABANDONED, after(minutes=40)), arrival(after(hours=2), feed=True))
    assert (late.checkout.status, late.mark, late.checkout.sequence) == (Status.RECOVERED, None, done.sequence)
    assert late.checkout.abandoned_at == after(minutes=40)


def test_an_abandonment_after_the_purchase_changes_nothing() -> None:
    done = apply(begun(), bought(after(hours=1)), arrival(after(hours=1))).checkout
    late = apply(done, told(Signal.ABANDONED, after(hours=2)), arrival(after(hours=2)))
    assert (late.checkout.status, late.mark) == (Status.COMPLETED, None)


@pytest.mark.parametrize("activity_at", [after(minutes=5), after(minutes=45)])
def test_the_order_of_arrival_decides_nothing(activity_at: datetime) -> None:
    """Activity before or after the declared abandonment: what came of it is the same in any order of arrival."""
    events = [
        told(cart=cart_of()),
        told(at=activity_at, leaves={"stage": "address"}),
        told(Signal.ABANDONED, after(minutes=40)),
        bought(after(minutes=50)),
    ]
    for order in permutations(events):
        steps = folded((change, after(hours=1, seconds=at)) for at, change in enumerate(order))
        marks = [own.mark for own in steps if own.mark in {Mark.RECOVERED, Mark.COMPLETED}]
        assert steps[-1].checkout.status is Status.RECOVERED, [own.signal for own in order]
        assert len(marks) == 1


def test_a_declaration_that_arrives_after_our_own_deadline_still_dates_the_abandonment() -> None:
    walked_away = abandoned(begun(), after(minutes=30), Reason.INCOMPLETE, SETTINGS)
    declared = apply(walked_away, told(Signal.ABANDONED, after(minutes=15)), arrival(after(minutes=31)))
    assert (declared.checkout.status, declared.mark) == (Status.ABANDONED, None)
    applied = apply(declared.checkout, bought(after(minutes=20)), arrival(after(minutes=32)))
    assert applied.checkout.status is Status.RECOVERED


def test_an_order_may_be_the_first_thing_heard_of_a_checkout() -> None:
    applied = apply(None, bought(NOON), arrival(after(minutes=1)))
    assert (applied.checkout.status, applied.mark, applied.checkout.sequence) == (Status.COMPLETED, Mark.COMPLETED, 1)
    assert applied.checkout.order == Order("1001", NOON)


def test_an_untrustworthy_order_time_is_replaced_by_the_arrival() -> None:
    applied = apply(begun(), bought(NOON + timedelta(days=1)), arrival(after(minutes=1)))
    assert applied.checkout.completed_at == after(minutes=1)
