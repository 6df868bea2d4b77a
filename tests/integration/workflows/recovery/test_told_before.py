"""An abandonment whose messages the queue did not take is told again, whatever its shopper has done in between."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.aws.queues import DeliveryQueues, QueueUnavailable
from tests.integration.shop import Shop

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
