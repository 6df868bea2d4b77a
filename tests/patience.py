"""How long a test waits for what comes at once, as soon as its process has a processor.

Under ``make test`` that may take a while: the deployed stack goes first. Where the time itself is what a test looks at,
it is ``timed`` instead.
"""

from typing import Final

PATIENCE: Final = 120.0
"""Seconds. Only a test that fails waits for so long."""
