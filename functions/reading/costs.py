"""What a GraphQL query may cost, found out before anything is read.

Shopify's way (https://shopify.dev/docs/api/usage/limits#graphql-admin-api-rate-limits): what a query asks for is
summed up, refused above 1,000 points, and taken from a bucket that fills again. Here a checkout, a line item and a
customer are a point, a connection two and what its page may hold; money, addresses and the like lie within what was
read anyhow. Beside the points the answer's fields are bounded, which Shopify does not tell.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

MOST_POINTS: Final = 1_000
BUCKET: Final = 2_000.0
RESTORED_PER_SECOND: Final = 100.0
DEEPEST: Final = 12
DEEPEST_INTROSPECTION: Final = 20
MOST_FIELDS: Final = 60_000
"""Fields of one answer."""
MOST_SELECTED: Final = 1_000
"""Fields of one query, its fragments written out."""
MOST_OF_THE_ROOT: Final = 10
MOST_ENTRIES: Final = 250
"""Shopify's most of a page."""
_CONNECTIONS: Final = frozenset({"abandonedCheckouts", "lineItems"})
_POINTS: Final[Mapping[str, int]] = {
    "abandonedCheckouts": 2,
    "abandonedCheckoutsCount": 100,
    "lineItems": 2,
    "customer": 1,
    "shop": 1,
}
_LISTS: Final[Mapping[str, int]] = {"taxLines": 5, "customAttributes": 10}
"""How many of them an answer is reckoned to hold."""


def refused(message: str, code: str, **more: Any) -> GraphQLError:
    """An error in Shopify's form."""
    return GraphQLError(message, extensions={"code": code, **more})


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a query or a part of it: points, and the fields of its answer at most."""

    points: int = 0
    fields: int = 0


def check(document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> Costs:
    """What the operation may cost. Raises GraphQLError above the bounds.

    Works on a document that has not been validated: a fragment that leads to itself is refused here, since the
    validation of what overlaps is the expensive part.
    """
    fragments = {own.name.value: own for own in document.definitions if isinstance(own, FragmentDefinitionNode)}
    costing = _Costing(fragments, variables)
    costs = costing.of(operation.selection_set, depth=1, introspecting=False)
    if costing.of_the_root > MOST_OF_THE_ROOT:
        raise refused(f"A query asks for at most {MOST_OF_THE_ROOT} things at once.", "MAX_COMPLEXITY_EXCEEDED")
    if costs.fields > MOST_FIELDS:
        raise refused(
            f"The answer may have {costs.fields} fields, which is more than {MOST_FIELDS}: ask for fewer at once.",
            "MAX_COMPLEXITY_EXCEEDED",
        )
    if costs.points > MOST_POINTS:
        raise refused(
            f"Query cost is {costs.points}, which exceeds the single query max cost limit ({MOST_POINTS}).",
            "MAX_COST_EXCEEDED",
            cost=costs.points,
            maxCost=MOST_POINTS,
        )
    return costs


class _Costing:
    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any]) -> None:
        self._fragments = fragments
        self._variables = variables
        self._selected = 0
        self._within: list[str] = []
        self.of_the_root = 0

    def of(self, selection: SelectionSetNode, *, depth: int, introspecting: bool) -> Costs:
        points = fields = 0
        for own in selection.selections:
            cost = Costs()
            if isinstance(own, FieldNode):
                cost = self._field(own, depth, introspecting=introspecting)
            elif isinstance(own, InlineFragmentNode | FragmentSpreadNode):
                cost = self._fragment(own, depth, introspecting=introspecting)
            points, fields = points + cost.points, fields + cost.fields
        return Costs(points, fields)

    def _field(self, own: FieldNode, depth: int, *, introspecting: bool) -> Costs:
        name = own.name.value
        introspecting = introspecting or name in {"__schema", "__type"}
        self._selected += 1
        if depth == 1:
            self.of_the_root += name != "__typename"
        if self._selected > MOST_SELECTED:
            raise refused(f"A query selects at most {MOST_SELECTED} fields.", "MAX_COMPLEXITY_EXCEEDED")
        deepest = DEEPEST_INTROSPECTION if introspecting else DEEPEST
        if depth > deepest:
            raise refused(f"A query goes at most {deepest} levels deep.", "MAX_DEPTH_EXCEEDED")
        if own.selection_set is None:
            return Costs(0, 1)
        inner = self.of(own.selection_set, depth=depth + 1, introspecting=introspecting)
        if introspecting:
            return Costs(0, 1 + inner.fields)
        times = self._entries(own) if name in _CONNECTIONS else _LISTS.get(name, 1)
        points = inner.points * times + (times if name in _CONNECTIONS else 0)
        # Below the root ``node`` is what an edge leads to.
        own_points = 1 if name == "node" and depth == 1 else _POINTS.get(name, 0)
        return Costs(own_points + points, 1 + inner.fields * times)

    def _fragment(self, own: InlineFragmentNode | FragmentSpreadNode, depth: int, *, introspecting: bool) -> Costs:
        if isinstance(own, InlineFragmentNode):
            # Not a level of the answer, but one of the query: the way down is bounded too.
            self._selected += 1
            if len(self._within) > DEEPEST_INTROSPECTION:
                raise refused("Fragments lie too deep in each other.", "MAX_DEPTH_EXCEEDED")
            self._within.append("")
            try:
                return self.of(own.selection_set, depth=depth, introspecting=introspecting)
            finally:
                self._within.pop()
        name = own.name.value
        found = self._fragments.get(name)
        if found is None:
            return Costs()  # the validation tells of it
        self._selected += 1
        if name in self._within or len(self._within) > DEEPEST_INTROSPECTION:
            raise refused(f"The fragment {name} leads to itself, or lies too deep.", "MAX_DEPTH_EXCEEDED")
        if self._selected > MOST_SELECTED:
            raise refused(f"A query selects at most {MOST_SELECTED} fields.", "MAX_COMPLEXITY_EXCEEDED")
        self._within.append(name)
        try:
            return self.of(found.selection_set, depth=depth, introspecting=introspecting)
        finally:
            self._within.pop()

    def _entries(self, own: FieldNode) -> int:
        """How many entries the connection's page may hold; the most where that cannot be told yet."""
        for argument in own.arguments or ():
            if argument.name.value in {"first", "last"}:
                value: Any = None
                if isinstance(argument.value, IntValueNode):
                    value = int(argument.value.value[:6])
                elif isinstance(argument.value, VariableNode):
                    value = self._variables.get(argument.value.name.value)
                if isinstance(value, int) and not isinstance(value, bool):
                    return max(0, min(value, MOST_ENTRIES))
        return MOST_ENTRIES


@dataclass(slots=True)
class Spent:
    """What one query really cost."""

    points: int = 0

    def connection(self, entries: int) -> None:
        """A page of a connection was answered."""
        self.points += 2 + entries

    def thing(self, points: int = 1) -> None:
        """Something was answered beside pages."""
        self.points += points


@dataclass(slots=True)
class Buckets:
    """What each merchant has left in this process: a leaky bucket, Shopify's of the standard plan.

    Beside API Gateway's throttle of the route, which holds for all workers together.
    """

    clock: Callable[[], float]
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def left(self, merchant_id: str) -> float:
        """Points that may be spent now."""
        left, at = self._left.get(merchant_id, (BUCKET, self.clock()))
        return min(BUCKET, left + (self.clock() - at) * RESTORED_PER_SECOND)

    def take(self, merchant_id: str, points: int) -> float | None:
        """Take what a query may cost; what is left then, None where it is not there."""
        left = self.left(merchant_id)
        if points > left:
            return None
        if len(self._left) > 5_000:
            self._left.clear()
        self._left[merchant_id] = (left - points, self.clock())
        return left - points

    def give_back(self, merchant_id: str, points: int) -> float:
        """What was asked for and not needed; what is left now."""
        left = min(BUCKET, self.left(merchant_id) + points)
        self._left[merchant_id] = (left, self.clock())
        return left
