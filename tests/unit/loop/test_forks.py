"""Tests that several processes play: none is lost or played twice, and what they say is told as by one."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.forks import pieces
from tests.fresh_imports import PROJECT
from tests.patience import PATIENCE

pytestmark = pytest.mark.long
CONFTEST = """
import os
import signal
from pathlib import Path
import pytest
from tests import forks

NOTES = Path(__file__).parent / "notes"
signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts us in the background has it ignored
pytest_addoption = forks.add_option

def pytest_configure(config):
    config.pluginmanager.register(forks.plugin(config))

def note(line):
    with NOTES.open("a") as file:
        file.write(f"{line}\\n")

@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    note(f"opened in {os.getpid()}")
    yield tmp_path_factory.mktemp("own")
    note(f"closed in {os.getpid()}")

@pytest.fixture(autouse=True)
def noted(request, opened, tmp_path):
    assert opened.parent == tmp_path.parent
    note(f"{request.node.name} in {os.getpid()}")
"""

ALONE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""The environment of a pytest without the plugins that packages bring along: they take longer than its tests."""

type Play = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Starts pytest on files of tests, with two forks."""

    def started(*arguments: str, **files: str) -> "subprocess.Popen[str]":
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        (tmp_path / "conftest.py").write_text(CONFTEST)
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--forks", "2", *arguments],
            cwd=tmp_path,
            env=ALONE | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return started


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().splitlines()


@given(st.lists(st.integers(1, 40), max_size=20), st.integers(2, 8))
def test_the_pieces_are_all_there_is_once_and_in_order(sizes: list[int], forks: int) -> None:
    files = [number for number, size in enumerate(sizes) for _ in range(size)]

    found = list(pieces(files, forks))

    assert [index for piece in found for index in range(*piece)] == list(range(len(files)))
    assert all(len({files[index] for index in range(*piece)}) == 1 for piece in found)


def test_a_file_stays_together_unless_it_is_much_of_what_is_left() -> None:
    files = ["small"] * 10 + ["large"] * 60 + ["small too"] * 10

    assert list(pieces(files, 2)) == [
        *((0, 10), (10, 18), (18, 25), (25, 31), (31, 37), (37, 42), (42, 46), (46, 50)),
        *((50, 53), (53, 56), (56, 59), (59, 61), (61, 63), (63, 65), (65, 66), (66, 67), (67, 68), (68, 69), (69, 70)),
        *((index, index + 1) for index in range(70, 80)),
    ]


def test_every_test_is_played_once_and_every_process_has_its_own(play: Play, tmp_path: Path) -> None:
    many = "import pytest, time\n@pytest.mark.parametrize('n', range(20))\ndef test_{}(n):\n    time.sleep(0.005)\n"
    run = play(**{name: many.format(name) for name in "abc"})
    said, _ = run.communicate(timeout=PATIENCE)

    assert "60 passed" in said, said
    assert run.returncode == 0
    played = Counter(own.partition(" in ")[0] for own in notes(tmp_path) if own.startswith("test_"))
    assert played == {f"test_{name}[{number}]": 1 for name in "abc" for number in range(20)}
    processes = {own.partition(" in ")[2] for own in notes(tmp_path)}
    assert len(processes) == 2
    assert str(run.pid) not in processes
    for what in ("opened", "closed"):
        assert sorted(own for own in notes(tmp_path) if own.startswith(what)) == sorted(
            f"{what} in {process}" for process in processes
        )


def test_what_fails_is_told_as_ever_with_what_it_printed_and_what_it_warned_of(play: Play) -> None:
    run = play(
        a="import warnings\ndef test_a():\n    warnings.warn('mind the gap')\n",
        b="def test_b():\n    print('seen before')\n    assert 6 * 7 == 43\n",
        c="import pytest\ndef test_c():\n    pytest.skip('not here')\n",
    )
    said, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == 1
    for line in ("assert (6 * 7) == 43", "seen before", "FAILED test_b.py::test_b", "UserWarning: mind the gap"):
        assert line in said
    assert "1 failed, 1 passed, 1 skipped, 1 warning" in said


def test_a_logger_made_at_import_is_heard_in_the_test_that_it_logs_in(play: Play) -> None:
    logger = "import logging, sys\nlogger = logging.getLogger(__name__)\n"
    logger += "logger.addHandler(logging.StreamHandler(sys.stdout))\n"
    test = "def test_{0}():\n    logger.error('said by {0}')\n    assert 6 * 7 == 43\n"
    run = play("-p", "no:logging", **{name: logger + test.format(name) for name in "ab"})
    said, _ = run.communicate(timeout=PATIENCE)

    assert "2 failed" in said
    assert [line for line in said.splitlines() if "said by" in line and "logger" not in line] == [
        "said by a",
        "said by b",
    ], said


def test_after_as_many_failures_as_were_allowed_no_more_is_begun(play: Play, tmp_path: Path) -> None:
    many = "import pytest, time\n@pytest.mark.parametrize('n', range(200))\ndef test_it(n):\n    time.sleep(0.02)\n"
    run = play("-x", a="def test_a():\n    assert False\n", b=many)
    said, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == 1, said
    assert "stopping after 1 failures" in said
    assert sum(own.startswith("test_it") for own in notes(tmp_path)) < 200
    assert sum(own.startswith("closed") for own in notes(tmp_path)) == 2


def test_a_process_that_dies_is_told_with_the_test_it_played(play: Play) -> None:
    run = play(
        a="import os, signal\ndef test_a():\n    os.kill(os.getpid(), signal.SIGKILL)\n", b="def test_b(): pass\n"
    )
    said, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == 2
    assert "a process of the tests died (SIGKILL) while it played test_a.py::test_a" in said


def test_a_test_that_ends_the_run_ends_it(play: Play) -> None:
    run = play(a="import pytest\ndef test_a():\n    pytest.exit('enough')\n", b="def test_b(): pass\n")
    said, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == 2
    assert "enough" in said


def test_ctrl_c_ends_all_and_everything_is_taken_down(play: Play, tmp_path: Path) -> None:
    hangs = "import time\ndef test_{}():\n    time.sleep(600)\n"
    run = play(**{name: hangs.format(name) for name in "abcd"})
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "notes").exists() or len(notes(tmp_path)) < 4:
        assert time.monotonic() < until
        time.sleep(0.01)
    forks = {int(own.partition(" in ")[2]) for own in notes(tmp_path)}
    for process in (*forks, run.pid):  # as a terminal does
        os.kill(process, signal.SIGINT)
    said, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == 2, said
    assert sum(own.startswith("closed") for own in notes(tmp_path)) == 2
    for process in forks:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_where_no_test_is_asked_for_that_is_said_as_ever(play: Play) -> None:
    run = play("-k", "nothing", a="def test_a(): pass\n")
    said, _ = run.communicate(timeout=PATIENCE)

    assert (run.returncode, "1 deselected" in said) == (5, True)


def test_a_thread_that_an_import_has_started_would_be_missing(play: Play) -> None:
    thread = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    run = play(a=f"{thread}def test_a(): pass\ndef test_b(): pass\n")
    said, _ = run.communicate(timeout=PATIENCE)

    assert run.returncode == 4
    assert "a fork would not have these threads" in said
