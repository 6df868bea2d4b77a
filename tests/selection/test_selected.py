"""A change is planted, in this tree or in a small one, and whom it concerns is selected."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

import pytest

from tests.selection import importing
from tests.selection.changes import changed_files
from tests.selection.importing import PROJECT, Module, Project, read, selected

HERE = Path(__file__).relative_to(PROJECT).as_posix()


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.at(PROJECT)


@pytest.mark.parametrize(
    ("changed", "concerned"),
    [
        ("shared/domain/gate.py", "tests/unit/domain/recovery/test_gate.py"),  # imports it
        ("shared/domain/gate.py", "tests/integration/functions/test_sweep.py"),  # through shop, handler, composition
        ("shared/domain/gate.py", "tests/integration/workflows/campaigns/test_campaign_steps.py"),
        ("shared/domain/money.py", "tests/unit/providers/test_wix.py"),
        ("shared/providers/wix.py", "tests/integration/functions/test_orders_of_providers.py"),  # by the registry
        ("shared/providers/wix.py", "tests/unit/providers/test_wix.py"),
        ("shared/destinations/gupshup.py", "tests/unit/destinations/test_registry.py"),  # a registry's, in a child
        ("shared/destinations/liquid_engine.py", "tests/unit/destinations/test_liquid.py"),
        ("functions/merchant_api/routes/endpoints.py", "tests/integration/api/test_endpoints.py"),  # named in a text
        ("functions/deliver/composition.py", "tests/integration/functions/test_ingest.py"),  # patched by its name
        ("functions/merchant_api/__init__.py", "tests/integration/api/test_endpoints.py"),  # a package above
        ("shared/store/orders.py", "tests/unit/test_attribute_names.py"),  # read as a file
        ("shared/api/problems.py", "tests/unit/test_house_rules.py"),
        ("infra/stacks/service.py", "tests/unit/infra/test_service_stack.py"),
        ("infra/stacks/service.py", "tests/permissions/test_least_privilege.py"),
        ("infra/constructs/queues.py", "tests/integration/alarms/test_alarms.py"),
        ("tests/integration/till.py", "tests/integration/workflows/intake/test_reversals.py"),
        ("tests/integration/conftest.py", "tests/integration/store/test_coupons.py"),  # a conftest above
        ("tests/unit/domain/sessions.py", "tests/integration/api/test_api.py"),  # through a conftest
        ("events/wix/order-approved.json", "tests/unit/providers/test_wix.py"),
        ("infra/cli/checkback/signature.py", "tests/unit/cli/test_signature.py"),  # a root of its own
        ("events/wix/sending.toml", "tests/unit/cli/test_samples.py"),
        ("events/aws/webhook.json", "tests/integration/functions/test_ingest.py"),
        ("docs/destinations/gupshup.md", "tests/unit/destinations/test_docs.py"),
        ("docs/runbook.md", "tests/unit/infra/test_watching.py"),
        ("docs/dashboard.svg", "tests/integration/alarms/test_picture.py"),
        ("requirements/ingest.txt", "tests/unit/infra/test_requirements.py"),
        ("cdk.json", "tests/unit/infra/test_stages.py"),
        ("tests/unit/infra/stateful_resources.json", "tests/unit/infra/test_kept_state.py"),
    ],
)
def test_what_a_file_is_used_by_is_selected(project: Project, changed: str, concerned: str) -> None:
    assert (PROJECT / concerned).exists()
    found = project.concerned(changed)
    assert found is not None
    assert concerned in found


@pytest.mark.parametrize(("kind", "user"), [("providers", "ingest"), ("destinations", "deliver")])
def test_a_module_that_a_registry_will_find_concerns_who_uses_the_registry(
    project: Project, kind: str, user: str
) -> None:
    found = project.concerned(f"shared/{kind}/newcomer.py")
    assert found is not None
    assert f"tests/integration/functions/test_{user}.py" in found


def test_a_deleted_module_concerns_who_still_imports_it() -> None:
    project = small({"tests/test_a.py": "from shared.gone import x", "tests/test_b.py": ""})
    assert project.concerned("shared/gone.py") == {"tests/test_a.py"}


def test_a_name_that_becomes_a_module_concerns_who_imports_the_name() -> None:
    project = small({"shared/__init__.py": "x = 1", "tests/test_a.py": "from shared import x"})
    assert project.concerned("shared/x.py") == {"tests/test_a.py"}


def test_a_test_concerns_itself_alone(project: Project) -> None:
    found = project.concerned("tests/unit/domain/test_clocks.py")
    assert found == {"tests/unit/domain/test_clocks.py", HERE}  # which names it


@pytest.mark.parametrize(
    "changed", ["pyproject.toml", "requirements/dev.txt", "tests/conftest.py", f"{UUID(int=7)}.toml"]
)
def test_what_concerns_all_or_nobody_knows_whom_runs_everything(project: Project, changed: str) -> None:
    assert project.concerned(changed) is None
    assert selected(project, ["README.md", changed])[0] is None


def test_a_page_concerns_who_reads_pages_and_nobody_else(project: Project) -> None:
    assert project.concerned("README.md") == {HERE, "tests/unit/docs/test_site.py"}
    found = project.concerned("docs/decisions.md")
    assert found is not None
    assert not any(own.startswith("tests/integration/workflows") for own in found)


@pytest.mark.parametrize("changed", ["shared/destinations/gupshup.py", "infra/local/engine.py"])
def test_a_change_of_a_destination_or_the_engine_leaves_the_domains_tests_alone(project: Project, changed: str) -> None:
    """Or nothing would be won."""
    found = project.concerned(changed)
    assert found is not None
    assert not any(own.startswith("tests/unit/domain/") for own in found)


def small(sources: Mapping[str, str]) -> Project:
    return Project({path: read(source) for path, source in sources.items()})


CHAINS: Mapping[str, Mapping[str, str]] = {
    "imported in a function": {"tests/test_a.py": "def f():\n    import shared.deep"},
    "under another name": {"tests/test_a.py": "import shared.deep as other"},
    "from its package": {"tests/test_a.py": "from shared import deep"},
    "a name from it": {"tests/test_a.py": "from shared.deep import (\n    one,\n)"},
    "through another": {"shared/top.py": "import shared.deep", "tests/test_a.py": "import shared.top"},
    "through a package's own": {"shared/p/__init__.py": "import shared.deep", "tests/test_a.py": "import shared.p.q"},
    "by a text": {"tests/test_a.py": "import_module('shared.deep')"},
    "patched": {"tests/test_a.py": "patch('shared.deep.name', 1)"},
    "by a text with holes": {"tests/test_a.py": "import_module(f'shared.{name}')"},
    "by a text with holes after the name": {"tests/test_a.py": "f'shared.deep.{name}'"},
    "in a child's code": {"tests/test_a.py": "CODE = 'import sys\\nfrom shared import deep, other\\n'"},
    "in a child's formatted code": {"tests/test_a.py": "CODE = f'''\nimport {name}\nfrom shared.deep import x\n'''"},
    "by a conftest above": {"tests/conftest.py": "import shared.deep", "tests/unit/test_a.py": ""},
    "by what a conftest imports": {
        "tests/unit/conftest.py": "from tests.played import x",
        "tests/played.py": "import shared.deep",
        "tests/unit/deeper/test_a.py": "",
    },
    "as a file": {"tests/test_a.py": "ROOT / 'shared' / 'deep.py'"},
    "as one of many files": {"tests/test_a.py": "(ROOT / 'shared').rglob('*.py')"},
    "as a file of a name": {"tests/test_a.py": "ROOT / 'shared' / f'{name}.py'"},
    "where types are not checked": {"tests/test_a.py": "if TYPE_CHECKING:\n    pass\nelse:\n    import shared.deep"},
}


@pytest.mark.parametrize("sources", CHAINS.values(), ids=CHAINS)
def test_no_way_to_a_module_is_overlooked(sources: Mapping[str, str]) -> None:
    found = small({"shared/deep.py": "", "shared/__init__.py": "", **sources}).concerned("shared/deep.py")
    assert found == {own for own in sources if "test_" in own}


@pytest.mark.parametrize(
    "source",
    [
        '"""Like ``shared.deep``, and ``shared/deep.py``."""',
        "if TYPE_CHECKING:\n    import shared.deep",
        "import not_shared.deep",
        "import shared.deeper",
    ],
)
def test_what_only_speaks_of_it_is_not_concerned(source: str) -> None:
    assert small({"shared/deep.py": "", "tests/test_a.py": source}).concerned("shared/deep.py") == set()


def test_what_a_file_is_made_of_is_all_that_it_imports_however_long_the_way() -> None:
    project = small(
        {
            "infra/__init__.py": "",
            "infra/app.py": "def build():\n    from infra.stacks import service",
            "infra/stacks/__init__.py": "",
            "infra/stacks/service.py": "import shared.keys",
            "infra/other.py": "import infra.app",
            "shared/keys.py": "import infra.app",
            "shared/gate.py": "",
        }
    )
    folders = {"infra/__init__.py", "infra/stacks/__init__.py"}
    assert project.made_of("infra/app.py") == folders | {"infra/app.py", "infra/stacks/service.py", "shared/keys.py"}


def test_what_was_read_before_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources: list[str] = []

    def noted(source: str) -> Module:
        sources.append(source)
        return read(source)

    monkeypatch.setattr(importing, "read", noted)
    (tmp_path / "shared").mkdir()
    for name in ("gate", "money"):
        (tmp_path / "shared" / f"{name}.py").write_text(f"import shared.of_{name}")

    found = Project.at(tmp_path)
    assert len(sources) == 2
    sources.clear()
    assert Project.at(tmp_path).made_of("shared/gate.py") == found.made_of("shared/gate.py")
    assert sources == []

    (tmp_path / "shared" / "gate.py").write_text("import shared.money")
    assert Project.at(tmp_path).made_of("shared/gate.py") == {"shared/gate.py", "shared/money.py"}
    assert sources == ["import shared.money"]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """A tree with one commit on main and a branch that left it there."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> str:
        settings = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *settings, *arguments],  # noqa: S607
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    run("init", "-q", "-b", "main")
    for name in ("kept", "changed", "staged", "committed", "gone", "moved"):
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / ".gitignore").write_text("ignored\n")
    run("add", ".")
    run("commit", "-q", "-m", "main")
    run("checkout", "-q", "-b", "branch")
    return run


def test_what_changed_is_what_is_not_as_on_main(git: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "committed").write_text("else")
    git("mv", "moved", "elsewhere")
    git("commit", "-q", "-a", "-m", "branch")
    git("checkout", "-q", "main")
    (tmp_path / "kept").write_text("what others changed meanwhile is not ours\n")
    git("commit", "-q", "-a", "-m", "others")
    git("checkout", "-q", "branch")
    (tmp_path / "changed").write_text("else")
    (tmp_path / "staged").write_text("else")
    git("add", "staged")
    (tmp_path / "gone").unlink()
    (tmp_path / "ünknown name").write_text("new")
    (tmp_path / "ignored").write_text("made")
    expected = ["changed", "committed", "elsewhere", "gone", "moved", "staged", "ünknown name"]
    assert changed_files(tmp_path) == expected
    assert changed_files(tmp_path, "main") == expected


def test_where_nobody_can_tell_what_changed_none_is_said(git: Callable[..., str], tmp_path: Path) -> None:
    assert changed_files(tmp_path, "no-such-branch") is None
    git("branch", "-m", "main", "trunk")
    assert changed_files(tmp_path) is None
