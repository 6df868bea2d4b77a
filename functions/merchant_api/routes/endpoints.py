"""``/v1/endpoints``: where the merchant's events and messages go."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.limits import MOST_ENDPOINTS
from functions.merchant_api.operations import ANYONE, MERCHANT
from functions.merchant_api.services import services
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
from shared.api.checkouts import Cursor, DeliveryJson, Limit, delivery_json
from shared.api.endpoints import (
    EndpointBody,
    EndpointJson,
    EndpointPatch,
    EndpointWithHealthJson,
    KeySetJson,
    NewEndpointJson,
    PayloadPreviewBody,
    PayloadPreviewJson,
    RecoverBody,
    ResendJson,
    RotationBody,
    endpoint_json,
    health_json,
    key_set_json,
    resend_json,
)
from shared.api.idempotency import Repeat
from shared.api.problems import FieldError, conflict, invalid, not_found
from shared.domain.announcement import EventType
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint, EndpointCredentials
from shared.store.configuration import Versioned
from shared.workflows.delivering.endpoint_setup import (
    check,
    default_event_types,
    first_secret,
    public_keys,
    refresh_flags,
    rotated,
    with_contents,
)
from shared.workflows.delivering.payload_preview import without_secrets
from shared.workflows.delivering.refusals import NotFound, check_room

router = new_router()
_TAGS = ["Endpoints"]
_KEYS_REMEMBERED_FOR = timedelta(minutes=5)
"""Shorter than an overlap by default: who still has the older key's set can verify by the older key."""
_LOOKED_AT = 20
"""The newest deliveries tell when the endpoint last answered well: its successes write nothing of their own."""


@router.post("/v1/endpoints", security=MERCHANT, summary="Register an endpoint", tags=_TAGS, status_code=201)
@tells("ETag", "Location")
def create_endpoint(body: EndpointBody) -> Json[NewEndpointJson]:
    """The signing secret is shown once."""
    own = session(router)
    draft = body.draft()
    check(draft, local=own.local, own=own.own_address, merchant_id=own.merchant_id)
    endpoint_id = EndpointId(f"ep_{own.new_ulid()}")
    check_room(own.services.endpoints.ids(own.merchant_id), endpoint_id, MOST_ENDPOINTS, "endpoints")
    endpoint = Endpoint(
        id=endpoint_id,
        merchant_id=own.merchant_id,
        kind=body.kind,
        created_at=own.now,
        name=body.name,
        event_types=default_event_types(body.kind) if body.event_types is None else _unique(body.event_types),
    )
    signing = first_secret()
    endpoint = with_contents(endpoint, draft, _sealer(own, endpoint), signing)
    own.services.endpoints.create(endpoint)
    _refresh(own)
    shown: NewEndpointJson = {**_shown(own, endpoint), "signing_secret": signing[0].secret}
    return answer(shown, 201, version=1, location=f"/v1/endpoints/{endpoint.id}")


@router.get("/v1/endpoints", security=MERCHANT, summary="List the own endpoints", tags=_TAGS)
def list_endpoints(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[EndpointJson]]:
    """Oldest first."""
    own = session(router)
    rows = [row.value for row in own.services.endpoints.listed(own.merchant_id)]
    shown, after = own.cursors.page(rows, lambda row: row.id, limit, cursor)
    return listed([_shown(own, row) for row in shown], after)


@router.get("/v1/endpoints/<endpoint_id>", security=MERCHANT, summary="Read an endpoint", tags=_TAGS)
@tells("ETag")
def read_endpoint(endpoint_id: str) -> Json[EndpointWithHealthJson]:
    """Without its secrets; with the time of the last success and failure, and the state of its circuit breaker."""
    own = session(router)
    found = _endpoint(own, endpoint_id)
    health = own.services.health.get(found.value.id)
    newest = own.services.deliveries.of_endpoint(found.value.id, limit=_LOOKED_AT).records
    shown: EndpointWithHealthJson = {**_shown(own, found.value), **health_json(health, newest, own.now)}
    return answer(shown, version=found.version)


@router.patch("/v1/endpoints/<endpoint_id>", security=MERCHANT, summary="Change an endpoint", tags=_TAGS)
@tells("ETag")
def change_endpoint(endpoint_id: str, body: EndpointPatch) -> Json[EndpointJson]:
    """Settings merge, ``null`` drops one; headers are replaced together."""
    own = session(router)
    found = _endpoint(own, endpoint_id)
    own.unless_stale(found.version)
    endpoint = found.value
    if body.model_fields_set & {"url", "headers", "settings"}:
        credentials = own.services.cipher.endpoint(endpoint)
        draft = body.on(endpoint, credentials)
        check(draft, local=own.local, own=own.own_address, merchant_id=own.merchant_id)
        endpoint = with_contents(endpoint, draft, _sealer(own, endpoint), credentials.signing)
    else:
        endpoint = own.services.cipher.renewed(endpoint)
    if "name" in body.model_fields_set:
        endpoint = replace(endpoint, name=body.name)
    if "event_types" in body.model_fields_set:
        endpoint = replace(endpoint, event_types=_unique(body.event_types))
    return _written(own, endpoint, found.version)


@router.delete(
    "/v1/endpoints/<endpoint_id>", security=MERCHANT, summary="Remove an endpoint", tags=_TAGS, status_code=204
)
def delete_endpoint(endpoint_id: str) -> Empty:
    """Deliveries still waiting for it end as skipped."""
    own = session(router)
    found = _endpoint(own, endpoint_id)
    own.unless_stale(found.version)
    own.services.endpoints.delete(own.merchant_id, found.value.id)
    _refresh(own)
    return nothing()


@router.post(
    "/v1/endpoints/<endpoint_id>/rotate-secret", security=MERCHANT, summary="Turn over the signing secret", tags=_TAGS
)
@tells("ETag")
def rotate_secret(endpoint_id: str, body: RotationBody | None = None) -> Json[NewEndpointJson]:
    """The new secret is shown once; the older one signs too for ``overlap`` (PT24H). So do private keys of ``v1a``."""
    own = session(router)
    found = _endpoint(own, endpoint_id)
    own.unless_stale(found.version)
    credentials = own.services.cipher.endpoint(found.value)
    overlap = (body or RotationBody()).overlap
    signing = rotated(credentials.signing, own.now, overlap)
    sealed = _sealer(own, found.value)(replace(credentials, signing=signing))
    endpoint = replace(found.value, sealed=sealed, public_keys=public_keys(signing))
    version = own.replace(own.services.endpoints.replace, endpoint, found.version)
    shown: NewEndpointJson = {**_shown(own, endpoint), "signing_secret": signing[0].secret}
    return answer(shown, version=version)


@router.post(
    "/v1/endpoints/<endpoint_id>/preview",
    security=MERCHANT,
    summary="Show what it would be sent about a checkout",
    tags=_TAGS,
)
@when_repeated(Repeat.DONE_AGAIN)
def preview_delivery(endpoint_id: str, body: PayloadPreviewBody) -> Json[PayloadPreviewJson]:
    """The body of its ``checkout.abandoned``, with ``settings`` tried in place of its own. Nothing is sent or written.

    Secrets read ``***``. ``body`` is null where there would be none, with the ``reason``.
    """
    own = session(router)
    endpoint = _endpoint(own, endpoint_id).value
    merchant = own.merchant().value
    try:
        checkout = own.services.dismissals.read(merchant, body.checkout_id)
    except NotFound:
        raise invalid([FieldError("no such checkout", pointer="/checkout_id")]) from None
    stored = without_secrets(endpoint)
    draft = replace(stored, settings=body.settings.on(dict(stored.settings)))
    check(draft, local=own.local, own=own.own_address, merchant_id=own.merchant_id)
    shown = own.services.payload_preview.shown(endpoint, draft, checkout, merchant)
    return answer({"body": shown.body, "content_type": shown.content_type, "reason": shown.reason})


@router.get(
    "/v1/endpoints/<endpoint_id>/public-keys",
    security=ANYONE,
    summary="By which keys its v1a signatures are verified",
    tags=_TAGS,
)
def read_public_keys(endpoint_id: str) -> Json[KeySetJson]:
    """A JWK set, for anybody, newest first. After a rotation both keys sign until the older one's ``expires_at``."""
    own = services()
    endpoint = own.endpoints.owned(EndpointId(endpoint_id))
    keys = () if endpoint is None else endpoint.public_keys_at(own.now())
    if not keys:
        raise not_found("There is no such endpoint, or it has no public key.")
    return answer(key_set_json(keys), public_for=_KEYS_REMEMBERED_FOR)


@router.post("/v1/endpoints/<endpoint_id>/enable", security=MERCHANT, summary="Send to an endpoint again", tags=_TAGS)
@tells("ETag")
def enable_endpoint(endpoint_id: str) -> Json[EndpointJson]:
    """What was held meanwhile is not sent by itself: see ``/recover``."""
    return _switch(session(router), endpoint_id, "active")


@router.post(
    "/v1/endpoints/<endpoint_id>/disable", security=MERCHANT, summary="Stop sending to an endpoint", tags=_TAGS
)
@tells("ETag")
def disable_endpoint(endpoint_id: str) -> Json[EndpointJson]:
    """What arrives meanwhile is held."""
    return _switch(session(router), endpoint_id, "disabled")


@router.post(
    "/v1/endpoints/<endpoint_id>/test", security=MERCHANT, summary="Send a test event", tags=_TAGS, status_code=202
)
def send_test_event(endpoint_id: str) -> Json[DeliveryJson]:
    """An ``endpoint.test`` event, delivered as every other: the answer names the delivery to look at."""
    own = session(router)
    endpoint = _endpoint(own, endpoint_id).value
    if not endpoint.active:
        raise conflict("The endpoint is disabled; enable it first.")
    return answer(delivery_json(own.services.test_events.send(endpoint, own.new_ulid())), 202)


@router.post(
    "/v1/endpoints/<endpoint_id>/recover",
    security=MERCHANT,
    summary="Send what was not delivered",
    tags=_TAGS,
    status_code=202,
)
@tells("Location")
def recover_endpoint(endpoint_id: str, body: RecoverBody | None = None) -> Json[ResendJson]:
    """A job over the deliveries since then: the same ids and bytes, and only what is still true is sent.

    Without ``statuses`` everything undelivered, what was held included; without ``since`` all that is kept.
    """
    own = session(router)
    given = body or RecoverBody()
    endpoint = _endpoint(own, endpoint_id).value
    job = own.services.resends.start(endpoint, given.since, given.statuses, ulid=own.new_ulid())
    return answer(resend_json(job, own.services.now()), 202, location=f"/v1/jobs/{job.id}")


def _switch(own: Session, endpoint_id: str, status: Literal["active", "disabled"]) -> Json[EndpointJson]:
    found = _endpoint(own, endpoint_id)
    own.unless_stale(found.version)
    if found.value.status == status:
        return answer(_shown(own, found.value), version=found.version)
    reason = "merchant" if status == "disabled" else None
    return _written(own, replace(found.value, status=status, disabled_reason=reason), found.version)


def _written(own: Session, endpoint: Endpoint, read_version: int) -> Json[EndpointJson]:
    version = own.replace(own.services.endpoints.replace, endpoint, read_version)
    _refresh(own)
    return answer(_shown(own, endpoint), version=version)


def _shown(own: Session, endpoint: Endpoint) -> EndpointJson:
    living = replace(endpoint, public_keys=endpoint.public_keys_at(own.now))
    return endpoint_json(living, own.services.environment.public_url)


def _endpoint(own: Session, endpoint_id: str) -> Versioned[Endpoint]:
    found = own.services.endpoints.get(own.merchant_id, EndpointId(endpoint_id))
    if found is None:
        raise not_found("There is no such endpoint.")
    return found


def _sealer(own: Session, endpoint: Endpoint) -> Callable[[EndpointCredentials], bytes]:
    return partial(own.services.cipher.seal_endpoint, endpoint.id, endpoint.merchant_id)


def _refresh(own: Session) -> None:
    refresh_flags(own.services.merchants, own.services.endpoints, own.merchant_id)


def _unique(event_types: list[EventType]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(own.value for own in event_types))
