"""What was taken back of an order: whatever is told how often and in which order, it comes to the same."""

import itertools
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.change import Signal
from shared.domain.checkout import Checkout, Order
from shared.domain.money import Money
from shared.domain.reversal import Refund, Reversal, TakenBack, reversed_by, together, told_by
from shared.domain.transitions import apply
from tests.unit.domain.sessions import NOON, after, arrival, cart_of, told

TOTAL = Money(63_000, "INR")


def inr(minor: int) -> Money:
    return Money(minor, "INR")


def refund(name: str, *amounts: Money, failed: bool = False) -> Reversal:
    return Reversal("1001", refunds=(Refund(name, amounts, failed=failed),))


def refunded(*amounts: Money) -> Reversal:
    return Reversal("1001", refunded=amounts)


CANCELLED = Reversal("1001", cancelled=True, at=after(days=1))


def known_of(*told_: Reversal) -> TakenBack:
    return together(TakenBack(), *(told_by(own, NOON) for own in told_)) or TakenBack()


def taken(*told_: Reversal, total: Money | None = TOTAL) -> tuple[Money, ...]:
    return known_of(*told_).amounts(total)


class TestAmounts:
    def test_refunds_add_up_each_once(self) -> None:
        assert taken(refund("r1", inr(10_000)), refund("r2", inr(500)), refund("r1", inr(10_000))) == (inr(10_500),)

    def test_a_negative_amount_is_taken_back_all_the_same(self) -> None:
        """WooCommerce writes a refund's total with a minus."""
        assert taken(refund("r1", inr(-10_000))) == (inr(10_000),)

    def test_none_by_more_than_its_total(self) -> None:
        assert taken(refund("r1", inr(50_000)), refund("r2", inr(50_000))) == (TOTAL,)

    def test_a_cancelled_order_is_taken_back_whole_and_its_refunds_are_a_part_of_that(self) -> None:
        assert taken(CANCELLED) == taken(refund("r1", inr(100)), CANCELLED, refunded(inr(200))) == (TOTAL,)

    def test_of_a_cancelled_order_without_a_total_the_refunds_are_what_is_known(self) -> None:
        assert taken(CANCELLED, total=None) == ()
        assert taken(CANCELLED, refund("r1", inr(100)), total=None) == (inr(100),)

    def test_a_sum_so_far_and_single_refunds_are_not_added(self) -> None:
        """Stripe tells both of one refund."""
        assert taken(refund("r1", inr(100)), refunded(inr(100))) == (inr(100),)
        assert taken(refund("r1", inr(100)), refunded(inr(250))) == (inr(250),)
        assert taken(refund("r1", inr(100)), refund("r2", inr(200)), refunded(inr(250))) == (inr(300),)

    def test_a_refund_that_came_to_nothing_counts_no_more(self) -> None:
        assert taken(refund("r1", inr(100)), refund("r1", failed=True)) == ()
        assert taken(refunded(inr(100)), refund("r1", inr(100), failed=True)) == ()
        assert taken(refund("r1", inr(100), failed=True), refund("r2", inr(70)), refunded(inr(170))) == (inr(70),)

    def test_an_amount_told_in_two_currencies_counts_in_the_orders(self) -> None:
        assert taken(refund("r1", Money(120, "EUR"), inr(10_000))) == (inr(10_000),)
        assert taken(refunded(Money(120, "EUR"), inr(10_000))) == (inr(10_000),)

    def test_another_currency_stands_in_its_own(self) -> None:
        told_ = (refund("r1", Money(120, "EUR")), refund("r2", inr(10_000)))
        assert taken(*told_) == (Money(120, "EUR"), inr(10_000))
        assert taken(*told_, CANCELLED) == (TOTAL,)

    def test_a_cancellation_is_undone_by_a_later_word_that_the_order_stands(self) -> None:
        cancelled = known_of(CANCELLED)
        assert not cancelled.joined(TakenBack(stands_at=after(days=2))).cancelled
        assert cancelled.joined(TakenBack(stands_at=NOON)).cancelled
        again = cancelled.joined(TakenBack(stands_at=after(days=2))).joined(
            known_of(replace(CANCELLED, at=after(days=3)))
        )
        assert again.cancelled


amounts = st.builds(Money, st.integers(0, 90_000), st.sampled_from(["INR", "EUR", "JPY"]))
reversals = st.one_of(
    st.builds(refund, st.sampled_from(["r1", "r2", "r3"]), amounts, failed=st.booleans()),
    st.builds(refund, st.sampled_from(["r1", "r2", "r3"]), amounts, amounts),
    st.builds(refunded, amounts),
    st.just(CANCELLED),
)


@given(st.lists(reversals, max_size=7), st.randoms(use_true_random=False), st.sampled_from([TOTAL, None]))
def test_it_comes_to_the_same_in_any_order_and_however_often(
    told_: list[Reversal], dice: Random, total: Money | None
) -> None:
    again = [*told_, *told_[::2]]
    dice.shuffle(again)
    assert known_of(*again) == known_of(*told_)
    found = taken(*told_, total=total)
    assert all(own.minor > 0 for own in found)
    assert len({own.currency for own in found}) == len(found)
    if total is not None:
        assert all(own.minor <= total.minor for own in found if own.currency == total.currency)


@given(st.lists(reversals, max_size=4), reversals)
def test_nothing_but_a_failure_takes_less_back(told_: list[Reversal], more: Reversal) -> None:
    every = [*told_, more]
    before, behind = (sum(own.minor for own in taken(*all_) if own.currency == "INR") for all_ in (told_, every))
    assert behind >= before or any(own.failed for said in every for own in said.refunds)


def bought() -> Checkout:
    change = told(Signal.PURCHASED, cart=cart_of(), order=Order("1001", NOON, TOTAL))
    return apply(None, change, arrival()).checkout


class TestTheCheckout:
    def test_shows_what_is_taken_back_and_stays_bought(self) -> None:
        own = reversed_by(bought(), known_of(refund("r1", inr(500))), TOTAL, after(days=1))
        assert own is not None
        assert own.order == Order("1001", NOON, TOTAL, reversed=(inr(500),))
        assert (own.status, own.version) == (bought().status, bought().version + 1)

    def test_shows_nothing_twice(self) -> None:
        known = known_of(refund("r1", inr(500)), CANCELLED)
        own = reversed_by(bought(), known, TOTAL, NOON)
        assert own is not None
        assert reversed_by(own, known, TOTAL, NOON) is None
        assert reversed_by(bought(), TakenBack(stands_at=NOON), TOTAL, NOON) is None

    def test_a_currency_that_was_shown_and_counts_no_more_is_zero(self) -> None:
        first = reversed_by(bought(), known_of(refund("r1", Money(120, "EUR"))), TOTAL, NOON)
        assert first is not None
        own = reversed_by(first, known_of(refund("r1", Money(120, "EUR")), CANCELLED), TOTAL, NOON)
        assert own is not None
        assert own.order is not None
        assert own.order.reversed == (Money(0, "EUR"), TOTAL)
        assert own.order.cancelled

    @pytest.mark.parametrize("signal", [own for own in Signal if own is not Signal.PURCHASED])
    def test_no_later_event_takes_it_away(self, signal: Signal) -> None:
        own = reversed_by(bought(), known_of(CANCELLED), TOTAL, NOON)
        assert own is not None
        later = apply(own, told(signal, after(days=2), cart=cart_of(1)), arrival(after(days=2))).checkout
        assert (later.order, later.status) == (own.order, own.status)

    def test_an_order_that_is_named_later_keeps_what_is_taken_back(self) -> None:
        nameless = told(Signal.PURCHASED, cart=cart_of(), order=Order(None, NOON, TOTAL))
        own = reversed_by(apply(None, nameless, arrival()).checkout, known_of(CANCELLED), TOTAL, NOON)
        assert own is not None
        named = apply(own, told(Signal.PURCHASED, order=Order("1001", NOON)), arrival()).checkout
        assert named.order == Order("1001", NOON, TOTAL, reversed=(TOTAL,), cancelled=True)
        for other in (Order("1002", NOON), Order(None, NOON)):
            assert apply(named, told(Signal.PURCHASED, order=other), arrival()).checkout.order == named.order


def test_every_permutation_of_a_refunded_order() -> None:
    events = (refund("r1", inr(100)), refund("r2", inr(200)), refunded(inr(300)), refund("r2", failed=True))
    assert {taken(*own) for own in itertools.permutations(events)} == {(inr(100),)}
