"""Backfill jobs: the request body, and how a job is shown."""

from datetime import datetime
from typing import Annotated, Literal, TypedDict

from pydantic import StringConstraints

from shared.api.checkouts import Instant
from shared.api.fields import Strict
from shared.domain.instants import InstantText, to_rfc3339
from shared.domain.job import has_stalled
from shared.store.jobs import Job

_Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@-]{1,128}$")]


class BackfillBody(Strict):
    """What to read. The two ids narrow the list where the provider's API can (``emporix``)."""

    since: Instant | None = None
    customer_id: _Id | None = None
    legal_entity_id: _Id | None = None

    def filters(self) -> dict[str, str]:
        """The ids that are given."""
        given = {"customer_id": self.customer_id, "legal_entity_id": self.legal_entity_id}
        return {name: value for name, value in given.items() if value is not None}


class BackfillCountsJson(TypedDict):
    """Checkouts read from the provider, and what became of them."""

    read: int
    created: int
    merged: int
    unchanged: int
    skipped: int


class BackfillJson(TypedDict):
    """A job that reads past checkouts from a provider."""

    id: str
    type: Literal["backfill"]
    source_id: str
    status: Literal["queued", "running", "stalled", "completed", "failed"]
    """`stalled`: nothing was heard of it for half an hour. It may go on, and another may be begun."""
    reason: str | None
    """Why it failed, has stalled, or waits."""
    since: InstantText
    filters: dict[str, str]
    pages: int
    """Read so far."""
    checkouts: BackfillCountsJson
    refused: int
    """Checkouts that could not be read or stored."""
    created_at: InstantText
    updated_at: InstantText
    finished_at: InstantText | None


def job_json(job: Job, now: datetime) -> BackfillJson:
    """A job as the API shows it."""
    stalled = has_stalled(job.status, job.updated_at, now)
    return {
        "id": job.id,
        "type": "backfill",
        "source_id": job.source_id,
        "status": "stalled" if stalled else job.status,
        "reason": _of_stalled(job) if stalled else job.reason,
        "since": to_rfc3339(job.since),
        "filters": dict(job.filters),
        "pages": job.page,
        "checkouts": {
            "read": job.counts.read,
            "created": job.counts.created,
            "merged": job.counts.merged,
            "unchanged": job.counts.unchanged,
            "skipped": job.counts.skipped,
        },
        "refused": job.counts.refused,
        "created_at": to_rfc3339(job.created_at),
        "updated_at": to_rfc3339(job.updated_at),
        "finished_at": None if job.finished_at is None else to_rfc3339(job.finished_at),
    }


def _of_stalled(job: Job) -> str:
    before = "" if job.reason is None else f"; before that it waited: {job.reason}"
    return f"nothing was heard of it since {to_rfc3339(job.updated_at)}{before}"
