"""How somebody answers: the one way in which attempts are counted, for every page that says it."""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any


def counted(attempts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many there were, how many were ``delivered``, and how long answers took, in milliseconds.

    What was not answered at all took no time that would say anything of answers; ``rate``, ``median`` and ``slowest``
    are None where there is nothing to say.
    """
    made = list(attempts)
    delivered = sum(own["outcome"] == "delivered" for own in made)
    took = [own["latency_ms"] for own in made if own["status_code"] and own["latency_ms"] is not None]
    return {
        "attempts": len(made),
        "delivered": delivered,
        "rate": delivered / len(made) if made else None,
        "median": round(median(took)) if took else None,
        "slowest": max(took, default=None),
    }
