"""``/v1/checkouts``: the merchant's checkouts and their timelines."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated
from urllib.parse import unquote

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import (
    Json,
    Page,
    Session,
    answer,
    listed,
    new_router,
    session,
    tells,
    when_repeated,
)
from shared.api.answer_size import fitting
from shared.api.checkouts import (
    ActivityJson,
    Amount,
    CompletionBody,
    Cursor,
    Email,
    Instant,
    Limit,
    Phone,
    VerdictJson,
    activity_json,
    phone_parameter,
    verdict_json,
)
from shared.api.idempotency import Repeat
from shared.domain.checkout import Checkout, Status
from shared.domain.merchant import Merchant
from shared.domain.representation import CheckoutJson, checkout_json
from shared.workflows.insight.checkout_search import CheckoutQuery

router = new_router()
_TAGS = ["Checkouts"]
_COUNTERS = 8


@router.get("/v1/checkouts", security=MERCHANT, summary="Find checkouts, newest activity first", tags=_TAGS)
def list_checkouts(
    status: Annotated[Status | None, Query()] = None,
    provider: Annotated[str | None, Query()] = None,
    customer_id: Annotated[str | None, Query()] = None,
    phone: Annotated[Phone | None, Query()] = None,
    email: Annotated[Email | None, Query()] = None,
    min_total: Annotated[Amount | None, Query()] = None,
    updated_since: Annotated[Instant | None, Query()] = None,
    updated_before: Annotated[Instant | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Json[Page[CheckoutJson]]:
    """A page may hold fewer than ``limit`` while ``next_cursor`` is not null. Times are of the last activity."""
    own = session(router)
    merchant = own.merchant().value
    query = CheckoutQuery(
        status=status,
        provider=provider,
        customer_id=customer_id,
        phone=phone_parameter(phone, merchant.country),
        email=email,
        min_total=min_total,
        updated_since=updated_since,
        updated_before=updated_before,
    )
    return _found(own, merchant, query, limit, cursor)


@router.get(
    "/v1/customers/<customer_id>/checkouts", security=MERCHANT, summary="Find the checkouts of one customer", tags=_TAGS
)
def list_customer_checkouts(
    customer_id: str,
    status: Annotated[Status | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Json[Page[CheckoutJson]]:
    """The customer's id as the provider gives it; newest first."""
    own = session(router)
    query = CheckoutQuery(status=status, customer_id=unquote(customer_id))
    return _found(own, own.merchant().value, query, limit, cursor)


@router.get("/v1/checkouts/<checkout_id>", security=MERCHANT, summary="Read a checkout", tags=_TAGS)
@tells("ETag")
def read_checkout(checkout_id: str) -> Json[CheckoutJson]:
    """Read consistently: as it is now."""
    own = session(router)
    return _one(own, own.services.dismissals.read(own.merchant().value, checkout_id))


@router.get(
    "/v1/checkouts/<checkout_id>/activities", security=MERCHANT, summary="Read a checkout's timeline", tags=_TAGS
)
def list_activities(
    checkout_id: str, limit: Annotated[Limit, Query()] = 50, cursor: Annotated[Cursor | None, Query()] = None
) -> Json[Page[ActivityJson]]:
    """Oldest first."""
    own = session(router)
    checkout = own.services.dismissals.read(own.merchant().value, checkout_id)
    filters = {"checkout": checkout.id}
    after = own.cursors.decode(cursor, filters)
    found, place = own.services.activities.page(checkout.digest, limit=limit, after=after)
    return listed([activity_json(row) for row in found], own.cursors.encode(place, filters) if place else None)


@router.get(
    "/v1/checkouts/<checkout_id>/eligibility",
    security=MERCHANT,
    summary="Ask whether a message may go out now",
    tags=_TAGS,
)
def read_eligibility(checkout_id: str) -> Json[VerdictJson]:
    """The gate in full, at this moment: ask right before sending, and again after ``ask_again_at``."""
    own = session(router)
    merchant = own.merchant().value
    checkout = own.services.dismissals.read(merchant, checkout_id)
    return answer(verdict_json(own.services.eligibility.verdict(checkout, merchant)))


@router.post("/v1/checkouts/<checkout_id>/discard", security=MERCHANT, summary="Never recover a checkout", tags=_TAGS)
@when_repeated(Repeat.DONE_AGAIN)
@tells("ETag")
def discard_checkout(checkout_id: str) -> Json[CheckoutJson]:
    """A bought or ended checkout is a conflict; one already discarded stays so."""
    own = session(router)
    return _one(own, own.services.dismissals.discard(own.merchant().value, checkout_id))


@router.post(
    "/v1/checkouts/<checkout_id>/complete", security=MERCHANT, summary="Say that a checkout was bought", tags=_TAGS
)
@when_repeated(Repeat.DONE_AGAIN)
@tells("ETag")
def complete_checkout(checkout_id: str, body: CompletionBody | None = None) -> Json[CheckoutJson]:
    """Treated as the provider's own word of the purchase; a repeat changes nothing."""
    own = session(router)
    given = body or CompletionBody()
    merchant = own.merchant().value
    return _one(own, own.services.dismissals.complete(merchant, checkout_id, given.order_id, given.completed_at))


def _found(
    own: Session, merchant: Merchant, query: CheckoutQuery, limit: int, cursor: str | None
) -> Json[Page[CheckoutJson]]:
    filters = {
        name: getattr(query, name)
        for name in ("status", "provider", "customer_id", "phone", "email", "updated_since", "updated_before")
    }
    after = own.cursors.decode(cursor, filters)
    found, place = own.services.search.find(merchant, query, own.now, limit=limit, after=after)
    fit = fitting([_shown(own, checkout, 0) for checkout in found])
    if fit < len(found):  # asked again, as only the search knows where the next page begins
        found, place = own.services.search.find(merchant, query, own.now, limit=fit, after=after)
    digests = [checkout.digest for checkout in found]
    with ThreadPoolExecutor(_COUNTERS) as pool:
        counts = list(pool.map(own.services.activities.count, digests))
    shown = [_shown(own, checkout, count) for checkout, count in zip(found, counts, strict=True)]
    return listed(shown, own.cursors.encode(place, filters) if place else None)


def _one(own: Session, checkout: Checkout) -> Json[CheckoutJson]:
    shown = _shown(own, checkout, own.services.activities.count(checkout.digest))
    return answer(shown, version=checkout.version)


def _shown(own: Session, checkout: Checkout, activities: int) -> CheckoutJson:
    link = f"{own.services.environment.public_url}/r/{own.services.codes.code(checkout.digest)}"
    return checkout_json(checkout, link, activities)
