"""The locks: one version of a package everywhere, every file by its hash, and no registry or machine named."""

import re
import tomllib
from pathlib import Path

import pytest

from infra.functions import FUNCTION_NAMES
from infra.local.engine import PROJECT

LOCKS = sorted((PROJECT / "requirements").glob("*.txt"))
GROUPS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["dependency-groups"]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE))


def included(group: str) -> set[str]:
    return {entry["include-group"] for entry in GROUPS[group] if isinstance(entry, dict)}


def asked(group: str) -> set[str]:
    names = [re.match(r"[A-Za-z0-9._-]+", entry) for entry in GROUPS[group] if isinstance(entry, str)]
    return {name[0].lower() for name in names if name}


def test_every_bundle_has_its_lock_and_development_includes_it() -> None:
    assert included("local") == set(FUNCTION_NAMES)
    assert included("dev") == {"local"}
    assert {lock.stem for lock in LOCKS} == {*FUNCTION_NAMES, "local", "dev", "engine"} == set(GROUPS)


@pytest.mark.parametrize("name", [*FUNCTION_NAMES, "local"])
def test_a_bundle_runs_the_versions_that_are_tested(name: str) -> None:
    tested = pins(PROJECT / "requirements/dev.txt")
    shipped = pins(PROJECT / f"requirements/{name}.txt")

    assert shipped
    assert shipped.items() <= tested.items()


@pytest.mark.parametrize("name", GROUPS)
def test_everything_asked_for_is_locked(name: str) -> None:
    assert asked(name)
    assert asked(name) <= set(pins(PROJECT / f"requirements/{name}.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_pin_has_hashes_and_nothing_names_where_it_came_from(lock: Path) -> None:
    text = lock.read_text()

    assert not re.search(r"://|index-url|find-links|file:|^/", text, flags=re.MULTILINE)
    for block in re.split(r"\n(?=\S)", text):
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("folder", [".", "tests/npm"])
def test_the_lock_of_npm_packages_names_no_address(folder: str) -> None:
    assert "resolved" not in (PROJECT / folder / "package-lock.json").read_text()
