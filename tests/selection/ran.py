"""Whose code runs in which test file, and what is opened there: written down to be held against what is selected.

Where ``RECORD_RAN`` names a folder, each process writes there what it saw. A function counts the first time it is
started in a test file, which costs next to nothing; a module that is only imported runs in nobody's name.

Nothing but the standard library at import: the conftest of all tests imports it.
"""

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

FOLDER = "RECORD_RAN"
PROJECT = Path(__file__).parents[2]
_MADE = (".", "node_modules/", "cdk.out/")
"""What is made and installed, not written."""
_SOURCES = ("<frozen importlib", "/linecache.py", "/inspect.py", "/tokenize.py", "/hypothesis/")
"""Who opens a source to import it, to show it in a traceback, or to find odd numbers in it."""
_FRAMES = 8
"""From whoever opens a file down to who wants it."""


class Ran:
    """A pytest plugin: by test file, the project's files whose code started or that were opened."""

    def __init__(self, folder: Path) -> None:
        """``folder``: where to, one file for each process."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._prefix = f"{PROJECT}/"
        self._by_test: dict[str, set[str]] = defaultdict(set)
        self._now: str | None = None
        self._left_over: set[int | None] = set()
        tool = sys.monitoring
        tool.use_tool_id(tool.PROFILER_ID, "checkback-ran")
        tool.register_callback(tool.PROFILER_ID, tool.events.PY_START, self._started)
        sys.addaudithook(self._audited)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """The test file that runs from here on; with the first of it every function is new again."""
        path = nodeid.partition("::")[0]
        if path != self._now:
            first = self._now is None
            self._now = path
            others = (own.ident for own in threading.enumerate() if own is not threading.current_thread())
            self._left_over = set(others)  # of the files before
            sys.monitoring.restart_events()
            if first:
                sys.monitoring.set_events(sys.monitoring.PROFILER_ID, sys.monitoring.events.PY_START)

    def pytest_sessionfinish(self) -> None:
        """Write it down."""
        sys.monitoring.set_events(sys.monitoring.PROFILER_ID, 0)
        self._now = None
        if self._by_test:
            path = self._folder / f"{os.getpid()}.json"  # of a fork
            path.write_text(json.dumps({path: sorted(own) for path, own in self._by_test.items()}))

    def _started(self, code: CodeType, _offset: int) -> Any:
        if code.co_filename.startswith(self._prefix) and code.co_name != "<module>":
            self._note(code.co_filename)
        return sys.monitoring.DISABLE

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or self._now is None or type(arguments[0]) is not str:
            return
        if arguments[0].startswith(self._prefix) and not _is_for_its_source(sys._getframe(1)):
            self._note(arguments[0])

    def _note(self, path: str) -> None:
        own = path.removeprefix(self._prefix)
        is_of_this = self._now is not None and threading.get_ident() not in self._left_over
        if is_of_this and not own.startswith(_MADE) and "__pycache__" not in own:
            self._by_test[self._now or ""].add(own)


def _is_for_its_source(frame: FrameType | None) -> bool:
    for _ in range(_FRAMES):
        if frame is None:
            return False
        if any(own in frame.f_code.co_filename for own in _SOURCES):
            return True
        frame = frame.f_back
    return False


def plugin() -> Ran | None:
    """What writes it down, where that is wanted."""
    return Ran(Path(os.environ[FOLDER])) if FOLDER in os.environ else None


def ran(folder: Path) -> Mapping[str, set[str]]:
    """What all processes wrote down."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.glob("*.json")):
        for test, own in _read(path):
            found[test] |= own
    return found


def _read(path: Path) -> Iterator[tuple[str, set[str]]]:
    written: dict[str, list[str]] = json.loads(path.read_text())
    for test, own in written.items():
        yield test, set(own)
