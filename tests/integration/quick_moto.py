"""Moto without the detours that cost most of the tests' time; what it answers stays the same.

Moto looks up an operation by inspecting its whole class at every call, counts an update's clauses once per clause
instead of once, asks at each node of an expression which nodes it looks for, copies a table with its stream at
every transaction, to be able to go back, looks for each of an attribute's ten possible types under five spellings,
works out the spellings of each member's name at each answer, copies an update's tree node by node, measures a whole
item at each attribute that is set, asks its copies of attributes through the copy module, spells out a queue's fifteen
attributes whenever one is asked for, sorts all of a table to find the rows of one partition and measures each of them,
whatever its sort key, lists the keys of all indexes index by index at each attribute that is written, takes a lock to
find an account that is there, at each request loads a service's module of addresses to write them down anew, and keeps
everything it ever made for a dashboard. What it does with the texts of expressions, ``moto_expressions.py`` does
instead, what with single attributes, ``moto_attributes.py``.
"""

import copy
import pickle
import threading
from bisect import bisect_left
from functools import cache, lru_cache, wraps
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

from tests.integration import moto_attributes, moto_expressions

# Moto's types do not show what is replaced here.
backends: Any = import_module("moto.backends")
base_backend: Any = import_module("moto.core.base_backend")
common_models: Any = import_module("moto.core.common_models")
responses: Any = import_module("moto.core.responses")
serialize: Any = import_module("moto.core.serialize")
models: Any = import_module("moto.dynamodb.models")
validators: Any = import_module("moto.dynamodb.parsing.validators")
ast_nodes: Any = import_module("moto.dynamodb.parsing.ast_nodes")
dynamo_type: Any = import_module("moto.dynamodb.models.dynamo_type")
queues: Any = import_module("moto.sqs.models")

_going_back = threading.local()
_asked = threading.local()


def install() -> None:
    """Replace the detours, for the life of the process."""
    if getattr(models.copy, "quick", False):
        return
    backends.get_backend = cache(backends.get_backend)
    common_models.BaseModel.__new__ = lambda cls, *_, **__: object.__new__(cls)  # without the list of all of its class
    base_backend.BackendDict.__getitem__ = _found_again(base_backend.BackendDict.__getitem__)
    base_backend.BaseBackend.urls = property(_addresses_once(base_backend.BaseBackend.urls.fget))
    responses.method_names_from_class = cache(responses.method_names_from_class)
    queues.camelcase_to_underscores = cache(queues.camelcase_to_underscores)
    _look_at_clauses_once()
    validators.deepcopy = _tree_copied
    dynamo_type.DynamoType.__deepcopy__ = lambda self, _: _twin(self)
    dynamo_type.LimitedSizeDict.__setitem__ = _set_within_the_limit(dynamo_type.LimitedSizeDict.__setitem__)
    ast_nodes.DepthFirstTraverser.traverse = _traversed
    moto_expressions.install()
    moto_attributes.install()
    json_serializer = serialize.BaseJSONSerializer
    json_serializer._serialize_type_structure = _attribute_as_it_is(json_serializer._serialize_type_structure)
    for picker in (serialize.AttributePicker, serialize.XFormedAttributePicker):
        picker.get_possible_keys = _keys_once(picker.get_possible_keys)
    models.copy = SimpleNamespace(copy=copy.copy, deepcopy=_copied, quick=True)
    dynamo_type.Item.size = _once_per_query(dynamo_type.Item.size)
    Table.attribute_keys = property(_keys_of_all_indexes)  # type: ignore[assignment,method-assign]
    Table.query = _narrowed(Table.query)  # type: ignore[method-assign]
    Table.all_items = _only_asked_for(Table.all_items)  # type: ignore[method-assign]
    DynamoDBBackend.transact_write_items = _transacted(DynamoDBBackend.transact_write_items)  # type: ignore[method-assign]


def _addresses_once(urls: Any) -> Any:
    """Of one service always the same: the variables that would change them no test sets."""
    known: dict[type, dict[str, Any]] = {}

    @wraps(urls)
    def found(self: Any) -> dict[str, Any]:
        own = known.get(type(self))
        if own is None:
            own = known[type(self)] = urls(self)
        return own

    return found


def _found_again(account: Any) -> Any:
    """A service's account, without a lock and a list of all there are to see whether it is there."""

    @wraps(account)
    def found(self: dict[str, Any], account_id: str) -> Any:
        known = self.get(account_id)
        return account(self, account_id) if known is None else known

    return found


def _keys_of_all_indexes(self: Table) -> list[str]:
    """As moto's, which is asked of each attribute that is written, without a list for each index."""
    indexes = (*self.indexes, *self.global_indexes)
    return [*self.table_key_attrs, *(own["AttributeName"] for index in indexes for own in index.schema)]


def _look_at_clauses_once() -> None:
    """At the root, which has all of them: what stands further down is part of it."""
    count, overlap = validators.ActionCountValidator, validators.OverlappingPathsValidator
    count.traverse = lambda self, root: self.verify_action_counts(root)
    overlap.traverse = lambda self, root: self.check_for_overlapping_paths(root)


@lru_cache(maxsize=512)
def _pickled(tree: Any) -> bytes:
    return pickle.dumps(tree)


def _tree_copied(tree: Any) -> Any:
    """A copy of an update's tree, which is asked for as often as the update is made; of a list as it is elsewhere."""
    if not _is_node(type(tree)):
        return copy.deepcopy(tree)
    return pickle.loads(_pickled(tree))  # noqa: S301 - what was written here


def _twin(attribute: Any) -> Any:
    made = object.__new__(type(attribute))
    value = attribute.value
    made.type = attribute.type
    if type(value) is dict:
        made.value = {name: _copied(held) for name, held in value.items()}
    elif type(value) is list:
        made.value = [_copied(held) for held in value]
    else:
        made.value = value if type(value) in (str, bool, bytes) else copy.deepcopy(value)
    return made


def _set_within_the_limit(measured: Any) -> Any:
    """An item is measured where it may be too large: ``at_most`` is never less than what is held."""

    def set_item(self: Any, name: str, value: Any) -> None:
        self.at_most = getattr(self, "at_most", 0 if not self else _FAR) + _at_most(name, value)
        if self.at_most < _FAR:
            dict.__setitem__(self, name, value)
        else:
            measured(self, name, value)
            self.at_most = sum(_at_most(held, value) for held, value in self.items())

    return set_item


def _at_most(name: str, value: Any) -> int:
    """In bytes, a character taking no more than four."""
    held: int = value.size() if type(value) is dynamo_type.DynamoType else 4 * len(str(value))
    return 4 * len(name) + held


_FAR = 100_000
"""A quarter of what an item may be."""


@cache
def _looks_at_children(traverser: Any) -> bool:
    return traverser.pre_processing_of_child is not ast_nodes.DepthFirstTraverser.pre_processing_of_child


_IN_A_PATH: tuple[type, ...] = (
    *(ast_nodes.ExpressionAttribute, ast_nodes.ExpressionAttributeName),
    *(ast_nodes.ExpressionPathDescender, ast_nodes.ExpressionSelector),
)


class _Wanted(dict[type, type | None]):
    """Under which of a traverser's kinds a class's nodes are processed. Asking is slow: moto's classes are abstract."""

    def __init__(self, kinds: tuple[type, ...]) -> None:
        super().__init__()
        self._kinds = kinds
        self.in_paths = any(issubclass(own, kinds) for own in _IN_A_PATH)

    def __missing__(self, node: type) -> type | None:
        found = self[node] = next((own for own in self._kinds if issubclass(node, own)), None)
        return found


_wanted = cache(_Wanted)


@cache
def _is_node(found: type) -> bool:
    return issubclass(found, ast_nodes.Node)


@cache
def _has_nodes_below(node: type) -> bool:
    return not issubclass(node, ast_nodes.LeafNode)


def _traversed(self: Any, root: Any) -> Any:
    """As moto's, asking once per class, not once per node, what is to be processed, and going where it can stand."""
    processors = self._processing_map()
    wanted = _wanted(tuple(processors))
    before_child = self.pre_processing_of_child if _looks_at_children(type(self)) else None
    closed = None if wanted.in_paths else ast_nodes.UpdateExpressionPath

    def visited(node: Any, child_id: int = -1) -> Any:
        own, parent = type(node), node.parent
        if own is not closed and _has_nodes_below(own):
            for at, child in enumerate(node.children or ()):
                if before_child is not None:
                    before_child(node, at)
                if _is_node(type(child)):
                    visited(child, at)
        if (kind := wanted[own]) is not None:
            node = processors[kind](node)
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


def _keys_once(possible_keys: Any) -> Any:
    """Under which names a member may be held: of a plain dictionary always the same."""
    known: dict[Any, tuple[str, ...]] = {}

    @wraps(possible_keys)
    def found(self: Any, context: Any) -> Any:
        if type(context.obj) is not dict:
            return possible_keys(self, context)
        shape = context.shape
        asked = (type(self), *self.alias_providers, context.key, shape, getattr(shape, "parent", None))
        keys = known.get(asked)
        if keys is None:
            keys = known[asked] = tuple(possible_keys(self, context))
        return keys

    return found


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
        _asked.beginning = _beginning(*args, **kwargs) if own else None
        _asked.sizes = {}
        try:
            return query(self, hash_key, *args, **kwargs)
        finally:
            _asked.partition = _asked.beginning = _asked.sizes = None

    return queried


def _beginning(comparison: str | None, values: Any, *args: Any, **_: Any) -> str | None:
    """What the sort keys of a table's own rows begin with, where that is what a query asks for."""
    index = args[4] if len(args) > 4 else None
    if comparison != "BEGINS_WITH" or index is not None or values[0].type != "S":
        return None
    return str(values[0].value)


def _once_per_query(size: Any) -> Any:
    """A query asks of each item twice how large it is, and changes none; of few small ones it does not matter."""

    @wraps(size)
    def sized(self: Any) -> Any:
        known = getattr(_asked, "sizes", None)
        if known is None:
            return size(self)
        if known is _SMALL:
            return 0
        found = known.get(id(self))
        if found is None:
            found = known[id(self)] = size(self)
        return found

    return sized


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
            kept = [own for partition in self.items.values() for own in partition.values()]
            for name, value in conditions:
                kept = [own for own in kept if name in own.attrs and _same(own.attrs[name], value)]
        kept.sort(key=lambda own: (own.hash_key.value, own.range_key.value))
        if _asked.beginning is not None:
            kept = _with_neighbours(kept, _asked.beginning)
        if sum(getattr(own.attrs, "at_most", _FAR) for own in kept) < _A_PAGE:
            _asked.sizes = _SMALL
        return kept

    return found


_A_PAGE = 250_000
"""A quarter of what moto answers at once, so that it is one whatever parts of maps have grown meanwhile."""
_SMALL: Any = object()
"""In place of the sizes of items that are a page together."""


def _with_neighbours(rows: list[Any], beginning: str) -> list[Any]:
    """Of a partition's rows those that begin so, and the next on either side: moto goes on until it finds another."""
    keys = [own.range_key.value for own in rows]
    first = last = bisect_left(keys, beginning)
    while last < len(keys) and keys[last].startswith(beginning):
        last += 1
    return rows[max(first - 1, 0) : last + 1]


def _same(held: Any, asked: Any) -> bool:
    return bool(held.value == asked.value and held.type == asked.type)


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
