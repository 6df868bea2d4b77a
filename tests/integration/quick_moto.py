"""Moto without four detours that cost most of the tests' time; what it answers stays the same.

Moto looks up an operation by inspecting its whole class at every call, counts an update's clauses once per clause
instead of once, asks at each node of an expression which nodes it looks for, and copies a table with its stream at
every transaction, to be able to go back.
"""

import copy
import threading
from functools import cache, wraps
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

# Moto's types do not show what is replaced here.
responses: Any = import_module("moto.core.responses")
models: Any = import_module("moto.dynamodb.models")
validators: Any = import_module("moto.dynamodb.parsing.validators")
ast_nodes: Any = import_module("moto.dynamodb.parsing.ast_nodes")

_going_back = threading.local()


def install() -> None:
    """Replace the detours, for the life of the process."""
    if getattr(models.copy, "quick", False):
        return
    responses.method_names_from_class = cache(responses.method_names_from_class)
    _count_clauses_once()
    ast_nodes.DepthFirstTraverser.traverse = _traversed
    models.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied, quick=True)
    DynamoDBBackend.transact_write_items = _transacted(DynamoDBBackend.transact_write_items)  # type: ignore[method-assign]


def _count_clauses_once() -> None:
    verify = validators.ActionCountValidator.verify_action_counts

    def at_the_root(self: Any, node: Any) -> Any:
        return node if isinstance(node.parent, validators.UpdateExpression) else verify(self, node)

    validators.ActionCountValidator.verify_action_counts = at_the_root


def _traversed(self: Any, root: Any) -> Any:
    """As moto's, asking once per expression, not once per node, what is to be processed."""
    wanted = self.nodes_to_be_processed()

    def visited(node: Any, child_id: int = -1) -> Any:
        parent = node.parent
        for at, child in enumerate(node.children or ()):
            self.pre_processing_of_child(node, at)
            if isinstance(child, ast_nodes.Node):
                visited(child, at)
        if isinstance(node, wanted):
            node = self.process(node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
        return node

    return visited(root)


def _copied(value: Any, memo: Any = None) -> Any:
    """A deep copy, but of a table that is about to be transacted: what it may lose is kept item by item."""
    if isinstance(value, Table) and getattr(_going_back, "is_kept", False):
        return value
    return copy.deepcopy(value, memo)


def _transacted(transact: Any) -> Any:
    @wraps(transact)
    def write(self: DynamoDBBackend, transact_items: list[dict[str, Any]]) -> None:
        kept = [_kept(self, operation) for entry in transact_items for operation in entry.values()]
        lengths = {id(table): (table, len(_records(table))) for table, *_ in kept}
        _going_back.is_kept = True
        try:
            transact(self, transact_items)
        except BaseException:
            for table, hash_key, range_key, item in kept:
                if item is None:
                    table.items[hash_key].pop(range_key, None)
                else:
                    table.items[hash_key][range_key] = item
            for table, length in lengths.values():
                del _records(table)[length:]
            raise
        finally:
            _going_back.is_kept = False

    return write


def _kept(backend: DynamoDBBackend, operation: dict[str, Any]) -> Any:
    table = backend.get_table(operation["TableName"])
    given = operation.get("Key") or operation["Item"]
    keys = {name: given[name] for name in (table.hash_key_attr, table.range_key_attr) if name}
    hash_key, range_key = backend.get_keys_value(table, keys)
    return table, hash_key, range_key, copy.deepcopy(table.get_item(hash_key, range_key))


def _records(table: Table) -> list[Any]:
    return [] if table.stream_shard is None else table.stream_shard.items
