"""``/v1/merchants``: the operator's routes."""

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import OPERATOR
from functions.merchant_api.session import Json, Page, Session, answer, listed, new_router, session, tells
from shared.api.authentication import token_hash
from shared.api.checkouts import Cursor, Limit
from shared.api.merchants import (
    ErasingMerchantJson,
    MerchantBody,
    MerchantJson,
    NewMerchantJson,
    NewTokenJson,
    OperatorMerchantPatch,
    TokenBody,
    merchant_json,
    token_json,
)
from shared.api.problems import not_found
from shared.domain.ids import MerchantId, TokenId
from shared.domain.merchant import Merchant
from shared.domain.settings import Settings
from shared.store.configuration import TokenRecord, Versioned
from shared.workflows.delivering.endpoint_setup import refresh_flags

router = new_router()
_TAGS = ["Operator"]


@router.post(
    "/v1/merchants", security=OPERATOR, summary="Create a merchant with its first token", tags=_TAGS, status_code=201
)
@tells("ETag", "Location")
def create_merchant(body: MerchantBody) -> Json[NewMerchantJson]:
    """The token is shown once."""
    own = session(router)
    merchant = Merchant(
        id=MerchantId(f"mer_{own.new_ulid()}"),
        name=body.name,
        store_domains=tuple(dict.fromkeys(body.store_domains)),
        country=body.country,
        currency=body.currency,
        timezone=body.timezone,
        created_at=own.now,
        settings=body.settings.on(Settings(), local=own.local),
    )
    token = own.new_token()
    own.services.merchants.create(merchant, _token_record(own, merchant.id, token, None))
    shown: NewMerchantJson = {**merchant_json(merchant), "token": token}
    return answer(shown, 201, version=1, location=f"/v1/merchants/{merchant.id}")


@router.get("/v1/merchants", security=OPERATOR, summary="List merchants", tags=_TAGS)
def list_merchants(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[MerchantJson]]:
    """Oldest first."""
    own = session(router)
    found, after = own.services.merchants.listed(limit, own.cursors.decode(cursor))
    return listed([merchant_json(merchant) for merchant in found], own.cursors.encode(after) if after else None)


@router.get("/v1/merchants/<merchant_id>", security=OPERATOR, summary="Read a merchant", tags=_TAGS)
@tells("ETag")
def read_merchant(merchant_id: str) -> Json[MerchantJson]:
    """One merchant."""
    found = _merchant(session(router), merchant_id)
    return answer(merchant_json(found.value), version=found.version)


@router.patch("/v1/merchants/<merchant_id>", security=OPERATOR, summary="Change a merchant", tags=_TAGS)
@tells("ETag")
def change_merchant(merchant_id: str, body: OperatorMerchantPatch) -> Json[MerchantJson]:
    """What is not named stays."""
    own = session(router)
    found = _merchant(own, merchant_id)
    own.unless_stale(found.version)
    changed = body.on(found.value, local=own.local)
    version = own.replace(own.services.merchants.replace, changed, found.version)
    refresh_flags(own.services.merchants, own.services.endpoints, changed.id)
    return answer(merchant_json(changed), version=version)


@router.delete(
    "/v1/merchants/<merchant_id>",
    security=OPERATOR,
    summary="Erase a merchant and all its data",
    tags=_TAGS,
    status_code=204,
)
@tells(also={202: "More is left than one call can do: repeat it"})
def erase_merchant(merchant_id: str) -> Json[ErasingMerchantJson | None]:
    """204 when everything is gone; 202 when more is left than one call can do: repeat it.

    From the first call on nothing comes in and nothing goes out; until the last the merchant is still listed.
    """
    own = session(router)
    found = own.services.merchants.standing(MerchantId(merchant_id))
    if found is None:
        raise not_found("There is no such merchant.")
    own.unless_stale(found.version)
    if own.services.erasure.erase(found.value):
        return Response(204)
    return Response(202, "application/json", {"id": found.value.id, "status": "erasing"})


@router.post(
    "/v1/merchants/<merchant_id>/tokens",
    security=OPERATOR,
    summary="Create a token for a merchant",
    tags=_TAGS,
    status_code=201,
)
def create_merchant_token(merchant_id: str, body: TokenBody | None = None) -> Json[NewTokenJson]:
    """The token is shown once."""
    own = session(router)
    merchant = _merchant(own, merchant_id).value
    token = own.new_token()
    record = _token_record(own, merchant.id, token, body.name if body else None)
    own.services.tokens.create(record)
    shown: NewTokenJson = {**token_json(record), "token": token}
    return answer(shown, 201)


def _token_record(own: Session, merchant_id: MerchantId, token: str, name: str | None) -> TokenRecord:
    return TokenRecord(TokenId(f"tok_{own.new_ulid()}"), merchant_id, token_hash(token), own.now, name)


def _merchant(own: Session, merchant_id: str) -> Versioned[Merchant]:
    found = own.services.merchants.get(MerchantId(merchant_id))
    if found is None:
        raise not_found("There is no such merchant.")
    return found
