"""The deployed stack on a local engine: the one that stands in ``LOCAL_DIR``, else one of the benchmarks' own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OWN = ".local-bench"


def standing() -> dict[str, Any]:
    """What was written of the engine that stands. Raises FileNotFoundError where none does."""
    stack: dict[str, Any] = json.loads(_written().read_text())
    return stack


@contextmanager
def of_an_engine(*, needed: bool) -> Iterator[None]:
    """One that stands, where it is needed; ended afterwards if it was started for this."""
    if not needed or ("LOCAL_DIR" in os.environ and _written().is_file()):
        yield
        return
    os.environ["LOCAL_DIR"] = _OWN
    here = {name: own for name, own in os.environ.items() if name != "PORT"}
    command = [sys.executable, "-m", "infra.local"]
    try:
        subprocess.run([*command, "up"], check=True, env=here, stdout=sys.stderr)
        yield
    finally:
        subprocess.run([*command, "down"], check=True, env=here, stdout=sys.stderr)


def _written() -> Path:
    return Path(os.environ.get("LOCAL_DIR") or ".local") / "stack.json"
