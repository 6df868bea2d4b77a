"""What the engine's log says of batches that failed, read while it is written."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

_FAILED = re.compile(r"ESM: Lambda (\S+) failed processing (SQS|DynamoDB) .*errorMessage=(.*)")
_DIED = "Worker process died"
_EVERY = 0.2


class EngineLog:
    """A context manager: reads from where the log ends when it is entered.

    ``on_failed_records``: called with the function's name when a batch of a stream failed, on a thread of its own.
    """

    def __init__(self, path: Path, on_failed_records: Callable[[str], object]) -> None:
        """``path`` of the log."""
        self._path = path
        self._on_failed_records = on_failed_records
        self._died: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow)

    def __enter__(self) -> Self:
        self._from = self._path.stat().st_size
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def died_at_work(self) -> Counter[str]:
        """By function, how many batches of a stream or queue lost their worker."""
        return Counter(self._died)

    def _follow(self) -> None:
        while not self._over.wait(_EVERY):
            with self._path.open("rb") as log:
                log.seek(self._from)
                for line in log:
                    if not line.endswith(b"\n"):  # it is still being written
                        break
                    self._from += len(line)
                    self._read(line.decode(errors="replace"))

    def _read(self, line: str) -> None:
        found = _FAILED.search(line)
        if found is None:
            return
        function, source, why = found.groups()
        if why.startswith(_DIED):
            self._died[function] += 1
        if source == "DynamoDB":
            threading.Thread(target=self._on_failed_records, args=(function,), daemon=True).start()
