"""Start: what is still to do until the first recovery. Every tick was seen in the merchant's own data."""

from typing import Any, NamedTuple

from functions.console import answers, words
from functions.console.pages import samples
from functions.console.pages.sources import health_of
from functions.console.providers import titles_of
from functions.console.visit import Visit

_NO_PURCHASE = (
    "Checkouts arrive, but no purchase did yet. A provider that sends no purchases is the commonest reason for"
    " messages after a purchase. Buy something once; if it does not show, look at the source how purchases are sent."
)


_NEWEST = 10
"""Deliveries of an endpoint, among which its last test is looked for; checkouts, among which a real one is."""


class Step(NamedTuple):
    """One thing to do; ``done`` when its trace was seen. ``warned``: it is what goes wrong most often.

    ``tests``: a test event can be sent from here, ``samples``: a sample webhook.
    """

    title: str
    done: bool
    text: str
    path: str | None
    link: str = "Look"
    warned: bool = False
    tests: bool = False
    samples: bool = False


def show(visit: Visit) -> dict[str, Any]:
    """The checklist, and where the providers' webhooks go."""
    sources = visit.get("/v1/sources")["data"]
    health = health_of(visit) if sources else {}
    endpoints = visit.get("/v1/endpoints")["data"]
    campaigns = visit.get("/v1/campaigns")["data"]
    newest = visit.get("/v1/checkouts", limit=_NEWEST)["data"]
    # Not by a sample: that ours was understood says nothing of whether the provider sends any.
    arrived = any(own["last_webhook_at"] for own in health.values()) or not all(map(words.is_sample, newest))
    bought = any(own["last_purchase_at"] for own in health.values())
    delivered = bool(endpoints) and bool(visit.get("/v1/deliveries", status="delivered", limit=1)["data"])
    tested = next((own for own in endpoints if own["status"] == "active"), None)
    silent = [own for own in sources if not health[own["id"]]["last_webhook_at"]]
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
            samples=bool(sources),
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
            "Where messages and events go.",
            "/endpoints" if endpoints or not visit.may_change else "/endpoints/new",
            "Look" if endpoints or not visit.may_change else "Add one",
        ),
        Step(
            "See a delivery answered",
            delivered,
            "A test event to the endpoint shows whether it answers, and what.",
            "/deliveries" if endpoints else None,
            tests=tested is not None,
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
        tested=tested,
        trying=next(iter(silent or sources), None),
        titles=titles_of(visit) if sources else {},
        sampled=samples.made(visit),
        answered=tested and _answer(visit, tested["id"]),
    )


def test(visit: Visit) -> dict[str, Any]:
    """A test event to the endpoint that the page named; its answer is shown there."""
    endpoint_id = visit.form.get("endpoint_id", "")
    # One of the list, and nothing else that a form may name: it becomes a part of an address.
    if any(own["id"] == endpoint_id for own in visit.get("/v1/endpoints", limit=200)["data"]):
        visit.ask("POST", f"/v1/endpoints/{endpoint_id}/test", once=True)
        return answers.see_other(visit.url("/start", done="tested"))
    return answers.see_other(visit.url("/start", done="gone"))


def _answer(visit: Visit, endpoint_id: str) -> dict[str, Any] | None:
    """The newest test event's delivery, with its newest attempt."""
    newest = visit.get("/v1/deliveries", endpoint_id=endpoint_id, limit=_NEWEST)["data"]
    found = next((own for own in newest if own["event_type"] == "endpoint.test"), None)
    return found and {**found, "attempt": found["attempts"][-1] if found["attempts"] else None}
