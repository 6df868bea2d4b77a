"""The house's one-way streets, read from the source: no code is imported for it."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from infra.functions import FUNCTIONS as FUNCTION_SPECS

PROJECT = Path(__file__).parents[2]
FUNCTIONS = sorted(own.name for own in (PROJECT / "functions").iterdir() if (own / "handler.py").exists())
MODULES = sorted((PROJECT / "shared").rglob("*.py")) + sorted((PROJECT / "functions").rglob("*.py"))
DOMAIN = sorted((PROJECT / "shared" / "domain").glob("*.py"))
PROVIDERS = {"flexype", "cashfree", "wix", "shopify", "emporix", "razorpay", "stripe", "woocommerce"} | {
    *("bigcommerce", "shopflo", "custom"),
}
CHAPTERS = [{"campaigns"}, {"recovery", "privacy"}, {"intake"}, {"delivering", "insight"}]
"""Of ``shared/workflows``, top first: a chapter may import those further down, never one beside or above it."""
CALLS = {
    "console": ("functions.merchant_api.pipeline", "functions.merchant_api.resolver", "functions.merchant_api.services")
}
"""What a function runs of another in its own process: the console asks the merchant API, which knows nothing of it."""
NOT_IN_THE_DOMAIN = {"boto3", "botocore", "httpx", "pydantic", "aws_lambda_powertools", "os", "socket", "http"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All that the file says, the module itself first."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """Every module the file imports, wherever in it; what only annotations need is left out."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    skipped = {
        id(inner)
        for node in nodes(path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in nodes(path):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (own.name for own in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{own.name}" for own in node.names)


def rank(module: str) -> int:
    """How far up the module stands: domain, stores and the like, workflows, the API, functions."""
    parts = module.split(".")
    if parts[0] == "functions":
        return 4
    return {"domain": 0, "workflows": 2, "api": 3}.get(parts[1] if len(parts) > 1 else "", 1)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    own = name_of(path)
    for imported in imports(path):
        if imported.split(".")[0] in {"shared", "functions"}:
            assert rank(imported) <= rank(own), f"{own} imports {imported}"
        assert imported.split(".")[0] not in {"infra", "tests"}, f"{own} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_take_botocore_alone(path: Path) -> None:
    """Conditions come from ``shared.store.conditions``, clients from ``shared.aws.clients``: boto3 is in no bundle."""
    assert not [own for own in imports(path) if own.split(".")[0] in {"boto3", "s3transfer"}]


def chapter(module: str) -> str | None:
    """The chapter of the workflows that a module stands in."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["shared", "workflows"] and len(parts) > 3 else None


def floor(name: str) -> int:
    """On which floor a chapter stands, the top one 0."""
    return next(number for number, chapters in enumerate(CHAPTERS) if name in chapters)


WORKFLOWS = [own for own in MODULES if own.is_relative_to(PROJECT / "shared" / "workflows")]


def test_every_workflow_stands_in_a_chapter() -> None:
    found = {own.parent.name for own in WORKFLOWS if own.name != "__init__.py"}
    assert found == set().union(*CHAPTERS)


@pytest.mark.parametrize("path", [own for own in WORKFLOWS if own.name != "__init__.py"], ids=name_of)
def test_a_chapter_of_the_workflows_imports_only_what_stands_below_it(path: Path) -> None:
    own = chapter(name_of(path))
    assert own is not None
    for imported in imports(path):
        other = chapter(imported)
        if other is not None and other != own:
            assert floor(other) > floor(own), f"{name_of(path)} imports {imported}"


def circles(package: str) -> list[list[str]]:
    """Modules of a package of ``shared`` that import each other, however long the way round."""
    modules = {name_of(own): own for own in (PROJECT / "shared" / package).rglob("*.py")}
    edges = {
        own: {end for one in imports(path) for end in (one, one.rpartition(".")[0]) if end in modules and end != own}
        for own, path in modules.items()
    }
    order = TopologicalSorter(edges)
    try:
        order.prepare()
    except CycleError as circle:
        return [circle.args[1]]
    return []


@pytest.mark.parametrize(
    "package", sorted(own.name for own in (PROJECT / "shared").iterdir() if (own / "__init__.py").exists())
)
def test_no_modules_of_a_package_import_each_other(package: str) -> None:
    assert circles(package) == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_never_import_each_other(function: str) -> None:
    for path in (PROJECT / "functions" / function).rglob("*.py"):
        for imported in imports(path):
            if imported.startswith("functions.") and not imported.startswith(CALLS.get(function, ())):
                assert imported.split(".")[1] == function, f"{name_of(path)} imports {imported}"


def test_what_functions_run_of_each_other_is_carried_along() -> None:
    assert {own: {one.split(".")[1] for one in named} for own, named in CALLS.items()} == {
        own.name: set(own.calls) for own in FUNCTION_SPECS.values() if own.calls
    }


@pytest.mark.parametrize("path", DOMAIN, ids=name_of)
def test_the_domain_imports_nothing_of_the_project_but_itself_and_no_infrastructure(path: Path) -> None:
    for imported in imports(path):
        top = imported.split(".")[0]
        assert top not in NOT_IN_THE_DOMAIN | {"functions"}, f"{name_of(path)} imports {imported}"
        assert top != "shared" or imported.startswith("shared.domain"), f"{name_of(path)} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_registry_and_a_provider_itself_know_a_provider_by_name(path: Path) -> None:
    parts = path.relative_to(PROJECT).parts
    if parts[:2] in {("shared", "providers"), ("shared", "api")}:
        return
    texts = {own.value for own in nodes(path) if _is_text(own)}  # type: ignore[attr-defined]
    assert not PROVIDERS & texts, f"{name_of(path)} names a provider"
    named = {own.split(".")[2] for own in imports(path) if own.startswith("shared.providers.")}
    assert not PROVIDERS & named, f"{name_of(path)} imports a provider"


COMMAND_LINE = sorted((PROJECT / "infra" / "cli").rglob("*.py"))
OF_THE_SERVICE = {"shared", "functions", "infra", "tests", "boto3", "botocore", "aws_lambda_powertools"}


@pytest.mark.parametrize("path", COMMAND_LINE, ids=name_of)
def test_the_command_line_is_a_client_that_imports_nothing_of_the_service_nor_of_aws(path: Path) -> None:
    """It is installed by itself, on machines that have nothing else of this tree."""
    assert not [own for own in imports(path) if own.split(".")[0] in OF_THE_SERVICE]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("path", [own for own in MODULES if own.parts[-2] != "functions"], ids=name_of)
def test_no_module_reads_the_environment_or_a_clock_on_import(path: Path) -> None:
    module = nodes(path)[0]
    assert isinstance(module, ast.Module)
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            continue
        text = ast.unparse(statement)
        for forbidden in ("os.environ", "getenv", "Environment.read", "datetime.now", "open(", "read_text("):
            assert forbidden not in text, f"{name_of(path)} on import: {text[:80]}"
