"""The sweep on its schedule's events: what is due moves, once, and nothing else is touched."""

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

import functions.sweep.handler as sweep_function
from shared.domain.change import Signal
from shared.domain.checkout import Reason, Status
from shared.domain.deadline import at_deadline
from shared.domain.ids import digest_bytes
from shared.store.checkouts import CheckoutStore
from shared.store.due import DueStore
from shared.store.sweep_leases import LEASE, SweepLeases
from shared.workflows.recovery.sweep import FEW
from tests.integration.conftest import DUE_SHARDS
from tests.integration.shop import Invocation, Shop, aws_event, stranger
from tests.unit.domain.sessions import NOON, after


def test_an_idle_checkout_is_abandoned_at_its_deadline_and_not_before(shop: Shop) -> None:
    shop.webhook()
    shop.wait(minutes=29, seconds=59)
    assert shop.sweep() == {}
    shop.wait(seconds=1)
    assert shop.sweep() == {"abandoned": 1}
    own = shop.checkout()
    assert (own.status, own.reason, own.abandoned_at) == (Status.ABANDONED, Reason.INCOMPLETE, after(minutes=30))
    assert shop.sweep() == {}


def test_activity_moves_the_deadline_without_touching_the_index(shop: Shop) -> None:
    shop.webhook()
    shop.wait(minutes=20)
    shop.webhook(session_state="PAYMENT_LOADED")
    assert shop.checkout().due_at == after(minutes=30)
    shop.wait(minutes=10)
    assert shop.sweep() == {"rearmed": 1}
    assert (shop.checkout().status, shop.checkout().due_at) == (Status.OPEN, after(minutes=50))
    shop.wait(minutes=20)
    assert shop.sweep() == {"abandoned": 1}


def test_one_shard_of_one_kind_is_swept_as_scheduled(shop: Shop) -> None:
    shop.webhook()
    shop.wait(minutes=31)
    own_shard = digest_bytes(shop.digest())[0] % DUE_SHARDS
    event: dict[str, Any] = aws_event("schedule")
    assert shop.sweep(**{**event, "shard": 1 - own_shard}) == {}
    assert shop.sweep(**{**event, "kind": "R", "shard": own_shard}) == {}
    assert shop.sweep(**{**event, "shard": own_shard}) == {"abandoned": 1}


def test_a_checkout_bought_elsewhere_is_superseded_and_never_told(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.superseded")
    shop.webhook()
    shop.wait(minutes=5)
    shop.webhook(session="other-device", session_state="COMPLETED")
    shop.stream()  # the order's own fan-out is lost: the deadline is the second net
    shop.wait(minutes=30)
    assert shop.sweep() == {"superseded": 1}
    assert (shop.checkout().status, shop.checkout().reason) == (Status.SUPERSEDED, Reason.PURCHASED_ELSEWHERE)
    shop.settle()
    assert shop.deliveries() == []


def test_an_abandoned_checkout_expires_at_its_horizon(shop: Shop) -> None:
    shop.abandon()
    shop.wait(days=6)
    assert shop.sweep() == {}
    shop.wait(days=1)
    assert shop.sweep() == {"expired": 1}
    assert (shop.checkout().status, shop.checkout().due_at) == (Status.EXPIRED, None)


def test_nothing_in_the_cart_is_no_abandonment(shop: Shop) -> None:
    shop.webhook(cart_items=[], total_payable=0)
    shop.wait(minutes=31)
    assert shop.sweep() == {"rearmed": 1}
    assert shop.checkout().due_at == after(days=7)


def test_overlapping_sweeps_are_harmless(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second sweep does the whole work between the first one's reading and its writing: the first hung for so long
    that its lease was over.
    """
    for number in range(3):
        shop.webhook(session=f"session-{number}")
    shop.wait(minutes=31)
    overlapped: list[dict[str, int]] = []
    page = CheckoutStore.get_readable

    def read_then_overlap(self: Any, digests: Any) -> Any:
        found = page(self, digests)
        if not overlapped:
            overlapped.append({})
            shop.wait(seconds=LEASE.total_seconds() + 1)
            overlapped[0] = shop.sweep()
        return found

    monkeypatch.setattr(CheckoutStore, "get_readable", read_then_overlap)
    first = shop.sweep()
    assert sum(own.get("abandoned", 0) for own in (first, *overlapped)) == 3
    assert sum(own.get("moved_on", 0) for own in (first, *overlapped)) == sum(first.values())
    assert [shop.checkout(f"session-{number}").version for number in range(3)] == [2, 2, 2]


def test_one_checkout_that_cannot_be_moved_does_not_stop_the_others(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        shop.webhook(session=f"session-{number}")
    shop.wait(minutes=31)

    def stumbling(checkout: Any, *arguments: Any) -> Any:
        if checkout.external_id == "session-1":
            raise ArithmeticError("absurd")
        return at_deadline(checkout, *arguments)

    monkeypatch.setattr("shared.workflows.recovery.sweep_checkouts.at_deadline", stumbling)
    with pytest.raises(ExceptionGroup) as failed:
        shop.sweep()
    assert [type(own) for own in failed.value.exceptions] == [ArithmeticError]
    statuses = [shop.checkout(f"session-{number}").status for number in range(4)]
    assert statuses == [Status.ABANDONED, Status.OPEN, Status.ABANDONED, Status.ABANDONED]


def test_time_that_runs_out_leaves_the_rest_to_the_next_sweep(shop: Shop) -> None:
    from functions.sweep.composition import sweeper

    shop.webhook()
    shop.wait(minutes=31)
    parts = [("C", shard) for shard in range(DUE_SHARDS)] * 2
    swept = sweeper().sweep(parts, shop.now, lambda: True)
    assert swept.unfinished
    assert swept.counts == {"abandoned": 1}


def test_a_late_retry_is_leased_and_enqueued_once(shop: Shop) -> None:
    shop.endpoint(retry_schedule=[2 * 3_600_000])
    shop.abandon()
    shop.settle()
    shop.answer = _unavailable
    assert shop.deliver() == []
    (delivery,) = shop.deliveries()
    assert delivery.next_attempt_at is not None
    shop.clock.move_to(delivery.next_attempt_at)
    assert shop.sweep()["retried"] == 1
    assert shop.sweep() == {}
    (body,) = shop.retries()
    shop.wait(minutes=15)
    assert shop.sweep() == {"retried": 1}, "a lease that ran out is a crash: the retry is enqueued again"
    assert shop.retries() == [body]
    assert Signal.ACTIVITY
    assert timedelta(hours=2) <= delivery.next_attempt_at - delivery.created_at
    assert delivery.created_at > NOON


def _unavailable(_: Any) -> Any:
    from shared.delivery.exchange import Answer

    return Answer(503)


@pytest.fixture
def slow_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page takes the sweep fifty seconds."""
    ticks = itertools.count(0, 50)
    monkeypatch.setattr(sweep_function, "monotonic", lambda: next(ticks))


def due_in_several_parts(shop: Shop) -> None:
    for number in range(12):
        shop.webhook(session=f"session-{number}", user={"phone_no": f"98765{number:05d}", "dial_code": "91"})
    shop.wait(minutes=31)


def test_a_sweep_by_schedule_makes_room_for_the_next_which_ends_what_is_left(shop: Shop, slow_pages: None) -> None:
    due_in_several_parts(shop)

    first = sweep_function.handler({}, Invocation())
    assert first["unfinished"]
    moved = first["outcomes"].get("abandoned", 0)
    assert 0 < moved < 12, "one part, in the minute that it has"
    for _ in range(3 * DUE_SHARDS):
        shop.wait(minutes=1)
        moved += sweep_function.handler({}, Invocation())["outcomes"].get("abandoned", 0)
    assert moved == 12


def test_one_asked_for_by_hand_does_all_that_is_due(shop: Shop, slow_pages: None) -> None:
    due_in_several_parts(shop)

    assert sweep_function.handler({"asked": "by hand"}, Invocation()) == {
        "outcomes": {"abandoned": 12},
        "unfinished": False,
    }


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single due row is as good as a crowd of them."""
    monkeypatch.setattr("shared.workflows.recovery.sweep.FEW", 0)


def test_a_few_that_are_due_are_moved_without_a_lease_and_by_one_of_two_sweeps(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minute's next sweep comes while the last is at work, and is the faster one."""
    for number in range(FEW):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    moved: list[dict[str, int]] = []
    page = CheckoutStore.get_readable

    def read_while_the_next_comes(self: Any, wanted: Any) -> Any:
        found = page(self, list(wanted))
        if not moved:
            moved.append({})
            moved[0] = shop.sweep()
        return found

    monkeypatch.setattr(CheckoutStore, "get_readable", read_while_the_next_comes)
    before = shop.sweep()
    told = [own["dynamodb"]["NewImage"]["te"]["S"] for own in shop.stream()]
    assert told == ["abandoned"] * FEW, "each was moved once"
    assert moved == [{"abandoned": FEW}]
    assert set(before) == {"moved_on"}
    assert not [row for row in shop.rows() if row["sk"] == "SW"]


def test_a_shard_is_swept_by_one_sweep_at_a_time(shop: Shop, crowded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The minute's next sweep comes while the last is at work: it leaves the shards alone that are being swept."""
    due_in_several_parts(shop)
    begun: list[dict[str, int]] = []
    page = CheckoutStore.get_readable

    def read_while_the_next_comes(self: Any, wanted: Any) -> Any:
        digests = list(wanted)
        if len(begun) < DUE_SHARDS:
            begun.append({})
            begun[-1] = shop.sweep(kind="C", shard=digest_bytes(digests[0])[0] % DUE_SHARDS)
        return page(self, digests)

    monkeypatch.setattr(CheckoutStore, "get_readable", read_while_the_next_comes)
    assert shop.sweep() == {"abandoned": 12}, "whatever it held nobody else moved"
    assert begun == [{}] * DUE_SHARDS


def test_a_sweep_that_is_done_lets_the_next_have_the_shard_at_once(shop: Shop, crowded: None) -> None:
    shop.webhook()
    shop.wait(minutes=31)
    assert shop.sweep() == {"abandoned": 1}
    shop.webhook(session="another", user=stranger(1))
    shop.webhook(session="a-third", user=stranger(2))
    shop.wait(minutes=31)
    assert shop.sweep(asked="by hand") == {"abandoned": 2}


def test_a_sweep_that_died_keeps_the_others_out_for_two_minutes_and_what_is_due_shows_as_late(
    shop: Shop, crowded: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed in its first page, it lets nothing go."""
    shop.webhook()
    shop.wait(minutes=31)
    with monkeypatch.context() as killed:
        killed.setattr(SweepLeases, "let_go", lambda *_: None)
        killed.setattr("shared.workflows.recovery.sweep.Sweeper._page", lambda *_: None)
        assert shop.sweep() == {}
    capsys.readouterr()
    shop.wait(minutes=1)
    assert shop.sweep() == {}
    lags = [own["SweepLag"] for own in map(json.loads, capsys.readouterr().out.splitlines()) if "SweepLag" in own]
    assert lags in ([[120.0]], [120.0]), "the alarm sees that it waits"
    shop.wait(minutes=1, seconds=1)
    assert shop.sweep() == {"abandoned": 1}


def test_a_sweep_that_was_overtaken_begins_no_further_page(shop: Shop) -> None:
    """It hung in a page until its lease was over, and the next sweep is at the shard now."""
    leases = SweepLeases(shop.table)
    assert leases.take("C", 0, "hung", shop.now)
    assert not leases.take("C", 0, "next", shop.now + LEASE / 2)
    shop.wait(seconds=LEASE.total_seconds() + 1)
    assert leases.take("C", 0, "next", shop.now)
    assert not leases.take("C", 0, "hung", shop.now)
    leases.let_go("C", 0, "hung")
    assert not leases.take("C", 0, "a third", shop.now), "what it lost it cannot let go"
    leases.let_go("C", 0, "next")
    assert leases.take("C", 0, "a third", shop.now)


def test_a_shard_that_was_let_go_by_a_clock_ahead_of_ours_is_free(shop: Shop) -> None:
    leases = SweepLeases(shop.table)
    ahead = shop.now + timedelta(minutes=8)
    assert leases.take("C", 0, "ahead", ahead)
    leases.let_go("C", 0, "ahead")
    assert leases.take("C", 0, "next", shop.now)


def test_a_lease_is_held_on_to_by_a_sweep_that_takes_long(
    shop: Shop, crowded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by hand moves page after page, each in half a minute, for longer than a lease."""
    for number in range(8):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    shut_out: list[bool] = []
    page = CheckoutStore.get_readable

    def slowly(self: Any, wanted: Any) -> Any:
        digests = list(wanted)
        shop.wait(seconds=50)
        shut_out.append(not SweepLeases(self._table).take("C", digest_bytes(digests[0])[0] % DUE_SHARDS, "x", shop.now))
        return page(self, digests)

    monkeypatch.setattr(CheckoutStore, "get_readable", slowly)
    monkeypatch.setattr(DueStore.pages, "__defaults__", (1,))
    assert shop.sweep(asked="by hand") == {"abandoned": 8}
    assert shut_out == [True] * 8


@pytest.mark.parametrize("moment", ["fails", "succeeds unseen"])
def test_a_lease_that_could_not_be_let_go_costs_two_minutes_and_nothing_else(
    shop: Shop, crowded: None, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop.webhook()
    shop.wait(minutes=31)
    let_go = SweepLeases.let_go

    def lost(*arguments: Any) -> None:
        if moment == "succeeds unseen":
            let_go(*arguments)
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    with monkeypatch.context() as cut:
        cut.setattr(SweepLeases, "let_go", lost)
        assert shop.sweep() == {"abandoned": 1}
    shop.webhook(session="another", user=stranger(1))
    shop.wait(minutes=31)
    assert shop.sweep() == {"abandoned": 1}
