"""``/v1/merchant`` and ``/v1/tokens``: the merchant's own profile and tokens."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.limits import MOST_TOKENS
from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Empty, Json, Page, answer, listed, new_router, nothing, session, tells
from shared.api.authentication import token_hash
from shared.api.checkouts import Cursor, Limit
from shared.api.merchants import (
    MerchantJson,
    MerchantPatch,
    NewTokenJson,
    TokenBody,
    TokenJson,
    merchant_json,
    token_json,
)
from shared.api.problems import not_found
from shared.domain.ids import TokenId
from shared.store.configuration import TokenRecord
from shared.workflows.delivering.endpoint_setup import refresh_flags
from shared.workflows.delivering.refusals import check_room

router = new_router()


@router.get("/v1/merchant", security=MERCHANT, summary="Read the own profile and settings", tags=["Merchant"])
@tells("ETag")
def read_profile() -> Json[MerchantJson]:
    """Who the token belongs to."""
    found = session(router).merchant()
    return answer(merchant_json(found.value), version=found.version)


@router.patch("/v1/merchant", security=MERCHANT, summary="Change the own profile and settings", tags=["Merchant"])
@tells("ETag")
def change_profile(body: MerchantPatch) -> Json[MerchantJson]:
    """What is not named stays; settings merge."""
    own = session(router)
    found = own.merchant()
    own.unless_stale(found.version)
    changed = body.on(found.value, local=own.local)
    version = own.replace(own.services.merchants.replace, changed, found.version)
    # The flags stand in the same row: an endpoint may have changed them since it was read.
    refresh_flags(own.services.merchants, own.services.endpoints, changed.id)
    return answer(merchant_json(changed), version=version)


@router.post("/v1/tokens", security=MERCHANT, summary="Create a further token", tags=["Tokens"], status_code=201)
@tells("Location")
def create_token(body: TokenBody | None = None) -> Json[NewTokenJson]:
    """The token is shown once."""
    own = session(router)
    token, token_id = own.new_token(), TokenId(f"tok_{own.new_ulid()}")
    standing = own.services.tokens.listed(own.merchant_id)
    check_room((row.id for row in standing), token_id, MOST_TOKENS, "tokens; revoke one first")
    record = TokenRecord(token_id, own.merchant_id, token_hash(token), own.now, body.name if body else None)
    own.services.tokens.create(record)
    shown: NewTokenJson = {**token_json(record), "token": token}
    return answer(shown, 201, location=f"/v1/tokens/{record.id}")


@router.get("/v1/tokens", security=MERCHANT, summary="List the living tokens", tags=["Tokens"])
def list_tokens(
    limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[TokenJson]]:
    """Never the tokens themselves."""
    own = session(router)
    shown, after = own.cursors.page(own.services.tokens.listed(own.merchant_id), lambda row: row.id, limit, cursor)
    return listed([token_json(row) for row in shown], after)


@router.delete("/v1/tokens/<token_id>", security=MERCHANT, summary="Revoke a token", tags=["Tokens"], status_code=204)
def revoke_token(token_id: str) -> Empty:
    """Holds everywhere within 5 seconds."""
    own = session(router)
    found = next((row for row in own.services.tokens.listed(own.merchant_id) if row.id == token_id), None)
    if found is None:
        raise not_found("There is no such token.")
    own.services.tokens.delete(found)
    own.services.authenticator.forget(found.token_hash)
    return nothing()
