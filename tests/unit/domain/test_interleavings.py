"""Any order of arrival, any number of repeats: a session's webhooks end in the same checkout."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.change import CheckoutChange, OrderKey, Signal, sequence_key
from shared.domain.checkout import Checkout, LeafValue, Status
from shared.domain.settings import Settings
from shared.domain.transitions import Applied, Effect, Mark
from tests.unit.domain.sessions import NOON, after, arrival, cart_of, flat, folded, told

pytestmark = pytest.mark.long

LEAVES = ("customer.phone", "customer.email", "stage", "note")
SIGNALS = (Signal.ACTIVITY, Signal.PAYMENT_STARTED, Signal.PAYMENT_FAILED, Signal.ABANDONED, Signal.ENDED)
PURCHASE_MARKS = {Mark.RECOVERED, Mark.COMPLETED}


@dataclass(frozen=True)
class Session:
    """A session as it happened, and as its webhooks arrived."""

    happened: list[CheckoutChange]
    arrived: list[CheckoutChange]

    def fold(self, started: datetime, gap: timedelta) -> list[Applied]:
        """Every webhook of the arrival order, ``gap`` apart."""
        return folded((change, started + at * gap) for at, change in enumerate(self.arrived))


TOLD = st.sets(st.sampled_from(LEAVES))
LATER_SIGNALS = st.sampled_from(SIGNALS)
MINUTES = st.integers(2, 5)
PURCHASE_MINUTE = st.integers(0, 9)


@st.composite
def clocked(draw: st.DrawFn, *, purchased: bool = False, by_sequence: bool = False) -> Session:
    """A provider with a clock, whose payloads are snapshots: what was captured stays in them."""
    known: dict[str, LeafValue] = {}
    happened: list[CheckoutChange] = []
    for minute in range(draw(MINUTES)):
        known |= {leaf: f"{leaf}-{minute}" for leaf in draw(TOLD)}
        signal = Signal.ACTIVITY if minute == 0 else draw(LATER_SIGNALS)
        happened.append(told(signal, after(minutes=minute), leaves=dict(known), cart=cart_of(100 * minute + 100)))
    if purchased:
        happened.append(told(Signal.PURCHASED, after(minutes=draw(PURCHASE_MINUTE), seconds=30), leaves=dict(known)))
    if by_sequence:
        from dataclasses import replace

        happened = [replace(own, order_key=sequence_key(at, own.body_digest)) for at, own in enumerate(happened)]
    repeats = draw(st.lists(st.sampled_from(happened), max_size=3))
    return Session(happened, draw(st.permutations([*happened, *repeats])))


def contents(checkout: Checkout) -> object:
    """What a shopper or a merchant would notice."""
    return (
        *(checkout.status, dict(checkout.leaves), checkout.cart, checkout.last_activity_at, checkout.order_key),
        *(checkout.first_abandoned_at is None, checkout.completed_at, checkout.order, checkout.test),
    )


@given(clocked())
def test_by_the_providers_clock_any_order_ends_in_the_same_checkout(session: Session) -> None:
    started = after(minutes=30)
    as_it_happened = Session(session.happened, session.happened).fold(started, timedelta(seconds=1))[-1].checkout
    assert contents(session.fold(started, timedelta(seconds=1))[-1].checkout) == contents(as_it_happened)


@given(clocked(by_sequence=True))
def test_by_the_providers_sequence_any_order_ends_in_the_same_checkout(session: Session) -> None:
    started = after(minutes=30)
    as_it_happened = Session(session.happened, session.happened).fold(started, timedelta(seconds=1))[-1].checkout
    assert contents(session.fold(started, timedelta(seconds=1))[-1].checkout) == contents(as_it_happened)


@given(clocked(purchased=True))
def test_a_purchase_anywhere_in_the_order_ends_purchased_and_is_told_once(session: Session) -> None:
    steps = session.fold(after(minutes=30), timedelta(seconds=1))
    as_it_happened = Session(session.happened, session.happened).fold(after(minutes=30), timedelta(seconds=1))
    last = steps[-1].checkout
    assert last.status is as_it_happened[-1].checkout.status
    assert last.status.purchased
    assert last.completed_at == as_it_happened[-1].checkout.completed_at
    assert sum(own.mark in PURCHASE_MARKS for own in steps) == 1
    first = next(at for at, own in enumerate(steps) if own.checkout.status.purchased)
    assert all(own.checkout.status.purchased and own.checkout.due_at is None for own in steps[first:])
    assert all(own.mark is None for own in steps[first + 1 :])


@given(clocked(purchased=True))
def test_no_captured_value_is_ever_lost(session: Session) -> None:
    captured: set[str] = set()
    for step, change in zip(session.fold(after(minutes=30), timedelta(seconds=1)), session.arrived, strict=True):
        captured |= change.leaves.keys()
        assert captured == step.checkout.leaves.keys()
        sent = {(leaf, value) for own in session.arrived for leaf, value in own.leaves.items()}
        assert set(step.checkout.leaves.items()) <= sent


@given(clocked(purchased=True), st.booleans())
def test_the_version_counts_writes_and_only_grows(session: Session, feed: bool) -> None:
    steps = folded([(own, after(hours=1, seconds=at)) for at, own in enumerate(session.arrived)], feed=feed)
    for before, now in pairwise(steps):
        written = now.effect is not Effect.DUPLICATE
        assert now.checkout.version == before.checkout.version + written
        assert now.checkout.last_activity_at >= before.checkout.last_activity_at
        assert now.mark is None or now.effect is not Effect.DUPLICATE


STAGES = st.lists(st.integers(0, 6), min_size=2, max_size=6, unique=True).map(sorted)


@st.composite
def staged(draw: st.DrawFn) -> Session:
    """FlexyPe flat: one body per stage, each a snapshot, without ids and times."""
    known: dict[str, LeafValue] = {}
    happened = []
    for rank in draw(STAGES):
        known |= {leaf: f"{leaf}-{rank}" for leaf in draw(TOLD)}
        happened.append(flat(rank, leaves=dict(known), cart=cart_of(100 * rank + 100)))
    repeats = draw(st.lists(st.sampled_from(happened), max_size=3))
    return Session(happened, draw(st.permutations([*happened, *repeats])))


@given(staged())
def test_stages_arriving_within_two_minutes_end_in_the_highest(session: Session) -> None:
    last = session.fold(NOON, timedelta(seconds=13))[-1].checkout
    assert dict(last.leaves) == session.happened[-1].leaves
    assert last.cart == session.happened[-1].cart
    assert last.order_key == session.happened[-1].order_key.value


@given(staged())
def test_stages_further_apart_end_in_whatever_arrived_last(session: Session) -> None:
    last = session.fold(NOON, timedelta(minutes=3))[-1].checkout
    assert last.cart == session.arrived[-1].cart
    assert last.order_key == session.arrived[-1].order_key.value


@given(staged(), st.integers(1, 600))
def test_without_a_clock_every_arrival_but_a_repeat_moves_the_deadline(session: Session, gap: int) -> None:
    for at, step in enumerate(session.fold(NOON, timedelta(seconds=gap))):
        if step.effect is not Effect.DUPLICATE:
            assert step.checkout.last_activity_at == NOON + at * timedelta(seconds=gap)


@given(staged(), st.data())
def test_a_completed_stage_wins_wherever_it_arrives(session: Session, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(session.arrived)))
    arrived = [*session.arrived[:place], flat(7, Signal.PURCHASED), *session.arrived[place:]]
    steps = Session([], arrived).fold(NOON, timedelta(seconds=data.draw(st.sampled_from([10, 400]))))
    assert steps[-1].checkout.status is Status.COMPLETED
    assert [own.mark for own in steps if own.mark is not None] == [Mark.COMPLETED]


TEXTS = st.dictionaries(st.sampled_from(LEAVES), st.text(min_size=1, max_size=3))


@given(TEXTS, TEXTS, st.booleans())
def test_merged_leaves_hold_every_name_of_both(old: dict[str, str], new: dict[str, str], newest: bool) -> None:
    minute = 1 if newest else -1
    merged = folded([(told(leaves=old), NOON), (told(at=after(minutes=minute), leaves=new), after(minutes=2))])[-1]
    assert merged.checkout.leaves.keys() == old.keys() | new.keys()
    winner, loser = (new, old) if newest else (old, new)
    assert all(value == winner.get(leaf, loser.get(leaf)) for leaf, value in merged.checkout.leaves.items())


@given(st.integers(-5, 10**18), st.integers(-5, 10**18), st.binary(min_size=4, max_size=16))
def test_sequence_keys_sort_as_their_numbers(one: int, other: int, digest: bytes) -> None:
    first, second = sequence_key(max(one, 0), digest).value, sequence_key(max(other, 0), digest).value
    assert (first < second) == (max(one, 0) < max(other, 0))


@given(st.text(max_size=20), st.booleans(), st.sampled_from(list(Signal)), st.datetimes(), st.integers(0, 10**7))
def test_every_event_has_a_result_for_every_checkout(
    key: str, clockless: bool, signal: Signal, own: datetime, later: int
) -> None:
    from datetime import UTC

    change = told(signal, order_key=OrderKey(key, clockless), occurred_at=own.replace(tzinfo=UTC))
    steps = folded([(told(), NOON), (change, NOON + timedelta(seconds=later)), (change, NOON)], Settings())
    assert all(step.checkout.last_activity_at >= NOON - timedelta(days=7) for step in steps)
    assert arrival().at == NOON
