"""``/v1/campaigns`` and ``/v1/coupon-pools``: whom to win back, when, and with what."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from functions.merchant_api.limits import MOST_POOLS
from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import (
    Empty,
    Json,
    Page,
    Session,
    answer,
    listed,
    new_router,
    nothing,
    session,
    tells,
    when_repeated,
)
from shared.api.campaign_answers import CampaignJson, FilledPoolJson, PoolJson, PreviewJson
from shared.api.campaigns import (
    CampaignBody,
    CampaignPatch,
    CodesBody,
    DraftPreviewBody,
    PoolBody,
    PreviewBody,
    campaign_json,
    pool_json,
    simulated_json,
)
from shared.api.checkouts import Cursor, Limit
from shared.api.idempotency import Repeat
from shared.api.problems import FieldError, invalid, not_found, precondition_failed
from shared.domain.campaign import Campaign, CampaignId, CampaignStatus
from shared.domain.ids import PoolId
from shared.store.configuration import VersionConflict, Versioned
from shared.store.coupons import CouponPool
from shared.workflows.delivering.refusals import Invalid, check_room

router = new_router()
_TAGS = ["Campaigns"]
_PreviewLimit = Annotated[int, Field(ge=1, le=100)]


@router.post("/v1/campaigns", security=MERCHANT, summary="Start a campaign", tags=_TAGS, status_code=201)
@tells("ETag", "Location")
def create_campaign(body: CampaignBody) -> Json[CampaignJson]:
    """Only abandonments after its activation count; ``status: "paused"`` keeps it quiet until ``/resume``."""
    own = session(router)
    campaign = body.campaign(CampaignId(f"cmp_{own.new_ulid()}"), own.merchant_id, own.now)
    created = own.services.campaign_setup.create(campaign)
    return _shown(created, 201)


@router.get("/v1/campaigns", security=MERCHANT, summary="List the own campaigns", tags=_TAGS)
def list_campaigns(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[CampaignJson]]:
    """Oldest first."""
    own = session(router)
    rows = [row.value for row in own.services.campaigns.listed(own.merchant_id)]
    shown, after = own.cursors.page(rows, lambda row: row.id, limit, cursor)
    return listed([campaign_json(row) for row in shown], after)


@router.get("/v1/campaigns/<campaign_id>", security=MERCHANT, summary="Read a campaign", tags=_TAGS)
@tells("ETag")
def read_campaign(campaign_id: str) -> Json[CampaignJson]:
    """As it is now; ``version`` counts its edits."""
    return _shown(_campaign(session(router), campaign_id))


@router.patch("/v1/campaigns/<campaign_id>", security=MERCHANT, summary="Change a campaign", tags=_TAGS)
@tells("ETag")
def change_campaign(campaign_id: str, body: CampaignPatch) -> Json[CampaignJson]:
    """Makes a new version; episodes that have begun keep theirs."""
    own = session(router)
    found = _campaign(own, campaign_id)
    if not body.model_fields_set:
        return _shown(found)
    return _shown(_written(own, lambda: own.services.campaign_setup.revise(found, body.on(found.value))))


@router.delete(
    "/v1/campaigns/<campaign_id>", security=MERCHANT, summary="Remove a campaign", tags=_TAGS, status_code=204
)
def delete_campaign(campaign_id: str) -> Empty:
    """Nothing more of it is sent, in open episodes either."""
    own = session(router)
    found = _campaign(own, campaign_id)
    _written(own, lambda: own.services.campaign_setup.delete(found))
    return nothing()


@router.post("/v1/campaigns/<campaign_id>/pause", security=MERCHANT, summary="Pause a campaign", tags=_TAGS)
@tells("ETag")
def pause_campaign(campaign_id: str) -> Json[CampaignJson]:
    """At once: steps that fall due meanwhile are skipped."""
    return _restated(session(router), campaign_id, "paused")


@router.post("/v1/campaigns/<campaign_id>/resume", security=MERCHANT, summary="Resume a campaign", tags=_TAGS)
@tells("ETag")
def resume_campaign(campaign_id: str) -> Json[CampaignJson]:
    """The first activation stays the one from which abandonments count."""
    return _restated(session(router), campaign_id, "active")


@router.post(
    "/v1/campaigns/<campaign_id>/preview",
    security=MERCHANT,
    summary="Play a campaign over stored checkouts",
    tags=_TAGS,
)
@when_repeated(Repeat.DONE_AGAIN)
def preview_campaign(
    campaign_id: str,
    body: PreviewBody | None = None,
    limit: Annotated[_PreviewLimit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Json[PreviewJson]:
    """What it would have sent, when, and why not otherwise. Nothing is sent or written."""
    own = session(router)
    campaign = _campaign(own, campaign_id).value
    days = (body or PreviewBody()).days
    filters = {"campaign": campaign.id, "version": campaign.version, "days": days}
    return _played(own, campaign, days, limit, cursor, filters)


@router.post("/v1/campaigns/preview", security=MERCHANT, summary="Play a draft over stored checkouts", tags=_TAGS)
@when_repeated(Repeat.DONE_AGAIN)
def preview_draft(
    body: DraftPreviewBody,
    limit: Annotated[_PreviewLimit, Query()] = 50,
    cursor: Annotated[str | None, Query()] = None,
) -> Json[PreviewJson]:
    """What it would have sent before it is created, or changed; answered as of a stored one. Nothing is written."""
    own = session(router)
    draft = _draft(own, body)
    try:
        own.services.campaign_setup.check(draft)
    except Invalid as wrong:
        raise Invalid([(f"/campaign{pointer}", detail) for pointer, detail in wrong.problems]) from wrong
    same = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    return _played(own, draft, body.days, limit, cursor, {"draft": same})


@router.post(
    "/v1/coupon-pools", security=MERCHANT, summary="Make a pool of single-use codes", tags=_TAGS, status_code=201
)
@tells("Location")
def create_pool(body: PoolBody) -> Json[PoolJson]:
    """Empty at first."""
    own = session(router)
    pool = CouponPool(PoolId(f"pool_{own.new_ulid()}"), own.merchant_id, body.name, own.now)
    standing = own.services.coupons.listed(own.merchant_id)
    check_room((row.id for row in standing), pool.id, MOST_POOLS, "coupon pools")
    own.services.coupons.create(pool)
    return answer(pool_json(pool, own.now), 201, location=f"/v1/coupon-pools/{pool.id}")


@router.get("/v1/coupon-pools", security=MERCHANT, summary="List the own coupon pools", tags=_TAGS)
def list_pools(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[PoolJson]]:
    """With what is left in each, and when it runs out at the pace since yesterday; codes are never shown."""
    own = session(router)
    shown, after = own.cursors.page(own.services.coupons.listed(own.merchant_id), lambda row: row.id, limit, cursor)
    return listed([pool_json(row, own.now) for row in shown], after)


@router.get("/v1/coupon-pools/<pool_id>", security=MERCHANT, summary="Read a coupon pool", tags=_TAGS)
def read_pool(pool_id: str) -> Json[PoolJson]:
    """With what is left in it."""
    own = session(router)
    return answer(pool_json(_pool(own, pool_id), own.now))


@router.post("/v1/coupon-pools/<pool_id>/codes", security=MERCHANT, summary="Add codes to a pool", tags=_TAGS)
def add_codes(pool_id: str, body: CodesBody) -> Json[FilledPoolJson]:
    """A code that the pool holds, or ever held, is not added again: a call may be repeated."""
    own = session(router)
    pool = _pool(own, pool_id)
    added = own.services.coupons.add(own.merchant_id, pool.id, body.codes)
    shown: FilledPoolJson = {
        **pool_json(_pool(own, pool_id), own.now),
        "added": added,
        "duplicates": len(body.codes) - added,
    }
    return answer(shown)


def _draft(own: Session, body: DraftPreviewBody) -> Campaign:
    """The campaign as it would be; one that would change another keeps its place among the others."""
    if body.in_place_of is None:
        return body.campaign.campaign(CampaignId(f"cmp_{own.new_ulid()}"), own.merchant_id, own.now)
    found = own.services.campaigns.get(own.merchant_id, CampaignId(body.in_place_of))
    if found is None:
        raise invalid([FieldError("no such campaign", pointer="/in_place_of")])
    draft = body.campaign.campaign(found.value.id, own.merchant_id, own.now)
    return replace(draft, created_at=found.value.created_at)


def _played(
    own: Session, campaign: Campaign, days: int, limit: int, cursor: str | None, filters: Mapping[str, Any]
) -> Json[PreviewJson]:
    after = own.cursors.decode(cursor, filters)
    merchant = own.merchant().value
    page = own.services.campaign_preview.page(campaign, merchant, own.now, days=days, limit=limit, after=after)
    steps = [step for one in page.simulated for step in one.steps]
    told = [own.reason for own in page.simulated] + [own.reason for own in steps]
    reasons = Counter(str(reason) for reason in told if reason is not None)
    shown: PreviewJson = {
        "data": [simulated_json(own) for own in page.simulated],
        "next_cursor": own.cursors.encode(page.after, filters) if page.after else None,
        "page": {
            "checkouts": len(page.simulated),
            "started": sum(own.started_at is not None for own in page.simulated),
            "messages": sum(step.outcome != "skipped" for step in steps),
            "reasons": dict(sorted(reasons.items())),
        },
    }
    return answer(shown)


def _restated(own: Session, campaign_id: str, status: CampaignStatus) -> Json[CampaignJson]:
    found = _campaign(own, campaign_id)
    return _shown(_written(own, lambda: own.services.campaign_setup.restate(found, status, own.now)))


def _written[T](own: Session, write: Callable[[], T]) -> T:
    """Raises Problem 412 instead of the conflict where the request named the version it means."""
    try:
        return write()
    except VersionConflict:
        if own.if_match is not None:
            raise precondition_failed() from None
        raise


def _campaign(own: Session, campaign_id: str) -> Versioned[Campaign]:
    """The campaign, unless If-Match names another version of it."""
    found = own.services.campaigns.get(own.merchant_id, CampaignId(campaign_id))
    if found is None:
        raise not_found("There is no such campaign.")
    own.unless_stale(found.version)
    return found


def _pool(own: Session, pool_id: str) -> CouponPool:
    found = own.services.coupons.get(own.merchant_id, PoolId(pool_id))
    if found is None:
        raise not_found("There is no such coupon pool.")
    return found


def _shown(campaign: Versioned[Campaign], status: int = 200) -> Json[CampaignJson]:
    location = f"/v1/campaigns/{campaign.value.id}" if status == 201 else None
    return answer(campaign_json(campaign.value), status, version=campaign.version, location=location)
