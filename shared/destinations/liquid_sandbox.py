"""A process that renders templates and can be killed: the only place where a merchant's template runs.

A template's loops and filters run inside the library, much of it in C, where no clock of ours is read. So the limit
that counts stands outside: the kernel ends the process after ``MAX_CPU_SECONDS`` of work on one template, and this
side ends it after ``MAX_WALL_SECONDS``; the next template gets a fresh one. The process has none of our environment
(so no credentials), writes no file, and gets no more memory than ``liquid_worker`` allows. Both sides speak JSON over
a socket pair: four bytes of length, then an object.
"""

import atexit
import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from shared.destinations.liquid_turns import Turns

logger = logging.getLogger(__name__)

type Mode = Literal["text", "html", "json"]
type Task = Literal["check", "render"]

MAX_CPU_SECONDS: Final = 0.5
MAX_WALL_SECONDS: Final = 3.0
"""Reached only where the process is not given a processor, or does not run at all."""
MAX_START_SECONDS: Final = 20.0
SLOW_SECONDS: Final = 0.1
"""A template that takes longer may well be ended, and its process with it: another is made ready meanwhile."""
MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
STRIKES: Final = 2
STRUCK_SECONDS: Final = 60.0
_SLOWEST_REMEMBERED: Final = 256
_WORKER: Final = "shared.destinations.liquid_worker"
# What Python itself needs to start; in Lambda its own library lies where only LD_LIBRARY_PATH leads.
_KEPT_ENVIRONMENT: Final = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")
TAKES_TOO_LONG: Final = "the template asks for too much: it takes too long"


class TemplateError(ValueError):
    """A template that cannot be parsed or rendered. The message names places in the template, never data."""


class TemplateLimit(TemplateError):
    """A template that goes beyond a limit; it would again."""


class TemplatesUnavailable(ConnectionError):
    """The process that renders cannot be started, or stands still. Temporary."""


class _Died(Exception):
    """The process ended while it worked on a template."""


class _Stalled(Exception):
    """The process was not done when time was up."""


@dataclass(frozen=True, slots=True)
class Work:
    """One template to render with ``variables`` (JSON-like), or to ``check`` on them as a sample.

    ``owner``: whose template it is, where others wait too.
    """

    task: Task
    mode: Mode
    source: str = field(repr=False)
    variables: Mapping[str, Any] = field(repr=False)
    locale: str
    owner: str | None = None

    def frame(self) -> bytes:
        """The bytes that ask for it. Raises TypeError or ValueError for what is not JSON."""
        asked = {
            "task": self.task,
            "mode": self.mode,
            "source": self.source,
            "variables": self.variables,
            "locale": self.locale,
        }
        return framed(json.dumps(asked, default=_plain).encode())


class Sandbox:
    """One rendering process, started when first needed; templates go through it one after another (``Turns``)."""

    def __init__(self, *, cpu_seconds: float = MAX_CPU_SECONDS, wall_seconds: float = MAX_WALL_SECONDS) -> None:
        """Starts nothing."""
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._turns = Turns()
        self._worker: _Worker | None = None
        self._spare: _Worker | None = None
        self._slow: OrderedDict[bytes, _Slowness] = OrderedDict()

    def run(self, work: Work) -> str:
        """What the template makes; of a ``check`` nothing.

        A template that took too long twice in a row is not tried again for a minute, and an owner of whose templates
        two did so is not served for a few seconds: whoever waits behind them has waited enough.

        Raises:
            TemplateError, TemplateLimit, TemplatesUnavailable.
        """
        frame = work.frame()
        name = sha256(f"{work.mode}\n{work.source}".encode("utf-8", "surrogatepass")).digest()
        with self._turns.taken(work.owner):
            if self._struck(name):
                raise TemplateLimit(TAKES_TOO_LONG)
            if self._turns.rests(work.owner):
                raise TemplatesUnavailable("other templates of the merchant took too long just now")
            answer = self._answered(frame)
            slow = bool(answer.get("slow"))
            self._learn(name, slow=slow)
            if slow:
                self._turns.took_too_long(work.owner)
        return _read(answer)

    def close(self) -> None:
        """End the process; a later ``run`` starts afresh."""
        with self._turns.taken(None):
            self._dismiss()
            self._worker, self._spare = self._spare, None
            self._dismiss()

    def _answered(self, frame: bytes) -> dict[str, Any]:
        """The worker's answer. One that stood still is replaced once: it may have been starved, not overworked."""
        for _ in range(2):
            worker = self._running()
            try:
                return worker.ask(frame, self._wall_seconds, self._stand_by)
            except TemplatesUnavailable:
                self._dismiss()
                raise
            except _Died:
                self._dismiss()
                # It starts while we go on.
                self._running()
                return {"limit": TAKES_TOO_LONG, "slow": True}
            except _Stalled:
                logger.warning("a template's process stood still and was replaced")
                self._dismiss()
        raise TemplatesUnavailable("templates cannot be rendered in time")

    def _running(self) -> "_Worker":
        if self._worker is None or not self._worker.alive():
            self._dismiss()
            self._worker, self._spare = self._spare, None
        if self._worker is None or not self._worker.alive():
            self._dismiss()
            self._worker = _Worker(self._cpu_seconds)
        return self._worker

    def _stand_by(self) -> None:
        if self._spare is None:
            with suppress(TemplatesUnavailable):
                self._spare = _Worker(self._cpu_seconds)

    def _dismiss(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _struck(self, name: bytes) -> bool:
        known = self._slow.get(name)
        return known is not None and known.times >= STRIKES and time.monotonic() - known.last < STRUCK_SECONDS

    def _learn(self, name: bytes, *, slow: bool) -> None:
        known = self._slow.pop(name, None)
        if slow:
            self._slow[name] = _Slowness(1 + (known.times if known else 0), time.monotonic())
            while len(self._slow) > _SLOWEST_REMEMBERED:
                self._slow.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Slowness:
    """How often in a row a template took too long, and when last (monotonic seconds)."""

    times: int
    last: float


class _Worker:
    """The running process and our end of its socket."""

    def __init__(self, cpu_seconds: float) -> None:
        """Start it; the first question waits until it is ready. Raises TemplatesUnavailable."""
        self.owner = os.getpid()
        self._ready = False
        ours, theirs = socket.socketpair()
        self._socket = ours
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in sys.path)
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, and a number
                    [sys.executable, "-P", "-s", "-m", _WORKER, str(cpu_seconds)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=environment,
                )
        except OSError as error:
            ours.close()
            raise TemplatesUnavailable("the process for templates cannot be started") from error
        atexit.register(self.end)

    def ask(self, frame: bytes, seconds: float, slow: Callable[[], None]) -> dict[str, Any]:
        """Its answer to one frame; ``slow`` is called where it takes a while.

        Raises _Died, _Stalled, TemplatesUnavailable.
        """
        if not self._ready:
            self._await_start()
        deadline = time.monotonic() + seconds
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(frame)
        except TimeoutError as error:
            raise _Stalled from error
        except OSError as error:
            raise _Died from error
        if not select.select([self._socket], [], [], SLOW_SECONDS)[0]:
            slow()
        answer = json.loads(self._receive(deadline))
        if not isinstance(answer, dict):
            raise _Died
        return answer

    def alive(self) -> bool:
        """Whether it still runs, and for us: a forked child has the object, but the process answers its parent.

        One that gave up its memory has ended after its answer.
        """
        return self.owner == os.getpid() and self._process.poll() is None

    def end(self) -> None:
        """Kill it, where it is ours, and let go of the socket."""
        atexit.unregister(self.end)
        self._socket.close()
        if self.owner == os.getpid():
            with suppress(OSError):
                self._process.kill()
            self._process.wait()
        else:
            # Our parent's child: nothing to wait for.
            self._process.returncode = 0

    def _await_start(self) -> None:
        try:
            self._receive(time.monotonic() + MAX_START_SECONDS)
        except (_Died, _Stalled) as error:
            raise TemplatesUnavailable("the process for templates does not start") from error
        self._ready = True

    def _receive(self, deadline: float) -> bytes:
        length = int.from_bytes(self._exactly(4, deadline))
        if length > MAX_FRAME_BYTES:
            raise _Died
        return self._exactly(length, deadline)

    def _exactly(self, size: int, deadline: float) -> bytes:
        got = bytearray()
        while len(got) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _Stalled
            self._socket.settimeout(left)
            try:
                part = self._socket.recv(size - len(got))
            except TimeoutError as error:
                raise _Stalled from error
            except OSError as error:
                raise _Died from error
            if not part:
                raise _Died
            got += part
        return bytes(got)


def framed(payload: bytes) -> bytes:
    """``payload`` behind its length."""
    return len(payload).to_bytes(4) + payload


def _read(answer: Mapping[str, Any]) -> str:
    if "limit" in answer:
        raise TemplateLimit(str(answer["limit"]))
    if "error" in answer:
        raise TemplateError(str(answer["error"]))
    return str(answer.get("text", ""))


def _plain(value: object) -> object:
    """Numbers of the table come as Decimals, and mappings of ours need not be dicts."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
