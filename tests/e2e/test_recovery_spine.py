"""The main job on the deployed stack: provider webhooks in, signed events out, a purchase makes a recovery."""

import itertools
import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, engine_arguments

pytestmark = pytest.mark.e2e

PHONES = (f"98{random.randint(10, 99)}{number:06d}" for number in itertools.count(100_000))
ALL = ["checkout.updated", "checkout.abandoned", "checkout.superseded", "checkout.recovered", "checkout.completed"]


@pytest.fixture
def source(shop: Shop) -> dict[str, Any]:
    return shop.source()


@pytest.fixture
def session(shop: Shop, source: dict[str, Any]) -> FlexyPeSession:
    return FlexyPeSession(shop, source, next(PHONES))


def listen(shop: Shop, receiver: Receiver, event_types: list[str], **fields: Any) -> dict[str, Any]:
    endpoint = shop.endpoint(f"{receiver.url}/bsp", event_types, **fields)
    receiver.secret = endpoint["signing_secret"]
    return endpoint


def go_quiet(shop: Shop) -> None:
    time.sleep(1.1)
    shop.sweep()


def types_of(receiver: Receiver, checkout_id: str) -> list[str]:
    return [own.event["type"] for own in receiver.events(checkout_id=checkout_id)]


def test_a_quiet_session_reaches_the_endpoint_signed_and_a_purchase_makes_it_a_recovery(
    shop: Shop, session: FlexyPeSession, receiver: Receiver
) -> None:
    listen(shop, receiver, ["checkout.abandoned", "checkout.recovered"], settings={"bearer_token": "bsp-token"})
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]

    go_quiet(shop)
    abandoned = receiver.wait_for("checkout.abandoned", checkout_id)
    assert abandoned is not None
    assert abandoned.verified
    assert abandoned.headers["authorization"] == "Bearer bsp-token"
    assert abandoned.headers["webhook-id"] == abandoned.event["id"]
    checkout = abandoned.event["data"]["checkout"]
    assert checkout["customer"]["phone"].startswith("+9198")
    assert checkout["totals"]["total"] == {"amount": "630.00", "currency": "INR"}
    assert checkout["status"] == "abandoned"
    assert checkout["reason"] == "incomplete"
    assert abandoned.event["data"]["episode"]["status"] == "active"

    assert session.post("COMPLETED").json() == {"status": "accepted", "checkout_id": checkout_id}
    recovered = receiver.wait_for("checkout.recovered", checkout_id)
    assert recovered is not None
    assert recovered.verified
    assert recovered.event["sequence"] > abandoned.event["sequence"]
    assert recovered.event["data"]["episode"]["status"] == "ended"
    assert types_of(receiver, checkout_id) == ["checkout.abandoned", "checkout.recovered"]


def test_a_purchase_before_the_deadline_never_becomes_an_abandonment(
    shop: Shop, session: FlexyPeSession, receiver: Receiver
) -> None:
    listen(shop, receiver, ["checkout.abandoned", "checkout.recovered", "checkout.completed"])
    checkout_id = session.post("PAYMENT_LOADED").json()["checkout_id"]
    session.post("COMPLETED")
    go_quiet(shop)
    session.post("PAYMENT_INITIATED")
    go_quiet(shop)
    assert receiver.wait_for("checkout.completed", checkout_id) is not None
    time.sleep(1)
    assert types_of(receiver, checkout_id) == ["checkout.completed"]


def test_a_purchase_webhook_that_comes_first_leaves_a_completed_checkout(shop: Shop, session: FlexyPeSession) -> None:
    checkout_id = session.post("COMPLETED").json()["checkout_id"]
    session.post("INITIATED")
    go_quiet(shop)
    assert shop.checkout(checkout_id)["status"] == "completed"


def test_a_shopper_who_comes_back_is_told_to_whoever_heard_of_the_abandonment(
    shop: Shop, session: FlexyPeSession, receiver: Receiver
) -> None:
    listen(shop, receiver, ["checkout.abandoned"])
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
    go_quiet(shop)
    assert receiver.wait_for("checkout.abandoned", checkout_id) is not None

    session.post("PAYMENT_LOADED")
    reopened = receiver.wait_for("checkout.updated", checkout_id)

    assert reopened is not None
    assert reopened.event["data"]["checkout"]["status"] == "open"


def test_a_shopper_who_bought_in_another_session_is_called_off(
    shop: Shop, source: dict[str, Any], receiver: Receiver
) -> None:
    listen(shop, receiver, ["checkout.abandoned", "checkout.superseded", "checkout.completed"])
    phone = next(PHONES)
    left = FlexyPeSession(shop, source, phone).post("ADDRESS_LOADED").json()["checkout_id"]
    go_quiet(shop)
    assert receiver.wait_for("checkout.abandoned", left) is not None

    FlexyPeSession(shop, source, phone).post("COMPLETED")

    superseded = receiver.wait_for("checkout.superseded", left)
    assert superseded is not None
    assert superseded.event["data"]["checkout"]["reason"] == "purchased_elsewhere"


@pytest.mark.patient
def test_an_abandonment_by_the_schedule_alone_is_delivered_within_a_minute_and_a_sweep(
    shop: Shop, session: FlexyPeSession, receiver: Receiver
) -> None:
    listen(shop, receiver, ["checkout.abandoned"])
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
    posted = time.time()
    received = receiver.wait_for("checkout.abandoned", checkout_id, timeout=90)
    assert received is not None
    assert received.at - posted < 1 + 60 + 10
    # Other tests may have swept meanwhile, each for all; the schedule did too, and in time.
    assert until_logged(shop, "by schedule", posted) - posted < 1 + 60 + 10


def until_logged(shop: Shop, asked: str, since: float) -> float:
    """When a sweep that was asked for so ended, in seconds."""
    logs = boto3.client("logs", **engine_arguments(shop.stack))
    [group] = [own["logGroupName"] for own in logs.describe_log_groups()["logGroups"] if "Sweep" in own["logGroupName"]]
    deadline = time.time() + 60
    while time.time() < deadline:
        found = logs.filter_log_events(logGroupName=group, startTime=int(since * 1000))["events"]
        swept = [own for own in found if '"swept"' in own["message"] and f'"asked":"{asked}"' in own["message"]]
        if swept:
            at: int = min(own["timestamp"] for own in swept)
            return at / 1000
        time.sleep(0.5)
    raise AssertionError(f"no sweep {asked} is in the log")


def test_a_failing_endpoint_gets_the_same_bytes_again(shop: Shop, session: FlexyPeSession) -> None:
    with Receiver(lambda _path, count: 500 if count == 0 else 204) as receiver:
        endpoint = listen(shop, receiver, ["checkout.abandoned"], settings={"retry_schedule": ["PT1S", "PT1S"]})
        checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
        go_quiet(shop)
        deadline = time.time() + 20
        while len(receiver.received) < 2 and time.time() < deadline:
            time.sleep(0.1)
        first, second = receiver.received
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.verified
        assert second.verified
        time.sleep(0.5)
        [delivery] = shop.call("GET", f"/v1/deliveries?endpoint_id={endpoint['id']}")["data"]
        assert delivery["status"] == "delivered"
        assert [attempt["status_code"] for attempt in delivery["attempts"]] == [500, 204]
        assert delivery["checkout_id"] == checkout_id


def test_refusals_store_nothing(shop: Shop, session: FlexyPeSession, source: dict[str, Any]) -> None:
    assert session.post("ADDRESS_LOADED", secret="wrong").status_code == 401
    assert shop.http.post(f"{shop.stack['api_url']}/hooks/src_nobody", content=b"{}").status_code == 404
    secret = {"X-Flexype-Authorization": source["credentials"]["secret"]}
    broken = shop.http.post(source["url"], content=b"{", headers=secret)
    assert broken.status_code == 400
    assert broken.headers["content-type"] == "application/problem+json"
    assert shop.call("GET", "/v1/checkouts")["data"] == []


def test_an_authentic_body_that_is_not_understood_is_kept_byte_for_byte(shop: Shop, source: dict[str, Any]) -> None:
    body = '{"session_state": "TELEPORTED", "note": "Grüße 👜"}'.encode()
    secret = {"X-Flexype-Authorization": source["credentials"]["secret"], "content-type": "application/json"}
    answer = shop.http.post(source["url"], content=body, headers=secret)
    assert answer.status_code == 200
    assert answer.json()["status"] == "quarantined"
    bucket = boto3.client("s3", **engine_arguments(shop.stack))
    [name] = [own["Name"] for own in bucket.list_buckets()["Buckets"] if "quarantine" in own["Name"].lower()]
    listed = bucket.list_objects_v2(Bucket=name, Prefix="quarantine/")["Contents"]
    [key] = [own["Key"] for own in listed if own["Key"].endswith(answer.json()["quarantine_id"])]
    kept = bucket.get_object(Bucket=name, Key=key)["Body"].read()
    assert kept == body


def test_a_repeat_webhook_costs_two_write_units_and_no_index(shop: Shop, session: FlexyPeSession) -> None:
    """The bar is on what DynamoDB bills, which the engine computes from item sizes."""
    first = session.post("ADDRESS_LOADED").json()["checkout_id"]
    table = boto3.client("dynamodb", **engine_arguments(shop.stack))
    key = {"pk": {"S": f"C#{first.removeprefix('chk_')}"}, "sk": {"S": "C"}}
    before = table.get_item(TableName=shop.stack["table"], Key=key, ConsistentRead=True)["Item"]
    session.post("ADDRESS_SHIPPING_SELECTED")
    after = table.get_item(TableName=shop.stack["table"], Key=key, ConsistentRead=True)["Item"]
    assert before["sg"] != after["sg"]

    billed = table.put_item(TableName=shop.stack["table"], Item=after, ReturnConsumedCapacity="INDEXES")
    assert billed["ConsumedCapacity"]["Table"]["CapacityUnits"] <= 2
    indexed = ("lp", "ls", "dq", "da", "ip", "ie", "ic", "ik", "ca")
    assert {name: before.get(name) for name in indexed} == {name: after.get(name) for name in indexed}
    assert billed["ConsumedCapacity"].get("GlobalSecondaryIndexes", {}) == {}


def test_items_expire_after_horizon_and_retention(shop: Shop, session: FlexyPeSession) -> None:
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
    table = boto3.client("dynamodb", **engine_arguments(shop.stack))
    key = {"pk": {"S": f"C#{checkout_id.removeprefix('chk_')}"}, "sk": {"S": "C"}}
    item = table.get_item(TableName=shop.stack["table"], Key=key)["Item"]
    expires = datetime.fromtimestamp(int(item["ttl"]["N"]), UTC)
    assert abs(expires - (datetime.now(UTC) + timedelta(days=37))) < timedelta(minutes=5)


def test_nothing_in_queues_or_logs_names_the_shopper(shop: Shop, session: FlexyPeSession, receiver: Receiver) -> None:
    listen(shop, receiver, ALL)
    checkout_id = session.post("ADDRESS_LOADED").json()["checkout_id"]
    go_quiet(shop)
    assert receiver.wait_for("checkout.abandoned", checkout_id) is not None
    phone = shop.checkout(checkout_id)["customer"]["phone"].removeprefix("+91")
    logs = boto3.client("logs", **engine_arguments(shop.stack))
    seen = 0
    for group in logs.describe_log_groups()["logGroups"]:
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
            seen += 1
            assert phone not in event["message"], group["logGroupName"]
            assert "Shakti" not in event["message"], group["logGroupName"]
    assert seen > 0
    queued = shop.http.get(f"{shop.stack['engine_url']}/_ministack/sqs/messages")
    assert phone not in json.dumps(queued.json())
