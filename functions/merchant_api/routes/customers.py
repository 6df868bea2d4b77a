"""``/v1/customers``: what is held about a customer, and its erasure."""

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Json, answer, new_router, session, tells, when_repeated
from shared.api.customers import ErasureBody, ErasureJson, ExportBody, ExportPageJson, erasure_json, export_json
from shared.api.idempotency import Repeat

router = new_router()
_TAGS = ["Customers"]


@router.post("/v1/customers/export", security=MERCHANT, summary="Export everything held about a customer", tags=_TAGS)
@when_repeated(Repeat.DONE_AGAIN)
def export_customer(body: ExportBody) -> Json[ExportPageJson]:
    """By one identifier: checkouts with timeline, events and deliveries, episodes, and what is remembered.

    While ``next_cursor`` is not null, ask again with it as ``cursor``.
    """
    own = session(router)
    merchant = own.merchant().value
    kind, value = body.identifier(merchant.country)
    filters = {"kind": kind}
    found = own.services.customer_export.export(merchant, kind, value, own.cursors.decode(body.cursor, filters))

    def link(digest: str) -> str:
        return f"{own.services.environment.public_url}/r/{own.services.codes.code(digest)}"

    next_cursor = own.cursors.encode(found.after, filters) if found.after else None
    return answer(export_json(found, link, own.now, next_cursor))


@router.post("/v1/customers/erase", security=MERCHANT, summary="Erase a customer", tags=_TAGS)
@when_repeated(Repeat.DONE_AGAIN)
@tells(also={202: "More is left than one call can do: repeat it with the cursor"})
def erase_customer(body: ErasureBody) -> Json[ErasureJson]:
    """200 when nothing is left. 202 when more is left than one call can do: repeat it, with the ``cursor`` it gives.

    Everything that carries this identifier goes, and whoever was told of it gets ``customer.erased``. Suppressions
    stay, as keyed hashes.
    """
    own = session(router)
    merchant = own.merchant().value
    kind, value = body.identifier(merchant.country)
    filters = {"kind": kind}
    done = own.services.customer_erasure.erase(merchant, kind, value, own.cursors.decode(body.cursor, filters))
    cursor = own.cursors.encode(done.cursor, filters) if done.cursor else None
    return answer(erasure_json(done, cursor), 200 if done.done else 202)
