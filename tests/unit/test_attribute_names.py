"""Short attribute names: each that a store writes or reads is spelled out in one place, and none there is left over."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.store import attributes, checkout_item

STORES = sorted((Path(__file__).parents[2] / "shared" / "store").glob("*.py"))
SPEAK_FOR_THEMSELVES = {"id", "raw"}
INSIDE_THE_CART = "cart_blob.py"  # names of the cart's own fields, as the contract has them
SPELLED_OUT = {name for row in attributes.ROWS.values() for name in row} | {*attributes.SHARED, *attributes.EVERY_ROW}
OF_LEAVES = set(checkout_item.ATTRIBUTE_OF.values())


def used(path: Path) -> Iterator[str]:
    """Every text of the module that stands where an attribute's name does: as key, index, membership or argument."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Dict(keys=keys):
                yield from _texts(keys)
            case ast.Subscript(slice=index):
                yield from _texts([index])
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()]):
                yield from _texts([left])
            case ast.Call(func=ast.Attribute(attr="get") | ast.Name(id="Attr" | "Key" | "_instant"), args=args):
                yield from _texts(args)
            case ast.Tuple(elts=parts):
                yield from _texts(parts)


def _texts(nodes: list[ast.expr] | list[ast.expr | None]) -> Iterator[str]:
    yield from (own.value for own in nodes if isinstance(own, ast.Constant) and isinstance(own.value, str))


def short(names: Iterator[str]) -> set[str]:
    return {own for own in names if 1 <= len(own) <= 3 and own.isidentifier() and own.islower()}


@pytest.mark.parametrize("path", [own for own in STORES if own.name != INSIDE_THE_CART], ids=lambda own: own.stem)
def test_every_short_name_that_a_store_uses_is_spelled_out(path: Path) -> None:
    leaf_parts = set(checkout_item._ADDRESS_SHORT.values()) | {"s", "b"} if path.stem == "checkout_item" else set()
    report_parts = {"r", "a"} if path.stem == "suppressions" else set()  # joined with a channel's name
    unknown = short(used(path)) - SPELLED_OUT - OF_LEAVES - SPEAK_FOR_THEMSELVES - leaf_parts - report_parts
    assert not unknown, f"{path.name}: what {sorted(unknown)} stand for is not in shared/store/attributes.py"


def test_nothing_is_spelled_out_that_no_store_uses() -> None:
    everywhere = {name for path in STORES if path.stem != "attributes" for name in used(path)}
    everywhere |= set(checkout_item.EVENT_SETS) | set(checkout_item.IDENTITY_ATTRIBUTE.values())
    assert SPELLED_OUT - everywhere == set()


def test_a_name_has_one_meaning_in_one_row() -> None:
    for kind, row in attributes.ROWS.items():
        assert not set(row) & set(attributes.EVERY_ROW), kind
        assert not set(row) & OF_LEAVES or kind != "checkout", sorted(set(row) & OF_LEAVES)
