"""What several processes and threads of this machine may want at once, one after the other."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Alone, among all who name the same file; a process that dies lets go.

    The kernel's own lock rather than ``filelock``, which listens to every audited event of the process that imports it,
    each ``id()`` of a copy among them: nine seconds of the unit and integration tests.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
