"""JMESPath searches that end: each is paid for out of a budget, whatever the expression and the document.

A merchant writes the expression and a stranger may write the document. A few characters can double a value 28 times
over (``[@,@]|[@,@][]|…``), and what the language shares in memory is written out by ``to_string`` and compared part by
part by ``==``. So every node visited and every element or character that a function reads or makes costs something,
before it is read or made; and an expression whose cost grows with no bound that matters is refused when it is set.

Costs are counted, not timed: the same body under the same expression ends in the same way wherever it is evaluated.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jmespath.exceptions import JMESPathError  # type: ignore[import-untyped]  # jmespath ships no types
from jmespath.functions import Functions  # type: ignore[import-untyped]
from jmespath.parser import Parser  # type: ignore[import-untyped]
from jmespath.visitor import Options, TreeInterpreter  # type: ignore[import-untyped]

BUDGET = 200_000
"""What all searches over one document may cost: about 50,000 nodes, some 50 ms of one processor, 110 at the worst."""
VISIT = 4
"""What visiting a node costs, in elements copied or read."""
_CHARACTERS = 64
"""So many characters cost what one element does."""
DEEPEST = 100
"""Levels of an expression's tree. Each is two calls deep when it is evaluated."""
MOST_GROWTH = 10_000
"""How many times the size of the document an expression may cost at the worst, judged by its form alone."""

_NULL_OF_NULL = frozenset({"to_string", "to_array"})
"""Of what is not there the language makes the text ``null``, which would be one id for all payloads without any, and a
list that holds null."""

FAILURES = (JMESPathError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a search raises for values that the expression was not written for."""


class BudgetSpent(Exception):
    """The searches cost more than was given to them."""


class NotAnExpression(ValueError):
    """The text says why, for whoever wrote the expression."""


class Budget:
    """What is left to be spent."""

    __slots__ = ("left",)

    def __init__(self, given: int = BUDGET) -> None:
        """``given`` is all there is."""
        self.left = given

    def spend(self, cost: int) -> None:
        """Pay. Raises BudgetSpent."""
        self.left -= cost
        if self.left < 0:
            raise BudgetSpent

    def weigh(self, value: Any) -> None:
        """Pay for every part of ``value`` as often as it occurs, however much of it is one object. Raises as above."""
        pending = [value]
        while pending:
            part = pending.pop()
            self.read(part)
            if isinstance(part, list):
                pending.extend(part)
            elif isinstance(part, dict):
                pending.extend(part.values())

    def read(self, value: Any) -> None:
        """Pay for the elements or characters of ``value`` itself. Raises as above."""
        if isinstance(value, list | dict):
            self.spend(1 + len(value))
        else:
            self.spend(1 + len(value) // _CHARACTERS if isinstance(value, str) else 1)


class _Functions(Functions):  # type: ignore[misc]  # jmespath ships no types
    """The language's functions, each paid for before it runs and by what it makes."""

    def __init__(self, budget: Budget, *, absent_stays_absent: bool) -> None:
        self._budget = budget
        self._null_of_null = _NULL_OF_NULL if absent_stays_absent else frozenset()

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        if function_name in self._null_of_null and resolved_args == [None]:
            return None
        whole = function_name in {"to_string", "contains"}
        for argument in resolved_args:
            if whole:
                self._budget.weigh(argument)
            else:
                self._budget.read(argument)
        if function_name == "join":
            self._pay_for_joining(resolved_args)
        made = super().call_function(function_name, resolved_args)
        self._budget.read(made)
        return made

    def _pay_for_joining(self, arguments: list[Any]) -> None:
        match arguments:
            case [str(separator), list(parts)]:
                characters = len(separator) * len(parts) + sum(len(own) for own in parts if isinstance(own, str))
                self._budget.spend(characters // _CHARACTERS)


class Search(TreeInterpreter):  # type: ignore[misc]  # jmespath ships no types
    """The library's interpreter, paying as it goes. One per document."""

    def __init__(self, budget: Budget, *, absent_stays_absent: bool = False) -> None:
        """``budget`` is shared by all searches over one document.

        ``absent_stays_absent``: of what is not there ``to_string`` and ``to_array`` make nothing, unlike JMESPath's.
        """
        super().__init__(Options(custom_functions=_Functions(budget, absent_stays_absent=absent_stays_absent)))
        self._budget = budget

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        """One node. Raises BudgetSpent, and FAILURES for values that do not fit."""
        self._budget.spend(VISIT)
        return super().visit(node, *args, **kwargs)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        """Both sides are read whole; the library would compare shared parts as often as they occur."""
        left, right = (self.visit(child, value) for child in node["children"])
        if type(left) is type(right):
            self._budget.weigh(left)
            self._budget.weigh(right)
        literals = [{"type": "literal", "children": [], "value": own} for own in (left, right)]
        return super().visit_comparator({**node, "children": literals}, value)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """As the library's, but each list is paid for before it is copied."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        merged: list[Any] = []
        for element in base:
            if isinstance(element, list):
                self._budget.read(element)
                merged.extend(element)
            else:
                merged.append(element)
        self._budget.read(base)
        return merged

    def visit_slice(self, node: Any, value: Any) -> Any:
        """A copy."""
        self._budget.read(value)
        return super().visit_slice(node, value)


def with_doubles(value: Any, budget: Budget) -> Any:
    """``value`` with every exact decimal as a double: the language's functions know no other. Raises BudgetSpent."""
    budget.spend(1)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: with_doubles(part, budget) for name, part in value.items()}
    return [with_doubles(part, budget) for part in value] if isinstance(value, list) else value


def parsed(expression: str) -> Any:
    """The syntax tree of an expression that may be used. Raises NotAnExpression."""
    parser = Parser()
    try:
        tree = parser.parse(expression).parsed
    except JMESPathError as wrong:
        raise NotAnExpression(f"not a JMESPath expression: {str(wrong).splitlines()[0]}") from wrong
    except RecursionError as deep:
        raise NotAnExpression("nested too deeply") from deep
    finally:
        parser.purge()  # the library would keep 512 trees, whatever their size
    if _depth(tree) > DEEPEST:
        raise NotAnExpression(f"nested more than {DEEPEST} levels")
    if _cost(tree).cost > MOST_GROWTH:
        raise NotAnExpression(f"may take more than {MOST_GROWTH:,} times the size of its input to evaluate")
    for node, _ in _nodes(tree):
        if node["type"] == "function_expression":
            _check_call(node["value"], node["children"])
    return tree


def _check_call(name: str, arguments: list[Any]) -> None:
    """Refuse a call that fails whatever the document. Raises NotAnExpression."""
    known: Mapping[str, Any] = Functions.FUNCTION_TABLE
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known), n=1)
        raise NotAnExpression(f"there is no function {name[:40]}" + (f"; did you mean {near[0]}?" if near else ""))
    signature = known[name]["signature"]
    variadic = bool(signature[-1].get("variadic"))
    if len(arguments) < len(signature) or (len(arguments) > len(signature) and not variadic):
        wanted = f"{len(signature)}{' or more' if variadic else ''}"
        raise NotAnExpression(f"the function {name} takes {wanted} arguments, not {len(arguments)}")
    for at, (own, argument) in enumerate(zip(signature, arguments, strict=False), 1):
        if own.get("types") == ["expref"] and argument["type"] != "expref":
            raise NotAnExpression(f"argument {at} of the function {name} is an expression, such as &name")


def calls_functions(tree: Any) -> bool:
    """Whether the expression calls any function."""
    return any(node["type"] == "function_expression" for node, _ in _nodes(tree))


def _depth(tree: Any) -> int:
    return max(level for _, level in _nodes(tree))


def _nodes(tree: Any) -> Iterator[tuple[Any, int]]:
    """Every node with its level, without recursion: what is deep is not known yet."""
    pending = [(tree, 1)]
    while pending:
        node, level = pending.pop()
        if isinstance(node, dict):
            yield node, level
            pending.extend((child, level + 1) for child in node.get("children", ()))


@dataclass(frozen=True, slots=True)
class _Worst:
    """The worst case of a node, in times the size of its input: what it makes, and what making it costs."""

    size: int = 1
    cost: int = 1

    def then(self, *after: "_Worst") -> "_Worst":
        """This, and what comes ``after`` over all that it made."""
        size, cost = self.size, self.cost
        for own in after:
            size, cost = size * own.size, cost + size * own.cost
        return _Worst(size, cost)


def _cost(node: Any) -> _Worst:
    """The worst case of a node's form. Grows exponentially only where evaluating may, and is cut off far above."""
    kind = node["type"]
    if kind == "literal":
        return _Worst()
    own = [_cost(child) for child in node.get("children", ()) if isinstance(child, dict)]
    if not own:
        return _Worst()
    first, *rest = own
    together = sum(part.cost for part in own) + 1
    match kind:
        case "subexpression" | "pipe" | "index_expression" | "projection" | "value_projection":
            return first.then(*rest)
        case "filter_projection":
            kept, condition = rest
            return first.then(_Worst(kept.size, kept.cost + condition.cost))
        case "multi_select_list" | "multi_select_dict":
            return _Worst(sum(part.size for part in own) + 1, together)
        case "or_expression" | "and_expression":
            return _Worst(max(part.size for part in own), together)
        case "comparator" | "not_expression":
            return _Worst(1, together + sum(part.size for part in own))
        case "function_expression":
            return _called(own, together)
        case _:
            return _Worst(first.size, together)


def _called(arguments: list[_Worst], together: int) -> _Worst:
    """Any function, as if it were the dearest: ``map`` and ``join`` go over each argument for every part of another."""
    product, total = math.prod(own.size for own in arguments), sum(own.size for own in arguments)
    return _Worst(max(product, total), together + total + sum(own.cost * product // own.size for own in arguments))
