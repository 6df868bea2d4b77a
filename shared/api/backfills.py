"""Backfill jobs: the request body, and how a job is shown."""

from typing import Annotated, Any

from pydantic import StringConstraints

from shared.api.checkouts import Instant
from shared.api.fields import Strict
from shared.domain.instants import to_rfc3339
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


def job_json(job: Job) -> dict[str, Any]:
    """A job as the API shows it."""
    return {
        "id": job.id,
        "type": "backfill",
        "source_id": job.source_id,
        "status": job.status,
        "reason": job.reason,
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
