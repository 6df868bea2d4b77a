"""Start: what is still to do until the first recovery. Every tick was seen in the merchant's own data."""

from typing import Any, NamedTuple

from functions.console import answers
from functions.console.visit import Visit


class Step(NamedTuple):
    """One thing to do; ``done`` when its trace was seen."""

    title: str
    done: bool
    text: str
    path: str | None


def show(visit: Visit) -> dict[str, Any]:
    """The checklist."""
    sources = visit.get("/v1/sources")["data"]
    endpoints = visit.get("/v1/endpoints")["data"]
    campaigns = visit.get("/v1/campaigns")["data"]
    arrived = bool(visit.get("/v1/checkouts", limit=1)["data"])
    bought = any(visit.get("/v1/checkouts", status=status, limit=1)["data"] for status in ("completed", "recovered"))
    delivered = bool(endpoints) and bool(visit.get("/v1/deliveries", status="delivered", limit=1)["data"])
    steps = [
        Step(
            "Connect a provider",
            bool(sources),
            "POST /v1/sources gives a webhook address and, where the provider needs one, a secret. Paste both there.",
            None,
        ),
        Step(
            "See the first webhook arrive",
            arrived,
            "Leave a checkout in your shop. This page notices it by itself.",
            "/checkouts",
        ),
        Step(
            "See the first purchase arrive",
            bought,
            "A provider that sends no purchases is the commonest reason for messages after a purchase."
            " Buy something once, and look that it counts as bought.",
            "/checkouts",
        ),
        Step("Add an endpoint", bool(endpoints), "POST /v1/endpoints: where messages and events go.", "/endpoints"),
        Step(
            "See a delivery answered",
            delivered,
            "Send a test event from the endpoint's page, and look at what was answered.",
            "/deliveries",
        ),
        Step(
            "Start a campaign",
            any(own["status"] == "active" for own in campaigns),
            "POST /v1/campaigns: when to write, over which endpoint, and to whom. Without one, endpoints get events"
            " and send on their own.",
            "/campaigns",
        ),
    ]
    todo = next((own for own in steps if not own.done), None)
    return answers.page(visit, "start.html", merchant=visit.merchant, steps=steps, todo=todo, sources=sources)
