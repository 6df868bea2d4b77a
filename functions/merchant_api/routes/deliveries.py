"""``/v1/deliveries``: what was sent to the merchant's endpoints, attempt by attempt."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Json, Page, answer, listed, new_router, session, when_repeated
from shared.api.checkouts import Cursor, DeliveryJson, Limit, delivery_json
from shared.api.fields import id_of
from shared.api.idempotency import Repeat
from shared.api.problems import not_found
from shared.domain.ids import IdKind, is_id
from shared.store.deliveries import DeliveryStatus
from shared.workflows.delivering.history import DeliveryQuery

router = new_router()
_TAGS = ["Deliveries"]


@router.get("/v1/deliveries", security=MERCHANT, summary="Find deliveries, newest first", tags=_TAGS)
def list_deliveries(
    endpoint_id: Annotated[Annotated[str, id_of(IdKind.ENDPOINT)] | None, Query()] = None,
    status: Annotated[DeliveryStatus | None, Query()] = None,
    checkout_id: Annotated[Annotated[str, id_of(IdKind.CHECKOUT)] | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Json[Page[DeliveryJson]]:
    """A page may hold fewer than ``limit`` while ``next_cursor`` is not null."""
    own = session(router)
    for kind, named in ((IdKind.ENDPOINT, endpoint_id), (IdKind.CHECKOUT, checkout_id)):
        if named is not None and not is_id(kind, named):
            raise not_found(f"No {kind.name.lower()} has such an id.")
    filters = {"endpoint_id": endpoint_id, "status": status, "checkout_id": checkout_id}
    before = own.cursors.decode(cursor, filters)
    query = DeliveryQuery(endpoint_id, checkout_id, status)
    found, place = own.services.history.find(own.merchant_id, query, limit=limit, before=before)
    return listed([delivery_json(row) for row in found], own.cursors.encode(place, filters) if place else None)


@router.get("/v1/deliveries/<delivery_id>", security=MERCHANT, summary="Read a delivery", tags=_TAGS)
def read_delivery(delivery_id: str) -> Json[DeliveryJson]:
    """With its newest attempts and the first 1 KiB of each answer."""
    own = session(router)
    return answer(delivery_json(own.services.history.read(own.merchant_id, delivery_id)))


@router.post(
    "/v1/deliveries/<delivery_id>/retry",
    security=MERCHANT,
    summary="Try a delivery once more, now",
    tags=_TAGS,
    status_code=202,
)
@when_repeated(Repeat.NAMED)
def retry_delivery(delivery_id: str) -> Json[DeliveryJson]:
    """For one that has ended; one that is delivered or still being tried is a conflict."""
    own = session(router)
    return answer(delivery_json(own.services.history.retry(own.merchant_id, delivery_id)), 202)
