"""The stage in memory."""

from collections.abc import Iterator

import pytest

from tests.unit.workflows.campaigns.due_steps import DueSteps, opened_stage


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[DueSteps]:
    """A stage with nothing on it."""
    yield from opened_stage(monkeypatch)
