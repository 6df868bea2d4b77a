"""The lanes of ``make test``: the deployed stack goes first, and what looks at real seconds waits until it has gone.

``python -m tests.lanes <lock> <command> <its arguments>`` runs the command, and holds the lock meanwhile. Of tests that
are told of the lock (``TESTS_BEHIND``) those that are ``timed`` come last, when they can have it.
"""

import contextlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from infra.one_at_a_time import one_at_a_time

BEHIND = "TESTS_BEHIND"
"""The environment variable that names the lock."""


def order(items: list[pytest.Item]) -> None:
    """The long ones first: at the end no process is left alone with one of them. Behind others, timed ones last."""
    behind = BEHIND in os.environ

    def place(item: pytest.Item) -> tuple[bool, bool]:
        return behind and item.get_closest_marker("timed") is not None, item.get_closest_marker("long") is None

    items.sort(key=place)


def before(item: pytest.Item) -> None:
    """Wait for who goes first, where the test looks at real seconds."""
    lock = os.environ.get(BEHIND)
    if lock is not None and item.get_closest_marker("timed") is not None:
        _wait_for(lock)


@cache
def _wait_for(lock: str) -> None:
    with one_at_a_time(Path(lock)):
        pass
    # Whoever stood back for the others has nobody to stand back for any more; not everybody may say so.
    with contextlib.suppress(AttributeError, PermissionError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def main(lock: str, *command: str) -> int:
    """Run the command while nobody else has the lock; its exit status."""
    with one_at_a_time(Path(lock)):
        # With the files that make hands to another make.
        return subprocess.run(command, close_fds=False, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
