"""Moto reads an expression once per text, and makes a plain update without a tree.

Reading, checking and rewriting expressions was a third of what the integration tests cost. A condition is read once per
text and names, and its values are put in when it is asked; an update whose every path is one ``#name`` is a list of
steps, made once per text. Whatever else an update has, and whatever moto would refuse, moto does itself, as it always
did: ``test_moto_expressions.py`` holds both side by side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple

from moto.dynamodb.models.dynamo_type import DynamoType

# Moto's types do not show what is replaced here.
models: Any = import_module("moto.dynamodb.models")
nodes: Any = import_module("moto.dynamodb.parsing.ast_nodes")
expressions: Any = import_module("moto.dynamodb.parsing.expressions")
comparisons: Any = import_module("moto.dynamodb.comparisons")

_TEXTS = 2048
_SETS = frozenset(("SS", "NS", "BS"))
_whole_updates: dict[int, Any] = {}
"""Trees as they were read, by identity: nobody changes these."""


def install() -> None:
    """From now on, for the life of the process; once."""
    _read_conditions_once(comparisons.ConditionExpressionParser)
    parser = expressions.UpdateExpressionParser
    _replace(parser, "make", lru_cache(_TEXTS)(partial(_made, parser.make)))
    _replace(nodes.Node, "find_clauses", _found_once(nodes.Node.find_clauses))
    _replace(models, "UpdateExpressionValidator", partial(_checked, models.UpdateExpressionValidator))
    _replace(models, "UpdateExpressionExecutor", partial(_executed, models.UpdateExpressionExecutor))


replaced: list[tuple[Any, str, Any]] = []
"""Where, under which name, and what stood there."""


def _replace(owner: Any, name: str, own: Any) -> None:
    replaced.append((owner, name, owner.__dict__[name]))
    setattr(owner, name, own)


def _found_once(find_clauses: Callable[[Any, Sequence[type]], list[Any]]) -> Callable[[Any, Sequence[type]], list[Any]]:
    @lru_cache(_TEXTS)
    def found(tree: Any, kinds: tuple[type, ...]) -> tuple[Any, ...]:
        return tuple(find_clauses(tree, kinds))

    def found_once(self: Any, kinds: Sequence[type]) -> list[Any]:
        return list(found(self, tuple(kinds))) if id(self) in _whole_updates else find_clauses(self, kinds)

    return found_once


def _made(make: Callable[[str], Any], text: str) -> Any:
    """The tree of an update; whoever changes it copies it first."""
    tree = make(text)
    _whole_updates[id(tree)] = tree
    return tree


class _Read(NamedTuple):
    """A condition as it was read: its tree, and the names and values it has."""

    tree: Any
    names: tuple[str, ...]
    values: tuple[str, ...]


def _read_conditions_once(parser: Any) -> None:
    make_operand = parser._make_operand

    class Reader(parser):  # type: ignore[misc]
        """Ends before the values matter: in place of a value stands its name."""

        def _lookup_expression_attribute_value(self, name: str) -> Any:
            super()._lookup_expression_attribute_value(name)
            return name

        def _make_op_condition(self, node: Any) -> Any:
            return node

    @lru_cache(_TEXTS)
    def read(text: str, names: tuple[tuple[str, str], ...] | None, values: frozenset[str] | None) -> _Read:
        reader = Reader(text, None if names is None else dict(names), None if values is None else dict.fromkeys(values))
        tree = reader.parse()
        return _Read(tree, tuple(reader.expr_attr_names_found), tuple(reader.expr_attr_values_found))

    parse = parser.parse

    def parsed(self: Any) -> Any:
        if not self.condition_expression or type(self) is not parser:
            return parse(self)
        names, values = self.expression_attribute_names, self.expression_attribute_values
        own = read(
            self.condition_expression,
            None if names is None else tuple(names.items()),
            None if values is None else frozenset(values),
        )
        self.expr_attr_names_found.extend(own.names)
        self.expr_attr_values_found.extend(own.values)
        return self._make_op_condition(own.tree)

    def operand(self: Any, node: Any) -> Any:
        if node.kind == self.Kind.EXPRESSION_ATTRIBUTE_VALUE:
            return comparisons.AttributeValue(self.expression_attribute_values[node.value])
        return make_operand(self, node)

    _replace(parser, "parse", parsed)
    _replace(parser, "_make_operand", operand)


@dataclass(frozen=True)
class _Step:
    """One action of a plain update. ``default`` is what ``if_not_exists`` has for want of ``read``."""

    kind: str
    target: str
    read: str | None = None
    default: str | None = None
    operator: str | None = None
    value: str | None = None


@lru_cache(_TEXTS)
def _steps(tree: Any) -> tuple[_Step, ...] | None:
    """What a tree does, in moto's order; None where it is not plain."""
    kinds = (nodes.UpdateExpressionSetClause, nodes.UpdateExpressionRemoveClause, nodes.UpdateExpressionAddClause)
    if any(len(tree.find_clauses([kind])) > 1 for kind in kinds):
        return None
    actions = (
        *(nodes.UpdateExpressionSetAction, nodes.UpdateExpressionRemoveAction),
        *(nodes.UpdateExpressionAddAction, nodes.UpdateExpressionDeleteAction),
    )
    steps = [_step(own) for own in tree.find_clauses(list(actions))]
    return None if None in steps else tuple(steps)  # type: ignore[arg-type]


def _step(action: Any) -> _Step | None:
    target = _name(action.children[0])
    if target is None:
        return None
    match action:
        case nodes.UpdateExpressionRemoveAction():
            return _Step("REMOVE", target)
        case nodes.UpdateExpressionAddAction():
            value = _value(action.children[1])
            return None if value is None else _Step("ADD", target, value=value)
        case nodes.UpdateExpressionSetAction():
            return _set_step(target, action.children[1].children)
        case _:
            return None


def _set_step(target: str, parts: Sequence[Any]) -> _Step | None:
    first, operator, value = parts[0], None, None
    if len(parts) == 3:
        operator, value = parts[1].get_operator(), _value(parts[2])
        if value is None:
            return None
    elif len(parts) != 1:
        return None
    elif (only := _value(first)) is not None:
        return _Step("SET", target, value=only)
    if (read := _name(first)) is not None:
        return _Step("SET", target, read, None, operator, value)
    if type(first) is nodes.UpdateExpressionFunction and first.get_function_name() == "if_not_exists":
        read, default = _name(first.get_nth_argument(1)), _value(first.get_nth_argument(2))
        if read is not None and default is not None:
            return _Step("SET", target, read, default, operator, value)
    return None


def _name(path: Any) -> str | None:
    if type(path) is nodes.UpdateExpressionPath and len(path.children) == 1:
        (own,) = path.children
        if type(own) is nodes.ExpressionAttributeName:
            return str(own.get_attribute_name_placeholder())
    return None


def _value(node: Any) -> str | None:
    return str(node.get_value_name()) if type(node) is nodes.ExpressionAttributeValue else None


class _Plain(list[tuple[str, str, Any]]):
    """What is to be done with an item: kind, attribute, value. Stands for the tree that moto checked."""

    def normalize(self) -> None:
        """Nothing: its order does not matter but for what is set, which stands as it was written."""


class _Checked:
    """An update of an item, plain, checked."""

    def __init__(self, found: _Plain) -> None:
        self._found = found

    def validate(self) -> _Plain:
        return self._found


class _NotPlain(Exception):
    """Moto is to do it, and to say what is wrong."""


def _checked(
    validator: Any,
    tree: Any,
    expression_attribute_names: Mapping[str, str] | None,
    expression_attribute_values: Mapping[str, Any] | None,
    item: Any,
    table: Any,
) -> Any:
    steps = _steps(tree) if id(tree) in _whole_updates else None
    if steps is not None:
        try:
            return _Checked(
                _plain(steps, expression_attribute_names or {}, expression_attribute_values or {}, item, table)
            )
        except _NotPlain:
            pass
    return validator(tree, expression_attribute_names, expression_attribute_values, item, table)


def _plain(
    steps: Sequence[_Step], names: Mapping[str, str], values: Mapping[str, Any], item: Any, table: Any
) -> _Plain:
    keys, attrs, targets = table.table_key_attrs, item.attrs, set()
    found = _Plain()

    def name(placeholder: str) -> str:
        own = names.get(placeholder)
        if own is None or own in keys:
            raise _NotPlain
        return own

    def value(placeholder: str) -> DynamoType:
        if placeholder not in values:
            raise _NotPlain
        return DynamoType(values[placeholder])

    for step in steps:
        target = name(step.target)
        targets.add(target)
        if step.kind == "REMOVE":
            found.append((step.kind, target, None))
        elif step.kind == "ADD":
            added = value(step.value or "")
            _can_be_added(attrs.get(target), added)
            found.append((step.kind, target, added))
        else:
            found.append((step.kind, target, _to_set(step, attrs, name, value)))
    if len(targets) < len(steps):
        raise _NotPlain
    return found


def _to_set(step: _Step, attrs: Mapping[str, Any], name: Callable[[str], str], value: Callable[[str], Any]) -> Any:
    if step.read is None:
        return value(step.value or "")
    held = attrs.get(name(step.read))
    otherwise = value(step.default) if step.default is not None else None
    own = otherwise if held is None else held
    if own is None:
        raise _NotPlain
    if step.operator is None:
        return own
    operand = value(step.value or "")
    if not own.type == operand.type == "N":
        raise _NotPlain
    return own + operand if step.operator == "+" else own - operand


def _can_be_added(held: Any, added: Any) -> None:
    if added.type not in _SETS | {"N"} or (added.type in _SETS and not added.value):
        raise _NotPlain
    if held is not None and held.type != added.type:
        raise _NotPlain


def _executed(executor: Any, checked: Any, item: Any, names: Mapping[str, str]) -> Any:
    return _Doing(checked, item) if type(checked) is _Plain else executor(checked, item, names)


@dataclass(frozen=True)
class _Doing:
    """What was found is done."""

    steps: _Plain
    item: Any

    def execute(self) -> None:
        attrs = self.item.attrs
        for kind, name, value in self.steps:
            if kind == "SET":
                attrs[name] = value
            elif kind == "REMOVE":
                attrs.pop(name, None)
            elif value.type == "N":
                attrs[name] = attrs.get(name, DynamoType({"N": "0"})) + value
            else:
                if name not in attrs:
                    attrs[name] = DynamoType({value.type: []})
                held = attrs[name].value
                held.extend(own for own in dict.fromkeys(value.value) if own not in held)
