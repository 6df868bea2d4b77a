"""The process that renders templates, where it need not be in time."""

from shared.destinations import liquid, liquid_sandbox
from tests.patience import PATIENCE


def wait_for_templates() -> None:
    """Give it all the time it wants: what limits a template is a processor's time, not ours."""
    liquid_sandbox.MAX_START_SECONDS = PATIENCE  # type: ignore[misc]
    liquid._sandbox._wall_seconds = PATIENCE
