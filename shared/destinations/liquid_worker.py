"""The process that renders templates: reads work from its socket, writes what came of it (``liquid_sandbox``).

Run as ``python -m shared.destinations.liquid_worker SECONDS``. ``SECONDS`` of processor time may go into one template;
then the kernel ends the process, whatever it is doing.
"""

import json
import resource
import signal
import socket
import sys
from typing import Any, Final

from shared.destinations import liquid_engine
from shared.destinations.liquid_sandbox import MAX_FRAME_BYTES, TemplateError, TemplateLimit, framed

MAX_MEMORY_BYTES: Final = 256 * 1024 * 1024
"""Of address space. The idle process takes 40 MB; no permitted template needs a tenth of the rest."""
_TOO_MUCH_MEMORY: Final = "the template asks for too much: it takes too much memory"


def main() -> None:
    """Serve until the other side closes the socket."""
    seconds = float(sys.argv[1])
    own = socket.socket(fileno=sys.stdin.fileno())
    # The default action ends the process in the midst of C code; a handler of Python's would wait for its return.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    liquid_engine.load()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    own.sendall(framed(b"ready"))
    while True:
        frame = _read(own)
        if frame is None:
            return
        signal.setitimer(signal.ITIMER_PROF, seconds)
        answer, usable = _answer(frame, seconds)
        signal.setitimer(signal.ITIMER_PROF, 0)
        own.sendall(framed(json.dumps(answer).encode()))
        if not usable:
            # Whatever else wanted memory just then may have been left half done.
            return


def _answer(frame: bytes, seconds: float) -> tuple[dict[str, Any], bool]:
    """What to answer, and whether the process is fit for another template."""
    try:
        return {"text": _done(json.loads(frame), seconds)}, True
    except MemoryError:
        return {"limit": _TOO_MUCH_MEMORY, "slow": True}, False
    except TemplateLimit as error:
        return {"limit": str(error), "slow": isinstance(error, liquid_engine.TookTooLong)}, True
    except TemplateError as error:
        return {"error": str(error)}, True
    except Exception as error:  # noqa: BLE001  one template's oddity must not end the process, nor its data be logged
        return {"error": f"the template cannot be rendered ({type(error).__name__})"}, True


def _done(work: dict[str, Any], seconds: float) -> str:
    # Our own clock, read between nodes, is a little faster than the kernel's: it spares the process.
    clock = liquid_engine.Clock(seconds * 0.8)
    if work["task"] == "check":
        liquid_engine.check(work["source"], work["mode"], work["variables"], clock)
        return ""
    return liquid_engine.rendered(work["source"], work["mode"], work["variables"], work["locale"], clock)


def _read(own: socket.socket) -> bytes | None:
    """The next frame, None when the other side is gone."""
    head = own.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return None
    length = int.from_bytes(head)
    if length > MAX_FRAME_BYTES:
        return None
    frame = own.recv(length, socket.MSG_WAITALL)
    return frame if len(frame) == length else None


if __name__ == "__main__":
    main()
