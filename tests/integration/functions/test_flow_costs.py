"""What each flow calls and what DynamoDB charges for it stays below its ceiling, and the ceilings stay close."""

import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from shared.providers import registry
from tests.bench import idle_sweep, units
from tests.bench.cold import PROJECT, a_stage
from tests.bench.flows import meter_of, played
from tests.integration.shop import Shop, stranger

CEILINGS = json.loads((Path(__file__).parents[2] / "bench" / "ceilings.json").read_text())


def test_no_flow_costs_more_than_its_ceiling_nor_the_ceiling_more_than_the_flow(shop: Shop) -> None:
    """A slip is seen where it is made; whoever makes a flow cheaper lowers its ceiling with it."""
    found = {name: bill.counted() for name, bill in played(shop)}

    assert found == CEILINGS["flows"]


def test_a_sweep_with_nothing_due_asks_the_same_however_many_checkouts_are_open(shop: Shop) -> None:
    few, many = idle_sweep.measured(shop, (5, 60))

    assert (few.moved, many.moved) == (0, 0)
    assert (few.rows, many.rows) == (0, 0), "an entry that is not due is not looked at"
    nothing_due = CEILINGS["flows"]["sweep with nothing due"]
    assert few.calls == many.calls == nothing_due["calls"]
    assert few.reads == many.reads == nothing_due["reads"]
    shop.wait(minutes=31)
    assert shop.sweep() == {"abandoned": 60}, "all of them were there"


def test_a_warm_webhook_calls_no_more_functions_of_ours_than_its_ceiling(shop: Shop) -> None:
    """What stands for its time where no clock can be trusted; whoever spares some lowers the ceiling with it."""
    shop.webhook(session="warms up", user=stranger(1))
    ours, called = (str(PROJECT / "shared"), str(PROJECT / "functions")), 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal called
        called += event == "call" and frame.f_code.co_filename.startswith(ours)

    sys.setprofile(count)
    try:
        status, _ = shop.webhook(session="warm", user=stranger(2))
    finally:
        sys.setprofile(None)

    assert status == 200
    ceiling = CEILINGS["calls of ours in a warm webhook"]
    assert ceiling * 0.95 < called <= ceiling


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ({"S": "Kochi ☕"}, 9),
        ({"N": "0"}, 2),
        ({"N": "1795264260000"}, 6),
        ({"N": "-12.50"}, 4),
        ({"B": b"12345"}, 5),
        ({"BOOL": False}, 1),
        ({"SS": ["a", "bc"]}, 3),
        ({"L": [{"S": "ab"}, {"NULL": True}]}, 8),
        ({"M": {"ab": {"S": "c"}}}, 7),
    ],
)
def test_a_row_is_as_large_as_dynamodb_says(typed: Any, size: int) -> None:
    assert units.size_of({"name": typed}) == 4 + size


def test_a_write_costs_its_table_and_every_index_whose_entry_changes(shop: Shop) -> None:
    """The worked example: one row comes, is moved in one index, and goes."""
    meter, client = meter_of(shop), shop.stores.table._client
    name = shop.stores.table.name
    row = {"pk": {"S": "a"}, "sk": {"S": "b"}, "dq": {"S": "q"}, "da": {"N": "1"}}
    key = {"pk": row["pk"], "sk": row["sk"]}
    with meter.of(client) as made:
        client.put_item(TableName=name, Item=row | {"text": {"S": "x" * 1_100}})
    with meter.of(client) as moved:
        client.update_item(
            TableName=name,
            Key=key,
            UpdateExpression="SET da = :at REMOVE #t",
            ExpressionAttributeNames={"#t": "text"},
            ExpressionAttributeValues={":at": {"N": "2"}},
        )
    with meter.of(client) as read:
        client.get_item(TableName=name, Key=key)
    with meter.of(client) as gone:
        client.transact_write_items(TransactItems=[{"Delete": {"TableName": name, "Key": key}}])

    assert (made.table_writes, made.index_writes) == (2, 1)
    assert (moved.table_writes, moved.index_writes) == (2, 2)
    assert read.reads == 0.5
    assert (gone.table_writes, gone.index_writes) == (2, 1), "a transaction doubles the row alone"


@pytest.mark.long
def test_the_stage_of_the_benchmarks_stands_and_has_something_to_ask_every_function_that_is_asked() -> None:
    with a_stage() as given:
        assert set(given["webhooks"]) == set(registry.names())
        assert set(given["requests"]) == {"merchant_api", "console", "reading"}
        assert all(event["requestContext"] for event in (*given["webhooks"].values(), *given["requests"].values()))
