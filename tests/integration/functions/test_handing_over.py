"""How dispatch hands a batch's messages over: in tens, and each record answers for its own."""

from collections.abc import Sequence
from math import inf

import pytest

from functions.dispatch import handing_over
from functions.dispatch.handing_over import HandingOver
from shared.aws import clients
from shared.aws.queues import DeliveryMessage, QueueRefused, QueueUnavailable
from shared.domain.ids import DeliveryId, MerchantId, new_ulid
from tests.integration.shop import Shop, stranger
from tests.unit.domain.sessions import after

MERCHANT = MerchantId("mer_" + "0" * 26)


def message() -> DeliveryMessage:
    return DeliveryMessage(DeliveryId("dlv_" + new_ulid(after()) + "0" * 26), MERCHANT)


class Queue:
    """Takes what it is sent, but for the messages it refuses for good, and nothing while it is away."""

    def __init__(self) -> None:
        self.requests: list[list[DeliveryMessage]] = []
        self.refused: list[DeliveryMessage] = []
        self.away = False

    def send(self, messages: Sequence[DeliveryMessage]) -> None:
        self.requests.append(list(messages))
        if self.away:
            raise QueueUnavailable("away")
        if any(own in self.refused for own in messages):
            raise QueueRefused("InvalidMessageContents")


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_messages_of_several_records_go_in_tens(queue: Queue) -> None:
    handing = HandingOver(queue.send, lambda: 0.0)
    records = [{"eventID": str(number)} for number in range(12)]
    assert [handing.add(record, [message(), message()]) for record in records] == [[]] * 12
    assert [len(own) for own in queue.requests] == [10, 10]
    assert handing.rest() == []
    assert [len(own) for own in queue.requests] == [10, 10, 4]
    assert handing.rest() == []
    assert len(queue.requests) == 3, "nothing is no request"


def test_a_message_does_not_wait_for_slow_records_behind_it(queue: Queue) -> None:
    seconds = iter([0.0, 0.2, 0.9, 1.1, 1.1])
    handing = HandingOver(queue.send, lambda: next(seconds))
    handing.add({"eventID": "told"}, [message()])
    handing.add({"eventID": "slow"}, [])
    assert queue.requests == []
    handing.add({"eventID": "slower"}, [])
    assert [len(own) for own in queue.requests] == [1]


def test_while_the_queue_is_away_all_that_went_with_it_comes_again(queue: Queue) -> None:
    queue.away = True
    handing = HandingOver(queue.send, lambda: 0.0)
    first, second = {"eventID": "first"}, {"eventID": "second"}
    handing.add(first, [message(), message()])
    handing.add(second, [message()])
    assert [record for record, _ in handing.rest()] == [first, second]
    assert len(queue.requests) == 1, "one try for all"


def test_what_is_refused_for_good_is_its_records_failure_and_the_others_go(queue: Queue) -> None:
    handing = HandingOver(queue.send, lambda: 0.0)
    first, absurd, last = ({"eventID": own} for own in ("first", "absurd", "last"))
    messages = {own["eventID"]: message() for own in (first, absurd, last)}
    queue.refused = [messages["absurd"]]
    for record in (first, absurd, last):
        handing.add(record, [messages[record["eventID"]]])
    ((record, cause),) = handing.rest()
    assert record is absurd
    assert isinstance(cause, QueueRefused)
    assert queue.requests[1:] == [[messages[own]] for own in ("first", "absurd", "last")]


def test_a_batch_of_ten_transitions_is_one_request(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.endpoint()
    for number in range(10):
        shop.abandon(f"session-{number}", user=stranger(number))
    # However long this process is kept from its processor, no message is sent ahead for it.
    monkeypatch.setattr(handing_over, "WAITS_FOR", inf)
    sqs = clients.sqs()
    sizes: list[int] = []
    send = sqs.send_message_batch

    def counted(**asked: object) -> object:
        sizes.append(len(asked["Entries"]))  # type: ignore[arg-type]
        return send(**asked)  # type: ignore[arg-type]

    monkeypatch.setattr(sqs, "send_message_batch", counted)
    shop.dispatch()
    assert sizes == [10]
    assert len({own.id for own in shop.deliveries()}) == 10
