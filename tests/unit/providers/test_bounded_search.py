"""Expressions that a hostile merchant writes, over documents that a hostile shop sends: every search ends, and soon."""

import gc
import time
import weakref
from typing import Any

import jmespath  # type: ignore[import-untyped]  # jmespath ships no types
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jmespath.parser import Parser  # type: ignore[import-untyped]

from shared.providers import bounded_search
from shared.providers.bounded_search import BUDGET, FAILURES, VISIT, Budget, NotAnExpression, Search, parsed
from shared.providers.mapping import InvalidMapping, MappingLimit, compiled
from shared.providers.provider import NotUnderstood

SECONDS = 2.0
"""Of processor time; a search that spends all takes about 0.1."""

DOUBLING = "[@,@]" + "|[@,@][]" * 28
NAMES = ("a", "b", "list", "text", "deep")

LEAVES = st.sampled_from(["@", *NAMES, "*", "[]", "[*]", "[0]", "[::2]", "`1`", "`[1, 2]`", "'-'", "`null`"])
FUNCTIONS = ("length", "keys", "values", "to_string", "to_array", "to_number", "reverse", "sort", "sum", "max", "type")


OF_ONE = ("{}[]", "{}[*]", "{}.*", "({})", "!{}", "{}[0:]", *(f"{name}({{}})" for name in FUNCTIONS))
OF_TWO = (
    *("{}|{}", "{} || {}", "{} && {}", "{}.{}", "{} == {}", "{} < {}", "{}[?{}]", "contains({}, {})", "merge({}, {})"),
    *("sort_by({}, &{})", "max_by({}, &{})", "min_by({}, &{})", "[{}, {}]"),
)


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Every construct of the language over smaller expressions."""
    some = st.lists(inner, min_size=1, max_size=6)
    return st.one_of(
        st.builds(lambda form, one: form.format(one), st.sampled_from(OF_ONE), inner),
        st.builds(lambda form, one, two: form.format(one, two), st.sampled_from(OF_TWO), inner, inner),
        st.builds(lambda own: f"[{', '.join(own)}]", some),
        st.builds(lambda own: "{" + ", ".join(f"k{at}: {part}" for at, part in enumerate(own)) + "}", some),
        st.builds(lambda own: f"join('{'-' * 50}', {own})", inner),
        st.builds(lambda one, two: f"map(&{one}, {two})", inner, inner),
        st.builds(lambda own, times: "|".join([own] * times), inner, st.integers(2, 40)),
        st.builds(lambda own, times: "[*]" * times + "." + own, inner, st.integers(2, 12)),
    )


EXPRESSIONS = st.recursive(LEAVES, combined, max_leaves=12)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


def _deep(levels: int) -> Any:
    document: Any = {"a": 1}
    for _ in range(levels):
        document = {"a": [document], "deep": document}
    return document


LARGE: dict[str, Any] = {
    "wide": {"list": list(range(30_000)), "a": ["x"] * 20_000, "text": "t" * 200_000},
    "rows": {"list": [{"a": number, "b": [number] * 9, "text": "row" * 9} for number in range(2_000)]},
    "texts": {"list": ["é" * 500] * 400, "a": "\\" * 200_000, "b": "a" * 200_000 + "b"},
    "shared": _deep(12),
    "nested": {"list": [[[[number] * 9] * 9] * 9 for number in range(20)]},
    "list": [list(range(170))] * 170,
}


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(EXPRESSIONS, st.sampled_from(sorted(LARGE)))
@example("list[].list[].list[]", "rows")
@example("[@,@]" + "|[@,@][]" * 11, "list")
@example("[*][]|[@,@][]|[@,@][]|[@,@][]|[][]|[][]", "list")
@example("[@,@]|[@,@]|[@,@]|[@,@]|[@,@]|[@,@]|to_string(@)|to_string([@,@])", "texts")
@example("[@,@]|[@,@]|[@,@]|[@,@]|[@,@]|[@,@]|[@,@]|[@==@,@]", "shared")
@example("list[?contains(join('', [text,text,text,text,text,text]), join('', [text,'b']))]", "rows")
@example("[list,list,list,list,list,list,list,list][].to_string(@)", "wide")
@example("sort_by(list, &join('', [text,text,text,text]))", "rows")
@example("merge(@,@,@,@)|[@,@,@,@].*.*[].to_string(@)", "rows")
@example("join('" + "-" * 1_500 + "', list)", "texts")
def test_whatever_is_written_ends_within_the_budget(expression: str, document: str) -> None:
    try:
        tree = parsed(expression)
    except NotAnExpression:
        return
    budget, visits = Budget(), 0

    class Counted(Search):
        def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal visits
            visits += 1
            return super().visit(node, *args, **kwargs)

    began = time.process_time()
    try:
        Counted(budget).visit(tree, LARGE[document])
    except (bounded_search.BudgetSpent, *FAILURES):
        pass
    assert visits <= BUDGET // VISIT + 1
    assert time.process_time() - began < SECONDS


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(EXPRESSIONS, SMALL)
@example("sort_by(list, &a)[].text | [0]", {"list": [{"a": 2, "text": "x"}, {"a": 1, "text": "y"}]})
@example("list[?a == `1` && b != a].{x: text, y: *[]}", {"list": [{"a": 1, "b": True, "text": "x"}]})
def test_what_is_within_the_budget_is_what_the_library_says(expression: str, document: Any) -> None:
    try:
        tree = parsed(expression)
    except NotAnExpression:
        return
    try:
        found = Search(Budget()).visit(tree, document)
    except bounded_search.BudgetSpent:
        return
    except FAILURES as failed:
        with pytest.raises(type(failed)):
            jmespath.search(expression, document)
        return
    assert found == jmespath.search(expression, document)


@pytest.mark.parametrize(
    "expression",
    [
        DOUBLING,
        "[@,@]" + "|[@,@]" * 28 + "|to_string(@)",
        "a|" + "|".join(["join(@, [@,@,@])"] * 12),
        "|".join(["map(&[@,@,@,@,@,@,@,@,@,@], @)"] * 9),
        "|".join(["{a: @, b: @, c: @, d: @}.*"] * 9),
        "[?" + "[@,@]" + "|[@,@][]" * 20 + "]",
        "list.sort_by(@, &" + "|".join(["[@,@]"] * 20) + ")",
        "|".join(["@"] * 900),
        "[" * 400 + "a" + "]" * 400,
        "!" * 1_500 + "a",
    ],
    ids=lambda own: own[:24],
)
def test_what_may_not_end_is_refused_when_it_is_set(expression: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidMapping) as wrong:
        compiled({"external_id": "ref", "note": expression})
    assert wrong.value.field == "note"
    assert time.process_time() - began < SECONDS


@pytest.mark.parametrize(
    "mapping",
    [
        {"note": "list[].list[].to_string(@)", "name": "list[*][*][]|[@,@][]"},
        {"items[].title": "[@,@,@,@,@,@,@,@,@,@,@,@][].to_string(@)"},
        {"items": "[list,list,list,list,list,list,list,list][][]", "items[].title": "to_string(@)"},
        {f"attributes.a{number}": "list[0:5][].abs(@)" for number in range(200)},
    ],
)
def test_what_costs_too_much_over_a_payload_is_set_aside_with_that_reason(mapping: dict[str, str]) -> None:
    began = time.process_time()
    with pytest.raises(MappingLimit) as limit:
        compiled(mapping).read({"list": LARGE["list"]})
    assert isinstance(limit.value, NotUnderstood)
    assert str(limit.value) == "mapping_limit"
    assert time.process_time() - began < SECONDS


def test_a_large_cart_under_a_mapping_of_everything_is_well_within_the_budget() -> None:
    lines = [{"n": f"Article {at}", "q": 2, "p": "10.50", "s": f"SKU-{at}", "v": {"id": at}} for at in range(900)]
    parts = {"title": "n", "quantity": "q", "unit_price": "p", "sku": "s", "variant_id": "v.id", "id": "v.id || s"}
    parts |= {
        "handle": "n",
        "product_id": "s",
        "image_url": "n",
        "product_url": "n",
        "variant_title": "n",
        "total": "p",
    }
    relative = {"items": "basket.lines", **{f"items[].{name}": path for name, path in parts.items()}}
    projected = {f"items[].{name}": f"basket.lines[].{path}" for name, path in parts.items() if "||" not in path}
    together = {"items": "basket.lines[].{title: join(' ', [n, s]), quantity: q, unit_price: p, sku: s || v.id}"}
    for mapping in (relative, projected, together):
        found = compiled(mapping).read({"basket": {"lines": lines}})
        assert found.items is not None
        assert len(found.items) == 900


def test_a_mapping_is_no_longer_than_can_be_compiled_at_once() -> None:
    with pytest.raises(InvalidMapping) as wrong:
        compiled({f"attributes.a{number}": "a || " * 300 + "a" for number in range(20)})
    assert wrong.value.field in {"", "attributes.a0"}
    with pytest.raises(InvalidMapping) as long:
        compiled({f"attributes.a{number}": f"a{'b' * 1_500}" for number in range(20)})
    assert long.value.field == ""


@pytest.mark.long
def test_a_process_keeps_64_mappings_compiled_and_no_tree_beside_them() -> None:
    """The longest mapping there may be takes 2 MB; a function has 512, and serves the merchants of a whole stage."""
    made = [weakref.ref(compiled({"external_id": f"checkout{number}.ref"})) for number in range(70)]
    gc.collect()
    kept = [own() is not None for own in made]
    assert kept == [False] * 6 + [True] * 64
    assert len(Parser._CACHE) == 0, "the library's own: 512 trees of any size"
