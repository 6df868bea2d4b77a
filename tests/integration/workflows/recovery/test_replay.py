"""The last resort: records that were kept in the bucket go through dispatch once more, and repeat nothing."""

import json
from collections.abc import Sequence
from typing import Any

import boto3
import pytest

from infra.operations.replay_stream_records import Refused, replay
from tests.integration.shop import Shop, stranger

KEY = "aws/lambda/9f1c/shardId-1/2026/11/22/2026-11-22T11.30.00-1"


def kept() -> list[str]:
    return [own["Key"] for own in boto3.client("s3").list_objects_v2(Bucket="quarantine").get("Contents", [])]


@pytest.mark.parametrize("packed", [json.dumps, lambda payload: payload], ids=["as text", "as it is"])
def test_a_batch_that_lambda_gave_up_is_told_after_all_and_once(shop: Shop, packed: Any) -> None:
    shop.endpoint()
    for number in range(7):
        shop.abandon(f"session-{number}", user=stranger(number))
    batch = {"requestContext": {"condition": "RecordAgeExceeded"}, "payload": packed({"Records": shop.stream()})}
    s3 = boto3.client("s3")
    for _ in range(2):
        s3.put_object(Bucket="quarantine", Key=KEY, Body=json.dumps(batch).encode())
        assert list(replay(s3, "quarantine", ["aws/lambda/"], shop.dispatch)) == [(KEY, 7)]
        assert kept() == []
    assert len(shop.deliveries()) == 7


def test_what_dispatch_refuses_stays(shop: Shop) -> None:
    def refusing(_: Sequence[Any]) -> None:
        raise Refused

    s3 = boto3.client("s3")
    s3.put_object(Bucket="quarantine", Key="poison/p1.json", Body=b'{"eventID": "p1", "dynamodb": {}}')
    assert list(replay(s3, "quarantine", ["poison/"], refusing)) == [("poison/p1.json", None)]
    assert kept() == ["poison/p1.json"]
