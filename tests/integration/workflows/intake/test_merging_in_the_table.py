"""What the table holds after any webhooks is what the domain's fold says: the one-call write is only a shortcut."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.model import OperationModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.aws import clients
from shared.domain.change import NO_ORDER, CheckoutChange, OrderKey, Signal
from shared.domain.checkout import Checkout
from shared.domain.identity import IdentityHasher, IdentityKind
from shared.domain.ids import checkout_digest
from shared.domain.transitions import Effect
from shared.store import keys
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import Table
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.purchase import Purchases
from tests.integration.shop import Shop
from tests.unit.domain.sessions import MERCHANT, NOON, SOURCE, after, arrival, cart_of, flat, folded, told

pytestmark = pytest.mark.long

LEAVES = ("customer.phone", "customer.email", "stage", "join_token", "cart_id", "note")
_serial = itertools.count()


class Merging:
    """The stores of one process, and the calls they make."""

    def __init__(self, table: Table, hasher: IdentityHasher) -> None:
        self.table, self.hasher = table, hasher
        self.checkouts = CheckoutStore(table, hasher, 2)
        purchases = Purchases(table, self.checkouts, ShopperStore(table), EpisodeStore(table), hasher)
        self.merger = Merger(self.checkouts, purchases)

    def stored(self, external_id: str) -> Checkout | None:
        return self.checkouts.get(checkout_digest(MERCHANT, SOURCE, external_id))


@pytest.fixture
def merging(table: Table, hasher: IdentityHasher) -> Merging:
    return Merging(table, hasher)


@st.composite
def arriving(draw: st.DrawFn) -> list[tuple[CheckoutChange, datetime]]:
    """Up to six webhooks of one checkout at arbitrary distances, of a provider with or without a clock or ids."""
    kind = draw(st.sampled_from(["clock", "clock", "flat", "none"]))
    with_ids = draw(st.booleans())
    events: list[CheckoutChange] = []
    for at in range(draw(st.integers(1, 5))):
        leaves = {leaf: f"{leaf}{at}" for leaf in draw(st.sets(st.sampled_from(LEAVES), max_size=3))}
        signal = draw(st.sampled_from([Signal.ACTIVITY, Signal.ACTIVITY, *Signal]))
        cart = draw(st.none() | st.just(cart_of(100 * at + 100)))
        given: dict[str, Any] = {"leaves": leaves, "cart": cart, "test": draw(st.booleans())}
        given |= {"event_id": f"evt-{at}"} if with_ids else {}
        minute = draw(st.integers(0, 30))
        change = flat(minute % 8, signal, **given) if kind == "flat" else told(signal, after(minutes=minute), **given)
        compares = kind != "none" or draw(st.booleans())
        events.append(change if compares else replace(change, order_key=NO_ORDER))
    repeats = draw(st.lists(st.sampled_from(events), max_size=2))
    gaps = st.integers(0, 300)
    now, arrived = after(minutes=31), []
    for change in draw(st.permutations([*events, *repeats])):
        arrived.append((change, now))
        now += timedelta(seconds=draw(gaps), milliseconds=1)
    return arrived


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(arriving(), st.booleans())
def test_the_table_holds_exactly_what_the_fold_says(
    merging: Merging, arrived: list[tuple[CheckoutChange, datetime]], feed: bool
) -> None:
    external_id = f"session-{next(_serial)}"
    own = [(replace(change, external_id=external_id), at) for change, at in arrived]
    for position, (change, at) in enumerate(own):
        merging.merger.merge(change, arrival(at, feed=feed))
        expected = folded(own[: position + 1], feed=feed)[-1].checkout
        assert merging.stored(external_id) == expected


@st.composite
def coming_late(draw: st.DrawFn) -> list[tuple[CheckoutChange, datetime]]:
    """The same webhooks merged in any order, some twice, each with the moment of its first arrival."""
    arrived = draw(arriving())
    if draw(st.booleans()):
        arrived = [(replace(change, order_key=OrderKey("0", clockless=True)), at) for change, at in arrived]
    again = draw(st.lists(st.sampled_from(arrived), max_size=3))
    return draw(st.permutations([*arrived, *again]))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(coming_late(), st.booleans())
def test_what_is_merged_late_ends_in_the_table_as_the_fold_says(
    merging: Merging, merged: list[tuple[CheckoutChange, datetime]], feed: bool
) -> None:
    external_id = f"late-{next(_serial)}"
    own = [(replace(change, external_id=external_id), at) for change, at in merged]
    for position, (change, at) in enumerate(own):
        merging.merger.merge(change, arrival(at, feed=feed))
        assert merging.stored(external_id) == folded(own[: position + 1], feed=feed)[-1].checkout


def test_a_body_that_is_newer_by_its_clock_and_comes_late_moves_no_moment_back(merging: Merging) -> None:
    merging.merger.merge(told(cart=cart_of(100)), arrival(after(hours=1)))
    late = told(at=after(minutes=5), cart=cart_of(200))
    merging.merger.merge(late, arrival(after(minutes=5)))
    stored = merging.stored(late.external_id)
    assert stored is not None
    assert (stored.cart, stored.updated_at) == (cart_of(200), after(hours=1))


def test_a_replay_of_yesterday_makes_no_event_of_today_forgotten(merging: Merging) -> None:
    today = told(event_id="of-today")
    merging.merger.merge(today, arrival())
    for days in (1, 2, 3):
        late = told(Signal.PAYMENT_STARTED, after(days=-days), event_id=f"of-{days}-days-ago")
        merging.merger.merge(late, arrival(after(days=-days)))
        assert merging.merger.merge(late, arrival(after(days=-days))).effect is Effect.DUPLICATE
    assert merging.merger.merge(today, arrival(after(minutes=9))).effect is Effect.DUPLICATE


def test_a_write_in_order_leaves_the_identity_that_all_leaves_give(merging: Merging) -> None:
    """An order names the join token: a later payload with a cart id alone must not take the checkout's place."""
    change = told(leaves={"join_token": "token", "cart_id": "cart"})
    merging.merger.merge(change, arrival())
    merging.merger.merge(told(at=after(minutes=1), leaves={"cart_id": "cart"}), arrival(after(minutes=1)))
    token = merging.hasher.identity(MERCHANT, IdentityKind.CART, "token")
    assert merging.checkouts.by_identity(token) == [checkout_digest(MERCHANT, SOURCE, change.external_id)]


def counted(calls: list[str]) -> None:
    """Note every DynamoDB call on the wire from now on."""

    def note(model: OperationModel, **_: object) -> None:
        calls.append(model.name)

    clients.dynamodb().meta.events.register("before-call.dynamodb", note)


def test_calls_on_the_wire_with_a_warm_source(shop: Shop) -> None:
    """1 in order and for a repeat, 2 for stale events and transitions, 3 for a purchase."""
    shop.webhook(session="to-warm-up")
    calls: list[str] = []
    counted(calls)

    def cost(**changed: object) -> list[str]:
        calls.clear()
        status, answer = shop.webhook(**changed)  # type: ignore[arg-type]  # parts of the payload
        assert (status, answer["status"]) in {(200, "accepted"), (200, "duplicate")}
        return list(calls)

    assert cost() == ["UpdateItem"], "the first webhook"
    assert cost() == ["UpdateItem"], "a repeat"
    assert cost(session_state="PAYMENT_LOADED") == ["UpdateItem"], "in order"
    assert cost(session_state="PHONE_ENTERED") == ["UpdateItem"] * 2, "stale"
    assert cost(session_state="PAYMENT_INITIATED") == ["UpdateItem"] * 2, "a payment started"
    assert cost(session_state="COMPLETED") == ["BatchGetItem", "TransactWriteItems"], "a purchase"
    assert cost(session_state="COMPLETED") == ["BatchGetItem"], "a purchase told again"
    bought = cost(session="another", session_state="COMPLETED", user={"email": "a@shop.example"})
    assert len(bought) <= 3


def test_a_purchase_of_a_checkout_that_knows_more_identifiers_takes_three_calls(merging: Merging) -> None:
    merging.merger.merge(told(leaves={"customer.phone": "+917777788888"}), arrival())
    calls: list[str] = []
    counted(calls)
    applied = merging.merger.merge(told(Signal.PURCHASED, after(minutes=1)), arrival(after(minutes=1)))
    assert applied.effect is Effect.MERGED
    assert calls == ["BatchGetItem", "BatchGetItem", "TransactWriteItems"]
    assert applied.checkout.updated_at > NOON


def test_calls_while_what_is_named_changes(merging: Merging) -> None:
    """One while a session's payloads only grow; two where one leaves something out, and not again for the next."""
    calls: list[str] = []
    counted(calls)

    def cost(minute: int, *named: str) -> int:
        calls.clear()
        change = told(at=after(minutes=minute), leaves=dict.fromkeys(named, str(minute)), external_id="growing")
        merging.merger.merge(change, arrival(after(minutes=minute)))
        return len(calls)

    assert [cost(1, "stage"), cost(2, "stage", "note"), cost(3, "stage", "note", "customer.email")] == [1, 1, 1]
    assert [cost(4, "stage", "customer.email"), cost(5, "stage", "customer.email")] == [2, 1], "the note is left out"
    stored = merging.stored("growing")
    assert stored is not None
    assert dict(stored.leaves) == {"stage": "5", "customer.email": "5", "note": "3"}
    assert stored.origins.keys() == {"note"}
    assert cost(6, "stage", "customer.email", "note") == 2, "it is named again"
    assert cost(7, "stage", "customer.email", "note") == 1


def test_where_contents_are_from_costs_few_bytes(merging: Merging) -> None:
    """Every kilobyte is paid at every write: 11 bytes as long as nothing is left out, one place for all that was."""
    everything = dict.fromkeys(LEAVES, "x")
    merging.merger.merge(told(leaves=everything, external_id="small"), arrival())
    key = keys.checkout(checkout_digest(MERCHANT, SOURCE, "small"))
    row = merging.table.get(key)
    assert row is not None
    assert "og" not in row
    assert len("shp") + len(row["shp"]) == 11
    merging.merger.merge(told(at=after(minutes=1), external_id="small"), arrival(after(minutes=1)))
    row = merging.table.get(key)
    assert row is not None
    assert [len(names) for _, _, names in row["og"]] == [len(LEAVES)]
