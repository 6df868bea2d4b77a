"""``/v1/quarantine``: authentic webhooks that were not understood."""

import base64
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

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
    when_repeated,
)
from shared.api.checkouts import (
    Cursor,
    Limit,
    QuarantinedBodyJson,
    QuarantineJson,
    ReplayJson,
    quarantine_json,
    replay_json,
)
from shared.api.idempotency import Repeat
from shared.api.problems import conflict, not_found
from shared.api.sources import TriedJson, TryBody
from shared.domain.ids import QuarantineId
from shared.store import keys
from shared.store.quarantine import QuarantineRecord
from shared.store.writes import Item
from shared.workflows.intake.preview import tried

router = new_router()
_TAGS = ["Quarantine"]
_TIME = 15
"""A place is the digits of its time, and the id."""
_LIST = "quarantine"


@router.get("/v1/quarantine", security=MERCHANT, summary="List quarantined bodies, newest first", tags=_TAGS)
def list_quarantine(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[QuarantineJson]]:
    """Without the bodies."""
    own = session(router)
    start = _start(own, own.cursors.decode(cursor))
    found, after = own.services.quarantine.listed(own.merchant_id, limit=limit, start=start)
    mine = [quarantine_json(row) for row in found if row.merchant_id == own.merchant_id]
    return listed(mine, own.cursors.encode(after["ls"] + after["pk"].removeprefix("Q#")) if after else None)


@router.get("/v1/quarantine/<quarantine_id>", security=MERCHANT, summary="Read a quarantined body", tags=_TAGS)
def read_quarantined(quarantine_id: str) -> Json[QuarantinedBodyJson]:
    """``body_base64`` holds the exact bytes, ``headers`` what came with them, without any proof."""
    own = session(router)
    found = _record(own, quarantine_id)
    body = own.services.bucket.body(found.object_key)
    shown: QuarantinedBodyJson = {
        **quarantine_json(found),
        "headers": dict(found.headers),
        "body_base64": base64.b64encode(body).decode(),
    }
    return answer(shown)


@router.post(
    "/v1/quarantine/<quarantine_id>/preview",
    security=MERCHANT,
    summary="Show what a quarantined body would become by another mapping; nothing is stored",
    tags=_TAGS,
)
@when_repeated(Repeat.DONE_AGAIN)
def preview_quarantined(quarantine_id: str, body: TryBody | None = None) -> Json[TriedJson]:
    """``mapping`` in place of the source's own. 422 ``not-understood`` says why it still means nothing.

    Signatures are not checked: it was authentic when it came.
    """
    own = session(router)
    found = _record(own, quarantine_id)
    known = own.services.sources.get(found.source_id)
    if known is None or known.value.merchant_id != own.merchant_id:
        raise conflict("The source of this body is gone.")
    source = known.value if body is None else body.on(known.value)
    bytes_kept = own.services.bucket.body(found.object_key)
    shown = tried(found, bytes_kept, source, own.merchant().value, own.now)
    told: TriedJson = {
        "data": shown.checkouts,
        "ignored": shown.ignored,
        "missing": list(shown.missing),
        "assumed": list(shown.assumed),
    }
    return answer(told)


@router.post(
    "/v1/quarantine/<quarantine_id>/replay", security=MERCHANT, summary="Read a quarantined body once more", tags=_TAGS
)
def replay_quarantined(quarantine_id: str) -> Json[ReplayJson]:
    """As on the day it came. What is still not understood is answered 200 with ``quarantined`` and the reason.

    A repeat changes nothing. The body stays until it is deleted or its 30 days are over.
    """
    own = session(router)
    found = _record(own, quarantine_id)
    receipt = own.services.replays.replay(found)
    return answer(replay_json(found.id, receipt))


@router.delete(
    "/v1/quarantine/<quarantine_id>", security=MERCHANT, summary="Drop a quarantined body", tags=_TAGS, status_code=204
)
def delete_quarantined(quarantine_id: str) -> Empty:
    """The bytes too."""
    own = session(router)
    found = _record(own, quarantine_id)
    own.services.bucket.delete_body(found.object_key)
    own.services.quarantine.delete(found.id)
    return nothing()


def _record(own: Session, quarantine_id: str) -> QuarantineRecord:
    found = own.services.quarantine.get(QuarantineId(quarantine_id))
    if found is None or found.merchant_id != own.merchant_id:
        raise not_found("There is no such quarantined body.")
    return found


def _start(own: Session, place: str | None) -> Item | None:
    """The index key behind a cursor; its partition is always the asking merchant's."""
    if place is None:
        return None
    pk, sk = keys.quarantine(QuarantineId(place[_TIME:]))
    return {"pk": pk, "sk": sk, "lp": keys.list_partition(own.merchant_id, _LIST), "ls": place[:_TIME]}
