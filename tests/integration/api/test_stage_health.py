"""How the stage fares, as CloudWatch and SQS answer it; what does not answer is named, and hides nothing else."""

import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from shared.aws import clients
from shared.aws.environment import Environment, MissingVariable
from shared.aws.stage_watch import QUEUES, WATCHED_QUEUES, StageWatch, WatchedQueue, url_of
from shared.workflows.insight.stage_health import stage_health
from tests.integration.api.conftest import Api
from tests.integration.conftest import Stage
from tests.integration.monitoring import AT, MINUTE, Monitoring, alarm


def test_the_operator_sees_what_rings_what_waits_and_how_far_behind_all_is(
    operator: Api, monitoring: Monitoring, stage: Stage
) -> None:
    ringing = alarm("SweepLate", "ALARM", StateTransitionedTimestamp=AT - MINUTE * 9)
    page = alarm("UserHurt", "ALARM", StateTransitionedTimestamp=AT - MINUTE * 8)
    quiet = [alarm("DeadLetters"), alarm("AboveRate", "INSUFFICIENT_DATA")]
    monitoring.says["DescribeAlarms"] = lambda _: {"MetricAlarms": [ringing, *quiet], "CompositeAlarms": [page]}
    monitoring.says["GetMetricData"] = monitoring.measures(
        {"SweepLag": [400.0, 300.0], "IteratorAge": [1500.0], "deliveries": [75.0], "ToldLate": [2.0, 3.0]}
    )
    for _ in range(3):
        clients.sqs().send_message(QueueUrl=stage.deliveries_url, MessageBody="{}")
    clients.sqs().receive_message(QueueUrl=stage.deliveries_url)
    clients.sqs().send_message(QueueUrl=stage.missed_schedules_url, MessageBody="{}")

    found = operator("GET", "/v1/stage/health").json

    assert (found["stage"], found["status"], found["unknown"]) == ("prod", "ringing", [])
    assert (found["alarms"]["watched"], found["alarms"]["undecided"]) == (4, 1)
    assert [own["runbook"] for own in found["alarms"]["ringing"]] == [
        "docs/runbook.md#sweeplate",
        "docs/runbook.md#userhurt",
    ]
    assert found["alarms"]["ringing"][0]["since"] == "2026-11-28T09:51:00Z"
    queues = {own["name"]: own for own in found["queues"]}
    assert len(queues) == 11
    assert (queues["deliveries"]["waiting"], queues["deliveries"]["in_flight"]) == (2, 1)
    assert queues["deliveries"]["oldest_seconds"] == 75
    assert queues["steps"]["oldest_seconds"] is None
    assert (queues["missed schedules"]["kind"], queues["missed schedules"]["waiting"]) == ("dead_letters", 1)
    assert found["sweep"] == {"last_at": "2026-11-28T10:00:00Z", "lag_seconds": 400}
    assert found["telling"] == {"dispatch_lag_seconds": 1.5, "deliveries_lag_seconds": 75, "told_late": 5}


def test_only_alarms_of_this_stage_are_asked_for_those_that_call_somebody_too(
    operator: Api, monitoring: Monitoring
) -> None:
    pages: list[dict[str, Any]] = [{"MetricAlarms": [alarm("A")], "NextToken": "more"}, {"MetricAlarms": [alarm("B")]}]
    monitoring.says["DescribeAlarms"] = lambda asked: pages["NextToken" in asked]

    assert operator("GET", "/v1/stage/health").json["alarms"]["watched"] == 2

    first, second = monitoring.asked["DescribeAlarms"]
    assert first["AlarmNamePrefix"] == second["AlarmNamePrefix"] == "checkback-prod-service-Alarms"
    assert set(first["AlarmTypes"]) == {"CompositeAlarm", "MetricAlarm"}
    (measured,) = monitoring.asked["GetMetricData"]
    of_stage = [own["MetricStat"]["Metric"]["Dimensions"] for own in measured["MetricDataQueries"]]
    assert all({"Name": "stage", "Value": "prod"} in own for own in of_stage if len(own) > 1)


@pytest.mark.parametrize(
    ("code", "reason"),
    [("ThrottlingException", "throttled"), ("AccessDenied", "not_allowed"), ("InternalFailure", "unavailable")],
)
def test_a_part_that_does_not_answer_is_named_and_the_rest_is_shown(
    operator: Api, monitoring: Monitoring, code: str, reason: str
) -> None:
    monitoring.refuses("DescribeAlarms", code)
    monitoring.says["GetMetricData"] = monitoring.measures({"SweepLag": [4.0]})

    found = operator("GET", "/v1/stage/health").json

    assert (found["status"], found["alarms"]) == ("unknown", None)
    assert found["unknown"] == [{"part": "alarms", "queue": None, "reason": reason}]
    assert found["sweep"]["lag_seconds"] == 4
    assert {own["waiting"] for own in found["queues"]} == {0}


def test_without_metrics_alarms_and_depths_are_known(operator: Api, monitoring: Monitoring) -> None:
    monitoring.says["GetMetricData"] = lambda _: ReadTimeoutError(endpoint_url="https://monitoring.example.com")

    found = operator("GET", "/v1/stage/health").json

    assert (found["status"], found["sweep"], found["telling"]) == ("well", None, None)
    assert found["unknown"] == [{"part": "metrics", "queue": None, "reason": "timed_out"}]


def test_metrics_of_which_some_are_missing_are_not_shown_as_if_they_were_none(
    operator: Api, monitoring: Monitoring
) -> None:
    monitoring.says["GetMetricData"] = monitoring.measures({}, status="InternalError")

    assert operator("GET", "/v1/stage/health").json["unknown"] == [
        {"part": "metrics", "queue": None, "reason": "unavailable"}
    ]


def test_a_queue_that_is_gone_is_named_alone(operator: Api, monitoring: Monitoring, stage: Stage) -> None:
    clients.sqs().delete_queue(QueueUrl=stage.slow_url)

    found = operator("GET", "/v1/stage/health").json

    assert found["unknown"] == [{"part": "queues", "queue": "slow", "reason": "unavailable"}]
    assert {own["name"] for own in found["queues"] if own["waiting"] is None} == {"slow"}


def test_a_queue_that_the_function_was_not_told_of_is_one_named_error(operator: Api) -> None:
    told = {"DELIVERIES_QUEUE_URL": "https://sqs.example/1/deliveries", WATCHED_QUEUES: "STEPS=steps-1"}
    environment = replace(Environment.read(), variables=told)

    assert url_of("DELIVERIES_QUEUE_URL", environment) == "https://sqs.example/1/deliveries"
    assert url_of("STEPS_QUEUE_URL", environment) == "https://sqs.example/1/steps-1"
    with pytest.raises(MissingVariable, match="WATCHED_QUEUES does not name SLOW"):
        url_of("SLOW_QUEUE_URL", environment)


class Hanging(StageWatch):
    """A stage whose alarms and whose first queue do not answer for a while."""

    def alarms(self) -> Any:
        time.sleep(1)
        return super().alarms()

    def depth(self, queue: WatchedQueue) -> Any:
        if queue is QUEUES[0]:
            time.sleep(1)
        return super().depth(queue)


@pytest.mark.timed
def test_nobody_waits_for_what_hangs(operator: Api, monitoring: Monitoring) -> None:
    hanging = Hanging(clients.cloudwatch, clients.sqs, Environment.read())
    began = time.monotonic()

    found = stage_health(hanging, lambda: AT, patience=0.3)

    assert time.monotonic() - began < 0.9
    assert {(own.part, own.queue, own.reason) for own in found.not_known} >= {
        ("alarms", None, "timed_out"),
        ("queues", "deliveries", "timed_out"),
    }
