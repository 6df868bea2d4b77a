"""A sweep costs what is due, never what is open. Emulators scan, so calls and examined rows are counted, not time."""

import os
from collections import Counter
from typing import Any

import pytest

from shared.aws import clients
from shared.domain.instants import to_ms
from tests.integration.conftest import DUE_SHARDS
from tests.integration.shop import Shop, stranger

pytestmark = pytest.mark.long

OPEN = int(os.environ.get("SWEEP_OPEN", "2000"))
DUE = int(os.environ.get("SWEEP_DUE", "60"))
"""Larger by hand: SWEEP_OPEN=100000 SWEEP_DUE=10000 pytest tests/integration/workflows/recovery/test_sweep_cost.py"""


def open_checkouts(shop: Shop, count: int, first: int) -> None:
    """So many open checkouts whose deadlines lie ahead, as the due index sees them."""
    ahead = to_ms(shop.now) + 86_400_000
    requests = [
        {
            "PutRequest": {
                "Item": {
                    "pk": {"S": f"C#{number:026d}"},
                    "sk": {"S": "C"},
                    "dq": {"S": f"C{number % DUE_SHARDS}"},
                    "da": {"N": str(ahead + number)},
                }
            }
        }
        for number in range(first, first + count)
    ]
    for start in range(0, count, 25):
        clients.dynamodb().batch_write_item(RequestItems={shop.table.name: requests[start : start + 25]})  # type: ignore[dict-item]  # one literal shape for all


def cost_of_a_sweep(shop: Shop) -> tuple[Counter[str], int]:
    """Calls by operation, and rows examined by queries."""
    calls: Counter[str] = Counter()
    examined = [0]

    def answered(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        calls[model.name] += 1
        examined[0] += parsed.get("ScannedCount", 0)

    events = clients.dynamodb().meta.events
    events.register("after-call.dynamodb.*", answered)
    try:
        shop.sweep()
    finally:
        events.unregister("after-call.dynamodb.*", answered)
    return calls, examined[0]


def test_a_sweep_with_nothing_due_costs_the_same_however_many_checkouts_are_open(shop: Shop) -> None:
    open_checkouts(shop, 40, 0)
    few = cost_of_a_sweep(shop)
    open_checkouts(shop, OPEN, 40)
    many = cost_of_a_sweep(shop)
    assert few == many
    assert many == (Counter({"Query": 3 * DUE_SHARDS}), 0)


def test_what_is_due_in_one_minute_is_moved_once_however_often_it_is_swept(shop: Shop) -> None:
    count = DUE
    for number in range(count):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    first, second = shop.sweep(), shop.sweep()
    assert first == {"abandoned": count}
    assert second == {}
    marked = [own for own in shop.stream() if own["dynamodb"]["NewImage"]["te"]["S"] == "abandoned"]
    assert len(marked) == count
