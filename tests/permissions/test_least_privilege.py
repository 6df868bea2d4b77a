"""What every function was seen to do is what its role allows: nothing missing, nothing that nobody needs.

``make permissions`` gives the folders in which the unit, integration and e2e tests recorded the calls of a whole run.
"""

import os
from pathlib import Path

import pytest

from tests.permissions.judging import Verdict, judge
from tests.permissions.policies import Policies
from tests.permissions.recording import Recorded, recorded
from tests.unit.infra.conftest import Synthesise, synthesise

__all__ = ["synthesise"]

RECORDED = "RECORDED_AWS_CALLS"

pytestmark = pytest.mark.skipif(RECORDED not in os.environ, reason="make permissions")


@pytest.fixture
def needs() -> dict[Recorded, str]:
    """All that was recorded."""
    folders = [Path(own) for own in os.environ[RECORDED].split()]
    found = [recorded(own) for own in folders]
    empty = [str(folder) for folder, own in zip(folders, found, strict=True) if not own]
    assert not empty, f"nothing is recorded in {empty}: make unit and make e2e record"
    return {need: where for own in found for need, where in own.items()}


def test_every_function_may_do_what_it_does_and_nothing_else(
    synthesise: Synthesise, needs: dict[Recorded, str]
) -> None:
    verdict = judge(
        Policies(synthesise("production", stage_mail="tenants", facts_bucket=True, event_bus=True).service.json), needs
    )

    assert verdict == Verdict([], [], []), "\n".join(
        f"{name.replace('_', ' ')}: {own}" for name, all_of in verdict._asdict().items() for own in all_of
    )
