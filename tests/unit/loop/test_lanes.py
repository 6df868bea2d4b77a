"""The lanes of ``make test``: what looks at real seconds waits for who goes first, and nothing else does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.one_at_a_time import one_at_a_time
from tests.fresh_imports import PROJECT
from tests.patience import PATIENCE

pytestmark = pytest.mark.long
CONFTEST = """
from tests import lanes

def pytest_configure(config):
    config.addinivalue_line("markers", "timed: of seconds")
    config.addinivalue_line("markers", "long: of many")

def pytest_collection_modifyitems(items):
    lanes.order(items)

def pytest_runtest_setup(item):
    lanes.before(item)
"""
TESTS = """
import os
from pathlib import Path
import pytest

NOTES = Path(__file__).parent / "notes"

def note(name):
    with NOTES.open("a") as file:
        file.write(f"{name}\\n")

@pytest.mark.timed
@pytest.mark.long
def test_seconds(): note(f"seconds {os.sched_getscheduler(0)}")

def test_short(): note("short")

@pytest.mark.long
def test_long(): note("long")
"""


def plays(folder: Path, **environment: str) -> "subprocess.Popen[str]":
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment}
    return subprocess.Popen(command, cwd=folder, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def noted(folder: Path) -> list[str]:
    notes = folder / "notes"
    return notes.read_text().splitlines() if notes.exists() else []


def test_behind_somebody_all_is_played_but_what_looks_at_seconds_until_they_have_gone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with one_at_a_time(lock):
        run = plays(tmp_path, TESTS_BEHIND=str(lock))
        until = time.monotonic() + PATIENCE
        while len(noted(tmp_path)) < 2:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.2)
        assert noted(tmp_path) == ["long", "short"]
    said, _ = run.communicate(timeout=PATIENCE)
    assert "3 passed" in said, said
    assert noted(tmp_path) == ["long", "short", f"seconds {os.SCHED_OTHER}"]


def test_with_nobody_before_it_the_long_ones_come_first(tmp_path: Path) -> None:
    said, _ = plays(tmp_path).communicate(timeout=PATIENCE)
    assert "3 passed" in said, said
    assert [own.split()[0] for own in noted(tmp_path)] == ["seconds", "long", "short"]


def test_a_lane_has_the_lock_as_long_as_its_command_runs_and_ends_as_it_does(tmp_path: Path) -> None:
    lock, begun = tmp_path / "lock", tmp_path / "begun"
    waits = f"import pathlib, sys; pathlib.Path({str(begun)!r}).touch(); input(); sys.exit(7)"
    command = [sys.executable, "-m", "tests.lanes", str(lock), sys.executable, "-c", waits]
    lane = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE
    while not begun.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    tried = "import fcntl, sys\nfcntl.flock(open(sys.argv[1], 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    asked = [sys.executable, "-c", tried, str(lock)]
    assert b"BlockingIOError" in subprocess.run(asked, capture_output=True, check=False).stderr
    lane.communicate("\n", timeout=PATIENCE)
    assert lane.returncode == 7
    assert subprocess.run(asked, check=False).returncode == 0
