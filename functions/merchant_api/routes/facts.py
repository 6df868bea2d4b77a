"""``/v1/facts``: what the figures are counted from, a fact a line."""

import json
from datetime import date, timedelta
from typing import Annotated, TypedDict
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Spelt, new_router, session, tells
from shared.api.checkouts import Cursor
from shared.api.metrics import Day, period
from shared.domain.instants import DayText, InstantText, to_rfc3339
from shared.domain.metrics import Fact, FactKind

router = new_router()
MOST_LINES = 10_000
"""Of one answer: some 4 MB, of the 6 MB that a function may answer."""


class FactJson(TypedDict):
    """One fact, on a line of its own."""

    id: str
    kind: FactKind
    cohort: DayText
    """The day of the abandonment on the merchant's clock."""
    at: InstantText
    subject: str
    """A checkout's id, or an episode's."""
    episode_id: str | None
    campaign_id: str | None
    step: int | None
    endpoint_id: str | None
    provider: str | None
    treated: bool | None
    """Whether the episode's shopper may be messaged."""
    tier: int | None
    """How sure it is that a message led to the order; 1 is a click or our coupon."""
    amount: str | None
    currency: str | None


@router.get("/v1/facts", security=MERCHANT, summary="Facts, a line each", tags=["Metrics"])
@tells("Link")
def read_facts(
    since: Annotated[Day | None, Query(alias="from")] = None,
    until: Annotated[Day | None, Query(alias="to")] = None,
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response[Annotated[str, Spelt(FactJson, "application/x-ndjson")]]:
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
                return Response(200, "application/x-ndjson", "".join(lines), headers)
            lines.append(_line(fact))
            place = at
        day += timedelta(days=1)
    return Response(200, "application/x-ndjson", "".join(lines), headers)


def _line(fact: Fact) -> str:
    said: FactJson = {
        "id": fact.id,
        "kind": fact.kind,
        "cohort": fact.cohort.isoformat(),
        "at": to_rfc3339(fact.at),
        "subject": fact.subject,
        "episode_id": fact.episode,
        "campaign_id": fact.campaign,
        "step": fact.step,
        "endpoint_id": fact.endpoint,
        "provider": fact.provider,
        "treated": fact.treated,
        "tier": fact.tier,
        "amount": fact.amount.amount() if fact.amount else None,
        "currency": fact.amount.currency if fact.amount else None,
    }
    return json.dumps(said, separators=(",", ":")) + "\n"
