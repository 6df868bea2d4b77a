"""Moto without seven detours that cost most of the tests' time; what it answers stays the same.

Moto looks up an operation by inspecting its whole class at every call, counts an update's clauses once per clause
instead of once, asks at each node of an expression which nodes it looks for, copies a table with its stream at
every transaction, to be able to go back, looks for each of an attribute's ten possible types under five spellings,
parses an update's expression anew wherever it needs it, and sorts all of a table to find the rows of one partition.
"""

import copy
import threading
from functools import cache, lru_cache, wraps
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

# Moto's types do not show what is replaced here.
responses: Any = import_module("moto.core.responses")
serialize: Any = import_module("moto.core.serialize")
models: Any = import_module("moto.dynamodb.models")
validators: Any = import_module("moto.dynamodb.parsing.validators")
expressions: Any = import_module("moto.dynamodb.parsing.expressions")
ast_nodes: Any = import_module("moto.dynamodb.parsing.ast_nodes")

_going_back = threading.local()
_asked = threading.local()


def install() -> None:
    """Replace the detours, for the life of the process."""
    if getattr(models.copy, "quick", False):
        return
    responses.method_names_from_class = cache(responses.method_names_from_class)
    _count_clauses_once()
    ast_nodes.DepthFirstTraverser.traverse = _traversed
    update_parser = expressions.UpdateExpressionParser
    update_parser.make = lru_cache(maxsize=512)(update_parser.make)  # whoever changes the tree copies it first
    json_serializer = serialize.BaseJSONSerializer
    json_serializer._serialize_type_structure = _attribute_as_it_is(json_serializer._serialize_type_structure)
    models.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied, quick=True)
    Table.query = _narrowed(Table.query)  # type: ignore[method-assign]
    Table.all_items = _only_asked_for(Table.all_items)  # type: ignore[method-assign]
    DynamoDBBackend.transact_write_items = _transacted(DynamoDBBackend.transact_write_items)  # type: ignore[method-assign]


def _count_clauses_once() -> None:
    verify = validators.ActionCountValidator.verify_action_counts

    def at_the_root(self: Any, node: Any) -> Any:
        return node if isinstance(node.parent, validators.UpdateExpression) else verify(self, node)

    validators.ActionCountValidator.verify_action_counts = at_the_root


_is_a: Any = cache(issubclass)
"""Asking is slow for moto's nodes: their classes are abstract."""


def _traversed(self: Any, root: Any) -> Any:
    """As moto's, asking once per expression, not once per node, what is to be processed."""
    wanted = self.nodes_to_be_processed()

    def visited(node: Any, child_id: int = -1) -> Any:
        parent = node.parent
        for at, child in enumerate(node.children or ()):
            self.pre_processing_of_child(node, at)
            if _is_a(type(child), ast_nodes.Node):
                visited(child, at)
        if _is_a(type(node), wanted):
            node = self.process(node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
        return node

    return visited(root)


def _attribute_as_it_is(serialize_structure: Any) -> Any:
    """An attribute is held as it is answered, as ``{type: value}``: there is one place to look."""

    @wraps(serialize_structure)
    def serialized(self: Any, answer: Any, value: Any, shape: Any, key: str) -> None:
        is_attribute = shape.name == "AttributeValue" and type(value) is dict and value.keys() <= shape.members.keys()
        if not is_attribute or not key:
            serialize_structure(self, answer, value, shape, key)
            return
        attribute: dict[str, Any] = {}
        for kind, held in value.items():
            if held is not None:
                self._serialize(attribute, held, shape.members[kind], kind)
        self._default_serialize(answer, attribute, shape, key)

    return serialized


def _copied(value: Any, memo: Any = None) -> Any:
    """A deep copy, but of a table that is about to be transacted: what it may lose is kept item by item."""
    if isinstance(value, Table) and getattr(_going_back, "is_kept", False):
        return value
    return copy.deepcopy(value, memo)


def _narrowed(query: Any) -> Any:
    """A query says of what partition, before moto goes through the rows."""

    @wraps(query)
    def queried(self: Table, hash_key: Any, *args: Any, **kwargs: Any) -> Any:
        conditions = kwargs.get("hash_key_conditions") or ()
        own = bool(hash_key) and all(name == self.hash_key_attr for name, _ in conditions)
        _asked.partition = (hash_key if own else None, conditions) if own or conditions else None
        try:
            return query(self, hash_key, *args, **kwargs)
        finally:
            _asked.partition = None

    return queried


def _only_asked_for(all_items: Any) -> Any:
    """Rows in moto's order, but of the partition alone that is asked for; moto still looks at each of them itself."""

    @wraps(all_items)
    def found(self: Table) -> list[Any]:
        if getattr(_asked, "partition", None) is None:
            return all_items(self)  # type: ignore[no-any-return]
        hash_key, conditions = _asked.partition
        if hash_key is not None:
            kept = list(self.items.get(hash_key, {}).values())
        else:
            kept = [
                own
                for partition in self.items.values()
                for own in partition.values()
                if all(_same(own.attrs.get(name), value) for name, value in conditions)
            ]
        kept.sort(key=lambda own: (own.hash_key.value, own.range_key.value))
        return kept

    return found


def _same(held: Any, asked: Any) -> bool:
    return held is not None and held.value == asked.value and held.type == asked.type


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
