"""The stage's own bus: on stages that want one, in the state stack, fed by a function that may do nothing else."""

import json
from typing import Any

import pytest

from infra.stages import UnusableStageError
from tests.permissions.needs import Need, arn
from tests.permissions.policies import Policies
from tests.unit.infra.conftest import Synthesise, Templates

HANDLER = "functions.dispatch.event_bus.handler"


@pytest.fixture
def with_bus(synthesise: Synthesise) -> Templates:
    return synthesise("production", stage_mail="tenants", facts_bucket=True, event_bus=True)


@pytest.mark.parametrize("stage", ["dev", "production"])
def test_a_stage_that_does_not_ask_for_a_bus_has_none_and_one_reader_of_its_stream(
    synthesise: Synthesise, stage: str
) -> None:
    templates = synthesise(stage)

    assert not templates.state.resources("Events::EventBus")
    mappings = templates.service.resources("Lambda::EventSourceMapping").values()
    assert sum("TableStreamArn" in json.dumps(own["Properties"]["EventSourceArn"]) for own in mappings) == 1
    assert "EVENT_BUS_NAME" not in json.dumps(templates.service.json)


def test_the_bus_is_kept_and_has_a_name_that_no_merchants_bus_can_have(with_bus: Templates) -> None:
    (bus,) = with_bus.state.resources("Events::EventBus").values()

    assert bus["Properties"]["Name"] == "checkback-production-events"
    assert bus["DeletionPolicy"] == "Retain"


def test_its_function_reads_new_events_from_the_stream_and_puts_them_on_this_bus_alone(with_bus: Templates) -> None:
    policies = Policies(with_bus.service.json)
    granted = {own.action for own in policies.grants("event_bus")}
    stream = {"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}

    assert granted == {"events:PutEvents", "logs:CreateLogStream", "logs:PutLogEvents"} | stream
    (putting,) = (own for own in policies.grants("event_bus") if own.action == "events:PutEvents")
    assert putting.resource == arn("events", "event-bus/EVENT_BUS_NAME")
    ((_, mapping),) = policies.sources("event_bus")
    (pattern,) = mapping["FilterCriteria"]["Filters"]
    assert json.loads(pattern["Pattern"]) == {
        "eventName": ["INSERT"],
        "dynamodb": {"Keys": {"sk": {"S": [{"prefix": "E#"}]}}},
    }
    assert mapping["MaximumRetryAttempts"] == -1
    assert "DestinationConfig" not in mapping


def test_nobody_else_puts_events_on_it(with_bus: Templates) -> None:
    policies = Policies(with_bus.service.json)
    need = Need("events:PutEvents", arn("events", "event-bus/EVENT_BUS_NAME"), (("aws:ResourceAccount", "account"),))

    assert [name for name in policies.functions if any(own.allows(need) for own in policies.grants(name))] == [
        "event_bus"
    ]


def test_who_the_shopper_is_is_told_where_the_stage_says_so_alone(synthesise: Synthesise, with_bus: Templates) -> None:
    def told(templates: Templates) -> bool:
        functions = templates.service.resources("Lambda::Function").values()
        (own,) = (each for each in functions if each["Properties"].get("Handler") == HANDLER)
        return "EVENT_BUS_PERSONAL_DATA" in own["Properties"]["Environment"]["Variables"]

    assert not told(with_bus)
    assert told(synthesise("production", event_bus=True, event_bus_personal_data=True))


def test_personal_data_without_a_bus_is_a_mistake(synthesise: Synthesise) -> None:
    with pytest.raises(UnusableStageError, match="event_bus_personal_data"):
        synthesise("production", event_bus_personal_data=True)


def test_who_listens_is_told_late_or_not_at_all_and_the_operator_hears_of_it(
    with_bus: Templates, synthesise: Synthesise
) -> None:
    def alarms(templates: Templates) -> dict[str, Any]:
        own = [alarm["Properties"] for alarm in templates.service.resources("CloudWatch::Alarm").values()]
        return {alarm["MetricName"]: alarm for alarm in own if "#eventbus" in alarm["AlarmDescription"]}

    found = alarms(with_bus)

    assert set(found) == {"IteratorAge", "EventsRefused"}
    (function,) = (
        name
        for name, own in with_bus.service.resources("Lambda::Function").items()
        if own["Properties"]["Handler"] == HANDLER
    )
    assert found["IteratorAge"]["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": function}}]
    assert {own["Name"]: own["Value"] for own in found["EventsRefused"]["Dimensions"]} == {
        "service": "event_bus",
        "stage": "production",
    }
    assert not alarms(synthesise("production"))


def test_a_release_knows_its_function(with_bus: Templates) -> None:
    assert "EventBusFunctionName" in with_bus.service.json["Outputs"]
