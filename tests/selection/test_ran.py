"""What ran in a test file, and what it opened, would have selected it: the proof that selecting overlooks nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.selection.importing import NOT_FOLLOWED, PROJECT, Project, dotted
from tests.selection.ran import FOLDER, ran

STAYS = {f"tests/integration/{own}.py" for own in ("direct_moto", "request_checks", "quick_moto", "moto_expressions")}
"""Stands in a process's clients for good; to a client of any other test it only hands on."""
ITSELF = "tests/selection/"
"""Selecting is tested on the whole tree: these open every file of it."""
RECORDED = os.environ.get("RECORDED_RAN")


@pytest.mark.skipif(RECORDED is None, reason="`make attribution` names the record of a run")
def test_whatever_ran_in_a_test_file_would_have_selected_it() -> None:
    recorded = ran(Path(RECORDED or ""))
    assert len(recorded) > 150, "the record of a whole run"
    project = Project.at(PROJECT)
    concerned = {own: project.concerned(own) for used in recorded.values() for own in used}
    overlooked = {
        (test, own)
        for test, used in recorded.items()
        if not test.startswith(ITSELF)
        for own in used - STAYS
        if (found := concerned[own]) is not None and test not in found
    }
    assert overlooked == set()


@pytest.mark.long
def test_code_that_starts_and_files_that_are_opened_are_written_down(tmp_path: Path) -> None:
    tests = ("tests/unit/domain/test_money.py", "tests/unit/providers/test_wix.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "not every_authentic", *tests],
        cwd=PROJECT,
        env={**os.environ, FOLDER: str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    money, wix = (ran(tmp_path)[own] for own in tests)
    assert {"shared/domain/money.py", "tests/unit/domain/test_money.py"} <= money
    assert not any("wix" in own for own in money)
    assert {"shared/providers/wix.py", "events/wix/order-approved.json", "tests/unit/providers/conftest.py"} <= wix


def test_who_asks_for_the_account_imports_what_opens_it() -> None:
    """So that the import in the conftest for all need not be followed."""
    opener = "tests/integration/conftest.py"
    assert NOT_FOLLOWED["tests.conftest"] == (dotted(opener),)
    project = Project.at(PROJECT)
    follows = project.concerned(opener)
    assert follows is not None
    asking = {
        own.relative_to(PROJECT).as_posix()
        for own in (PROJECT / "tests").rglob("test_*.py")
        if "staged_account" in own.read_text()
    }
    assert asking - {Path(__file__).relative_to(PROJECT).as_posix()} <= follows
