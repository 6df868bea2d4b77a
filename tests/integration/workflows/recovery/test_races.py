"""Races: whatever meets between reading and writing, a purchase stands and is told once."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from threading import RLock
from typing import Any

import pytest
from moto.dynamodb.models import DynamoDBBackend

from shared.domain.checkout import Status
from shared.store.table import Table
from tests.integration.shop import Shop

Step = Callable[[Shop], Any]

PURCHASE: Step = lambda shop: shop.webhook(session_state="COMPLETED")  # noqa: E731
ELSEWHERE: Step = lambda shop: shop.webhook(session="other-device", session_state="COMPLETED")  # noqa: E731
SWEEP: Step = lambda shop: shop.sweep()  # noqa: E731
ACTIVITY: Step = lambda shop: shop.webhook(session_state="PAYMENT_LOADED")  # noqa: E731
STALE: Step = lambda shop: shop.webhook(session_state="INITIATED")  # noqa: E731
PAYMENT: Step = lambda shop: shop.webhook(session_state="PAYMENT_INITIATED")  # noqa: E731
DISPATCH: Step = lambda shop: shop.dispatch()  # noqa: E731
STEPS = {
    "purchase": PURCHASE,
    "sweep": SWEEP,
    "activity": ACTIVITY,
    "stale": STALE,
    "payment": PAYMENT,
    "dispatch": DISPATCH,
}


@pytest.fixture
def atomic(monkeypatch: pytest.MonkeyPatch) -> None:
    """What DynamoDB promises and moto does not: a write is seen whole or not at all."""
    lock = RLock()
    for name in ("update_item", "put_item", "transact_write_items", "get_item"):
        original = getattr(DynamoDBBackend, name)

        def alone(*arguments: Any, _original: Any = original, **named: Any) -> Any:
            with lock:
                return deepcopy(_original(*arguments, **named))

        monkeypatch.setattr(DynamoDBBackend, name, alone)


def test_eight_first_webhooks_at_once_make_one_checkout(shop: Shop, atomic: None) -> None:
    shop.webhook(session="to-warm-up")
    stages = ("INITIATED", "PHONE_ENTERED", "OTP_VERIFIED", "ADDRESS_LOADED")
    posts = [{"session_state": stage, "note": str(number)} for number, stage in itertools.product(range(2), stages)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda own: shop.webhook(**own), posts))
    assert {status for status, _ in answers} == {200}
    assert {answer["checkout_id"] for _, answer in answers} == {shop.checkout().id}
    accepted = sum(answer["status"] == "accepted" for _, answer in answers)
    assert shop.checkout().version == accepted
    assert shop.checkout().text("stage") == "address_loaded"
    assert len([row for row in shop.rows() if row["sk"] == "C"]) == 2


@pytest.fixture
def between(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[[Step], None]:
    """Do a step right before the next write to the table that is not the step's own."""
    waiting: list[Step] = []

    def yielding(name: str) -> None:
        original = getattr(Table, name)

        def write(self: Table, *arguments: Any) -> Any:
            if waiting:
                waiting.pop()(shop)
            return original(self, *arguments)

        monkeypatch.setattr(Table, name, write)

    for name in ("update", "transact"):
        yielding(name)
    return waiting.append


def begin(shop: Shop) -> None:
    """An idle checkout that is due, with an endpoint for whatever comes of it."""
    shop.endpoint("checkout.abandoned", "checkout.recovered", "checkout.completed", "checkout.superseded")
    shop.webhook()
    shop.wait(minutes=31)


@pytest.mark.long
@pytest.mark.parametrize("outer", ["sweep", "activity", "stale", "payment", "dispatch"])
@pytest.mark.parametrize("abandoned_before", [False, True])
def test_a_purchase_in_the_middle_of_anything_stands_and_is_told_once(
    shop: Shop, between: Callable[[Step], None], outer: str, abandoned_before: bool
) -> None:
    begin(shop)
    if abandoned_before:
        shop.sweep()
    between(PURCHASE)
    STEPS[outer](shop)
    shop.webhook(session_state="COMPLETED", note="again")
    finish(shop)
    expected = Status.RECOVERED if abandoned_before else Status.COMPLETED
    assert shop.checkout().status is expected
    assert shop.checkout().due_at is None


@pytest.mark.parametrize("inner", list(STEPS))
@pytest.mark.parametrize("abandoned_before", [False, True])
def test_anything_in_the_middle_of_a_purchase_leaves_it_standing_and_told_once(
    shop: Shop, between: Callable[[Step], None], inner: str, abandoned_before: bool
) -> None:
    begin(shop)
    if abandoned_before:
        shop.sweep()
    between(STEPS[inner])
    assert shop.webhook(session_state="COMPLETED")[0] == 200
    finish(shop)
    assert shop.checkout().status.purchased


@pytest.mark.parametrize("outer", ["sweep", "activity", "dispatch"])
def test_a_purchase_elsewhere_in_the_middle_is_never_followed_by_an_abandonment(
    shop: Shop, between: Callable[[Step], None], outer: str
) -> None:
    begin(shop)
    if outer == "dispatch":
        shop.sweep()
    between(ELSEWHERE)
    STEPS[outer](shop)
    finish(shop)
    told = [own["type"] for own in shop.told() if own["data"]["checkout"]["external_id"].startswith("331d47df")]
    assert told == []
    assert shop.checkout().status is Status.SUPERSEDED


def finish(shop: Shop) -> None:
    """Tell and deliver everything; exactly one event tells each purchase, and none speaks of abandonment after it."""
    shop.settle()
    shop.deliver()
    shop.sweep()
    shop.settle()
    shop.deliver()
    by_checkout: dict[str, list[str]] = {}
    for own in shop.told():
        by_checkout.setdefault(own["data"]["checkout"]["external_id"], []).append(own["type"])
    for types in by_checkout.values():
        purchases = [own for own in types if own in {"checkout.recovered", "checkout.completed"}]
        assert len(purchases) <= 1
        if purchases:
            assert types[-1] == purchases[0]


def test_two_purchases_at_once_of_one_checkout_are_one(shop: Shop, atomic: None) -> None:
    begin(shop)
    posts = [{"session_state": "COMPLETED", "note": str(number)} for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda own: shop.webhook(**own), posts))
    assert {status for status, _ in answers} <= {200, 503}
    finish(shop)
    assert [own["type"] for own in shop.told()] == ["checkout.completed"]
