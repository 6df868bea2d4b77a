"""Bodies merged long after they arrived (a replay out of quarantine, a late retry): what arrived earlier is older.

A provider with a clock or a sequence says itself what is newer. One without has only the moments in which its webhooks
first arrived, whenever they are merged, and however often.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, sequence_key
from shared.domain.checkout import Checkout, LeafValue, Status
from shared.domain.transitions import Applied, Effect, Mark, apply
from tests.unit.domain.sessions import NOON, after, arrival, begun, cart_of, flat, folded, told

LEAVES = ("customer.phone", "customer.email", "stage", "note")
MOVES = (Signal.ACTIVITY, Signal.PAYMENT_STARTED, Signal.PAYMENT_FAILED, Signal.ABANDONED, Signal.ENDED)
UNRANKED = OrderKey("0", clockless=True)

type Webhook = tuple[CheckoutChange, datetime]
"""What arrived, and when it first did."""


@dataclass(frozen=True)
class Day:
    """A checkout's webhooks as they arrived, and as they came to be merged: late ones later, some again."""

    arrived: list[Webhook]
    merged: list[Webhook]

    def in_order(self) -> Checkout:
        """The checkout had each been merged when it arrived."""
        return folded(self.arrived)[-1].checkout

    def as_merged(self) -> Checkout:
        """The checkout as it came to be."""
        return folded(self.merged)[-1].checkout


TOLD = st.sets(st.sampled_from(LEAVES))
MOVE = st.sampled_from(MOVES)


@st.composite
def days(
    draw: st.DrawFn, *, gaps: st.SearchStrategy[int], ranked: bool = False, purchased: bool = False, most: int = 6
) -> Day:
    """Webhooks without clock and sequence, each a snapshot of what the shop knows by then; ``gaps`` in seconds."""
    known: dict[str, LeafValue] = {}
    arrived: list[Webhook] = []
    at = NOON
    ranks = draw(st.permutations(range(most)))
    bought = draw(st.integers(0, most - 1)) if purchased else None
    for number in range(draw(st.integers(2, most)) if bought is None else most):
        known |= {leaf: f"{leaf}-{number}" for leaf in draw(TOLD)}
        signal = Signal.PURCHASED if number == bought else draw(MOVE)
        said = flat(ranks[number], signal, leaves=dict(known), cart=cart_of(100 * number + 100))
        arrived.append((said if ranked else replace(said, order_key=UNRANKED), at))
        at += timedelta(seconds=draw(gaps), milliseconds=1)
    again = draw(st.lists(st.sampled_from(arrived), max_size=4))
    return Day(arrived, draw(st.permutations([*arrived, *again])))


def contents(checkout: Checkout) -> object:
    """What a shopper, a merchant or the next webhook would notice."""
    return (
        *(checkout.status, dict(checkout.leaves), checkout.cart, checkout.last_activity_at, checkout.updated_at),
        *(checkout.order_key, checkout.ordered_at, checkout.last_body),
    )


@given(days(gaps=st.integers(0, 600)))
def test_without_a_clock_any_order_of_merging_ends_as_the_arrivals_say(day: Day) -> None:
    assert contents(day.as_merged()) == contents(day.in_order())


@given(days(gaps=st.integers(121, 600), ranked=True))
def test_stages_more_than_two_minutes_apart_end_as_the_arrivals_say(day: Day) -> None:
    assert contents(day.as_merged()) == contents(day.in_order())


@given(days(gaps=st.integers(0, 20), ranked=True))
def test_stages_within_two_minutes_end_in_the_highest_whenever_they_are_merged(day: Day) -> None:
    highest, _ = max(day.arrived, key=lambda own: own[0].order_key.value)
    for made in (day.as_merged(), day.in_order()):
        assert (made.order_key, made.cart) == (highest.order_key.value, highest.cart)
        assert highest.leaves.items() <= made.leaves.items()


@given(days(gaps=st.integers(0, 400), ranked=True, most=2))
def test_of_two_stages_the_same_one_wins_whichever_is_merged_first(day: Day) -> None:
    there, back = folded(day.arrived)[-1].checkout, folded(day.arrived[::-1])[-1].checkout
    assert (there.cart, there.order_key, there.ordered_at) == (back.cart, back.order_key, back.ordered_at)


@given(days(gaps=st.integers(0, 600), purchased=True))
def test_a_purchase_is_recovered_or_completed_as_the_arrivals_say(day: Day) -> None:
    made, in_order = day.as_merged(), day.in_order()
    assert (made.status, made.completed_at, made.order) == (in_order.status, in_order.completed_at, in_order.order)
    assert made.status.purchased


@pytest.mark.long
@given(days(gaps=st.integers(0, 600)))
def test_whatever_was_merged_before_changes_nothing_when_it_comes_again(day: Day) -> None:
    made = day.as_merged()
    for change, at in day.arrived:
        again = apply(made, change, arrival(at, feed=True))
        if at < made.updated_at and change.signal is not Signal.ABANDONED:
            assert (again.effect, again.checkout, again.mark) == (Effect.DUPLICATE, made, None)


def merged_late(first: Webhook, late: Webhook) -> Applied:
    """The late one, merged over what arrived after it."""
    return folded([first, late])[-1]


def test_the_body_that_was_replayed_again_leaves_the_newer_total() -> None:
    older = replace(flat(0, cart=cart_of(4_990)), order_key=UNRANKED)
    newer = replace(flat(0, cart=cart_of(3_000), leaves={"note": "newer"}), order_key=UNRANKED)
    steps = folded([(older, NOON), (newer, after(minutes=30)), (older, NOON)])
    assert [own.effect for own in steps] == [Effect.CREATED, Effect.MERGED, Effect.DUPLICATE]
    assert steps[-1].checkout == steps[1].checkout
    assert steps[-1].checkout.cart == cart_of(3_000)


def test_what_comes_late_moves_no_moment_back() -> None:
    newer = (replace(flat(0, leaves={"stage": "paying"}), order_key=UNRANKED), after(hours=1))
    late = merged_late(newer, (replace(flat(0, leaves={"note": "gift"}), order_key=UNRANKED), NOON))
    assert late.effect is Effect.STALE
    assert late.checkout.leaves == {"stage": "paying", "note": "gift"}
    moments = (late.checkout.updated_at, late.checkout.last_activity_at, late.checkout.ordered_at)
    assert moments == (after(hours=1),) * 3


def test_after_a_replay_the_providers_retry_of_the_newest_body_is_still_known() -> None:
    newest = replace(flat(0, leaves={"note": "newest"}), order_key=UNRANKED)
    older = replace(flat(0, leaves={"stage": "begun"}), order_key=UNRANKED)
    steps = folded([(newest, after(hours=1)), (older, NOON), (newest, after(hours=1, minutes=1))])
    assert steps[-1].effect is Effect.DUPLICATE


def test_a_purchase_kept_in_quarantine_is_recovered_if_an_abandonment_arrived_before_it() -> None:
    left = replace(flat(0, Signal.ABANDONED), order_key=UNRANKED)
    bought = replace(flat(0, Signal.PURCHASED), order_key=UNRANKED)
    steps = folded([(bought, after(hours=1)), (left, NOON)])
    assert [own.checkout.status for own in steps] == [Status.COMPLETED, Status.RECOVERED]
    assert [own.mark for own in steps] == [Mark.COMPLETED, None]
    too_late = folded([(bought, NOON), (left, after(hours=1))])
    assert too_late[-1].checkout.status is Status.COMPLETED


TIMED = told(cart=cart_of(700), leaves={"note": "timed"})
BARE = replace(told(order_key=UNRANKED, cart=cart_of(100)), occurred_at=None)
COUNTED = told(order_key=sequence_key(12, b"four"), cart=cart_of(900))


@pytest.mark.parametrize(("stored", "incoming"), [(TIMED, BARE), (BARE, TIMED), (TIMED, COUNTED), (COUNTED, TIMED)])
def test_between_two_ways_of_ordering_the_arrival_decides(stored: CheckoutChange, incoming: CheckoutChange) -> None:
    """A mapping learns of a time or a counter while a checkout is open: neither compares with what came before."""
    before = begun(stored, after(minutes=1))
    assert apply(before, incoming, arrival(after(minutes=2))).checkout.cart == incoming.cart
    assert apply(before, incoming, arrival(NOON)).checkout.cart == stored.cart


def test_the_providers_own_clock_is_believed_however_late_a_body_is_merged() -> None:
    later_by_its_clock = told(at=after(minutes=5), cart=cart_of(900))
    before = begun(told(at=after(minutes=4), cart=cart_of(100)), after(hours=1))
    assert apply(before, later_by_its_clock, arrival(NOON)).checkout.cart == cart_of(900)


def test_what_has_a_place_in_time_is_newer_than_what_has_none() -> None:
    placeless = begun(told(order_key=NO_ORDER, cart=cart_of(100)), after(hours=1))
    assert apply(placeless, TIMED, arrival(NOON)).checkout.cart == TIMED.cart
