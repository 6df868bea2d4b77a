"""What a sweep calls, reads and looks at where nothing is due, however many checkouts are open.

On moto, whose table is filled past its calls: a hundred thousand writes would take minutes and say nothing.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from shared.aws import clients
from shared.domain.ids import digest, digest_text
from shared.store import keys
from tests.bench.flows import meter_of
from tests.integration import conftest
from tests.integration.conftest import environment_of, open_account
from tests.integration.shop import Shop, open_shop

OPEN = (1_000, 100_000)


@dataclass(frozen=True, slots=True)
class Idle:
    """One sweep beside so many open checkouts; ``rows``: index entries that its queries looked at."""

    still_open: int
    calls: dict[str, int]
    reads: float
    rows: int
    moved: int


def measured(shop: Shop, counts: Sequence[int] = OPEN) -> Iterator[Idle]:
    """A sweep for each count, the table filled up in between."""
    status, answer = shop.webhook(session="the first of many")
    assert status == 200, answer
    table = meter_of(shop).table
    (first,) = (row for parts in table.items.values() for row in parts.values() if row.range_key.value == "C")
    shards, made = shop.stores.environment.due_shards, 1
    for count in counts:
        for number in range(made, count):
            _put(table, first, number, shards)
        made = count
        looked: list[int] = []

        def look(parsed: dict[str, Any], looked: list[int] = looked, **_: Any) -> None:
            looked.append(parsed["ScannedCount"])

        client = clients.dynamodb()
        client.meta.events.register("after-call.dynamodb.Query", look)
        try:
            with meter_of(shop).of(client) as bill:
                moved = shop.sweep()
        finally:
            client.meta.events.unregister("after-call.dynamodb.Query", look)
        yield Idle(count, dict(bill.calls), bill.reads, sum(looked), sum(moved.values()))


def _put(table: Any, first: Any, number: int, shards: int) -> None:
    """The checkout once more under another name, due in its own shard."""
    name = digest_text(digest("open", str(number))[:16])
    row = copy.copy(first.attrs) | {
        "pk": DynamoType({"S": keys.checkout(name)[0]}),
        "dq": DynamoType({"S": keys.due_queue(keys.CHECKOUT_KIND, name, shards)}),
    }
    item = Item(row["pk"], first.range_key, {})
    item.attrs = row
    table.items[row["pk"]][first.range_key] = item


@contextmanager
def _a_shop() -> Iterator[Shop]:
    with open_account() as (_, stage), pytest.MonkeyPatch.context() as patch:
        conftest.no_real_aws(patch)
        environment = environment_of(stage)
        for name, value in (environment | {"POWERTOOLS_LOG_LEVEL": "CRITICAL"}).items():
            patch.setenv(name, value)
        yield from open_shop(environment)


def measured_anew() -> list[Idle]:
    """Each count, on an account of its own."""
    with _a_shop() as shop:
        return list(measured(shop))
