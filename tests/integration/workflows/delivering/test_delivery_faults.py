"""Delivery when things break: nothing is lost, and whatever is sent twice carries the same id and bytes."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.aws.credential_cipher import CredentialCipher
from shared.aws.queues import DeliveryQueues, QueueUnavailable
from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.destinations.webhook import WebhookDestination
from shared.store.deliveries import DeliveryStatus, DeliveryStore
from shared.store.health import HealthStore
from shared.store.table import StoreUnavailable, Table
from shared.store.writes import Update
from shared.workflows.delivering.batch import First, Handled, Prepared, send_prepared
from tests.integration.shop import Shop, stranger
from tests.patience import PATIENCE


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


def defective(*_: Any) -> Any:
    raise ZeroDivisionError


@pytest.fixture
def three(shop: Shop) -> list[str]:
    """One abandonment's messages to three endpoints."""
    for _ in range(3):
        shop.endpoint()
    shop.abandon()
    shop.settle()
    bodies = shop.queued()
    assert len(bodies) == 3
    return bodies


def all_delivered_once(shop: Shop) -> None:
    """Every endpoint got it, none twice."""
    assert [own.status for own in shop.deliveries()] == [DeliveryStatus.DELIVERED] * 3
    assert len(shop.sent) == 3


def test_a_read_that_fails_for_one_message_fails_that_message_alone(
    shop: Shop, three: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hot partition: whichever read asks for it is throttled, the one for the whole batch too."""
    hot = shop.deliveries()[1].key
    batch_get = Table.batch_get

    def throttled_there(self: Table, keys: Any, **given: Any) -> Any:
        wanted = list(keys)
        return throttled() if hot in wanted else batch_get(self, wanted, **given)

    with monkeypatch.context() as fault:
        fault.setattr(Table, "batch_get", throttled_there)
        (back,) = shop.deliver(three)
    assert len(shop.sent) == 2
    assert shop.deliver([three[int(back[1:])]]) == []
    all_delivered_once(shop)


@pytest.mark.parametrize("broken", [throttled, defective])
@pytest.mark.parametrize(
    "where", [(CredentialCipher, "endpoint"), (WebhookDestination, "build")], ids=["decrypting", "building"]
)
def test_what_befalls_the_preparation_of_one_message_is_its_own(
    shop: Shop, three: list[str], monkeypatch: pytest.MonkeyPatch, broken: Any, where: tuple[Any, str]
) -> None:
    whole = getattr(*where)
    calls = iter([False, True, False])

    def flaky(*given: Any) -> Any:
        return broken() if next(calls) else whole(*given)

    with monkeypatch.context() as fault:
        fault.setattr(*where, flaky)
        (back,) = shop.deliver(three)
    assert len(shop.sent) == 2
    assert shop.deliver([three[int(back[1:])]]) == []
    all_delivered_once(shop)


def test_a_rate_limit_that_cannot_be_asked_holds_back_its_own_endpoint(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.endpoint(rate_limit={"max": 10, "per": 60_000})
    for _ in range(2):
        shop.endpoint()
    shop.abandon()
    shop.settle()
    bodies = shop.queued()
    with monkeypatch.context() as fault:
        fault.setattr(HealthStore, "reserve", throttled)
        (back,) = shop.deliver(bodies)
    assert len(shop.sent) == 2
    assert shop.deliver([bodies[int(back[1:])]]) == []
    all_delivered_once(shop)


def test_a_vendor_that_must_be_told_first_and_hangs_keeps_nobody_waiting(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others' attempts are over before the vendor has answered."""
    others: list[str] = []
    told = threading.Event()

    def send_all(requests: Any, answered: Any = None) -> list[SendResult]:
        if any(own.url.endswith("/first") for own in requests):
            assert told.wait(PATIENCE), "the others wait for this one"
        else:
            others.extend(own.url for own in requests)
            if len(others) == 2:
                told.set()
        return [SendResult(shop.now, shop.now, 7, sent=True, answer=Answer(200)) for _ in requests]

    def conclude(_: SendResult) -> Handled:
        return Handled("delivered")

    first = First(OutboundRequest("https://vendor.example/first"), lambda _: None)
    slow = Prepared(OutboundRequest("https://vendor.example/second"), conclude, None, first)
    quick = [Prepared(OutboundRequest(f"https://other.example/{at}"), conclude) for at in range(2)]
    handled = send_prepared([quick[0], slow, quick[1]], send_all)
    assert [own.outcome for own in handled] == ["delivered"] * 3
    assert others == ["https://other.example/0", "https://other.example/1", "https://vendor.example/second"]


def test_a_defect_after_the_sends_costs_one_message(shop: Shop) -> None:
    def broken(_: SendResult) -> Handled:
        raise ZeroDivisionError

    prepared = [
        Prepared(OutboundRequest("https://x.example/"), own) for own in (broken, lambda _: Handled("delivered"))
    ]
    handled = send_prepared(prepared, shop.send_all)
    assert [(own.outcome, own.retry_message) for own in handled] == [
        ("given_back:ZeroDivisionError", True),
        ("delivered", False),
    ]


def test_an_attempt_whose_record_botocore_repeated_because_the_answer_was_lost_is_followed_by_the_next(
    shop: Shop, queued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.answer = lambda _: Answer(503)
    once = Table.update

    def twice(table: Table, update: Update) -> None:
        once(table, update)
        if update.key[1].startswith("dlv_"):
            once(table, update)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "update", twice)
        assert shop.deliver(queued) == []
    shop.wait(seconds=10)
    shop.answer = lambda _: Answer(200)
    shop.deliver(shop.retries())
    one_delivered(shop)
