"""An abandonment whose messages the queue did not take is told again, whatever its shopper has done in between."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.domain.merchant import Endpoint
from shared.store.activities import ActivityStore
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStore
from shared.store.facts import FactStore
from shared.store.table import StoreUnavailable
from tests.integration.campaigning import an_hour_after
from tests.integration.shop import MERCHANT, Shop

ANOTHER = "another-device"


@pytest.fixture
def announced(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Records of an abandonment that was told, but for its message, which the queue did not take."""
    shop.endpoint("checkout.abandoned", "checkout.superseded", "checkout.recovered", "checkout.completed")
    shop.abandon()
    records = shop.stream()
    with monkeypatch.context() as patched:
        patched.setattr(DeliveryQueues, "fresh", _refuses)
        with pytest.raises(ExceptionGroup):
            shop.dispatch(records)
    assert shop.queued() == []
    assert [own.status.value for own in shop.deliveries()] == ["pending"]
    return records


def _refuses(*_: object) -> None:
    raise QueueUnavailable


def buys(shop: Shop) -> None:
    shop.webhook(session_state="COMPLETED")


def buys_elsewhere(shop: Shop) -> None:
    shop.webhook(session=ANOTHER, session_state="COMPLETED")


def comes_back(shop: Shop) -> None:
    shop.webhook(session_state="PAYMENT_LOADED")


def leaves_another(shop: Shop) -> None:
    shop.abandon(ANOTHER)


@pytest.mark.parametrize("then", [buys, buys_elsewhere, comes_back, leaves_another])
def test_no_delivery_is_left_behind_whatever_the_shopper_does_before_it_is_told_again(
    shop: Shop, announced: list[dict[str, Any]], then: Callable[[Shop], None]
) -> None:
    shop.wait(seconds=5)
    then(shop)
    shop.settle()
    shop.dispatch(announced)
    shop.settle()
    shop.deliver()

    assert {own.status.value for own in shop.deliveries()} <= {"delivered", "skipped"}
    abandonments = [own for own in shop.deliveries() if own.event_type == "checkout.abandoned"]
    assert all(own.status.value == "delivered" or own.reason for own in abandonments)


@pytest.mark.parametrize("in_time", [False, True])
def test_the_checkout_that_the_shopper_left_later_stays_the_one_that_is_won_back(
    shop: Shop, announced: list[dict[str, Any]], *, in_time: bool
) -> None:
    """``in_time``: the older one is told again before it was told that it gave way."""
    leaves_another(shop)
    if in_time:
        later = shop.stream()
        shop.dispatch([*later, *announced])
    else:
        shop.settle()
        shop.dispatch(announced)
    shop.settle()

    assert shop.checkout(ANOTHER).status.value == "abandoned"
    assert shop.checkout().status.value == "superseded"


def is_switched_off(shop: Shop, endpoint: Endpoint) -> None:
    EndpointStore(shop.table).replace(replace(endpoint, status="disabled"), 1)


def unsubscribes(shop: Shop, endpoint: Endpoint) -> None:
    EndpointStore(shop.table).replace(replace(endpoint, event_types=("checkout.recovered",)), 1)


def is_deleted(shop: Shop, endpoint: Endpoint) -> None:
    EndpointStore(shop.table).delete(MERCHANT, endpoint.id)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (is_switched_off, ("held", "endpoint_disabled")),
        (unsubscribes, ("delivered", None)),
        (is_deleted, ("skipped", "endpoint_deleted")),
    ],
)
def test_no_delivery_is_left_behind_whatever_becomes_of_its_endpoint_before_it_is_told_again(
    shop: Shop,
    announced: list[dict[str, Any]],
    change: Callable[[Shop, Endpoint], None],
    outcome: tuple[str, str | None],
) -> None:
    (stored,) = EndpointStore(shop.table).listed(MERCHANT)
    change(shop, stored.value)
    shop.dispatch(announced)
    shop.deliver()

    assert [(own.status.value, own.reason) for own in shop.deliveries()] == [outcome]


@pytest.mark.parametrize("again", ["reopening alone", "all of it"])
def test_a_reopening_told_again_does_not_stop_the_messages_of_the_abandonment_after_it(shop: Shop, again: str) -> None:
    an_hour_after(shop, shop.endpoint("endpoint.test").id)
    shop.abandon()
    shop.settle()
    shop.wait(minutes=5)
    comes_back(shop)
    reopened = shop.dispatch()
    shop.wait(minutes=31)
    shop.sweep()
    left_again = shop.dispatch()
    shop.dispatch(reopened if again == "reopening alone" else [*reopened, *left_again])

    shop.wait(minutes=40)
    assert shop.sweep() == {"step_queued": 1}
    shop.deliver()
    assert [own.event_type for own in shop.deliveries() if own.status.value == "delivered"] == ["campaign.step"]


@pytest.mark.parametrize("dies_before", [(DeliveryStore, "create"), (FactStore, "add")])
def test_an_abandonment_that_was_told_halfway_is_told_to_its_end_although_the_shopper_bought_elsewhere(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, dies_before: tuple[type, str]
) -> None:
    shop.endpoint("checkout.abandoned")
    shop.abandon()
    records = shop.stream()
    with monkeypatch.context() as patched:
        patched.setattr(*dies_before, _breaks_off)
        with pytest.raises(ExceptionGroup):
            shop.dispatch(records)
    assert shop.checkout().announced is not None
    shop.wait(seconds=5)
    buys_elsewhere(shop)
    shop.settle()
    shop.dispatch(records)
    shop.settle()
    shop.deliver()

    assert [own.type for own in shop.events()] == ["checkout.abandoned", "checkout.superseded"]
    abandonments = [own for own in shop.deliveries() if own.event_type == "checkout.abandoned"]
    assert [(own.status.value, own.reason) for own in abandonments] == [("skipped", "superseded")]
    kinds = [row["kind"] for row in shop.rows() if row["pk"].startswith("N#") and "kind" in row]
    assert sorted(kinds) == ["abandoned", "direct", "superseded"]


def _breaks_off(*_: object) -> None:
    raise StoreUnavailable("gone")


def test_the_timeline_of_an_older_checkout_told_again_plans_no_message_of_the_newer_one(shop: Shop) -> None:
    an_hour_after(shop, shop.endpoint("endpoint.test").id)
    shop.abandon()
    older = shop.dispatch()
    noted = _scheduled(shop)
    shop.wait(minutes=5)
    leaves_another(shop)
    shop.settle()
    shop.dispatch(older)
    shop.settle()

    assert len(noted) == 1
    assert _scheduled(shop) == noted


def _scheduled(shop: Shop) -> list[str]:
    """When the messages of the first checkout are due, by its timeline."""
    entries, _ = ActivityStore(shop.table).page(shop.digest(), limit=50, after=None)
    return [str(own.detail["due_at"]) for own in entries if own.type == "SCHEDULED"]


@pytest.mark.parametrize("first_telling", [False, True])
def test_a_checkout_that_is_left_once_more_does_not_give_way_to_one_that_was_left_before(
    shop: Shop, *, first_telling: bool
) -> None:
    """The other's abandonment is told again, or at last, just before this one's newest is told."""
    shop.endpoint("checkout.abandoned", "checkout.superseded")
    shop.abandon()
    shop.settle()
    leaves_another(shop)
    other = shop.stream()
    if not first_telling:
        shop.dispatch(other)
        shop.settle()
    shop.wait(minutes=11)
    comes_back(shop)
    shop.settle()
    shop.wait(minutes=31)
    shop.sweep()
    left_again = shop.stream()
    shop.dispatch([*other, *left_again])
    shop.settle()

    assert shop.checkout().status.value == "abandoned"
    assert shop.checkout(ANOTHER).status.value == "superseded"
