"""What a request to EventBridge holds, whoever's bus it is for.

Wire facts: ``PutEvents`` and ``PutEventsResultEntry`` of the Amazon EventBridge API Reference (ten entries a request),
"Calculating Amazon EventBridge PutEvents event entry size" of its User Guide (256 KB a request).
"""

from collections.abc import Iterable
from typing import Final

SOURCE: Final = "checkback"
MOST_ENTRIES: Final = 10
MOST_BYTES: Final = 256 * 1024
LASTING: Final = frozenset({"MalformedDetail", "InvalidArgument", "RedactionFailure", "ValidationException"})
"""Codes that lie in the event itself: no repeat helps."""


def packed(sizes: Iterable[int]) -> list[list[int]]:
    """Entries of these sizes in bytes, by their places: in order, as many as one request takes.

    What is too large for any goes alone: AWS says so to it only.
    """
    groups: list[list[int]] = []
    held = 0
    for place, size in enumerate(sizes):
        held += size
        if not groups or held > MOST_BYTES or len(groups[-1]) == MOST_ENTRIES:
            groups.append([])
            held = size
        groups[-1].append(place)
    return groups
