"""The API's routes by subject. Each checks nothing twice: who may call and what is valid was settled before."""

from aws_lambda_powertools.event_handler.api_gateway import Router

from functions.merchant_api.routes import (
    backfills,
    campaigns,
    catalogue,
    checkouts,
    customers,
    deliveries,
    endpoints,
    events,
    facts,
    merchant,
    metrics,
    operator,
    portal_links,
    quarantine,
    sources,
    stage,
    suppressions,
)

ROUTERS: tuple[Router, ...] = (
    operator.router,
    merchant.router,
    sources.router,
    backfills.router,
    campaigns.router,
    endpoints.router,
    checkouts.router,
    customers.router,
    deliveries.router,
    events.router,
    suppressions.router,
    metrics.router,
    facts.router,
    quarantine.router,
    catalogue.router,
    portal_links.router,
    stage.router,
)
