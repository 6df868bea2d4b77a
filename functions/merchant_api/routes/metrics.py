"""``/v1/metrics``: what recovery achieved, with its definitions printed beside the figures."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.merchant_api.operations import MERCHANT
from functions.merchant_api.session import Json, answer, new_router, session
from shared.api.latency import LASTS, LatencyReportJson, Period, latency_json
from shared.api.metrics import (
    Day,
    FunnelReportJson,
    GroupBy,
    RecoveryReportJson,
    SourcesReportJson,
    funnel_json,
    period,
    report_json,
    sources_json,
)
from shared.api.problems import not_found
from shared.domain.ids import EndpointId
from shared.workflows.insight.endpoint_latency import endpoint_latency
from shared.workflows.insight.metrics import altogether, by_day, by_dimension
from shared.workflows.insight.source_health import sources_health

router = new_router()
_TAGS = ["Metrics"]


@router.get("/v1/metrics/recovery", security=MERCHANT, summary="Recovery by cohort of abandonment", tags=_TAGS)
def recovery(
    since: Annotated[Day | None, Query(alias="from")] = None,
    until: Annotated[Day | None, Query(alias="to")] = None,
    group_by: Annotated[GroupBy, Query()] = "day",
) -> Json[RecoveryReportJson]:
    """Days on the merchant's clock, both included; by default the last 30. Money per currency, never added."""
    own = session(router)
    merchant = own.merchant().value
    first, last = period(since, until, merchant, own.now)
    cohorts = own.services.metrics.cohorts(merchant, first, last)
    rows = by_day(cohorts) if group_by == "day" else by_dimension(cohorts, group_by)
    return answer(report_json(rows, altogether(cohorts), (first, last), merchant, own.now, group_by))


@router.get("/v1/metrics/funnel", security=MERCHANT, summary="Where checkouts are left", tags=_TAGS)
def funnel(
    since: Annotated[Day | None, Query(alias="from")] = None,
    until: Annotated[Day | None, Query(alias="to")] = None,
) -> Json[FunnelReportJson]:
    """By the stage at which the shopper left, the commonest first; a checkout without a stage is in the total only."""
    own = session(router)
    merchant = own.merchant().value
    first, last = period(since, until, merchant, own.now)
    cohorts = own.services.metrics.cohorts(merchant, first, last)
    stages = by_dimension(cohorts, "stage")
    return answer(funnel_json(stages, altogether(cohorts), (first, last), merchant, own.now))


@router.get(
    "/v1/metrics/endpoints/<endpoint_id>", security=MERCHANT, summary="How soon an endpoint answers", tags=_TAGS
)
def latency(endpoint_id: str, period: Annotated[Period, Query()] = "P1D") -> Json[LatencyReportJson]:
    """Attempts of the deliveries made in the period, by the hour (`P1D`) or by the day, on the merchant's clock.

    Of all of them where they are about a thousand; beyond that of a sample, by whole shards: `share` says which part.
    """
    own = session(router)
    found = own.services.endpoints.get(own.merchant_id, EndpointId(endpoint_id))
    if found is None:
        raise not_found("There is no such endpoint.")
    counted = endpoint_latency(own.services.deliveries, found.value.id, own.now - LASTS[period], own.now)
    return answer(latency_json(counted, found.value.id, period, own.merchant().value.timezone))


@router.get("/v1/metrics/sources", security=MERCHANT, summary="How each source is doing", tags=_TAGS)
def sources() -> Json[SourcesReportJson]:
    """When it was heard of last, its last purchase, and which share is understood, of the newest that there is.

    A source of which the newest hold nothing has nulls: ``looked_at`` says until when something would have been seen.
    """
    own = session(router)
    rows = [row.value for row in own.services.sources.listed(own.merchant_id)]
    health = sources_health(own.merchant().value, own.services.search, own.services.quarantine, own.now)
    return answer(sources_json(rows, health, own.now))
