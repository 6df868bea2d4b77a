"""Work that takes longer than an answer, as a page shows it: how far each job is, and whether it is still alive."""

import re
from collections.abc import Mapping
from typing import Any

from functions.console.visit import Refused, Visit

_SHOWN = 5
_ID = re.compile(r"job_[0-9A-Za-z]{1,64}", re.ASCII)


def jobs_of(visit: Visit, **of: str) -> list[dict[str, Any]]:
    """The newest jobs of a source (``source_id``) or an endpoint (``endpoint_id``).

    Besides what the API says: whether each is ``at_work``, or ``silent``: not heard of for so long that it may have
    died.
    """
    rows = list(visit.get("/v1/jobs", **of, limit=_SHOWN)["data"])
    begun = visit.query.get("job", "")
    if _ID.fullmatch(begun) and all(own["id"] != begun for own in rows):
        rows = [*_begun(visit, begun, of), *rows]
    return [_judged(own) for own in rows]


def at_work(jobs: list[dict[str, Any]]) -> bool:
    """Whether any of them goes on by itself."""
    return any(own["at_work"] for own in jobs)


def _begun(visit: Visit, job_id: str, of: Mapping[str, str]) -> list[dict[str, Any]]:
    """The job that was begun a moment ago: the list may not know it yet."""
    try:
        job = visit.get(f"/v1/jobs/{job_id}")
    except Refused as why:
        if why.status != 404:
            raise
        return []
    return [job] if all(job.get(name) == own for name, own in of.items()) else []


def _judged(job: dict[str, Any]) -> dict[str, Any]:
    working = job["status"] in {"queued", "running"}
    return {**job, "at_work": working, "silent": job["status"] == "stalled"}
