"""A scheduled campaign on the deployed stack fires by itself; its schedule follows the campaign."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, engine_arguments

pytestmark = pytest.mark.e2e

FIRES_WITHIN = 150
"""Seconds: a minute to the first firing, ten for the engine's tick, cold starts of four functions."""


@pytest.fixture
def patient(stack: dict[str, Any]) -> Any:
    """A merchant whose checkouts are left alone for an hour: only a campaign's schedule takes them earlier."""
    settings = {
        "idle_after": "PT1H",
        "consent": "unknown_allowed",
        "quiet_hours": None,
        "holdout_percent": 0,
        "min_step_gap": "PT0S",
    }
    registered = Shop(stack, settings)
    yield registered
    registered.close()


def state_of(stack: dict[str, Any], name: str) -> str | None:
    """The state of the schedule with this name, None where there is none."""
    client = boto3.client("scheduler", **engine_arguments(stack))
    found = client.list_schedules(NamePrefix=name)["Schedules"]
    return next((own["State"] for own in found if own["Name"] == name), None)


@pytest.mark.patient
def test_a_schedule_fires_by_itself_and_the_message_reaches_the_receiver(
    patient: Shop, stack: dict[str, Any], receiver: Receiver
) -> None:
    endpoint = patient.endpoint(f"{receiver.url}/bsp", ["checkout.abandoned"])
    receiver.secret = endpoint["signing_secret"]
    session = FlexyPeSession(patient, patient.source(), "9812345678")
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
    campaign = patient.call(
        "POST",
        "/v1/campaigns",
        json={
            "name": "Every minute",
            "trigger": {"type": "schedule", "expression": "rate(1 minute)", "window": {"modified_before": "PT1S"}},
            "criteria": {"field": "total", "op": "gte", "value": "500"},
            "steps": [{"after": "PT0S", "endpoint_id": endpoint["id"], "channel": "whatsapp"}],
        },
    )
    schedule = f"{patient.id}-{campaign['id']}"
    assert state_of(stack, schedule) == "ENABLED"

    deadline = time.monotonic() + FIRES_WITHIN
    while patient.checkout(checkout_id)["status"] == "open" and time.monotonic() < deadline:
        time.sleep(0.5)
    abandoned = patient.checkout(checkout_id)
    assert (abandoned["status"], abandoned["reason"]) == ("abandoned", "incomplete")
    assert receiver.wait_for("checkout.abandoned", checkout_id) is not None, "told as every other abandonment"

    def steps() -> list[dict[str, Any]]:
        rows = patient.call("GET", "/v1/deliveries", params={"endpoint_id": endpoint["id"]})["data"]
        return [own for own in rows if own["event_type"] == "campaign.step"]

    while not [own for own in steps() if own["status"] == "delivered"] and time.monotonic() < deadline:
        patient.sweep()
        time.sleep(0.3)
    assert [own["status"] for own in steps()] == ["delivered"]

    patient.call("POST", f"/v1/campaigns/{campaign['id']}/pause")
    assert state_of(stack, schedule) == "DISABLED"
    patient.call("DELETE", f"/v1/campaigns/{campaign['id']}")
    assert state_of(stack, schedule) is None


@pytest.mark.parametrize(("priority", "taker"), [(1, "run"), (-1, "at_once")], ids=["above", "below"])
def test_of_two_campaigns_the_priority_says_who_writes_and_the_timeline_who_does_not(
    patient: Shop, stack: dict[str, Any], receiver: Receiver, priority: int, taker: str
) -> None:
    endpoint = patient.endpoint(f"{receiver.url}/bsp", [])
    session = FlexyPeSession(patient, patient.source(), "9812345679")
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
    step = {"endpoint_id": endpoint["id"], "channel": "whatsapp", "after": "PT1H"}
    run = {"type": "schedule", "expression": "rate(1 day)", "window": {"modified_before": "PT0S"}}
    ids = {
        name: patient.call("POST", "/v1/campaigns", json={"name": name, "steps": [step], **more})["id"]
        for name, more in (("run", {"trigger": run, "priority": priority}), ("at_once", {}))
    }
    (said,) = patient.call("POST", f"/v1/campaigns/{ids['run']}/preview")["data"]
    assert said["taken_by"] == (None if taker == "run" else ids["at_once"])

    fired = {"merchant_id": patient.id, "campaign_id": ids["run"], "fired_at": datetime.now(UTC).isoformat()}
    record = {
        "messageId": "m1",
        "body": json.dumps(fired),
        "attributes": {"SentTimestamp": str(int(time.time() * 1000))},
    }
    client = boto3.client("lambda", **engine_arguments(stack))
    answer = client.invoke(
        FunctionName=stack["functions"]["campaign"], Payload=json.dumps({"Records": [record]}).encode()
    )
    assert json.loads(answer["Payload"].read()) == {"batchItemFailures": []}

    def noted() -> list[dict[str, Any]]:
        entries = patient.call("GET", f"/v1/checkouts/{checkout_id}/activities")["data"]
        return [own for own in entries if own["type"] == "NOT_SENT"]

    deadline = time.monotonic() + FIRES_WITHIN
    while not noted() and time.monotonic() < deadline:
        time.sleep(0.3)
    (entry,) = noted()
    other = ids["at_once" if taker == "run" else "run"]
    assert entry["detail"] == {"campaign_id": other, "reason": "another_campaign", "taken_by": ids[taker]}
    assert patient.checkout(checkout_id)["status"] == "abandoned"
