"""``/v1/sources``: the merchant's connected checkout providers."""

from dataclasses import replace
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.limits import MOST_SOURCES
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
from shared.api.checkouts import Cursor, Limit
from shared.api.problems import not_found
from shared.api.samples import SampleBody, SampleJson, sample_json
from shared.api.sources import (
    NewSourceJson,
    PayloadsJson,
    SourceBody,
    SourceJson,
    SourcePatch,
    UrlRotationBody,
    moved_source_json,
    new_source_json,
    source_json,
)
from shared.domain.ids import SourceId
from shared.domain.merchant import Source, SourceSettings
from shared.domain.representation import CheckoutJson
from shared.providers.provider import WebhookRequest
from shared.store.configuration import Versioned
from shared.workflows.delivering.refusals import check_room
from shared.workflows.intake.preview import preview
from shared.workflows.intake.source_setup import (
    changed_credentials,
    check_api_address,
    check_settings,
    first_credentials,
    provider_named,
    turned_over,
)

router = new_router()
_TAGS = ["Sources"]


@router.post("/v1/sources", security=MERCHANT, summary="Connect a checkout provider", tags=_TAGS, status_code=201)
@tells("ETag", "Location")
def create_source(body: SourceBody) -> Json[NewSourceJson]:
    """The answer holds what the provider must be told: url and secret. Secrets are shown once."""
    own = session(router)
    provider = provider_named(body.provider)
    settings = body.settings.on(SourceSettings(), local=own.local)
    check_settings(provider, settings)
    given = body.credentials.given()
    check_api_address(given, local=own.local, own=own.own_address)
    credentials = first_credentials(provider, given)
    source_id = SourceId(f"src_{own.new_ulid()}")
    check_room(own.services.sources.ids(own.merchant_id), source_id, MOST_SOURCES, "sources")
    source = Source(
        id=source_id,
        merchant_id=own.merchant_id,
        provider=provider.name,
        created_at=own.now,
        name=body.name,
        settings=settings,
        sealed=own.services.cipher.seal_source(source_id, own.merchant_id, credentials),
    )
    own.services.sources.create(source)
    public_url, url_token = own.services.environment.public_url, provider.description.url_token
    shown = new_source_json(source, public_url, credentials, url_token=url_token)
    return answer(shown, 201, version=1, location=f"/v1/sources/{source.id}")


@router.get("/v1/sources", security=MERCHANT, summary="List the own sources", tags=_TAGS)
def list_sources(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[SourceJson]]:
    """Oldest first."""
    own = session(router)
    rows = [row.value for row in own.services.sources.listed(own.merchant_id)]
    shown, after = own.cursors.page(rows, lambda row: row.id, limit, cursor)
    return listed([_shown(own, row) for row in shown], after)


@router.get("/v1/sources/<source_id>", security=MERCHANT, summary="Read a source", tags=_TAGS)
@tells("ETag")
def read_source(source_id: str) -> Json[SourceJson]:
    """Without its secrets."""
    own = session(router)
    found = _source(own, source_id)
    return answer(_shown(own, found.value), version=found.version)


@router.patch("/v1/sources/<source_id>", security=MERCHANT, summary="Change a source", tags=_TAGS)
@tells("ETag")
def change_source(source_id: str, body: SourcePatch) -> Json[SourceJson]:
    """Settings merge; credentials that are given replace those of the same name (``secrets`` while rotating)."""
    own = session(router)
    found = _source(own, source_id)
    own.unless_stale(found.version)
    source, provider = found.value, provider_named(found.value.provider)
    if "settings" in body.model_fields_set:
        source = replace(source, settings=body.settings.on(source.settings, local=own.local))
        check_settings(provider, source.settings)
    if "name" in body.model_fields_set:
        source = replace(source, name=body.name)
    if "credentials" in body.model_fields_set:
        current, given = own.services.cipher.source(source), body.credentials.given()
        check_api_address(given, local=own.local, own=own.own_address)
        credentials = changed_credentials(provider, current, given)
        source = replace(source, sealed=own.services.cipher.seal_source(source.id, source.merchant_id, credentials))
    else:
        source = own.services.cipher.renewed(source)
    version = own.replace(own.services.sources.replace, source, found.version)
    return answer(_shown(own, source), version=version)


@router.delete("/v1/sources/<source_id>", security=MERCHANT, summary="Disconnect a source", tags=_TAGS, status_code=204)
def delete_source(source_id: str) -> Empty:
    """Its checkouts stay."""
    own = session(router)
    found = _source(own, source_id)
    own.unless_stale(found.version)
    own.services.sources.delete(found.value)
    return nothing()


@router.post(
    "/v1/sources/<source_id>/preview",
    security=MERCHANT,
    summary="Show what a payload becomes; nothing is stored",
    tags=_TAGS,
)
@tells("Checkback-Missing", "Checkback-Assumed")
def preview_payload(source_id: str, event: Annotated[str | None, Query()] = None) -> Json[CheckoutJson | PayloadsJson]:
    """The body is the provider's payload, byte for byte, in whatever content type it has."""
    own = session(router)
    source = _source(own, source_id).value
    request = WebhookRequest(
        headers={name.lower(): value for name, value in router.current_event.headers.items()},
        query=dict(router.current_event.query_string_parameters),
        body=own.body,
        arrived_at=own.now,
        event=event,
    )
    shown = preview(provider_named(source.provider), request, source, own.merchant().value, own.now)
    if shown.ignored is not None or len(shown.checkouts) != 1:
        several: PayloadsJson = {"data": shown.checkouts, "ignored": shown.ignored}
        return answer(several)
    explained = {"Checkback-Missing": ", ".join(shown.missing), "Checkback-Assumed": ", ".join(shown.assumed)}
    return Response(
        200, "application/json", shown.checkouts[0], {name: text for name, text in explained.items() if text}
    )


@router.post(
    "/v1/sources/<source_id>/rotate-token", security=MERCHANT, summary="Turn over the token in the URL", tags=_TAGS
)
@tells("ETag")
def rotate_token(source_id: str, body: UrlRotationBody | None = None) -> Json[SourceJson]:
    """The new ``url`` is shown once; webhooks to the older one are taken for ``overlap`` too (P1D).

    409 where the provider signs and the URL carries no token: new secrets are given by PATCH.
    """
    own = session(router)
    found = _source(own, source_id)
    own.unless_stale(found.version)
    source, provider = found.value, provider_named(found.value.provider)
    overlap = (body or UrlRotationBody()).overlap
    current = own.services.cipher.source(source)
    credentials = turned_over(provider, current, own.making.bits(), own.now, overlap)
    version = found.version
    if credentials != current:
        source = replace(source, sealed=own.services.cipher.seal_source(source.id, source.merchant_id, credentials))
        version = own.replace(own.services.sources.replace, source, version)
    return answer(moved_source_json(source, own.services.environment.public_url, credentials), version=version)


@router.post(
    "/v1/sources/<source_id>/sample", security=MERCHANT, summary="Send a sample webhook of the provider", tags=_TAGS
)
def send_sample(source_id: str, body: SampleBody | None = None) -> Json[SampleJson]:
    """A webhook of a cart as the provider sends it, signed with the source's own secret, received as any other.

    Its checkout is ``test``, is called ``sample:`` and an id, and is in no figure. It names no phone and no e-mail
    unless ``contact`` gives your own: then whatever is switched on may write to you. 422 where the provider's webhook
    has no place for it, 409 where only the provider can sign and where the source's credentials do not prove it; at
    most 10 in a minute.
    """
    own = session(router)
    source = _source(own, source_id).value
    merchant = own.merchant().value
    wanted = (body or SampleBody()).sample(source.settings.country or merchant.country)
    return answer(sample_json(own.services.samples.send(source, merchant, wanted, own.making.bits())))


def _source(own: Session, source_id: str) -> Versioned[Source]:
    found = own.services.sources.get(SourceId(source_id))
    if found is None or found.value.merchant_id != own.merchant_id:
        raise not_found("There is no such source.")
    return found


def _shown(own: Session, source: Source) -> SourceJson:
    url_token = provider_named(source.provider).description.url_token
    return source_json(source, own.services.environment.public_url, url_token=url_token)
