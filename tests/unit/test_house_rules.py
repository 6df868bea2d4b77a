"""How large a part may grow: what one constructor is handed, what one module holds. Read from the source."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import E2E_ALONE

PROJECT = Path(__file__).parents[2]
MOST_HANDED_OVER = 8
MOST_LINES = 400
STILL_OVER: frozenset[str] = frozenset()
"""What is being mended: an entry goes with its mend. Nothing is added here."""


def modules() -> list[Path]:
    return sorted(own for root in ("shared", "functions") for own in (PROJECT / root).rglob("*.py"))


def place(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


def crowded_constructors() -> Iterator[str]:
    """Classes whose ``__init__`` is handed more than it should be, by place and name."""
    for path in modules():
        for own in ast.walk(ast.parse(path.read_text())):
            if isinstance(own, ast.ClassDef) and any(handed(made) > MOST_HANDED_OVER for made in constructors(own)):
                yield f"{place(path)}:{own.name}"


def constructors(of: ast.ClassDef) -> list[ast.FunctionDef]:
    return [own for own in of.body if isinstance(own, ast.FunctionDef) and own.name == "__init__"]


def handed(method: ast.FunctionDef) -> int:
    """How many things a method is given besides ``self``."""
    arguments = method.args
    rest = [own for own in (arguments.vararg, arguments.kwarg) if own is not None]
    return len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]) - 1


def long_modules() -> Iterator[str]:
    """Modules of too many lines; a provider's wire format is as long as the provider makes it."""
    providers = PROJECT / "shared" / "providers"
    for path in modules():
        if not path.is_relative_to(providers) and len(path.read_text().splitlines()) > MOST_LINES:
            yield place(path)


def test_where_no_e2e_test_is_asked_for_none_but_those_is_left_out() -> None:
    files = {own for folder in E2E_ALONE for own in folder.rglob("test_*.py")}
    assert len({own.parent for own in files}) == len(E2E_ALONE)
    unmarked = [own.name for own in files if "\npytestmark = pytest.mark.e2e\n" not in own.read_text()]
    assert unmarked == []


@cache
def over_the_measure() -> frozenset[str]:
    return frozenset({*crowded_constructors(), *long_modules()})


def test_no_constructor_is_handed_more_than_eight_things_and_no_module_is_longer_than_400_lines() -> None:
    assert over_the_measure() - STILL_OVER == set(), (
        "what belongs together is handed over together; a long module is two"
    )


def test_what_was_mended_is_no_exception_any_more() -> None:
    assert over_the_measure() >= STILL_OVER
