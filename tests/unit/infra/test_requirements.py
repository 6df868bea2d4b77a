"""The locks: one version of a package everywhere, every file by its hash, and no registry or machine named."""

import re
from pathlib import Path

import pytest

from infra.functions import FUNCTION_NAMES
from infra.local.engine import PROJECT

LOCKS = sorted((PROJECT / "requirements").glob("*.txt"))


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE))


def test_every_bundle_has_its_lock_and_development_includes_it() -> None:
    included = set(re.findall(r"^-r (\w+)\.in$", (PROJECT / "requirements/dev.in").read_text(), flags=re.MULTILINE))

    assert included == set(FUNCTION_NAMES)
    assert {lock.stem for lock in LOCKS} == {*FUNCTION_NAMES, "dev", "engine"}


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_bundle_runs_the_versions_that_are_tested(name: str) -> None:
    tested = pins(PROJECT / "requirements/dev.txt")
    shipped = pins(PROJECT / f"requirements/{name}.txt")

    assert shipped
    assert shipped.items() <= tested.items()


@pytest.mark.parametrize("name", [*FUNCTION_NAMES, "dev", "engine"])
def test_everything_asked_for_is_locked(name: str) -> None:
    asked = re.findall(r"^([A-Za-z0-9._-]+)", (PROJECT / f"requirements/{name}.in").read_text(), flags=re.MULTILINE)
    wanted = {package.lower() for package in asked if not package.startswith("-")}

    assert wanted <= set(pins(PROJECT / f"requirements/{name}.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_pin_has_hashes_and_nothing_names_where_it_came_from(lock: Path) -> None:
    text = lock.read_text()

    assert not re.search(r"://|index-url|find-links|file:|^/", text, flags=re.MULTILINE)
    for block in re.split(r"\n(?=\S)", text):
        assert "--hash=sha256:" in block, block


def test_the_cdk_clis_lock_names_no_address() -> None:
    assert "resolved" not in (PROJECT / "package-lock.json").read_text()
