"""Whatever a checkout's events name, and in whichever order and however often they come: its contents end the same.

Here no payload is a snapshot of everything: each names some leaves and leaves out others, so that gaps are filled by
what came late.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal, sequence_key
from shared.domain.checkout import Checkout
from shared.domain.transitions import Effect, apply
from tests.unit.domain.sessions import NOON, after, arrival, begun, cart_of, flat, folded, told

PHONE, EMAIL, NOTE = "customer.phone", "customer.email", "note"
LEAVES = (PHONE, EMAIL, NOTE)
UNRANKED = OrderKey("0", clockless=True)
SIGNALS = (Signal.ACTIVITY, Signal.ACTIVITY, Signal.PAYMENT_STARTED, Signal.ABANDONED, Signal.ENDED)

type Webhook = tuple[CheckoutChange, datetime]


def contents(checkout: Checkout) -> object:
    """What the checkout holds, and from which event each of it is."""
    held = [*checkout.leaves, "cart"]
    places = {name: checkout.origins[name].value if name in checkout.origins else checkout.order_key for name in held}
    if checkout.cart is None:
        del places["cart"]
    return (dict(checkout.leaves), checkout.cart, places, checkout.test, checkout.last_activity_at)


def moments(checkout: Checkout) -> object:
    """What only the moments of arrival say, where these are the same."""
    return (checkout.ordered_at, dict(checkout.origins), checkout.updated_at, checkout.last_body)


MINUTE = st.integers(0, 4)
TOLD = st.dictionaries(st.sampled_from(LEAVES), st.sampled_from("abc"))
TOLD_LAST = st.dictionaries(st.sampled_from(LEAVES), st.sampled_from("xyz"))
CART = st.none() | st.integers(1, 3).map(cart_of)
CART_LAST = st.none() | st.just(cart_of(9))
SIGNAL = st.sampled_from(SIGNALS)
CHANCE = st.booleans()
UNORDERED = st.sets(st.integers(0, 5), max_size=3)


@st.composite
def partial(draw: st.DrawFn) -> CheckoutChange:
    """An event that names some of the leaves, and perhaps a cart; several may have the same second."""
    minute = draw(MINUTE)
    said = draw(TOLD)
    cart = draw(CART)
    return told(draw(SIGNAL), after(minutes=minute), leaves=said, cart=cart)


EVENTS = st.lists(partial(), min_size=2, max_size=5, unique_by=lambda own: own.body_digest)
GAP = st.integers(1, 400_000)


@st.composite
def by_clock(draw: st.DrawFn) -> list[CheckoutChange]:
    """By the provider's clock, its sequence, or (orders, answers of its API) compared with nothing but each other."""
    changes = draw(EVENTS)
    if draw(CHANCE):
        said = draw(TOLD_LAST)
        cart = draw(CART_LAST)
        changes.append(told(Signal.PURCHASED, after(minutes=5), leaves=said, cart=cart))
    if draw(CHANCE):
        changes = [replace(own, order_key=sequence_key(at // 2, own.body_digest)) for at, own in enumerate(changes)]
    unordered = draw(UNORDERED)
    changes = [replace(own, order_key=NO_ORDER) if at in unordered else own for at, own in enumerate(changes)]
    if draw(CHANCE):
        changes = [replace(own, event_id=f"evt-{at}") for at, own in enumerate(changes)]
    return changes


def ended(changes: Sequence[CheckoutChange]) -> Checkout:
    """The checkout, the changes arriving a second apart."""
    return folded((own, after(minutes=30, seconds=at)) for at, own in enumerate(changes))[-1].checkout


@given(by_clock(), st.data())
def test_by_the_providers_clock_any_arrival_of_any_events_ends_in_the_same_contents(
    happened: list[CheckoutChange], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(happened), max_size=3))
    one, other = data.draw(st.permutations([*happened, *again])), data.draw(st.permutations(happened))
    assert contents(ended(one)) == contents(ended(other))


@st.composite
def by_arrival(draw: st.DrawFn) -> list[Webhook]:
    """A provider without clock and sequence: its webhooks' first arrivals are the clock."""
    at, arrived = NOON, []
    for own in draw(EVENTS):
        at += timedelta(milliseconds=draw(GAP))
        arrived.append((replace(own, order_key=UNRANKED, occurred_at=None), at))
    return arrived


@given(by_arrival(), st.data())
def test_without_a_clock_any_merging_of_the_same_arrivals_ends_in_the_same_contents(
    arrived: list[Webhook], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(arrived), max_size=3))
    one, other = data.draw(st.permutations([*arrived, *again])), data.draw(st.permutations(arrived))
    ends = [folded(own)[-1].checkout for own in (one, other)]
    assert contents(ends[0]) == contents(ends[1])
    assert moments(ends[0]) == moments(ends[1])


OLDER = told(at=after(minutes=1), leaves={PHONE: "+917777788881"}, cart=cart_of(100))
NEWER = told(at=after(minutes=2), leaves={PHONE: "+917777788882"}, cart=cart_of(200))
NEWEST = told(at=after(minutes=9), leaves={EMAIL: "a@shop.example"})


@pytest.mark.parametrize("late", [(OLDER, NEWER), (NEWER, OLDER)])
def test_of_two_stale_events_that_fill_the_same_gap_the_newer_wins(late: tuple[CheckoutChange, ...]) -> None:
    own = ended([NEWEST, *late])
    assert own.leaves == {EMAIL: "a@shop.example", PHONE: "+917777788882"}
    assert own.cart == cart_of(200)


def test_a_stale_event_is_newer_than_what_the_newest_did_not_name() -> None:
    own = ended([OLDER, NEWEST, NEWER])
    assert (own.text(PHONE), own.cart) == ("+917777788882", cart_of(200))


def test_what_a_repeat_says_is_no_news_even_where_it_filled_a_gap() -> None:
    steps = folded([(NEWEST, NOON), (NEWER, NOON), (OLDER, NOON), (NEWER, after(minutes=1))])
    assert [own.effect for own in steps[:2]] == [Effect.CREATED, Effect.STALE]
    assert steps[-1].checkout.leaves == steps[1].checkout.leaves


@pytest.mark.parametrize("first", [OLDER, NEWER])
def test_what_came_before_the_purchase_is_sorted_by_its_time_after_it_too(first: CheckoutChange) -> None:
    bought = told(Signal.PURCHASED, after(minutes=5), order_key=NO_ORDER, leaves={PHONE: "+917777788889"})
    second = NEWER if first is OLDER else OLDER
    own = ended([first, bought, second])
    assert (own.text(PHONE), own.cart, own.status.purchased) == ("+917777788882", cart_of(200), True)


def test_what_happened_after_the_purchase_fills_gaps_only_and_gives_way_to_what_came_before_it() -> None:
    bought = told(Signal.PURCHASED, after(minutes=5), leaves={EMAIL: "a@shop.example"})
    later = told(at=after(minutes=8), leaves={EMAIL: "b@shop.example", PHONE: "+917777788888"}, cart=cart_of(900))
    assert ended([bought, later]).leaves == {EMAIL: "a@shop.example", PHONE: "+917777788888"}
    own = ended([bought, later, OLDER])
    assert (own.text(PHONE), own.text(EMAIL), own.cart) == ("+917777788881", "a@shop.example", cart_of(100))


def test_a_row_of_an_older_version_keeps_what_it_holds() -> None:
    """It does not say where its contents are from: all count as the newest event's, as they did."""
    old = replace(begun(NEWEST), leaves={EMAIL: "a@shop.example", PHONE: "+917777788880"}, shape=None)
    assert begun(NEWEST).shape is not None
    for change in (OLDER, NEWER):
        old = apply(old, change, arrival(after(minutes=30))).checkout
    assert (old.text(PHONE), old.cart) == ("+917777788880", cart_of(200))
    of_no_key = replace(begun(told(order_key=NO_ORDER, leaves={NOTE: "a"})), order_key="")
    assert apply(of_no_key, told(order_key=NO_ORDER, leaves={NOTE: "b"}), arrival()).checkout.text(NOTE) == "a"
    assert apply(of_no_key, told(leaves={NOTE: "c"}), arrival()).checkout.text(NOTE) == "c"


def test_of_two_stages_that_came_late_the_higher_fills_the_gap() -> None:
    newest = (flat(5, leaves={NOTE: "paying"}), NOON)
    late = [(flat(2, leaves={PHONE: "a"}), after(seconds=5)), (flat(3, leaves={PHONE: "b"}), after(seconds=9))]
    ends = [folded([newest, *own])[-1].checkout for own in (late, late[::-1])]
    assert [dict(own.leaves) for own in ends] == [{NOTE: "paying", PHONE: "b"}] * 2
