"""Conditions say what boto3's say, and values go over the wire as boto3's do: boto3 is the measure of both."""

import re
from collections.abc import Callable
from decimal import Decimal, Inexact
from functools import reduce
from operator import and_, or_
from typing import Any

import pytest
from boto3.dynamodb import conditions as boto3_conditions
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from shared.store import conditions as own_conditions
from shared.store.conditions import Expressions
from shared.store.wire import from_wire, query_arguments, to_wire

NAMES = st.sampled_from(["pk", "s", "ttl", "due-at", "o"])
NUMBERS = st.integers(-(10**20), 10**20) | st.decimals(-(10**9), 10**9, places=2)
VALUES = st.text(max_size=5) | NUMBERS | st.binary(max_size=4) | st.booleans() | st.none()
type Maker = Callable[[Any], Any]
"""Makes a condition with the words of a module: ours, or boto3's."""


def _compared(word: str, name: str, *values: Any) -> Maker:
    return lambda module: getattr(module.Attr(name), word)(*values)


COMPARISONS: st.SearchStrategy[Maker] = st.one_of(
    st.builds(_compared, st.sampled_from(["eq", "ne", "lt", "lte", "gt", "gte", "contains"]), NAMES, VALUES),
    st.builds(_compared, st.just("begins_with"), NAMES, st.text(max_size=3)),
    st.builds(_compared, st.just("between"), NAMES, NUMBERS, NUMBERS),
    st.builds(_compared, st.just("is_in"), NAMES, st.lists(VALUES, min_size=1, max_size=4)),
    st.builds(_compared, st.sampled_from(["exists", "not_exists"]), NAMES),
    st.builds(lambda name, most: lambda module: module.Attr(name).size().lt(most), NAMES, NUMBERS),
)


def _joined(inner: st.SearchStrategy[Maker]) -> st.SearchStrategy[Maker]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda own: lambda module: reduce(and_, [make(module) for make in own])),
        several.map(lambda own: lambda module: reduce(or_, [make(module) for make in own])),
        inner.map(lambda make: lambda module: ~make(module)),
    )


CONDITIONS = st.recursive(COMPARISONS, _joined, max_leaves=8)


@given(CONDITIONS)
def test_a_condition_is_the_expression_that_boto3_makes_of_it(make: Maker) -> None:
    built = boto3_conditions.ConditionExpressionBuilder().build_expression(make(boto3_conditions))
    own = Expressions()

    assert own.text(make(own_conditions)) == built.condition_expression
    assert own.names == built.attribute_name_placeholders
    assert own.values == built.attribute_value_placeholders


def test_a_query_and_its_filter_share_no_placeholder() -> None:
    key, attr = own_conditions.Key, own_conditions.Attr
    asked = query_arguments(key("pk").eq("a") & key("sk").begins_with("b"), attr("ttl").gt(3))

    assert asked == {
        "KeyConditionExpression": "(#n0 = :v0 AND begins_with(#n1, :v1))",
        "FilterExpression": "#n2 > :v2",
        "ExpressionAttributeNames": {"#n0": "pk", "#n1": "sk", "#n2": "ttl"},
        "ExpressionAttributeValues": {":v0": {"S": "a"}, ":v1": {"S": "b"}, ":v2": {"N": "3"}},
    }


SETS = (
    st.sets(st.text(max_size=3), min_size=1, max_size=3)
    | st.sets(st.integers(-99, 99), min_size=1, max_size=3)
    | st.sets(st.binary(max_size=3), min_size=1, max_size=3)
)
ITEMS = st.dictionaries(
    NAMES,
    st.recursive(
        VALUES | SETS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


def _sorted_sets(value: Any) -> Any:
    """With the members of sets in an order; DynamoDB has none for them."""
    if isinstance(value, dict):
        return {
            name: sorted(part) if name in {"SS", "NS", "BS"} and isinstance(part, list) else _sorted_sets(part)
            for name, part in value.items()
        }
    return [_sorted_sets(part) for part in value] if isinstance(value, list) else value


@given(ITEMS)
def test_values_go_over_the_wire_as_boto3_sends_them_and_come_back(item: dict[str, Any]) -> None:
    sent = to_wire(item)

    assert _sorted_sets(sent) == _sorted_sets({name: TypeSerializer().serialize(own) for name, own in item.items()})
    assert from_wire(sent) == item
    received = {name: TypeDeserializer().deserialize(own) for name, own in sent.items()}
    assert from_wire(sent) == received


@pytest.mark.parametrize(
    "value", [1.5, Decimal("NaN"), Decimal("Infinity"), object(), {1, "a"}, {1.5}, set(), frozenset({None})]
)
def test_what_dynamodb_has_no_type_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        to_wire({"a": {"inner": [value]}})


def test_a_number_is_sent_whole_or_not_at_all() -> None:
    assert to_wire({"a": 10**37 + 1}) == {"a": {"N": str(10**37 + 1)}}
    with pytest.raises(Inexact):
        to_wire({"a": 10**39 + 1})


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_none_of_several_is_that_each_is_absent(names: list[str]) -> None:
    each = reduce(and_, (boto3_conditions.Attr(own).not_exists() for own in names))
    built = boto3_conditions.ConditionExpressionBuilder().build_expression(each)
    own = Expressions()

    parts = own.text(own_conditions.none_of(names)).removeprefix("(").removesuffix(")").split(" AND ")
    assert parts == re.findall(r"attribute_not_exists\(#n\d+\)", built.condition_expression)
    assert own.names == built.attribute_name_placeholders
