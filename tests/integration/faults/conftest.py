"""Says at the end how many faults were played."""

import os
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.scheduler.models import scheduler_backends
from moto.sqs.models import sqs_backends

from shared.aws import clients
from shared.workflows.insight import metrics
from tests.integration.conftest import REGION
from tests.integration.faults.aws_calls import AwsCalls

BUCKET = "quarantine"
CASES = "faults played"
EVERYTHING = os.environ.get("FAULTS") == "all"
"""``make faults`` plays all kinds; a test run the two that say most: before the effect and after it."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The count of cases, by flow, whichever worker played them."""
    played: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == CASES:
                flow, cases = value
                played[flow] += cases
    if played:
        told = ", ".join(f"{flow} {cases}" for flow, cases in sorted(played.items()))
        terminalreporter.write_line(f"AWS calls failed one by one: {played.total()} cases ({told})")


@dataclass(frozen=True)
class StageState:
    """Everything a stage holds at one moment: one beginning for many ends."""

    items: Any
    records: list[Any]
    messages: dict[str, list[Any]]
    objects: dict[str, bytes]
    schedules: dict[str, Any]

    @classmethod
    def taken(cls, table_name: str) -> "StageState":
        """As it is now."""
        table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(table_name)
        assert table.stream_shard is not None
        queues = sqs_backends[ACCOUNT_ID][REGION].queues
        messages = {name: deepcopy(own._messages) for name, own in queues.items()}
        schedules = deepcopy(_campaigns().schedules)
        return cls(deepcopy(table.items), list(table.stream_shard.items), messages, objects(), schedules)

    def restore(self, table_name: str) -> None:
        """As it was."""
        table = dynamodb_backends[ACCOUNT_ID][REGION].get_table(table_name)
        assert table.stream_shard is not None
        table.items = deepcopy(self.items)
        table.stream_shard.items = list(self.records)
        for name, queue in sqs_backends[ACCOUNT_ID][REGION].queues.items():
            queue._messages = deepcopy(self.messages[name])
            queue._pending_messages = set()
        _campaigns().schedules = deepcopy(self.schedules)
        held = objects()
        for key in held.keys() - self.objects.keys():
            clients.s3().delete_object(Bucket=BUCKET, Key=key)
        for key, body in self.objects.items():
            if held.get(key) != body:
                clients.s3().put_object(Bucket=BUCKET, Key=key, Body=body)


def _campaigns() -> Any:
    return scheduler_backends[ACCOUNT_ID][REGION].schedule_groups["campaigns"]


def objects() -> dict[str, bytes]:
    """What the bucket holds, taken from moto itself: asking for it costs as much as a flow's call."""
    kept: Any = s3_backends[ACCOUNT_ID]["aws"].buckets[BUCKET].keys  # moto's types do not know its items
    return {key: own.value for key, own in kept.items()}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> AwsCalls:
    """What counts the calls to AWS, and spoils one."""
    # Each day summed is eight reads of the same kind; one stands for the seven.
    monkeypatch.setattr(metrics, "SETTLED_AT_ONCE", 1)
    standing = AwsCalls()
    standing.install(monkeypatch)
    return standing
