"""``/v1/facts``: what the figures are counted from, a fact a line."""

from datetime import date, timedelta
from typing import Annotated
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import LINES, Spelt, new_router, session, tells
from shared.api.checkouts import Cursor
from shared.api.metrics import Day, period
from shared.domain.fact_line import FactJson, fact_line

router = new_router()
MOST_LINES = 10_000
"""Of one answer: some 4 MB, of the 6 MB that a function may answer."""


@router.get("/v1/facts", security=MERCHANT, summary="Facts, a line each", tags=["Metrics"])
@tells("Link")
def read_facts(
    since: Annotated[Day | None, Query(alias="from")] = None,
    until: Annotated[Day | None, Query(alias="to")] = None,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[Annotated[str, Spelt(FactJson, LINES)]]:
    """Newline-delimited JSON: ids, times and amounts only, by cohort. Days as for the metrics, of the last 120 at most.

    Where there is more, a ``Link`` with ``rel="next"`` leads to it. A fact may come to a cohort days later, and amounts
    taken back may change: read a cohort again until it is mature.
    """
    own = session(router)
    merchant = own.merchant().value
    first, last = period(since, until, merchant, own.now)
    asked = {"from": first.isoformat(), "to": last.isoformat()}
    place = own.cursors.decode(cursor, asked) or ""
    day, lines, headers = first, list[str](), {"Cache-Control": "no-store"}
    if place:
        day = date.fromisoformat(place.partition("#")[0])
    while day <= last:
        facts = sorted(own.services.facts.of_cohort(own.merchant_id, day), key=lambda fact: fact.id)
        for fact in facts:
            at = f"{day}#{fact.id}"
            if at <= place:
                continue
            if len(lines) == MOST_LINES:
                more = urlencode(asked | {"cursor": own.cursors.encode(place, asked)})
                headers["Link"] = f'</v1/facts?{more}>; rel="next"'
                return Response(200, LINES, "".join(lines), headers)
            lines.append(fact_line(fact))
            place = at
        day += timedelta(days=1)
    return Response(200, LINES, "".join(lines), headers)
