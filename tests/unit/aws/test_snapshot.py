"""Copies of one snapshot do not wait in step."""

import random
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from shared.aws.snapshot import renew_after_restore


def test_every_copy_of_a_snapshot_draws_waits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the runtime does it: what was registered is called after each restore."""
    hooks: list[Callable[[], object]] = []
    runtime = ModuleType("snapshot_restore_py")
    runtime.__spec__ = ModuleSpec("snapshot_restore_py", None)
    runtime.register_after_restore = hooks.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", runtime)
    renew_after_restore()
    snapshot = random.getstate()
    drawn = set()

    for _ in range(3):
        random.setstate(snapshot)
        for hook in hooks:
            hook()
        drawn.add(random.random())

    assert len(drawn) == 3


def test_where_there_are_no_snapshots_nothing_happens() -> None:
    assert "snapshot_restore_py" not in sys.modules
    renew_after_restore()
