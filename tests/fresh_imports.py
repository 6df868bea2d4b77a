"""A look at an import of ours, in a process that has loaded the packages and none of our modules.

Starting Python and loading botocore and pydantic is most of such a look, and the same at each: it is done once, and
every look is a fork of that.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[1]
_PACKAGES = (
    *(
        "aws_lambda_powertools.event_handler.api_gateway",
        "aws_lambda_powertools.logging",
        "aws_lambda_powertools.metrics",
    ),
    *("botocore.client", "botocore.httpsession", "botocore.session", "jinja2", "pydantic", "ulid"),
)
_LOADED = """
import gc, importlib, json, os, sys, threading
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == 1, "a fork would not have it"
gc.freeze()
for line in sys.stdin:
    code, environment, out, err = json.loads(line)
    child = os.fork()
    if child == 0:
        for stream, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
        os.environ.clear()
        os.environ.update(environment)
        exec(code, {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)  # taking everything down again would take as long as the look
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class FreshImports:
    """Runs code as ``python -c`` would, with the packages loaded."""

    def __init__(self, loaded: "subprocess.Popen[str]", folder: Path) -> None:
        self._loaded = loaded
        self._folder = folder
        self._looks = 0

    def printed(self, code: str, environment: Mapping[str, str]) -> str:
        """What it printed; an AssertionError with what it complained of, where it failed."""
        self._looks += 1
        out, err = (self._folder / f"{self._looks}.{own}" for own in ("out", "err"))
        asked, answered = self._loaded.stdin, self._loaded.stdout
        assert asked is not None and answered is not None  # noqa: PT018 - both are pipes
        asked.write(json.dumps([code, dict(environment), str(out), str(err)]) + "\n")
        asked.flush()
        assert answered.readline() == "0\n", err.read_text()
        return out.read_text()


@contextmanager
def fresh_imports(folder: Path) -> Iterator[FreshImports]:
    """``folder``: where output passes through."""
    command = [sys.executable, "-c", _LOADED, *_PACKAGES]
    with subprocess.Popen(
        command, cwd=PROJECT, env={"PATH": os.environ["PATH"]}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as loaded:
        yield FreshImports(loaded, folder)
