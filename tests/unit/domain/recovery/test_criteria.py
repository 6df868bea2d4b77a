"""Criteria: what the contract's fields and operators mean, what is refused and where, and three-valued truth."""

import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cart import Cart, Item, Totals
from shared.domain.checkout import Checkout
from shared.domain.criteria import (
    DEEPEST,
    EVERYTHING,
    FIELDS,
    MOST_CONDITIONS,
    MOST_VALUES,
    as_json,
    evaluate,
    matches,
    parse,
)
from shared.domain.money import Money
from tests.unit.domain.recovery.episodes import HOUR, checkout_left, without
from tests.unit.domain.sessions import NOON

BROWNIE = Item(Decimal(2), product_id="7516974022740", sku="BR-1", title="Walnut Brownie")
SCALE = Item(Decimal("0.5"), product_id="42", variant_id="4242", title="Loose tea")
CART = Cart(
    "INR",
    items=(BROWNIE, SCALE),
    totals=Totals(total=Money(63_000, "INR")),
    discount_codes=("DIWALI10",),
    cart_type="cart",
)
LEAVES: dict[str, Any] = {"stage": "address_loaded", "attribution.utm_source": "Instagram", "customer.locale": "en-IN"}
CHECKOUT = replace(checkout_left(leaves=LEAVES), cart=CART, provider="flexype")
NOW = NOON + 2 * HOUR


def holds(raw: object, checkout: Checkout = CHECKOUT) -> bool | None:
    criteria, problems = parse(raw)
    assert problems == []
    return evaluate(criteria, checkout, NOW)


def one(field: str, op: str, value: object) -> dict[str, object]:
    return {"field": field, "op": op, "value": value}


@pytest.mark.parametrize(
    ("field", "op", "value", "expected"),
    [
        ("total", "gte", "630.00", True),
        ("total", "gt", "630.00", False),
        ("total", "lt", 630.01, True),
        ("total", "eq", 630, True),
        ("total", "in", ["1", "630"], True),
        ("item_count", "eq", 2.5, True),
        ("age", "gte", "PT2H", True),
        ("age", "gt", "P1D", False),
        ("stage", "eq", "Address_Loaded", True),
        ("provider", "in", ["wix", "flexype"], True),
        ("provider", "not_in", ["wix"], True),
        ("country", "eq", "in", True),
        ("currency", "eq", "INR", True),
        ("consent.marketing", "eq", "granted", True),
        ("customer.email", "contains", "@EXAMPLE.", True),
        ("customer.legal_entity_id", "exists", False, True),
        ("customer.legal_entity_id", "eq", "9", None),
        ("customer.legal_entity_id", "ne", "9", True),
        ("customer.legal_entity_id", "not_in", ["9"], True),
        ("items.product_id", "in", ["7516974022740"], True),
        ("items.product_id", "in", [7516974022740], True),
        ("items.product_id", "ne", "42", False),
        ("items.product_id", "ne", "43", True),
        ("items.variant_id", "exists", True, True),
        ("items.sku", "eq", "br-1", True),
        ("items.title", "contains", "brownie", True),
        ("items.quantity", "lt", 1, True),
        ("items.quantity", "gt", 2, False),
        ("attribution.utm_source", "eq", "instagram", True),
        ("attribution.utm_medium", "contains", "x", None),
        ("discount_codes", "contains", "diwali", True),
        ("discount_codes", "eq", "diwali10", True),
        ("discount_codes", "exists", True, True),
        ("cart_type", "ne", "quote", True),
    ],
)
def test_fields_and_operators(field: str, op: str, value: object, expected: bool | None) -> None:
    assert holds(one(field, op, value)) is expected


def test_the_contracts_example() -> None:
    raw = {"all": [one("total", "gte", "500.00"), one("items.product_id", "in", ["7516974022740"])]}
    assert matches(parse(raw)[0], CHECKOUT, NOW)
    assert not matches(parse(raw)[0], replace(CHECKOUT, cart=replace(CART, items=(SCALE,))), NOW)


def test_money_is_compared_in_the_checkouts_own_currency_and_its_decimals() -> None:
    yen = replace(CHECKOUT, cart=replace(CART, currency="JPY", totals=Totals(total=Money(630, "JPY"))))
    assert holds(one("total", "eq", "630"), yen) is True
    assert holds({"all": [one("total", "gte", "500"), one("currency", "eq", "INR")]}, yen) is False


UNKNOWN = one("customer.legal_entity_id", "eq", "9")
TRUE, FALSE = one("total", "gt", 0), one("total", "lt", 0)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"not": UNKNOWN}, None),
        ({"not": TRUE}, False),
        ({"not": {"not": TRUE}}, True),
        ({"all": [TRUE, UNKNOWN]}, None),
        ({"all": [FALSE, UNKNOWN]}, False),
        ({"any": [TRUE, UNKNOWN]}, True),
        ({"any": [FALSE, UNKNOWN]}, None),
        ({"any": [FALSE, FALSE]}, False),
        ({"all": []}, True),
        (None, True),
        ({}, True),
    ],
)
def test_what_is_unknown_stays_unknown(raw: object, expected: bool | None) -> None:
    assert holds(raw) is expected


def test_only_what_is_certain_matches() -> None:
    assert not matches(parse({"not": UNKNOWN})[0], CHECKOUT, NOW)


def test_a_checkout_without_a_cart_has_no_totals_and_no_items() -> None:
    bare = without(replace(CHECKOUT, cart=None), "shipping_address.country")
    for field in ("total", "item_count", "items.quantity"):
        assert holds(one(field, "gte", 0), bare) is None
    assert holds(one("country", "exists", False), bare) is True
    assert holds(one("consent.marketing", "exists", True), bare) is True


def deep(levels: int) -> dict[str, Any]:
    raw: dict[str, Any] = one("total", "gt", 0)
    for _ in range(levels - 1):
        raw = {"not": raw}
    return raw


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        ([], "/criteria"),
        ("total > 5", "/criteria"),
        ({"all": [], "any": []}, "/criteria"),
        ({"any": []}, "/criteria/any"),
        ({"all": {}}, "/criteria/all"),
        ({"all": [{"field": "total", "op": "gt", "value": 1, "currency/x": "INR"}]}, "/criteria/all/0/currency~1x"),
        (one("price", "gt", 1), "/criteria/field"),
        (one("total", "above", 1), "/criteria/op"),
        ({"field": "total", "value": 1}, "/criteria/op"),
        (one("total", "contains", "1"), "/criteria/op"),
        (one("stage", "gt", "a"), "/criteria/op"),
        (one("total", "gt", "many"), "/criteria/value"),
        (one("total", "gt", True), "/criteria/value"),
        (one("total", "gt", "NaN"), "/criteria/value"),
        (one("total", "in", []), "/criteria/value"),
        (one("total", "in", "5"), "/criteria/value"),
        (one("total", "in", [1, "x"]), "/criteria/value/1"),
        (one("age", "gt", "2 hours"), "/criteria/value"),
        (one("age", "gt", "P1M"), "/criteria/value"),
        (one("stage", "exists", "yes"), "/criteria/value"),
        (one("stage", "eq", ""), "/criteria/value"),
        (one("items.sku", "in", ["x"] * (MOST_VALUES + 1)), "/criteria/value"),
        ({"all": [one("total", "gt", 1)] * (MOST_CONDITIONS + 1)}, "/criteria/all"),
        ({"all": [{"any": [one("total", "gt", 1)] * 60}] * 2}, "/criteria"),
        (deep(DEEPEST + 1), "/criteria" + "/not" * DEEPEST),
    ],
)
def test_what_is_wrong_is_pointed_to(raw: object, pointer: str) -> None:
    _, problems = parse(raw)
    assert [own for own, _ in problems] == [pointer]
    assert all(detail for _, detail in problems)


@pytest.mark.parametrize(
    ("condition", "pointer"),
    [
        ({"field": "country", "op": "eq", "value": "India"}, "/criteria/all/0/value"),
        ({"field": "country", "op": "not_in", "value": ["IN", "USA"]}, "/criteria/all/0/value/1"),
        ({"field": "currency", "op": "ne", "value": "rupees"}, "/criteria/all/0/value"),
        ({"field": "consent.marketing", "op": "in", "value": ["yes"]}, "/criteria/all/0/value/0"),
    ],
)
def test_a_value_that_the_field_never_has_is_wrong_when_it_is_set(condition: dict[str, Any], pointer: str) -> None:
    """The campaign would write to nobody, or to everybody, and say nothing of it. What is stored stays as it is."""
    _, problems = parse({"all": [condition]}, new=True)
    assert [place for place, _ in problems] == [pointer]
    assert parse({"all": [condition]})[1] == []


@pytest.mark.parametrize(
    "condition",
    [
        {"field": "country", "op": "in", "value": ["IN", "us", " gb "]},
        {"field": "country", "op": "contains", "value": "i"},
        {"field": "currency", "op": "eq", "value": "INR"},
        {"field": "consent.marketing", "op": "ne", "value": "Denied"},
        {"field": "customer.locale", "op": "eq", "value": "India"},
        {"field": "country", "op": "exists", "value": True},
    ],
)
def test_a_value_that_it_may_have_is_not(condition: dict[str, Any]) -> None:
    assert parse(condition, new=True)[1] == []


def test_the_deepest_nesting_is_still_read() -> None:
    assert parse(deep(DEEPEST))[1] == []


numbers = st.decimals(-(10**6), 10**6, places=2).map(str)
leaf = st.one_of(
    st.builds(one, st.sampled_from(["total", "item_count", "items.quantity"]), st.sampled_from(["gt", "ne"]), numbers),
    st.builds(one, st.just("age"), st.just("lte"), st.integers(0, 10**6).map(lambda s: f"PT{s}S")),
    st.builds(one, st.sampled_from(["stage", "items.sku"]), st.just("in"), st.lists(st.text("aB-1"), min_size=1)),
    st.builds(one, st.sampled_from(sorted(FIELDS)), st.just("exists"), st.booleans()),
)
nested = st.recursive(
    leaf,
    lambda part: st.one_of(
        st.fixed_dictionaries({"all": st.lists(part, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(part, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": part}),
    ),
    max_leaves=8,
)


@given(nested)
def test_criteria_read_back_equal_and_always_have_a_truth(raw: dict[str, Any]) -> None:
    criteria, problems = parse(raw)
    if problems:
        return
    assert parse(as_json(criteria)) == (criteria, [])
    assert evaluate(criteria, CHECKOUT, NOW) in {True, False, None}
    assert evaluate(criteria, CHECKOUT, NOW - timedelta(days=9)) in {True, False, None}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: (
        st.lists(part, max_size=3)
        | st.dictionaries(st.sampled_from(["all", "any", "not", "field", "op", "value", "x"]), part, max_size=3)
    ),
)


@given(json_values)
def test_any_json_is_read_or_refused(raw: object) -> None:
    criteria, problems = parse(raw, "/settings/filter")
    assert all(pointer.startswith("/settings/filter") for pointer, _ in problems)
    evaluate(criteria, CHECKOUT, NOW)


def test_the_longest_criteria_over_a_huge_cart_are_soon_decided() -> None:
    values = [f"other-{n}" for n in range(500)]
    huge = replace(CART, items=tuple(Item(Decimal(1), product_id=f"p{n}") for n in range(2_000)))
    every, problems = parse({"any": [one("items.product_id", "in", values)] * MOST_CONDITIONS})
    assert problems == []
    started = time.process_time()
    assert not matches(every, replace(CHECKOUT, cart=huge), NOW)
    assert time.process_time() - started < 2


def test_no_criteria_match_everything() -> None:
    assert parse(None) == (EVERYTHING, [])
    assert matches(EVERYTHING, CHECKOUT, NOW)
