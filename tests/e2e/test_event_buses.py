"""Events on buses of the deployed stack: rules lead them to queues."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from infra.local.shop import FlexyPeSession, Shop, engine_arguments
from tests.e2e.test_delivery import PHONES, delivery, until

pytestmark = pytest.mark.e2e

ABANDONED = "checkout.abandoned"


class Bus:
    """A bus with a rule that leads everything on it to a queue."""

    def __init__(self, stack: dict[str, Any], name: str) -> None:
        self.name = name
        self._events: Any = boto3.client("events", **engine_arguments(stack))
        self._sqs: Any = boto3.client("sqs", **engine_arguments(stack))
        self._seen: list[dict[str, Any]] = []

    def make(self) -> str:
        """The bus' ARN."""
        arn: str = self._events.create_event_bus(Name=self.name)["EventBusArn"]
        return arn

    def listen(self, source: str = "checkback") -> None:
        """Lead what comes from now on to the queue."""
        self._url = self._sqs.create_queue(QueueName=f"heard-{self.name[-60:]}")["QueueUrl"]
        queue = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        rule = f"heard-{self.name[-50:]}"
        pattern = json.dumps({"source": [source]})
        self._events.put_rule(Name=rule, EventBusName=self.name, EventPattern=pattern)
        target = {"Id": "queue", "Arn": queue["QueueArn"]}
        self._events.put_targets(Rule=rule, EventBusName=self.name, Targets=[target])
        self._rule = rule

    def heard(self) -> list[dict[str, Any]]:
        """All that arrived so far."""
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
                self._seen.append(json.loads(message["Body"]))
        return self._seen

    def close(self) -> None:
        """Take rule and queue away; the bus too, where it was made here."""
        self._events.remove_targets(Rule=self._rule, EventBusName=self.name, Ids=["queue"])
        self._events.delete_rule(Name=self._rule, EventBusName=self.name)
        self._sqs.delete_queue(QueueUrl=self._url)

    def remove(self) -> None:
        """The bus is gone."""
        self._events.delete_event_bus(Name=self.name)


@pytest.fixture
def bus_of(stack: dict[str, Any]) -> Iterator[Callable[[str], Bus]]:
    opened: list[Bus] = []

    def listening(name: str) -> Bus:
        opened.append(Bus(stack, name))
        return opened[-1]

    yield listening
    for own in opened:
        own.close()


def test_a_merchants_bus_gets_its_events_and_nobody_elses(
    shop: Shop, stack: dict[str, Any], bus_of: Callable[[str], Bus]
) -> None:
    bus = bus_of(f"checkback-{shop.id}")
    arn = bus.make()
    bus.listen()
    endpoint = shop.call("POST", "/v1/endpoints", json={"kind": "eventbridge", "settings": {"bus_arn": arn}})
    tested = shop.call("POST", f"/v1/endpoints/{endpoint['id']}/test")
    until(lambda: delivery(shop, tested["id"])["status"], lambda status: status == "delivered")

    source = shop.source()
    for _ in range(3):
        FlexyPeSession(shop, source, next(PHONES)).post("ADDRESS_LOADED")
    time.sleep(1.1)
    shop.sweep()
    heard = until(bus.heard, lambda all_of: len(all_of) >= 4)

    assert {own["source"] for own in heard} == {"checkback"}
    assert sorted(own["detail-type"] for own in heard) == [ABANDONED] * 3 + ["endpoint.test"]
    for own in heard:
        assert own["detail"]["type"] == own["detail-type"]
        assert own["detail"]["merchant_id"] == shop.id
    told = {own["id"] for own in shop.call("GET", "/v1/events")["data"]}
    assert {own["detail"]["id"] for own in heard if own["detail-type"] == ABANDONED} <= told


def test_the_stages_own_bus_gets_every_event_without_the_shopper(
    shop: Shop, stack: dict[str, Any], bus_of: Callable[[str], Bus]
) -> None:
    """Also those that no endpoint hears of."""
    bus = bus_of("checkback-local-events")
    bus.listen()
    phone = next(PHONES)
    FlexyPeSession(shop, shop.source(), phone).post("ADDRESS_LOADED")
    time.sleep(1.1)
    shop.sweep()

    def own_events() -> list[dict[str, Any]]:
        return [own for own in bus.heard() if own["detail"]["merchant_id"] == shop.id]

    (heard, *again) = until(own_events, bool)
    assert {own["detail"]["id"] for own in again} <= {heard["detail"]["id"]}, "at least once"
    assert (heard["source"], heard["detail-type"]) == ("checkback", ABANDONED)
    (told,) = shop.call("GET", "/v1/events")["data"]
    assert heard["detail"]["id"] == told["id"]
    assert heard["detail"]["data"]["checkout"]["totals"] == told["data"]["checkout"]["totals"]
    assert phone in json.dumps(told)
    assert phone not in json.dumps(heard)


def test_a_bus_that_is_not_the_merchants_is_no_endpoint(shop: Shop, stack: dict[str, Any]) -> None:
    for name in ("default", "checkback-mer_01KAHJ0000000000000000000N", "checkback-local-events"):
        arn = f"arn:aws:events:{stack['region']}:000000000000:event-bus/{name}"
        with pytest.raises(RuntimeError, match=r"422 .*/settings/bus_arn"):
            shop.call("POST", "/v1/endpoints", json={"kind": "eventbridge", "settings": {"bus_arn": arn}})
