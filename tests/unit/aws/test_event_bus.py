"""The stage's own bus: few requests, only what failed again, and what never fits holds up nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session
from botocore.stub import ANY, Stubber

from shared.aws.event_bus import BusEvent, BusUnavailable, EventBus

NAME = "checkback-test-events"


class Bus:
    """A client whose answers are laid down, checked against AWS' own model."""

    def __init__(self) -> None:
        self.client: Any = Session().create_client(
            "events", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        self.stub = Stubber(self.client)
        self.waited: list[float] = []
        self.bus = EventBus(self.client, NAME, self.waited.append)

    def answers(self, ids: list[str], *codes: str | None) -> None:
        """The next request must hold these events; each gets a code, or is put."""
        told = [
            {"ErrorCode": code, "ErrorMessage": "said so"} if code else {"EventId": f"aws-{own}"}
            for own, code in zip(ids, codes or [None] * len(ids), strict=True)
        ]
        expected = {
            "Entries": [
                {"EventBusName": NAME, "Source": "checkback", "DetailType": "checkout.abandoned", "Detail": ANY}
                for _ in ids
            ]
        }
        failed = sum("ErrorCode" in own for own in told)
        self.stub.add_response("put_events", {"FailedEntryCount": failed, "Entries": told}, expected)

    def refuses(self, code: str) -> None:
        self.stub.add_client_error("put_events", code)


@pytest.fixture
def bus() -> Iterator[Bus]:
    made = Bus()
    with made.stub:
        yield made
    made.stub.assert_no_pending_responses()


def events(count: int, size: int = 10) -> list[BusEvent]:
    return [BusEvent(f"evt_{number}", "checkout.abandoned", '{"a":"' + "x" * size + '"}') for number in range(count)]


def names(own: list[BusEvent]) -> list[str]:
    return [each.id for each in own]


def test_nothing_is_no_request(bus: Bus) -> None:
    assert bus.bus.put([]) == []


def test_ten_go_in_a_request(bus: Bus) -> None:
    told = events(21)
    for batch in (told[:10], told[10:20], told[20:]):
        bus.answers(names(batch))
    assert bus.bus.put(told) == []
    assert bus.waited == []


def test_no_request_is_larger_than_aws_takes(bus: Bus) -> None:
    told = events(3, 120 * 1024)
    bus.answers(names(told[:2]))
    bus.answers(names(told[2:]))
    assert bus.bus.put(told) == []


def test_of_a_partial_failure_only_what_failed_is_put_again(bus: Bus) -> None:
    told = events(4)
    bus.answers(names(told), None, "InternalFailure", None, "ThrottlingException")
    bus.answers(["evt_1", "evt_3"], None, "InternalFailure")
    bus.answers(["evt_3"])
    assert bus.bus.put(told) == []
    assert len(bus.waited) == 2


def test_what_passes_not_within_some_tries_comes_again_later(bus: Bus) -> None:
    told = events(2)
    bus.answers(names(told), None, "ThrottlingException")
    for _ in range(3):
        bus.answers(["evt_1"], "ThrottlingException")
    with pytest.raises(BusUnavailable, match="1 events"):
        bus.bus.put(told)


def test_an_event_that_no_bus_takes_is_told_and_holds_up_no_other(bus: Bus) -> None:
    told = events(3)
    bus.answers(names(told), None, "MalformedDetail", None)
    assert [(own.event.id, own.code) for own in bus.bus.put(told)] == [("evt_1", "MalformedDetail")]


def test_nor_one_for_whose_sake_the_whole_request_is_refused(bus: Bus) -> None:
    told = events(3)
    bus.refuses("ValidationException")
    bus.answers(["evt_0"])
    bus.refuses("ValidationException")
    bus.answers(["evt_2"])
    assert [(own.event.id, own.code) for own in bus.bus.put(told)] == [("evt_1", "ValidationException")]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException", "InternalException"])
def test_a_bus_that_takes_none_is_waited_for(bus: Bus, code: str) -> None:
    bus.client.meta.events.unregister("needs-retry.events", "retry-config-events")
    bus.refuses(code)
    with pytest.raises(ClientError, match=code):
        bus.bus.put(events(2))
