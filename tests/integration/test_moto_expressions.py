"""What moto says with expressions read once, and plain updates made without a tree, is what it says alone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID
from moto.dynamodb.comparisons import create_condition_expression_parser
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item

from tests.integration import moto_expressions
from tests.integration.conftest import REGION, Stage

ATTRIBUTES = ("n", "m", "s", "set", "list", "lp")
HELD: st.SearchStrategy[Any] = st.one_of(
    st.builds(lambda own: {"N": str(own)}, st.integers(-3, 3)),
    st.just({"N": "2.50"}),
    st.builds(lambda own: {"S": own}, st.sampled_from(["", "a", "ab"])),
    st.builds(lambda own: {"SS": own}, st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True)),
    st.just({"L": [{"N": "1"}, {"S": "a"}]}),
    st.just({"M": {"n": {"N": "1"}}}),
    st.just({"NULL": True}),
    st.just({"BOOL": False}),
)
GIVEN: st.SearchStrategy[Any] = HELD | st.just({"SS": []}) | st.just({"SS": ["a", "a", "z"]})
SETS = st.sampled_from([{"SS": ["a", "b"]}, {"SS": ["b", "c"]}, {"NS": ["1"]}, {"SS": ["a", "a", "z"]}])
OFTEN = {"n": st.just({"N": "7"}) | HELD, "set": SETS | HELD}
ITEMS = st.fixed_dictionaries({}, optional=dict.fromkeys(ATTRIBUTES, HELD) | OFTEN)
NAMES = {f"#{own}": own for own in ATTRIBUTES} | {"#key": "pk", "#same": "n"}
PATHS = st.sampled_from([*NAMES, "#nobody", "plain", "#m.#n", "#list[0]"])
PLAIN_PATHS = st.sampled_from(sorted(NAMES))
VALUES = st.sampled_from([":a", ":b", ":c"])


ON_ONE_STAGE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
"""Each example empties the table itself."""


def _sets(paths: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    kept = st.builds("if_not_exists({}, {})".format, paths, VALUES)
    operand = kept | paths | VALUES
    operated = st.builds("{}{}{}".format, operand, st.sampled_from(["+", " - ", " + "]), operand)
    return st.builds(
        "{} = {}".format, paths, operand | operated | st.builds("list_append({}, {})".format, paths, VALUES)
    )


def _updates(paths: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def clause(word: str, actions: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.lists(actions, min_size=1, max_size=3).map(lambda own: f"{word} {', '.join(own)}")

    clauses = (
        clause("SET", _sets(paths)),
        clause("REMOVE", paths),
        clause("ADD", st.builds("{} {}".format, paths, VALUES)),
        clause("DELETE", st.builds("{} {}".format, paths, VALUES)),
    )
    return st.lists(st.one_of(clauses), min_size=1, max_size=3).map(" ".join)


@st.composite
def _fitting(draw: st.DrawFn) -> str:
    """An update that goes through more often than not: every attribute once, in one way."""
    read, clauses = st.sampled_from([f"#{own}" for own in ATTRIBUTES]), []
    order = draw(st.permutations(ATTRIBUTES))
    ways = [draw(st.sampled_from(["SET", "SET", "REMOVE", "ADD", ""])) for _ in order]
    for way in draw(st.permutations(["SET", "REMOVE", "ADD"])):
        actions = []
        for target in (f"#{own}" for own, chosen in zip(order, ways, strict=True) if chosen == way):
            kept = f"if_not_exists({draw(read)}, {draw(VALUES)})"
            value = draw(st.sampled_from([kept, kept, ":a", f"{kept} + :b", f"{kept} - :b", draw(read)]))
            actions.append(
                {
                    "SET": f"{target} = {value}",
                    "REMOVE": target,
                    "ADD": f"{target} {':a' if target == '#set' else ':b'}",
                }[way]
            )
        if actions:
            clauses.append(f"{way} {', '.join(actions)}")
    return " ".join(clauses) or "REMOVE #n"


def _conditions() -> st.SearchStrategy[str]:
    operands = PATHS | VALUES | st.builds("size({})".format, PATHS)
    compared = st.builds("{} {} {}".format, operands, st.sampled_from(["=", "<>", "<", "<=", ">", ">="]), operands)
    asked = st.builds("{}({})".format, st.sampled_from(["attribute_exists", "attribute_not_exists"]), PATHS)
    within = st.builds("{} BETWEEN {} AND {}".format, operands, VALUES, VALUES)
    among = st.builds("{} IN ({}, {})".format, operands, VALUES, VALUES)
    begun = st.builds(
        "{}({}, {})".format, st.sampled_from(["begins_with", "contains", "attribute_type"]), PATHS, VALUES
    )
    return st.recursive(
        compared | asked | within | among | begun,
        lambda inner: st.one_of(
            st.builds("{} AND {}".format, inner, inner),
            st.builds("{} OR {}".format, inner, inner),
            st.builds("NOT {}".format, inner),
            st.builds("({})".format, inner),
        ),
        max_leaves=4,
    )


@pytest.fixture
def alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Plays with moto as it is."""

    def play(played: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            for owner, name, own in moto_expressions.replaced:
                patch.setattr(owner, name, own)
            return played()

    assert len(moto_expressions.replaced) == 6
    return play


def said(played: Callable[[], Any]) -> Any:
    """What comes of it, or how it is refused."""
    try:
        return played()
    except Exception as refused:  # noqa: BLE001 - moto's own slips are its answers too
        return type(refused), str(refused)


def updated(stage: Stage, text: str, held: Any, names: Any, values: Any) -> Any:
    """What the update of a row that holds this answers, the rows there are then, and what the stream says of it."""
    backend = dynamodb_backends[ACCOUNT_ID][REGION]
    table = backend.get_table(stage.table_name)
    assert table.stream_shard is not None
    key = {"pk": {"S": "a"}, "sk": {"S": "row"}}
    table.items.clear()
    if held is not None:
        table.put_item({**key, **copy.deepcopy(held)})
    before = len(table.stream_shard.items)
    end = said(lambda: backend.update_item(stage.table_name, key, text, names, copy.deepcopy(values)))
    if isinstance(end, Item):
        end = list(end.to_json()["Attributes"].items())  # in order
    told = [own.to_json()["dynamodb"] for own in table.stream_shard.items[before:]]
    images = [(own.get("OldImage"), own.get("NewImage")) for own in told]
    return end, [own.to_json() for own in table.all_items()], images


@pytest.mark.parametrize("updates", [_fitting(), _updates(PLAIN_PATHS), _updates(PATHS)], ids=["fit", "plain", "any"])
@ON_ONE_STAGE
@given(data=st.data())
def test_an_update_ends_as_it_does_in_moto_alone(
    updates: st.SearchStrategy[str], data: st.DataObject, stage: Stage, alone: Callable[[Callable[[], Any]], Any]
) -> None:
    text = data.draw(updates)
    held = data.draw(ITEMS | st.none())
    names = data.draw(st.sampled_from([NAMES] * 4 + [{}]))
    number = st.just({"N": "2"})
    values = data.draw(st.fixed_dictionaries({":a": SETS | GIVEN, ":b": number | GIVEN, ":c": number | GIVEN}))
    if data.draw(st.integers(0, 9)) == 9:
        del values[":c"]

    def played() -> Any:
        return updated(stage, text, held, names, values)

    assert played() == alone(played)


@pytest.mark.parametrize("held", [None, {"SS": ["a", "b"]}, {"SS": ["z"]}, {"NS": ["1"]}, {"N": "1"}, {"L": []}])
@pytest.mark.parametrize("added", [{"SS": ["b", "c", "c"]}, {"SS": ["a"]}, {"SS": []}, {"NS": ["2"]}, {"N": "2"}])
def test_what_is_added_is_added_as_in_moto_alone(
    held: Any, added: Any, stage: Stage, alone: Callable[[Callable[[], Any]], Any]
) -> None:
    def played() -> Any:
        return updated(stage, "ADD #set :a", None if held is None else {"set": held}, NAMES, {":a": added})

    assert played() == alone(played)


CONDITIONS = _conditions()
VALUES_GIVEN = st.lists(
    st.fixed_dictionaries({":a": HELD, ":b": HELD}, optional={":c": HELD}) | st.none(), min_size=1, max_size=3
)


@ON_ONE_STAGE
@given(data=st.data())
def test_a_condition_holds_as_it_does_in_moto_alone(
    data: st.DataObject, alone: Callable[[Callable[[], Any]], Any]
) -> None:
    text = data.draw(CONDITIONS)
    attributes = data.draw(ITEMS | st.none())
    names = data.draw(st.sampled_from([NAMES, NAMES, {}, None]))
    # Read once with one set of values, it must hold for another.
    for values in data.draw(VALUES_GIVEN):

        def played(values: Any = values) -> Any:
            parser = create_condition_expression_parser(text, names, values)
            item = None if attributes is None else Item(None, None, attributes)  # type: ignore[arg-type]
            holds = said(lambda: parser.parse().expr(item))
            return holds, parser.expr_attr_names_found, parser.expr_attr_values_found

        assert played() == alone(played)


@ON_ONE_STAGE
@given(
    attributes=st.dictionaries(
        st.sampled_from(["n", "ä", "list"]),
        st.recursive(
            HELD | st.sampled_from([{"S": "ärger"}, {"B": b"\x80"}, {"BS": [b"ab"]}, {"NS": ["1", "20"]}, {"L": []}]),
            lambda own: (
                st.builds(lambda parts: {"L": parts}, st.lists(own, max_size=3))
                | st.builds(lambda parts: {"M": parts}, st.dictionaries(st.sampled_from(["a", "ö"]), own))
            ),
            max_leaves=6,
        ),
    )
)
def test_an_item_is_as_long_as_it_is_to_moto_alone(stage: Stage, attributes: dict[str, Any]) -> None:
    item = Item(None, None, attributes)  # type: ignore[arg-type]
    quick = item.size(), [own.size() for own in item.attrs.values()]
    with pytest.MonkeyPatch.context() as alone:
        sizes: Any = (Item.size, DynamoType.size)
        for kind, size in zip((Item, DynamoType), sizes, strict=True):
            alone.setattr(kind, "size", size.__wrapped__)
        assert quick == (item.size(), [own.size() for own in item.attrs.values()])


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("SET #a = :a, #b = if_not_exists(#v, :none) + :one REMOVE #c ADD #d :d", True),
        ("SET #a = #b - :one", True),
        ("SET #a.#b = :a", False),
        ("SET a = :a", False),
        ("SET #a = :a SET #b = :b", False),
        ("SET #a = list_append(#a, :a)", False),
        ("SET #a = if_not_exists(#a, #b)", False),
        ("SET #a = :a + :b", False),
        ("DELETE #a :a", False),
        ("REMOVE #a[1]", False),
    ],
)
def test_the_stores_updates_are_plain_and_what_is_not_is_left_to_moto(stage: Stage, text: str, is_plain: bool) -> None:
    """Or the comparison above would compare moto with itself."""
    tree = moto_expressions.expressions.UpdateExpressionParser.make(text)
    assert (moto_expressions._steps(tree) is not None) == is_plain
