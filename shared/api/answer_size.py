"""How much fits into one answer: Lambda lets none of more than 6 MB out, and no caller would get past such a page."""

import json
from collections.abc import Sequence
from typing import Final

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a list as JSON. Around it, every quote and backslash is written twice."""


def fitting(rows: Sequence[object]) -> int:
    """How many of the rows, from the first on, are sent in one answer; at least one, where there is any."""
    size = 0
    for count, row in enumerate(rows):
        size += len(json.dumps(row))
        if size > MOST_BYTES:
            return max(count, 1)
    return len(rows)
