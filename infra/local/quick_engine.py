"""Runs the engine without what it does over and over again. Nothing that it answers changes by this.

Started as ``.engine/bin/python -P infra/local/quick_engine.py .engine/bin/ministack``.
"""

import hashlib
import queue
import runpy
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any, Self

_one_at_a_time = threading.Lock()
_KEPT_EXPRESSIONS = 1024


class UnpackedOnce:
    """A zip file on the disk whose content is unpacked where the first one was that has the same bytes.

    The engine unpacks a bundle for each worker that it starts: thousands of files and up to half a second of a
    processor, while everything else that asks the engine for something waits. A worker's folder holds links to what is
    unpacked instead; as in Lambda, nobody writes there.
    """

    def __init__(self, file: str | Path) -> None:
        self._file = Path(file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def extractall(self, path: str | Path) -> None:
        """Link what is in it into the folder ``path``."""
        with _one_at_a_time:
            kept = self._kept()
        for own in kept.iterdir():
            Path(path, own.name).symlink_to(own)

    def _kept(self) -> Path:
        """Where its content lies, unpacked when it is missing."""
        bundles = Path(tempfile.gettempdir(), "bundles")
        bundles.mkdir(exist_ok=True)
        kept = bundles / hashlib.sha256(self._file.read_bytes()).hexdigest()
        if not kept.exists():
            unpacking = Path(tempfile.mkdtemp(dir=bundles))
            try:
                with zipfile.ZipFile(self._file) as archive:
                    archive.extractall(unpacking)
                unpacking.rename(kept)
            except BaseException:
                shutil.rmtree(unpacking, ignore_errors=True)
                raise
        return kept


def said(worker: Any, first_line_wait: float = 0.050, idle_confirm: float = 0.005, hard_cap: float = 0.250) -> str:
    """What a worker has written about an invocation, by the engine's own bounds in seconds: it looks every millisecond.

    The first line within ``first_line_wait``, each further one within ``idle_confirm``, all within ``hard_cap``.
    """
    lines: list[str] = []
    ends, wait = monotonic() + hard_cap, first_line_wait
    with suppress(queue.Empty):
        while (left := ends - monotonic()) > 0:
            lines.append(worker._stderr_queue.get(timeout=min(wait, left)))
            wait = idle_confirm
    return "\n".join(lines)


def read_once(tokens: Callable[[str], list[Any]]) -> Callable[[str], list[Any]]:
    """Parts of an expression, which the engine takes apart anew for each row that a query looks at; a list of its own
    for each who asks."""
    kept = lru_cache(_KEPT_EXPRESSIONS)(lambda expression: tuple(tokens(expression)))
    return lambda expression: list(kept(expression))


def main(binary: str) -> None:
    """Put all this in the place of the engine's own, and run the engine."""
    runtime: Any = import_module("ministack.core.lambda_runtime")
    runtime.zipfile = SimpleNamespace(
        ZipFile=UnpackedOnce, BadZipFile=zipfile.BadZipFile, LargeFileError=zipfile.LargeZipFile
    )
    runtime.Worker._drain_stderr_bounded = said
    dynamodb: Any = import_module("ministack.services.dynamodb")
    dynamodb._tokenize = read_once(dynamodb._tokenize)
    dynamodb._condition_syntax_error = lru_cache(_KEPT_EXPRESSIONS)(dynamodb._condition_syntax_error)
    sys.argv = [binary]
    runpy.run_path(binary, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
