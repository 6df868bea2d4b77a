"""The bench of the sweep tells what was moved once from all that goes wrong."""

from dataclasses import replace

import pytest

from shared.domain.checkout import Checkout, Status
from tests.bench.sweep import verdict
from tests.unit.domain.sessions import NOON, begun

OPEN = begun()
AFTER = replace(OPEN, version=2, sequence=2, status=Status.ABANDONED, abandoned_at=NOON)


@pytest.mark.parametrize(
    ("found", "is_due", "told"),
    [
        (AFTER, True, "moved once"),
        (replace(AFTER, version=3), True, "moved once"),  # dispatch told of it
        (replace(AFTER, version=3, sequence=3), True, "moved more than once"),
        (OPEN, True, "due, but open"),
        (OPEN, False, "open as before"),
        (replace(OPEN, version=2), False, "open, but touched"),
        (AFTER, False, "open, but touched"),
    ],
)
def test_a_row_that_was_swept_is_judged_by_its_version_and_sequence(found: Checkout, is_due: bool, told: str) -> None:
    assert verdict(found, 1, is_due=is_due) == told
