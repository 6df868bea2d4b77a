"""The engine: an AWS look-alike from an environment of its own (``.engine``), one for each local folder."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
_BINARY = PROJECT / ".engine" / "bin" / "ministack"
_COMMAND = (
    *(str(PROJECT / ".engine" / "bin" / "python"), "-P", str(PROJECT / "infra" / "local" / "quick_engine.py")),
    str(_BINARY),
)
_READY_WITHIN = 30.0  # seconds
_STOPPED_WITHIN = 5.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it, which nobody else may enter
_ROOM_IN_MEMORY = 6 * 2**30  # bytes

# The engine hands its whole environment to the functions: it gets what a program needs, and nothing of ours.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


class EngineError(RuntimeError):
    """The engine cannot be started or reached; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine. ``url`` has no trailing slash."""

    pid: int
    port: int
    region: str

    @property
    def url(self) -> str:
        """Where all its AWS services answer."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/_ministack/ready", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def find(folder: Path) -> Engine | None:
    """The engine that runs for ``folder``; None when there is none, or only what is left of one."""
    try:
        recorded = json.loads((folder / "engine.json").read_text())
    except FileNotFoundError:
        return None
    engine = Engine(**recorded)
    return engine if _is_engine(engine.pid) and engine.is_ready else None


def start(folder: Path, *, port: int | None, region: str) -> Engine:
    """Starts an engine for ``folder`` and waits until it answers. Raises EngineError."""
    if not _BINARY.exists():
        msg = "the engine is not installed: run infra/local/bootstrap.sh"
        raise EngineError(msg)
    stop(folder)
    if port is not None and _in_use(port):
        msg = f"port {port} is in use"
        raise EngineError(msg)
    scratch = _scratch(folder)
    chosen = port or _free_port()
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            _COMMAND,
            env={
                **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                "GATEWAY_PORT": str(chosen),
                "BIND_HOST": "127.0.0.1",
                "IOT_MTLS_ENABLED": "0",  # its MQTT port would be open to the network
                "MINISTACK_HOST": "127.0.0.1",
                "MINISTACK_REGION": region,
                "AWS_DEFAULT_REGION": region,
                "LAMBDA_WARM_TTL_SECONDS": "3600",
                "TMPDIR": str(scratch),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    engine = Engine(pid=process.pid, port=chosen, region=region)
    (folder / "engine.json").write_text(json.dumps({"pid": engine.pid, "port": engine.port, "region": engine.region}))
    deadline = time.monotonic() + _READY_WITHIN
    while not engine.is_ready:
        if process.poll() is not None or time.monotonic() > deadline:
            stop(folder)
            msg = f"the engine did not start; its log is {folder / 'engine.log'}"
            raise EngineError(msg)
        time.sleep(0.05)
    return engine


def stop(folder: Path) -> bool:
    """Ends the engine of ``folder`` with all its workers, asking first. Whether there was one."""
    record = folder / "engine.json"
    try:
        pid = int(json.loads(record.read_text())["pid"])
    except FileNotFoundError:
        _remove(folder / "tmp")
        return False
    found = _is_engine(pid)
    if found:
        _signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOPPED_WITHIN
        while _is_engine(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        # Workers may outlive it, and so does the engine itself when one of its resources hangs.
        _signal_group(pid, signal.SIGKILL)
    _remove(folder / "tmp")
    record.unlink(missing_ok=True)
    return found


def _scratch(folder: Path) -> Path:
    """Where the engine unpacks bundles, and each worker's folder lies: in memory, where there is plenty.

    Thousands of small files: on a disk they can take several times as long as all the rest of a first start.
    """
    scratch = folder / "tmp"
    _remove(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    if _has_room(_MEMORY):
        scratch.symlink_to(tempfile.mkdtemp(prefix="checkback-", dir=_MEMORY))
    else:
        scratch.mkdir()
    return scratch


def _has_room(memory: Path) -> bool:
    try:
        return shutil.disk_usage(memory).free >= _ROOM_IN_MEMORY
    except OSError:  # no such thing here
        return False


def _remove(scratch: Path) -> None:
    """The scratch folder, wherever it is."""
    if scratch.is_symlink():
        shutil.rmtree(scratch.resolve(), ignore_errors=True)
        scratch.unlink()
    else:
        shutil.rmtree(scratch, ignore_errors=True)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


def _is_engine(pid: int) -> bool:
    """Whether the process is an engine of this project: a number may long belong to something else."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return str(_BINARY) in _command_of(pid)


def _command_of(pid: int) -> str:
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():  # small Linux images have no ps
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    return listed.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
