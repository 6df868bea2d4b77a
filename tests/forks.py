"""Tests that are collected once and played in several processes, each a fork of the one that has collected.

A worker of ``pytest-xdist`` imports and collects everything by itself, and every report is looked at on both sides,
which takes a good part of a run. A fork goes on from where the collection stands, and takes the next tests whenever it
is done with its last ones, so nobody has to know how long a test takes. What the tests say comes back as pytest's own
reports, which the one session tells as if it had played them itself.
"""

import gc
import mmap
import os
import signal
import struct
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import pytest
from _pytest.capture import FDCapture

_PIECE = struct.Struct("=II")
_PIECES_OF_A_SHARE = 4
_STOP = 0
SECONDS_TO_END = 20.0
"""What a fork that is to end is given for its test and for taking down what its tests have set up."""


def add_option(parser: pytest.Parser) -> None:
    """``--forks``."""
    parser.addoption("--forks", metavar="COUNT", help="processes that play the tests: a number, or auto for all cores")


def plugin(config: pytest.Config) -> "Forks | None":
    """What plays the tests in several processes, where that is wanted."""
    wanted = config.getoption("forks")
    if wanted is None or config.option.usepdb or config.option.collectonly:
        return None
    return Forks((os.process_cpu_count() or 1) if wanted == "auto" else int(wanted))


def is_fork(config: pytest.Config) -> bool:
    """Whether other processes play the same run (of ``pytest-xdist``, too): pytest's own plugins ask the same."""
    return hasattr(config, "workerinput")


def pieces(files: Sequence[object], forks: int) -> Iterator[tuple[int, int]]:
    """What is handed out at a time, as the first test and the one behind the last; ``files``: of each test its file.

    A file stays together, for what its tests share, unless it is more than a fork's share of what is left: so pieces
    get small towards the end, and no fork waits long for another.
    """
    first = 0
    for _, own in groupby(files):
        end = first + sum(1 for _ in own)
        while first < end:
            share = max(1, (len(files) - first) // (_PIECES_OF_A_SHARE * forks))
            yield first, min(end, first + share)
            first = min(end, first + share)


class _Played(NamedTuple):
    """A test is through. ``reports``: as pytest serialises them."""

    number: int
    reports: list[dict[str, Any]]


class _Warned(NamedTuple):
    """A warning, and what pytest knows of where it came from."""

    text: str
    file: str
    line: int
    known: Mapping[str, Any]


class _Ended(NamedTuple):
    """A fork has played all it could. ``error``: why that was not to the end."""

    error: str | None


class Forks:
    """A pytest plugin: ``count`` forks play what was collected."""

    def __init__(self, count: int) -> None:
        self._count = count

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """In place of pytest's own, unless there is nothing to share. A fork leaves it on its way to its own end."""
        count = min(self._count, len(session.items))
        if session.testsfailed or count < 2:
            return None
        if threading.active_count() > 1:
            msg = f"a fork would not have these threads, which some import has started: {threading.enumerate()}"
            raise pytest.UsageError(msg)
        work = _handed_out(pieces([own.path for own in session.items], count))
        board = memoryview(mmap.mmap(-1, 4 * (1 + count))).cast("i")
        folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        session.config.get_terminal_writer().flush()
        sys.stdout.flush()
        running: dict[Connection, tuple[int, int]] = {}
        for number in range(1, count + 1):
            heard, told = Pipe(duplex=False)
            pid = os.fork()
            if pid == 0:
                for other in (heard, *running):
                    other.close()
                fork = _Fork(session, told)
                fork.settle(folder / f"fork-{number}")
                fork.play(work, board, number)
                return True
            told.close()
            running[heard] = (number, pid)
        os.close(work)
        _Listening(session, board, running).to_the_end()
        return True


def _handed_out(of: Iterator[tuple[int, int]]) -> int:
    """A pipe that all of it stands in already; whoever reads a piece has it alone, and at the end there is no more."""
    out, into = os.pipe()
    os.set_blocking(into, False)  # too many pieces are an error, not a wait for nobody
    for piece in of:
        os.write(into, _PIECE.pack(*piece))
    os.close(into)
    return out


def _taken(work: int) -> Iterator[int]:
    while piece := os.read(work, _PIECE.size):
        yield from range(*_PIECE.unpack(piece))


def _catch_alone(captures: Iterable[FDCapture]) -> None:
    """What this process prints goes into files of its own, under the streams that are there.

    Streams of its own would not do: loggers that were made while tests were imported hold the ones of then, and were
    these closed, each line would end as a traceback of the logging itself.
    """
    for capture in captures:
        with TemporaryFile(buffering=0) as own:
            os.dup2(own.fileno(), capture.tmpfile.fileno(), inheritable=False)


class _Fork:
    """In a fork, a pytest plugin: plays, and tells what its tests say."""

    def __init__(self, session: pytest.Session, told: Connection) -> None:
        self._session, self._config = session, session.config
        self._told = told
        self._reports: list[dict[str, Any]] = []
        self._error: str | None = None

    def settle(self, folder: Path) -> None:
        """Let go of what belongs to the process that has collected: its terminal, cache and temporary files."""
        config: Any = self._config
        config.workerinput = {
            "workerid": folder.name
        }  # by which pytest's plugins know that another process writes what is kept of the run
        config.pluginmanager.unregister(name="terminalreporter")
        capturing = config.pluginmanager.getplugin("capturemanager")._global_capturing
        _catch_alone([own for own in (capturing.out, capturing.err) if isinstance(own, FDCapture)])
        folder.mkdir()
        config._tmp_path_factory._basetemp = folder
        config.pluginmanager.register(self)

    def play(self, work: int, board: "memoryview[int]", number: int) -> None:
        """The next test is taken before one is played, which leaves standing what both of them share."""
        items, ahead = self._session.items, _taken(work)
        index = next(ahead, None)
        while index is not None and not board[_STOP]:
            following = next(ahead, None)
            board[number] = index + 1
            nextitem = None if following is None else items[following]
            self._config.hook.pytest_runtest_protocol(item=items[index], nextitem=nextitem)
            self._told.send(_Played(index, self._reports))
            self._reports = []
            if self._session.shouldfail or self._session.shouldstop:
                break
            index = following
        board[number] = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Kept until the test is through."""
        self._reports.append(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_warning_recorded(
        self, warning_message: warnings.WarningMessage, when: str, nodeid: str, location: tuple[str, int, str] | None
    ) -> None:
        """Told as text: a warning may hold anything. Those of the collection are known where it was."""
        if when != "collect":
            text = f"{warning_message.category.__name__}: {warning_message.message}"
            known = {"when": when, "nodeid": nodeid, "location": location}
            self._told.send(_Warned(text, warning_message.filename, warning_message.lineno, known))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C, or a test that ends the whole run."""
        self._error = excinfo.exconly()

    def pytest_internalerror(self, excrepr: object) -> bool:
        """What went wrong outside of tests."""
        self._error = str(excrepr)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Iterator[None]:
        """When everything is taken down. The process ends, and need not look through all it has for rubbish first."""
        yield
        self._told.send(_Ended(self._error))
        gc.freeze()


class _Listening:
    """Where the forks are listened to. ``running``: each one's number and process, by what it is heard on."""

    def __init__(
        self, session: pytest.Session, board: "memoryview[int]", running: dict[Connection, tuple[int, int]]
    ) -> None:
        self._session = session
        self._board = board
        self._running = running
        self._left = set(range(len(session.items)))
        self._errors: list[str] = []
        self._through: set[int] = set()

    def to_the_end(self) -> None:
        """Tell all they say, and leave none behind. Raises what pytest's own loop would, where it is not the end."""
        session = self._session
        try:
            while self._running:
                self._listen()
                if session.shouldfail or session.shouldstop or self._errors:
                    self._board[_STOP] = 1
        finally:
            self._end()
        if self._errors:
            raise session.Interrupted("\n".join(self._errors))
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        if self._left:
            first = session.items[min(self._left)].nodeid
            raise session.Interrupted(f"{len(self._left)} tests were not played, the first of them {first}")

    def _listen(self, seconds: float | None = None) -> None:
        for heard in wait(list(self._running), seconds):
            assert isinstance(heard, Connection)
            try:
                self._take(heard, heard.recv())
            except EOFError:
                self._bury(heard)

    def _take(self, heard: Connection, said: object) -> None:
        match said:
            case _Played(number, reports):
                self._left.discard(number)
                self._tell(self._session.items[number], reports)
            case _Warned(text, file, line, known):
                warned = warnings.WarningMessage(Warning(text), Warning, file, line)
                self._session.config.hook.pytest_warning_recorded.call_historic(
                    kwargs={**known, "warning_message": warned}
                )
            case _Ended(error):
                self._through.add(self._running[heard][0])
                if error is not None:
                    self._errors.append(error)
            case _:
                raise AssertionError(said)

    def _tell(self, item: pytest.Item, reports: list[dict[str, Any]]) -> None:
        config, hook = self._session.config, item.ihook
        location = reports[0]["location"]  # the item's own, which the fork has looked for already
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=location)
        for own in reports:
            hook.pytest_runtest_logreport(report=config.hook.pytest_report_from_serializable(config=config, data=own))
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=location)

    def _bury(self, heard: Connection) -> None:
        number, pid = self._running.pop(heard)
        heard.close()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if number not in self._through:
            playing = self._board[number]
            where = f"while it played {self._session.items[playing - 1].nodeid}" if playing else "between its tests"
            self._errors.append(
                f"a process of the tests died ({signal.Signals(-code).name if code < 0 else code}) {where}"
            )

    def _end(self) -> None:
        """However it came: each ends by itself, soon, or is ended."""
        self._board[_STOP] = 1
        until = time.monotonic() + SECONDS_TO_END
        while self._running and time.monotonic() < until:
            self._listen(max(0.0, until - time.monotonic()))
        for number, pid in self._running.values():
            self._through.add(number)
            os.kill(pid, signal.SIGKILL)
        for heard in list(self._running):
            self._bury(heard)
