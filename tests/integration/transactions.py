"""Transactions on moto without a copy of the whole table.

Before it writes the first item of a transaction, moto copies every table the transaction writes to, with all its rows
and its whole stream, and does so once for each item: a transaction late in a test takes half a second. What a
transaction can change is the rows it names; this lets moto have those copied, once, and the rest as it is.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table

_Writes = Sequence[dict[str, dict[str, Any]]]


@contextmanager
def quick_transactions() -> Iterator[None]:
    """While it lasts, a transaction's cost depends on the transaction alone."""
    write = DynamoDBBackend.transact_write_items

    def write_quickly(backend: DynamoDBBackend, transact_items: _Writes) -> None:
        with ExitStack() as stack:
            for table in backend.tables.values():
                if table.has_range_key:
                    kept = _copied(table, transact_items)
                    # `copy.deepcopy` asks the object itself how it is to be copied.
                    stack.enter_context(patch.object(table, "__deepcopy__", lambda _, kept=kept: kept, create=True))
            write(backend, list(transact_items))

    with patch.object(DynamoDBBackend, "transact_write_items", write_quickly):
        yield


def _copied(table: Table, transact_items: _Writes) -> Table:
    """The table as it is now, whatever happens to the rows that are named."""
    kept = copy.copy(table)
    kept.items = defaultdict(dict, {partition: dict(rows) for partition, rows in table.items.items()})
    for own in transact_items:
        for write in own.values():
            key = write.get("Key") or write.get("Item") or {}
            if write.get("TableName") == table.name and {"pk", "sk"} <= key.keys():
                partition, sort = DynamoType(key["pk"]), DynamoType(key["sk"])
                if sort in kept.items.get(partition, {}):
                    kept.items[partition][sort] = copy.deepcopy(table.items[partition][sort])
    if table.stream_shard is not None:
        kept.stream_shard = copy.copy(table.stream_shard)
        kept.stream_shard.table = kept
        kept.stream_shard.items = list(table.stream_shard.items)
    return kept
