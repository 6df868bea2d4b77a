"""``/v1/events``: what happened, one event after another, for who cannot take webhooks."""

import json
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Page, Spelt, new_router, session, tells
from shared.api.checkouts import Limit
from shared.api.event_cursors import LONGEST_EVENT_CURSOR, EventCursors
from shared.api.fields import described
from shared.api.problems import invalid_parameter
from shared.domain.announcement import EventJson, EventType

router = new_router()
_LATEST = "now"
_LONGEST_WAIT = 10
_TYPES = frozenset(own.value for own in EventType)
_TYPE = "|".join(sorted(own.replace(".", r"\.") for own in _TYPES))
_After = Annotated[
    str,
    described(
        pattern=rf"^({_LATEST}|[A-Za-z0-9_-]{{18,{LONGEST_EVENT_CURSOR}}})$",
        description="`next_cursor` of the answer before, which is signed, or `now`",
        examples=[_LATEST],
    ),
]
_Types = Annotated[
    str,
    described(
        pattern=rf"^,*(({_TYPE})(,+({_TYPE}))*,*)?$",
        description="Event types with commas between",
        examples=["checkout.abandoned,checkout.recovered"],
    ),
]


@router.get("/v1/events", security=MERCHANT, summary="Read events as a stream", tags=["Deliveries"])
@tells("Retry-After")
def read_events(
    after: Annotated[_After | None, Query()] = None,
    types: Annotated[_Types | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    wait: Annotated[int, Query(), Field(ge=0, le=_LONGEST_WAIT)] = 0,
) -> Response[Annotated[str, Spelt(Page[EventJson])]]:
    """The envelopes that webhooks carry, byte for byte: at least once, those of a checkout in order.

    Go on with ``after=<next_cursor>``, which is never null. Without ``after`` it begins with the oldest event kept,
    with ``after=now`` behind the newest. ``types``: event types with commas between. ``wait``: seconds for which an
    empty answer is held back; where too many wait already it comes at once, with ``Retry-After``. There is
    ``checkout.updated`` while an endpoint subscribes to it.
    """
    own = session(router)
    wanted = frozenset(own for own in (types or "").split(",") if own)
    if wanted - _TYPES:
        raise invalid_parameter("types", f"no such event type: {', '.join(sorted(wanted - _TYPES))[:100]}")
    cursors, stream = EventCursors(own.services.cursor_mac, own.merchant_id), own.services.event_stream
    if after is None:
        start = stream.beginning()
    elif after == _LATEST:
        start = stream.now(own.merchant_id)
    else:
        start = cursors.decode(after)
    reading = stream.read(own.merchant_id, start, wanted, limit=limit, wait=wait)
    headers = {"Cache-Control": "no-store"} | ({} if reading.waited else {"Retry-After": str(wait)})
    next_cursor = json.dumps(cursors.encode(reading.cursor)).encode()
    body = b'{"data":[' + b",".join(reading.bodies) + b'],"next_cursor":' + next_cursor + b"}"
    return Response(200, "application/json", body.decode(), headers)
