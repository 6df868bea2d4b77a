"""``/v1/sources/{id}/backfill`` and ``/v1/jobs``: what already lies at the provider."""

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Json, answer, new_router, session, tells
from shared.api.backfills import BackfillBody, BackfillJson, job_json
from shared.api.endpoints import ResendJson, resend_json
from shared.api.problems import not_found
from shared.domain.ids import SourceId

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
    """A job, worked off page by page. ``since`` is at most the recovery horizon ago, which is also the default."""
    own = session(router)
    found = own.services.sources.get(SourceId(source_id))
    if found is None or found.value.merchant_id != own.merchant_id:
        raise not_found("There is no such source.")
    given = body or BackfillBody()
    job = own.services.backfills.start(
        found.value, own.merchant().value, given.since, given.filters(), ulid=own.new_ulid()
    )
    return answer(job_json(job), 202, location=f"/v1/jobs/{job.id}")


@router.get("/v1/jobs/<job_id>", security=MERCHANT, summary="Read a job", tags=_TAGS)
def read_job(job_id: str) -> Json[BackfillJson | ResendJson]:
    """How far a backfill or a recovery of deliveries is, and what became of what it read."""
    own = session(router)
    resend = own.services.resends.find(own.merchant_id, job_id)
    if resend is not None:
        return answer(resend_json(resend))
    return answer(job_json(own.services.backfills.read(own.merchant_id, job_id)))
