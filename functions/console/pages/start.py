"""Start: what is still to do until the first recovery. Every tick was seen in the merchant's own data."""

from typing import Any, NamedTuple

from functions.console import answers
from functions.console.pages.sources import health_of
from functions.console.visit import Visit

_NO_PURCHASE = (
    "Checkouts arrive, but no purchase did yet. A provider that sends no purchases is the commonest reason for"
    " messages after a purchase. Buy something once; if it does not show, look at the source how purchases are sent."
)


class Step(NamedTuple):
    """One thing to do; ``done`` when its trace was seen. ``warned``: it is what goes wrong most often."""

    title: str
    done: bool
    text: str
    path: str | None
    link: str = "Look"
    warned: bool = False


def show(visit: Visit) -> dict[str, Any]:
    """The checklist, and where the providers' webhooks go."""
    sources = visit.get("/v1/sources")["data"]
    health = health_of(visit) if sources else {}
    endpoints = visit.get("/v1/endpoints")["data"]
    campaigns = visit.get("/v1/campaigns")["data"]
    arrived = any(own["last_webhook_at"] for own in health.values()) or bool(
        visit.get("/v1/checkouts", limit=1)["data"]
    )
    bought = any(own["last_purchase_at"] for own in health.values())
    delivered = bool(endpoints) and bool(visit.get("/v1/deliveries", status="delivered", limit=1)["data"])
    only = f"/sources/{sources[0]['id']}" if len(sources) == 1 else "/sources"
    steps = [
        Step(
            "Connect a provider",
            bool(sources),
            "You get a webhook address and, where the provider needs one, a secret. Both are pasted there.",
            "/sources" if sources or not visit.may_change else "/sources/new",
            "Look" if sources or not visit.may_change else "Connect one",
        ),
        Step(
            "See the first webhook arrive",
            arrived,
            "Leave a checkout in your shop. " + ("This page notices it by itself." if sources else ""),
            only if sources else None,
            "Where the webhooks go",
        ),
        Step(
            "See the first purchase arrive",
            bought,
            _NO_PURCHASE if arrived and not bought else "Buy something once, and look that it counts as bought.",
            only if arrived else None,
            "How purchases are sent" if not bought else "Look",
            warned=arrived and not bought,
        ),
        Step(
            "Add an endpoint",
            bool(endpoints),
            "Where messages and events go: POST /v1/endpoints adds one.",
            "/endpoints",
        ),
        Step(
            "See a delivery answered",
            delivered,
            "Send a test event to the endpoint, and look at what was answered."
            if endpoints
            else "A test event to the endpoint shows whether it answers.",
            f"/endpoints/{endpoints[0]['id']}" if endpoints and not delivered else "/deliveries",
            "Send one" if endpoints and not delivered and visit.may_change else "Look",
        ),
        Step(
            "Start a campaign",
            any(own["status"] == "active" for own in campaigns),
            "When to write, over which endpoint, and to whom. Without one, endpoints get events and send on their own.",
            "/campaigns" if campaigns or not visit.may_change else "/campaigns/new",
            "Look" if campaigns or not visit.may_change else "Begin with a template",
        ),
    ]
    todo = next((own for own in steps if not own.done), None)
    return answers.page(
        visit,
        "start.html",
        merchant=visit.merchant,
        steps=steps,
        todo=todo,
        sources=sources,
        health=health,
        waiting=bool(sources) and not arrived,
    )
