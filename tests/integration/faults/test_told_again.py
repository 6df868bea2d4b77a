"""Short stories of one shopper, in which whatever was told is told again at any later time: they end the same.

Told again are records of the stream, alone and as their batch; messages to deliver an event or a step; and rows that an
index behind its time still shows as due. Records are also told late: the queue did not take their messages, and what
comes after them of the same checkout waits behind them, as in a shard.

What may differ, and why: who holds a step's claim (a random name); version and end of an episode's or a shopper's row
(written again with what was there); that a process which is new by then sums up a day that matured. A step's message
comes again only when its shopper's checkout is told: where the step is due it is sent, of whichever checkout was told
last. No story comes back to an old checkout within ten minutes of a purchase elsewhere: such a purchase settles that
checkout, at its deadline or as soon as anything of it is told again.

What is told late may come to nobody: an abandonment that is not true by then, a message that is too late. What became
of checkouts and orders is the same, no delivery waits, and nothing is sent that would not have been.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.store.configuration import EndpointStore
from shared.store.due import DuePage, DueStore
from shared.store.wire import from_wire
from shared.workflows.recovery import sweep_checkouts
from tests.integration.conftest import REGION
from tests.integration.faults.conftest import EVERYTHING, StageState
from tests.integration.faults.repeating import Aws
from tests.integration.faults.test_nth_call import till, till_opens
from tests.integration.faults.theatre import books, differences, opened, sums_up
from tests.integration.shop import MERCHANT, Shop, forget_compositions
from tests.integration.workflows.privacy.test_erasure_races import erase

pytestmark = pytest.mark.long

PHONE, LAPTOP = "the-phone", "the-laptop"
CART = {"external_id": "basket-1", "totals": {"total": "630.00"}, "customer": {"phone": "+917777788888"}}
ROUNDS = 4
"""Of sixteen minutes after each story: longer together than a lease."""
EVERY = 1 if EVERYTHING else 11
"""Of so many repetitions one is played, unless all are."""
type Move = Callable[[Aws], None]
type Rows = dict[tuple[str, str], dict[str, Any]]


def leaves(device: str) -> Move:
    def act(aws: Aws) -> None:
        aws.shop.webhook(session=device)
        aws.shop.wait(minutes=31)
        aws.shop.sweep()

    return act


def on(device: str, state: str) -> Move:
    return lambda aws: _post(aws.shop, device, state)


def _post(shop: Shop, device: str, state: str) -> None:
    shop.wait(minutes=11)
    assert shop.webhook(session=device, session_state=state)[0] == 200


def comes_back(device: str) -> Move:
    return on(device, "PAYMENT_LOADED")


def buys(device: str) -> Move:
    return on(device, "COMPLETED")


def hours_pass(hours: int) -> Move:
    def act(aws: Aws) -> None:
        aws.shop.wait(hours=hours)
        aws.shop.sweep()

    return act


def is_declared_abandoned(aws: Aws) -> None:
    till(**CART, status="abandoned", abandoned_at=aws.shop.now.isoformat())(aws)


def order(order_id: str) -> Move:
    return till(**CART, status="paid", order={"id": order_id})


def refund(order_id: str) -> Move:
    return till(status="refunded", order={"id": order_id}, refund={"id": f"R-{order_id}", "amount": "100.00"})


def cancellation(order_id: str) -> Move:
    return till(status="cancelled", order={"id": order_id})


def is_erased(aws: Aws) -> None:
    erase(aws.shop)


def endpoints_are_switched_off(aws: Aws) -> None:
    store = EndpointStore(aws.shop.table)
    for own in store.listed(MERCHANT):
        store.replace(replace(own.value, status="disabled"), own.version)


def endpoints_are_deleted(aws: Aws) -> None:
    store = EndpointStore(aws.shop.table)
    for own in store.listed(MERCHANT):
        store.delete(MERCHANT, own.value.id)


STORIES: dict[str, tuple[Move, ...]] = {
    "comes back, leaves again": (leaves(PHONE), comes_back(PHONE), hours_pass(1), hours_pass(1), buys(PHONE)),
    "two devices": (leaves(PHONE), leaves(LAPTOP), hours_pass(1), buys(LAPTOP)),
    "back on the first": (leaves(PHONE), leaves(LAPTOP), comes_back(PHONE), hours_pass(1), hours_pass(24)),
    "buys elsewhere": (leaves(PHONE), order("A-1"), leaves(PHONE), hours_pass(1), hours_pass(200)),
    "declared": (is_declared_abandoned, leaves(LAPTOP), order("A-1"), refund("A-1"), order("A-2")),
    "orders twice": (is_declared_abandoned, order("A-1"), cancellation("A-1"), order("A-1"), refund("A-1")),
    "expires": (leaves(PHONE), hours_pass(200), comes_back(PHONE), hours_pass(1)),
    "another day": (leaves(PHONE), hours_pass(24), is_declared_abandoned, hours_pass(1)),
    "another week": (
        leaves(PHONE),
        hours_pass(1),
        hours_pass(24),
        hours_pass(56),
        leaves(LAPTOP),
        hours_pass(1),
    ),
    "erased": (leaves(PHONE), hours_pass(1), is_erased),
    "switched off": (leaves(PHONE), endpoints_are_switched_off, hours_pass(1)),
    "deleted": (leaves(PHONE), endpoints_are_deleted, hours_pass(1)),
}


@dataclass(frozen=True)
class Moment:
    """Before the stream brings what a move wrote, or after all that followed from it."""

    move: int
    settled: bool
    state: StageState
    now: datetime
    streamed: int
    sent: list[Any]

    @classmethod
    def of(cls, shop: Shop, move: int, *, settled: bool) -> "Moment":
        state = StageState.taken(shop.stores.environment.table_name)
        return cls(move, settled, state, shop.now, shop._streamed, list(shop.sent))

    def __str__(self) -> str:
        return f"{'after' if self.settled else 'at'} move {self.move}"


@dataclass(frozen=True)
class Told:
    """What was told after a move: records, messages, or rows that were due."""

    move: int
    records: tuple[dict[str, Any], ...] = ()
    messages: tuple[str, ...] = ()
    pages: tuple[tuple[str, int, DuePage], ...] = ()

    def __str__(self) -> str:
        marks = [f"{own['dynamodb']['NewImage']['te']['S']}" for own in self.records]
        return f"{', '.join([*marks, *self.messages, *(kind for kind, _, _ in self.pages)])} of move {self.move}"


def _partition(record: dict[str, Any]) -> str:
    key: str = record["dynamodb"]["Keys"]["pk"]["S"]
    return key


class Stage:
    """One story, played once as it is and then again and again with a repetition."""

    def __init__(self, shop: Shop, story: tuple[Move, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweep_checkouts, "_THREADS", 1)  # whose checkout is told first is the same each time
        forget_compositions()
        self._shop, self._story, self._patch = shop, story, monkeypatch
        self._aws = opened(shop)
        sums_up(shop)
        till_opens(self._aws)
        self.told: list[Told] = []
        self.moments: list[Moment] = []
        for at, move in enumerate(story):
            shop.wait(seconds=5)
            with self._noting_pages(at):
                move(self._aws)
            self.moments.append(Moment.of(shop, at, settled=False))
            self._settle(at)
            self.moments.append(Moment.of(shop, at, settled=True))
        self._closes()
        self._rows, self._books = _rows(shop), books(self._aws)

    def repetitions(self) -> Iterator[tuple[Told, Moment]]:
        """Everything that was told, with every later moment."""
        for own in self.told:
            for moment in self.moments:
                of_a_step = any("episode_id" in message for message in own.messages)
                if (moment.move, moment.settled) >= (own.move, True) and (moment.settled or not of_a_step):
                    yield own, moment

    def difference(self, own: Told, moment: Moment) -> str | None:
        """What ends otherwise where it is told again then."""
        self._back_to(moment)
        if own.records:
            self._shop.dispatch([*own.records, *self._shop.stream()])
        if own.messages:
            self._shop.deliver(own.messages)
        if own.pages:
            self._sweeps_again(own.pages)
        self._plays_on(moment)
        changed = [f"{key}: {change}" for key, change in _changes(self._rows, _rows(self._shop))]
        if (told := books(self._aws).told) != self._books.told:
            changed.append(f"told {self._books.told} became {told}")
        return f"{own}, again {moment}: " + "; ".join(changed) if changed else None

    def delays(self) -> Iterator[tuple[Moment, Moment]]:
        """Every move whose records may be told late, with every later moment."""
        for first in self.moments:
            for until in self.moments:
                if not first.settled and (until is first or until.move > first.move):
                    yield first, until

    def wrong_when_late(self, first: Moment, until: Moment) -> str | None:
        """What must not be where the queue does not take a move's messages, and its records are told again later."""
        self._back_to(first)
        held = self._shop.stream()
        if not held or not self._loses(held):
            return None
        self._holding(held)
        for at in range(first.move + 1, until.move + 1):
            self._shop.wait(seconds=5)
            self._story[at](self._aws)
            if at < until.move or until.settled:
                self._holding(held)
        self._shop.dispatch(held)
        self._plays_on(until)
        found, expected = books(self._aws), self._books
        waits = [own for own in found.deliveries if own[1] in {"pending", "retrying"}]
        same = (found.checkouts, found.orders, found.due["C"]) == (
            expected.checkouts,
            expected.orders,
            expected.due["C"],
        )
        too_many = found.told - expected.told
        wrong = waits or too_many or not same
        return f"{Told(first.move, tuple(held))}, told {until}: {differences(expected, found)}" if wrong else None

    def _loses(self, records: list[dict[str, Any]]) -> bool:
        with self._patch.context() as patched:
            patched.setattr(DeliveryQueues, "fresh", _refuses)
            try:
                self._shop.dispatch(records)
            except ExceptionGroup:
                return True
        return False

    def _holding(self, held: list[dict[str, Any]]) -> None:
        """Tell what is new but for what waits behind these in their shard."""
        behind = {_partition(own) for own in held}

        def others(fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
            held.extend(own for own in fresh if _partition(own) in behind)
            return [own for own in fresh if _partition(own) not in behind]

        for _ in self._worked_off(others):
            pass

    def _settle(self, move: int | None = None) -> None:
        for records, messages in self._worked_off(lambda fresh: fresh):
            if move is not None:
                self._note(move, records, messages)

    def _worked_off(
        self, of: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
    ) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
        """Round by round, until there is no more, the records that were told ``of`` what is new, and the messages."""
        while True:
            records = of(self._shop.stream())
            if records:
                self._shop.dispatch(records)
            messages = self._shop.queued()
            if messages:
                self._shop.deliver(messages)
            if not (records or messages):
                return
            yield records, messages

    def _note(self, move: int, records: list[dict[str, Any]], messages: list[str]) -> None:
        parts = [tuple(records)] if records else []
        parts += [(own,) for own in records] if len(records) > 1 else []
        self.told += [Told(move, records=own) for own in parts]
        self.told += [Told(move, messages=(own,)) for own in messages]

    def _noting_pages(self, move: int) -> Any:
        return _Pages(self._patch, lambda pages: self.told.append(Told(move, pages=tuple(pages))))

    def _sweeps_again(self, pages: Iterable[tuple[str, int, DuePage]]) -> None:
        shown = {(kind, shard): page for kind, shard, page in pages}
        with self._patch.context() as patched:
            patched.setattr(
                DueStore, "pages", lambda _, kind, shard, *__: [shown[kind, shard]] if (kind, shard) in shown else []
            )
            self._shop.sweep()

    def _back_to(self, moment: Moment) -> None:
        moment.state.restore(self._shop.stores.environment.table_name)
        self._shop.clock.move_to(moment.now)
        self._shop.sent[:], self._shop._streamed = moment.sent, moment.streamed
        forget_compositions()

    def _plays_on(self, moment: Moment) -> None:
        self._settle()
        for move in self._story[moment.move + 1 :]:
            self._shop.wait(seconds=5)
            move(self._aws)
            self._settle()
        self._closes()

    def _closes(self) -> None:
        for _ in range(ROUNDS):
            self._shop.wait(minutes=16)
            self._shop.sweep()
            self._settle()
            if late := self._shop.retries() + self._shop.slow():
                self._shop.deliver(late)


class _Pages:
    """Notes the pages that sweeps see meanwhile."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, noted: Callable[[list[tuple[str, int, DuePage]]], None]
    ) -> None:
        self._patch, self._noted = monkeypatch, noted
        self._seen: list[tuple[str, int, DuePage]] = []

    def __enter__(self) -> None:
        self._own = DueStore.pages
        seen, own = self._seen, self._own

        def pages(store: DueStore, kind: str, shard: int, *rest: Any) -> Iterator[DuePage]:
            for page in own(store, kind, shard, *rest):
                seen.append((kind, shard, page))
                yield page

        self._patch.setattr(DueStore, "pages", pages)

    def __exit__(self, *_: object) -> None:
        self._patch.setattr(DueStore, "pages", self._own)
        if self._seen:
            self._noted(self._seen)


def _refuses(*_: object) -> None:
    raise QueueUnavailable


def _rows(shop: Shop) -> Rows:
    """Every row, without what may differ."""
    table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(shop.stores.environment.table_name)
    found: Rows = {}
    for own in table.all_items():
        row = from_wire(own.to_json()["Attributes"])
        if row["pk"][:2] == "N#" and "kind" not in row:
            continue
        if row["pk"][:2] in {"P#", "I#"}:
            row = {name: value for name, value in row.items() if name not in {"v", "ttl"}}
            steps = row.get("steps", {})
            # What was ahead of an episode that ended is skipped, whether that has been written or not.
            row |= {"steps": {at: _step(step, over=row.get("st") == "ended") for at, step in steps.items()}}
        found[row["pk"], row["sk"]] = row
    return found


def _step(step: dict[str, Any], *, over: bool) -> dict[str, Any]:
    if over and step["st"] in {"planned", "skipped"}:
        return {"st": "skipped", "at": step["at"]}
    return {name: step[name] for name in step.keys() - {"by"}}


def _changes(before: Rows, after: Rows) -> Iterator[tuple[tuple[str, str], str]]:
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old is None or new is None:
            yield key, "missing" if new is None else "too many"
        elif old != new:
            names = sorted(own for own in old.keys() | new.keys() if old.get(own) != new.get(own) and own != "body")
            yield key, ", ".join(f"{own} {old.get(own)} became {new.get(own)}" for own in names)


@pytest.mark.parametrize("name", STORIES)
def test_whatever_is_told_again_or_late_a_story_ends_the_same(
    name: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(shop, STORIES[name], monkeypatch)
    again, late = list(stage.repetitions())[::EVERY], list(stage.delays())[::EVERY]
    assert len(again) > 1
    assert late
    wrong = [found for own in again if (found := stage.difference(*own)) is not None]
    wrong += [found for own in late if (found := stage.wrong_when_late(*own)) is not None]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(again)} and {len(late)}", *wrong])
