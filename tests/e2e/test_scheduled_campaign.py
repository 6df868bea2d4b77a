"""A scheduled campaign on the deployed stack fires by itself; its schedule follows the campaign."""

import time
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
