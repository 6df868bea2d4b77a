"""The table is lost and restored under another name, as docs/runbook.md says; nobody outside notices.

It takes the table from under the whole stage: it runs alone, after the other e2e tests, and once on an engine. A later
`make local` on it would deploy onto the table that is gone.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.local.deployment import deploy
from infra.local.engine import Engine, find
from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, engine_arguments
from infra.operations.adopt_table import Adoption, stage_settings
from infra.operations.reconcile_schedules import reconcile
from tests.e2e.conftest import receiver, shop, stack

__all__ = ["receiver", "shop", "stack"]
pytestmark = pytest.mark.e2e

FOLDER = Path(os.environ.get("LOCAL_DIR", ".local")).resolve()
RESTORED = f"checkback-restored-{int(time.time())}"
BROWSER = {"user-agent": "Mozilla/5.0 (Linux; Android 15) Chrome/142"}


@pytest.fixture
def engine() -> Engine:
    found = find(FOLDER)
    assert found is not None
    return found


def scheduled_campaign(shop: Shop, endpoint_id: str) -> str:
    """The name of the schedule of a campaign that runs once a day."""
    made = shop.call(
        "POST",
        "/v1/campaigns",
        json={
            "name": "Every day",
            "trigger": {"type": "schedule", "expression": "rate(1 day)"},
            "criteria": {"field": "total", "op": "gte", "value": "500"},
            "steps": [{"after": "PT1H", "endpoint_id": endpoint_id, "channel": "whatsapp"}],
        },
    )
    return f"{shop.id}-{made['id']}"


def lose_and_restore(stack: dict[str, Any]) -> None:
    """The engine's point-in-time recovery copies what the table holds now; then the table is deleted."""
    dynamodb = boto3.client("dynamodb", **engine_arguments(stack))
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=stack["table"], TargetTableName=RESTORED, UseLatestRestorableTime=True
    )
    restored = dynamodb.describe_table(TableName=RESTORED)["Table"]
    assert "LatestStreamArn" not in restored, "it comes bare, as on AWS"
    dynamodb.delete_table(TableName=stack["table"])
    dynamodb.get_waiter("table_not_exists").wait(TableName=stack["table"])


def test_a_lost_table_is_restored_under_another_name_and_no_link_or_url_changes(
    stack: dict[str, Any], engine: Engine, shop: Shop, receiver: Receiver
) -> None:
    endpoint = shop.endpoint(f"{receiver.url}/bsp", ["checkout.abandoned", "checkout.recovered"])
    receiver.secret = endpoint["signing_secret"]
    source = shop.source()
    before = FlexyPeSession(shop, source, "9811100011")
    checkout_id = before.post("ADDRESS_LOADED").json()["checkout_id"]
    time.sleep(1.1)
    shop.sweep()
    assert receiver.wait_for("checkout.abandoned", checkout_id) is not None
    link = shop.checkout(checkout_id)["recovery_url"]
    leads_to = shop.http.get(link, headers=BROWSER).headers["location"]
    schedule = scheduled_campaign(shop, endpoint["id"])
    scheduler = boto3.client("scheduler", **engine_arguments(stack))
    (found,) = (own for own in scheduler.list_schedules(NamePrefix=schedule)["Schedules"])

    began = time.monotonic()
    lose_and_restore(stack)
    scheduler.delete_schedule(Name=schedule, GroupName=found["GroupName"])
    adoption = Adoption(
        boto3.client("dynamodb", **engine_arguments(stack)),
        boto3.client("ssm", **engine_arguments(stack)),
        stage=stage_settings("local"),
        table=RESTORED,
    )
    assert list(adoption.run())
    after = deploy(engine, FOLDER, print, {"restored_table": RESTORED})
    functions = boto3.client("lambda", **engine_arguments(stack))

    def ask(event: Any) -> Any:
        answer = functions.invoke(FunctionName=after["functions"]["campaign"], Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read())

    settled, failed = reconcile(ask)
    print(f"restored, adopted, deployed and reconciled in {time.monotonic() - began:.1f} s")

    assert (after["table"], after["api_url"], after["admin_key"]) == (RESTORED, stack["api_url"], stack["admin_key"])
    assert settled >= 1
    assert not failed
    assert scheduler.get_schedule(Name=schedule, GroupName=found["GroupName"])["State"] == "ENABLED"
    answer = shop.http.get(link, headers=BROWSER)
    assert (answer.status_code, answer.headers["location"]) == (302, leads_to), "a link that was sent before"
    assert before.post("COMPLETED").json() == {"status": "accepted", "checkout_id": checkout_id}, "the same hook URL"
    recovered = receiver.wait_for("checkout.recovered", checkout_id)
    assert recovered is not None, "the new stream leads to dispatch"
    assert recovered.verified, "by the secret that was given out before"
    later = FlexyPeSession(shop, source, "9811100012").post("ADDRESS_LOADED").json()["checkout_id"]
    time.sleep(1.1)
    shop.sweep()
    assert receiver.wait_for("checkout.abandoned", later) is not None
