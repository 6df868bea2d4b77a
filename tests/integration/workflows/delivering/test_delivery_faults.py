"""Delivery when things break: nothing is lost, and whatever is sent twice carries the same id and bytes."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.delivery.exchange import Answer, OutboundRequest
from shared.store.deliveries import DeliveryStatus, DeliveryStore
from shared.store.health import HealthStore
from shared.store.table import StoreUnavailable, Table
from tests.integration.shop import Shop, stranger


class Killed(BaseException):
    """The worker dies: nothing after this runs."""


def throttled(*_: Any, **__: Any) -> Any:
    raise ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": ""}}, "UpdateItem")


@pytest.fixture
def queued(shop: Shop) -> list[str]:
    """One abandonment's message."""
    shop.endpoint()
    shop.abandon()
    shop.settle()
    return shop.queued()


def one_delivered(shop: Shop) -> None:
    """It arrived, and every copy of it was the same."""
    (own,) = shop.deliveries()
    assert own.status is DeliveryStatus.DELIVERED
    assert shop.sent
    assert len({(sent.headers["webhook-id"], sent.body) for sent in shop.sent}) == 1


def killed(shop: Shop, bodies: list[str]) -> None:
    with pytest.raises(Killed):
        shop.deliver(bodies)


def dies(*_: Any, **__: Any) -> Any:
    raise Killed


def test_a_worker_killed_between_send_and_record_sends_the_same_again(
    shop: Shop, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as fault:
        fault.setattr(DeliveryStore, "record", dies)
        killed(shop, queued)
    assert shop.deliver(queued) == []
    assert len(shop.sent) == 2
    one_delivered(shop)


def test_a_worker_killed_after_record_and_before_the_acknowledgement_sends_no_more(
    shop: Shop, queued: list[str]
) -> None:
    shop.deliver(queued)
    assert shop.deliver(queued) == []
    assert len(shop.sent) == 1
    one_delivered(shop)


def test_a_worker_killed_before_its_retry_is_enqueued_loses_no_retry(
    shop: Shop, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.answer = lambda _: Answer(500)
    with monkeypatch.context() as fault:
        fault.setattr(DeliveryQueues, "retry", dies)
        killed(shop, queued)
    assert shop.deliver(queued) == []
    shop.wait(seconds=10)
    shop.answer = lambda _: Answer(200)
    shop.deliver(shop.retries())
    one_delivered(shop)


def test_a_throttled_store_before_the_send_gives_the_batch_back(
    shop: Shop, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as fault:
        fault.setattr(Table, "batch_get", throttled)
        with pytest.raises(ClientError):
            shop.deliver(queued)
    assert shop.sent == []
    assert shop.deliver(queued) == []
    one_delivered(shop)


def test_a_throttled_store_after_the_send_gives_that_message_back_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint()
    shop.endpoint()
    shop.abandon()
    shop.settle()
    bodies = shop.queued()
    record = DeliveryStore.record
    calls = iter([True, False])

    def flaky(self: DeliveryStore, *given: Any) -> bool:
        return throttled() if next(calls) else record(self, *given)

    with monkeypatch.context() as fault:
        fault.setattr(DeliveryStore, "record", flaky)
        (back,) = shop.deliver(bodies)
    shop.deliver([bodies[int(back[1:])]])
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}
    assert len(shop.sent) == 3
    assert len({own.headers["webhook-id"] for own in shop.sent}) == 1


def test_health_that_cannot_be_written_harms_no_delivery(
    shop: Shop, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreUnavailable("away")

    shop.answer = lambda _: Answer(500)
    with monkeypatch.context() as fault:
        fault.setattr(HealthStore, "replace", away)
        assert shop.deliver(queued) == []
    shop.wait(seconds=10)
    shop.answer = lambda _: Answer(200)
    shop.deliver(shop.retries())
    one_delivered(shop)


def test_a_queue_that_is_down_gives_the_message_back_until_it_is_up(
    shop: Shop, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise QueueUnavailable("down")

    shop.answer = lambda _: Answer(500)
    with monkeypatch.context() as fault:
        fault.setattr(DeliveryQueues, "retry", down)
        assert shop.deliver(queued) == ["m0"]
        shop.wait(seconds=60)
        assert shop.deliver(queued) == ["m0"]
    assert len(shop.sent) == 1
    assert shop.deliver(queued) == []
    shop.wait(seconds=10)
    shop.answer = lambda _: Answer(200)
    shop.deliver(shop.retries())
    one_delivered(shop)


def test_a_message_put_off_while_the_queue_is_down_comes_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.endpoint(rate_limit={"max": 1, "per": 60_000})
    for number, session in enumerate(("one", "two")):
        shop.webhook(session=session, user=stranger(number))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    bodies = shop.queued()

    def down(*_: Any) -> None:
        raise QueueUnavailable("down")

    with monkeypatch.context() as fault:
        fault.setattr(DeliveryQueues, "retry", down)
        (back,) = shop.deliver(bodies)
    shop.wait(minutes=2)
    shop.deliver([bodies[int(back[1:])]])
    assert {own.status for own in shop.deliveries()} == {DeliveryStatus.DELIVERED}
    assert len({own.headers["webhook-id"] for own in shop.sent}) == len(shop.sent) == 2


def test_a_poison_record_in_a_batch_harms_no_other(shop: Shop, queued: list[str]) -> None:
    assert shop.deliver(["\x00 nonsense", *queued, '{"delivery_id": 1}']) == ["m0", "m2"]
    one_delivered(shop)


def test_an_answer_that_kills_the_receiver_of_one_harms_no_other(shop: Shop) -> None:
    urls = [str(shop.endpoint().url)]
    shop.sent.append(OutboundRequest("https://counted.example/"))
    urls.append(str(shop.endpoint().url))
    shop.sent.clear()
    shop.abandon()
    shop.settle()
    answering: Callable[[OutboundRequest], Answer] = lambda own: Answer(200 if own.url == urls[0] else 500)  # noqa: E731 - a table of two
    shop.answer = answering
    assert shop.deliver() == []
    assert sorted(own.status for own in shop.deliveries()) == [DeliveryStatus.DELIVERED, DeliveryStatus.RETRYING]
