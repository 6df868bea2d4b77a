"""``/v1/sources/{id}/backfill`` and ``/v1/jobs``: what already lies at the provider."""

from datetime import datetime
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Json, Page, answer, listed, new_router, session, tells
from shared.api.backfills import BackfillBody, BackfillJson, job_json
from shared.api.checkouts import Cursor, Limit
from shared.api.endpoints import ResendJson, resend_json
from shared.api.fields import id_of
from shared.api.problems import invalid_parameter, not_found
from shared.domain.ids import IdKind, JobId, SourceId, is_id
from shared.store.job_list import AnyJob
from shared.store.jobs import Job

router = new_router()
_TAGS = ["Sources"]


@router.post(
    "/v1/sources/<source_id>/backfill",
    security=MERCHANT,
    summary="Read past checkouts from the provider",
    tags=_TAGS,
    status_code=202,
)
@tells("Location")
def start_backfill(source_id: str, body: BackfillBody | None = None) -> Json[BackfillJson]:
    """A job, worked off page by page. ``since`` is at most the recovery horizon ago, which is also the default.

    While one of this source with the same filters is at work, 409 names it; begun within the last second, it may be
    overlooked.
    """
    own = session(router)
    found = own.services.sources.get(SourceId(source_id))
    if found is None or found.value.merchant_id != own.merchant_id:
        raise not_found("There is no such source.")
    given = body or BackfillBody()
    job = own.services.backfills.start(
        found.value, own.merchant().value, given.since, given.filters(), ulid=own.new_ulid()
    )
    return answer(job_json(job, own.services.now()), 202, location=f"/v1/jobs/{job.id}")


@router.get("/v1/jobs", security=MERCHANT, summary="Find jobs, newest first", tags=_TAGS)
def list_jobs(
    source_id: Annotated[Annotated[str, id_of(IdKind.SOURCE)] | None, Query()] = None,
    endpoint_id: Annotated[Annotated[str, id_of(IdKind.ENDPOINT)] | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Json[Page[BackfillJson | ResendJson]]:
    """Backfills, and recoveries of deliveries, of the last 90 days; of one source or one endpoint where it is named.

    A page may hold fewer than ``limit`` while ``next_cursor`` is not null. One that was begun within the last second
    may be missing: its own address knows it.
    """
    own = session(router)
    for kind, named in ((IdKind.SOURCE, source_id), (IdKind.ENDPOINT, endpoint_id)):
        if named is not None and not is_id(kind, named):
            raise not_found(f"No {kind.name.lower()} has such an id.")
    if source_id is not None and endpoint_id is not None:
        raise invalid_parameter("endpoint_id", "a job is of a source or of an endpoint: name one of them")
    filters = {"source_id": source_id, "endpoint_id": endpoint_id}
    before = own.cursors.decode(cursor, filters)
    found, place = own.services.jobs.page(
        own.merchant_id, source_id or endpoint_id, limit, None if before is None else JobId(before)
    )
    now = own.services.now()
    return listed([_shown(job, now) for job in found], own.cursors.encode(place, filters) if place else None)


@router.get("/v1/jobs/<job_id>", security=MERCHANT, summary="Read a job", tags=_TAGS)
def read_job(job_id: str) -> Json[BackfillJson | ResendJson]:
    """How far a backfill or a recovery of deliveries is, and what became of what it read."""
    own = session(router)
    now = own.services.now()
    resend = own.services.resends.find(own.merchant_id, job_id)
    if resend is not None:
        return answer(resend_json(resend, now))
    return answer(job_json(own.services.backfills.read(own.merchant_id, job_id), now))


def _shown(job: AnyJob, now: datetime) -> BackfillJson | ResendJson:
    return job_json(job, now) if isinstance(job, Job) else resend_json(job, now)
