"""Dead letters go back to where they came from, and none is lost wherever the command breaks off."""

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from moto.sqs.models import sqs_backends

from infra.functions import FunctionName
from infra.operations.deployed import FunctionFailed
from infra.operations.redrive import CAUSES, catch_up, redrive
from tests.integration.conftest import Stage
from tests.integration.operations.breaking_off import MOMENTS, broken_off


class FromItsQueue:
    """SQS, which says of a dead letter what queue it came from (ReceiveMessage, ``DeadLetterQueueSourceArn``).

    moto does not; a test's message names it in its attribute ``from``.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def receive_message(self, **asked: Any) -> Any:
        assert "DeadLetterQueueSourceArn" in asked["MessageSystemAttributeNames"]
        assert asked["WaitTimeSeconds"] > 0, "all of the queue's servers are asked, not some"
        answer = self._client.receive_message(**{**asked, "WaitTimeSeconds": 0})  # nobody else sends meanwhile
        for own in answer.get("Messages", []):
            if came := own.get("MessageAttributes", {}).pop("from", None):
                arn = f"arn:aws:sqs:ap-south-1:123456789012:{came['StringValue']}"
                own.setdefault("Attributes", {})["DeadLetterQueueSourceArn"] = arn
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def sqs(aws: None) -> Any:
    return FromItsQueue(boto3.client("sqs"))


@pytest.fixture
def outputs(stage: Stage) -> dict[str, str]:
    return {
        "DeadLettersQueueUrl": stage.dead_letters_url,
        "RecordDeadLettersQueueUrl": boto3.client("sqs").create_queue(QueueName="record-dead-letters")["QueueUrl"],
        "MissedSchedulesQueueUrl": boto3.client("sqs").create_queue(QueueName="missed-schedules")["QueueUrl"],
        "DeliveriesQueueUrl": stage.deliveries_url,
        "RetriesQueueUrl": stage.retries_url,
        "StepsQueueUrl": stage.steps_url,
        "SlowQueueUrl": stage.slow_url,
        "PullDeadLettersQueueUrl": stage.pull_dead_letters_url,
        "PullsQueueUrl": stage.pulls_url,
    }


def died(sqs: Any, url: str, body: object, came_from: str | None, **attributes: str) -> None:
    texts = attributes | ({} if came_from is None else {"from": came_from})
    sqs.send_message(
        QueueUrl=url,
        MessageBody=json.dumps(body),
        MessageGroupId="mer_1",
        MessageAttributes={name: {"DataType": "String", "StringValue": own} for name, own in texts.items()},
    )


def held(sqs: Any, url: str) -> list[Any]:
    found = sqs._client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    return list(found.get("Messages", []))


def bodies(sqs: Any, url: str) -> list[Any]:
    return sorted(json.loads(own["Body"])["id"] for own in held(sqs, url))


def never(_key: str) -> bool:
    raise AssertionError("nothing here stands for a stream record")


def test_each_goes_back_to_its_own_queue_with_its_group_and_attributes(
    sqs: Any, outputs: dict[str, str], stage: Stage
) -> None:
    for place in ("deliveries", "retries", "steps", "slow"):
        died(sqs, stage.dead_letters_url, {"id": place}, place, note="kept")

    went = redrive(sqs, CAUSES["deliveries"], outputs, never)

    assert went == {"deliveries": 1, "retries": 1, "steps": 1, "slow": 1}
    for place, url in (("steps", stage.steps_url), ("slow", stage.slow_url), ("deliveries", stage.deliveries_url)):
        (message,) = held(sqs, url)
        assert json.loads(message["Body"]) == {"id": place}
        assert message["Attributes"]["MessageGroupId"] == "mer_1"
        assert message["MessageAttributes"]["note"]["StringValue"] == "kept"
    assert held(sqs, stage.dead_letters_url) == []


def test_what_a_function_left_itself_goes_to_the_queue_of_its_kind(
    sqs: Any, outputs: dict[str, str], stage: Stage
) -> None:
    died(sqs, stage.pull_dead_letters_url, {"id": "pull"}, None, reason="unauthorized")

    assert redrive(sqs, CAUSES["pulls"], outputs, never) == {"pulls": 1}
    assert bodies(sqs, stage.pulls_url) == ["pull"]


def test_a_stream_record_goes_through_dispatch_and_stays_where_it_is_refused(
    sqs: Any, outputs: dict[str, str], stage: Stage
) -> None:
    for key in ("poison/mer_1/a", "poison/mer_1/b"):
        died(sqs, stage.dead_letters_url, {"id": key, "poison": key}, None)
    asked: list[str] = []

    def replayed(key: str) -> bool:
        asked.append(key)
        return key.endswith("a")

    assert redrive(sqs, CAUSES["deliveries"], outputs, replayed) == {"dispatch": 1, "left": 1}
    assert sorted(asked) == ["poison/mer_1/a", "poison/mer_1/b"]
    show_again(sqs, stage.dead_letters_url)
    assert bodies(sqs, stage.dead_letters_url) == ["poison/mer_1/b"]


def test_records_go_through_dispatch_once_and_what_points_to_none_stays(sqs: Any, outputs: dict[str, str]) -> None:
    """The local engine leaves pointers of its own there, which name no object."""
    url = outputs["RecordDeadLettersQueueUrl"]
    died(sqs, url, {"id": "ours", "poison": "poison/mer_1/a"}, None)
    died(sqs, url, {"id": "a pointer", "DDBStreamBatchInfo": {}}, None)
    asked: list[str] = []

    def replayed(key: str) -> bool:
        asked.append(key)
        return True

    assert redrive(sqs, CAUSES["records"], outputs, replayed) == {"dispatch": 1, "left": 1}
    show_again(sqs, url)
    assert redrive(sqs, CAUSES["records"], outputs, replayed) == {"left": 1}
    assert asked == ["poison/mer_1/a"]
    show_again(sqs, url)
    assert bodies(sqs, url) == ["a pointer"]


class Started:
    """The functions that a redrive starts; each of ``failing`` fails once."""

    def __init__(self, *failing: FunctionName) -> None:
        self.asked: list[tuple[FunctionName, Mapping[str, Any]]] = []
        self._failing = set(failing)

    def __call__(self, name: FunctionName, event: Mapping[str, Any]) -> object:
        self.asked.append((name, event))
        if name in self._failing:
            self._failing.remove(name)
            raise FunctionFailed(name)
        return {}


def test_any_number_of_missed_ticks_is_one_sweep_and_one_repair(sqs: Any, outputs: dict[str, str]) -> None:
    url, started = outputs["MissedSchedulesQueueUrl"], Started()
    for number in range(25):
        died(sqs, url, {"id": number}, None)

    assert catch_up(sqs, url, started) == {"done": 25}
    assert started.asked == [("sweep", {"asked": "redrive"}), ("campaign", {"repair": True})]
    assert held(sqs, url) == []
    assert catch_up(sqs, url, started) == {}
    assert len(started.asked) == 2, "where nothing was missed nothing is started"


@pytest.mark.parametrize("failing", ["sweep", "campaign"])
def test_a_tick_is_not_forgotten_before_its_work_is_done(
    sqs: Any, outputs: dict[str, str], failing: FunctionName
) -> None:
    url, started = outputs["MissedSchedulesQueueUrl"], Started(failing)
    died(sqs, url, {"id": 1}, None)

    with pytest.raises(FunctionFailed):
        catch_up(sqs, url, started)
    show_again(sqs, url)
    assert catch_up(sqs, url, started) == {"done": 1}
    assert held(sqs, url) == []


def test_a_second_run_sends_nothing_twice(sqs: Any, outputs: dict[str, str], stage: Stage) -> None:
    for number in range(25):
        died(sqs, stage.dead_letters_url, {"id": number}, "steps")

    assert redrive(sqs, CAUSES["deliveries"], outputs, never) == {"steps": 25}
    assert redrive(sqs, CAUSES["deliveries"], outputs, never) == {}


@MOMENTS
@pytest.mark.parametrize("number", range(1, 6))
def test_wherever_it_breaks_off_nothing_is_lost(
    sqs: Any, outputs: dict[str, str], stage: Stage, moment: str, number: int
) -> None:
    for own in ("a", "b"):
        died(sqs, stage.dead_letters_url, {"id": own}, "steps")
    with broken_off(number, moment, sqs):
        redrive(sqs, CAUSES["deliveries"], outputs, never)
    show_again(sqs, stage.dead_letters_url)

    redrive(sqs, CAUSES["deliveries"], outputs, never)

    back = bodies(sqs, stage.steps_url)
    assert set(back) == {"a", "b"}
    assert len(back) <= 3, "one at most went twice"
    assert held(sqs, stage.dead_letters_url) == []


def show_again(sqs: Any, url: str) -> None:
    """Five minutes later: what was received and not deleted can be received again."""
    queue = sqs_backends["123456789012"]["ap-south-1"].queues[url.rpartition("/")[2]]
    for message in queue._messages:
        message.change_visibility(0)
