"""Conditions on rows, written as boto3 writes them: ``Attr("s").eq("open") & Attr("ttl").not_exists()``.

The words and what they make are those of ``boto3.dynamodb.conditions`` (a property test compares them), typed, and
without what importing boto3 brings along: 114 modules, a fifth of a cold start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_COMPARING = frozenset(("=", "<>", "<", "<=", ">", ">="))
_JOINING = frozenset(("AND", "OR"))


@dataclass(frozen=True, slots=True)
class Condition:
    """``operator`` as DynamoDB spells it, over ``parts``: conditions, or an attribute and the values it meets."""

    operator: str
    parts: tuple[Any, ...]

    def __and__(self, other: "Condition") -> "Condition":
        """Both hold."""
        return Condition("AND", (self, other))

    def __or__(self, other: "Condition") -> "Condition":
        """One of them holds."""
        return Condition("OR", (self, other))

    def __invert__(self) -> "Condition":
        """It does not hold."""
        return Condition("NOT", (self,))


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute of a key: what a query may ask of it. A name is taken as it is: it leads to no inner attribute."""

    name: str

    def eq(self, value: Any) -> Condition:
        """It is the value."""
        return Condition("=", (self, value))

    def lt(self, value: Any) -> Condition:
        """It is below the value."""
        return Condition("<", (self, value))

    def lte(self, value: Any) -> Condition:
        """It is the value or below."""
        return Condition("<=", (self, value))

    def gt(self, value: Any) -> Condition:
        """It is above the value."""
        return Condition(">", (self, value))

    def gte(self, value: Any) -> Condition:
        """It is the value or above."""
        return Condition(">=", (self, value))

    def begins_with(self, value: str) -> Condition:
        """It is a text that begins so."""
        return Condition("begins_with", (self, value))

    def between(self, low: Any, high: Any) -> Condition:
        """It lies between both, or is one of them."""
        return Condition("BETWEEN", (self, low, high))


class Attr(Key):
    """Any attribute: what a write or a filter may ask of it."""

    __slots__ = ()

    def ne(self, value: Any) -> Condition:
        """It is not the value, or is not there."""
        return Condition("<>", (self, value))

    def is_in(self, values: Iterable[Any]) -> Condition:
        """It is one of the values."""
        return Condition("IN", (self, *values))

    def exists(self) -> Condition:
        """It is there."""
        return Condition("attribute_exists", (self,))

    def not_exists(self) -> Condition:
        """It is not there."""
        return Condition("attribute_not_exists", (self,))

    def contains(self, value: Any) -> Condition:
        """It is a list, a set or a text that holds the value."""
        return Condition("contains", (self, value))

    def size(self) -> "Size":
        """How much it holds: members of a set, list or map, bytes of a text."""
        return Size(self.name)


def none_of(names: Iterable[str]) -> Condition:
    """None of the attributes is there: one flat condition, where as many as a checkout has would nest deeply."""
    return Condition("NONE", tuple(Attr(own) for own in names))


class Size(Key):
    """How much an attribute holds, to be compared as it is itself."""

    __slots__ = ()


class Expressions:
    """Conditions as texts, with the names and values that stand in them by placeholder."""

    def __init__(self) -> None:
        """Nothing yet; each ``text`` adds to the same names and values."""
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def text(self, condition: Condition) -> str:
        """The condition as DynamoDB reads it."""
        operator, parts = condition.operator, condition.parts
        if operator in _JOINING:
            return f"({self.text(parts[0])} {operator} {self.text(parts[1])})"
        if operator == "NONE":
            placeholders = [f"#n{at}" for at in range(len(self.names), len(self.names) + len(parts))]
            self.names.update(zip(placeholders, (own.name for own in parts), strict=True))
            return f"(attribute_not_exists({') AND attribute_not_exists('.join(placeholders)}))"
        if operator == "NOT":
            return f"(NOT {self.text(parts[0])})"
        name = self._name(parts[0])
        if operator in _COMPARING:
            return f"{name} {operator} {self._value(parts[1])}"
        if operator == "BETWEEN":
            return f"{name} BETWEEN {self._value(parts[1])} AND {self._value(parts[2])}"
        given = ", ".join(map(self._value, parts[1:]))
        if operator == "IN":
            return f"{name} IN ({given})"
        return f"{operator}({name}, {given})" if given else f"{operator}({name})"

    def _name(self, attribute: Key) -> str:
        placeholder = f"#n{len(self.names)}"
        self.names[placeholder] = attribute.name
        return f"size({placeholder})" if isinstance(attribute, Size) else placeholder

    def _value(self, value: Any) -> str:
        placeholder = f":v{len(self.values)}"
        self.values[placeholder] = value
        return placeholder
