"""``/v1/portal-links`` and ``/v1/console-sessions``: the ways into the console, and out of it."""

from functions.merchant_api.operations import MERCHANT, OPERATOR
from functions.merchant_api.session import Empty, Json, Session, answer, new_router, nothing, session
from shared.api.console_sessions import new_credential
from shared.api.portal_links import PortalLinkBody, PortalLinkJson
from shared.api.problems import FieldError, invalid, not_found
from shared.domain.ids import IdKind, MerchantId, is_id
from shared.domain.instants import to_rfc3339
from shared.store.console_access import PortalLink

router = new_router()
_TAGS = ["Console"]


@router.post(
    "/v1/portal-links",
    security=[*OPERATOR, *MERCHANT],
    summary="Make a link into the console",
    tags=_TAGS,
    status_code=201,
)
def create_portal_link(body: PortalLinkBody) -> Json[PortalLinkJson]:
    """For one use within 10 minutes; opening it shows a button, and only the button begins a session.

    A merchant's link ends with the token that asked for it, and so do the sessions begun by it.
    """
    own = session(router)
    merchant_id = _merchant_meant(own, body)
    text, credential = new_credential(merchant_id, own.making.bits())
    link = PortalLink(merchant_id, body.capabilities[0], own.principal.token_hash)
    until = own.services.console_access.offer(credential.secret_hash, link, own.now)
    url = f"{own.services.environment.public_url}/console/enter/{text}"
    shown: PortalLinkJson = {"url": url, "expires_at": to_rfc3339(until)}
    return answer(shown, 201)


@router.delete(
    "/v1/console-sessions",
    security=MERCHANT,
    summary="End all sessions of the console",
    tags=_TAGS,
    status_code=204,
)
def end_console_sessions() -> Empty:
    """At once, links that nobody used yet included. Tokens stay."""
    own = session(router)
    own.services.console_access.end_all(own.merchant_id, own.now)
    return nothing()


def _merchant_meant(own: Session, body: PortalLinkBody) -> MerchantId:
    if own.principal.merchant_id is not None:
        if body.merchant_id not in {None, own.principal.merchant_id}:
            raise invalid([FieldError("only the operator names a merchant", pointer="/merchant_id")])
        return own.principal.merchant_id
    if body.merchant_id is None:
        raise invalid([FieldError("the operator names a merchant", pointer="/merchant_id")])
    if not is_id(IdKind.MERCHANT, body.merchant_id) or own.services.merchants.get(MerchantId(body.merchant_id)) is None:
        raise not_found("There is no such merchant.")
    return MerchantId(body.merchant_id)
