"""``/v1/suppressions``: whom the merchant's messages never reach."""

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
    tells,
)
from shared.api.checkouts import Cursor, Email, Limit, Phone
from shared.api.customers import (
    ChannelName,
    CustomerBody,
    CustomerId,
    LiftBody,
    SuppressionBody,
    SuppressionJson,
    as_parameters,
    identity_of,
    suppression_id,
    suppression_json,
)
from shared.api.problems import Problem, not_found
from shared.domain.consent import Channel
from shared.domain.identity import Identity
from shared.domain.suppression import channels_meant

router = new_router()
_TAGS = ["Customers"]


@router.post("/v1/suppressions", security=MERCHANT, summary="Never contact somebody again", tags=_TAGS, status_code=201)
@tells("Location", also={200: "It was so already"})
def create_suppression(body: SuppressionBody) -> Json[SuppressionJson]:
    """At once: open episodes end, or go on without the channels. 200 where it was so already."""
    own = session(router)
    identity = _identity(own, body)
    episodes = own.services.suppressions.episodes_of(identity, own.services.checkouts)
    fresh = own.services.suppressions.suppress([identity], body.closed(), body.reason, episode_ids=episodes)
    found = own.services.suppression_list.get(identity)
    if found is None:
        raise not_found("The suppression was lifted at the same time.")
    location = f"/v1/suppressions/{suppression_id(identity)}"
    return answer(suppression_json(found), 201 if fresh else 200, location=location)


@router.get("/v1/suppressions", security=MERCHANT, summary="List suppressions", tags=_TAGS)
def list_suppressions(
    phone: Annotated[Phone | None, Query()] = None,
    email: Annotated[Email | None, Query()] = None,
    customer_id: Annotated[CustomerId | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Json[Page[SuppressionJson]]:
    """All of them, by hash, or the one of an identifier. Identifiers are kept and shown only as keyed hashes."""
    own = session(router)
    if phone is not None or email is not None or customer_id is not None:
        found = own.services.suppression_list.get(_named(own, phone, email, customer_id))
        return listed([] if found is None else [suppression_json(found)], None)
    rows, place = own.services.suppression_list.listed(own.merchant_id, limit=limit, after=own.cursors.decode(cursor))
    return listed([suppression_json(row) for row in rows], own.cursors.encode(place) if place else None)


@router.delete("/v1/suppressions", security=MERCHANT, summary="Allow contact again", tags=_TAGS, status_code=204)
def lift_suppression(
    body: LiftBody | None = None,
    phone: Annotated[Phone | None, Query()] = None,
    email: Annotated[Email | None, Query()] = None,
    customer_id: Annotated[CustomerId | None, Query()] = None,
    channel: Annotated[ChannelName | None, Query()] = None,
) -> Empty:
    """The identifier in the body, or as a parameter. An episode that ended stays ended."""
    own = session(router)
    if body is not None:
        return _lift(own, _identity(own, body), channels_meant(body.channels))
    return _lift(own, _named(own, phone, email, customer_id), channels_meant(None if channel is None else [channel]))


@router.delete(
    "/v1/suppressions/<suppression_id>",
    security=MERCHANT,
    summary="Allow contact again, by the listed id",
    tags=_TAGS,
    status_code=204,
)
def lift_listed_suppression(suppression_id: str) -> Empty:
    """All channels of this identifier."""
    own = session(router)
    identity = identity_of(own.merchant_id, suppression_id)
    if identity is None:
        raise not_found("There is no such suppression.")
    return _lift(own, identity, channels_meant(None))


def _lift(own: Session, identity: Identity, channels: frozenset[Channel]) -> Empty:
    if not own.services.suppressions.lift([identity], channels):
        raise not_found("There is no such suppression.")
    return nothing()


def _identity(own: Session, body: CustomerBody) -> Identity:
    kind, value = body.identifier(own.merchant().value.country)
    return own.services.hasher.identity(own.merchant_id, kind, value)


def _named(own: Session, phone: str | None, email: str | None, customer_id: str | None) -> Identity:
    """The identity of query parameters, where an unescaped plus sign arrives as a space."""
    written = f"+{phone.strip()}" if phone is not None and phone.startswith(" ") else phone
    try:
        return _identity(own, CustomerBody.model_construct(phone=written, email=email, customer_id=customer_id))
    except Problem as problem:
        raise as_parameters(problem) from None
