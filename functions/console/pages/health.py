"""Health: whether sources are heard of and endpoints answer, and which keys soon stop to count.

What is not well is said once, here; the overview shows that part of this page.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

from functions.console import answers
from functions.console.pages.sources import health_of
from functions.console.visit import Visit

_MOST_ENDPOINTS = 20
_DELIVERIES = 25
"""Newest of each endpoint, whose attempts are counted."""
_FAILED = {"failed", "expired", "retrying"}
_SILENT_AFTER = timedelta(days=2)


class Ill(NamedTuple):
    """What is not well: whose name, where to look, and why; ``at``: since or until when."""

    name: str
    path: str
    why: str
    at: str | None = None


def show(visit: Visit) -> dict[str, Any]:
    """Everything on one page, what is wrong first."""
    sources = visit.get("/v1/sources", limit=200)["data"]
    endpoints = visit.get("/v1/endpoints", limit=200)["data"]
    shown = [_endpoint(visit, own) for own in endpoints[:_MOST_ENDPOINTS]]
    health = health_of(visit) if sources else {}
    now = visit.services.now()
    return answers.page(
        visit,
        "health.html",
        merchant=visit.merchant,
        sources=sources,
        health=health,
        endpoints=sorted(shown, key=lambda own: not own["ill"]),
        more=len(endpoints) - len(shown),
        expiring=[(own, key["expires_at"]) for own in endpoints for key in own["public_keys"] if key["expires_at"]],
        ills=[*_ill_sources(sources, health, now), *_ill_endpoints([*shown, *endpoints[_MOST_ENDPOINTS:]])],
    )


def _ill_sources(
    sources: Sequence[Mapping[str, Any]], health: Mapping[str, Mapping[str, Any]], now: datetime
) -> Iterator[Ill]:
    if not sources:
        yield Ill("Sources", "/sources", "no provider is connected, so no checkout can arrive")
    for own in sources:
        name, path, heard = own["name"] or own["provider"], f"/sources/{own['id']}", health[own["id"]]
        last = heard["last_webhook_at"]
        if last is None:
            yield Ill(name, path, "nothing arrived from it lately")
        elif now - datetime.fromisoformat(last) > _SILENT_AFTER:
            yield Ill(name, path, "nothing arrived from it since", last)
        elif heard["last_purchase_at"] is None:
            yield Ill(name, path, "checkouts arrive and no purchase: shoppers are written to after they bought")
        if number := heard["quarantined"]:
            webhooks = "1 webhook was" if number == 1 else f"{number} webhooks were"
            yield Ill(name, "/quarantine", f"{webhooks} not understood, and may hold purchases")


def _ill_endpoints(endpoints: Sequence[Mapping[str, Any]]) -> Iterator[Ill]:
    """Whatever its merchant did not switch off. Of those that were not looked at, only that they are off is known."""
    if not endpoints:
        yield Ill("Endpoints", "/endpoints", "there is none, so nothing has anywhere to go")
    for own in endpoints:
        name, path = own["name"] or own["kind"], f"/endpoints/{own['id']}"
        if own["status"] != "active":
            if own["disabled_reason"] != "merchant":
                yield Ill(name, path, "it failed for so long that it was switched off, and what comes is held")
        elif "breaker" not in own:
            continue
        elif own["breaker"]["state"] != "closed":
            yield Ill(name, path, "it fails, so it is left alone, and tried again", own["breaker"]["retry_at"])
        elif own["failing_since"]:
            yield Ill(name, path, "it fails since", own["failing_since"])


def _endpoint(visit: Visit, listed: dict[str, Any]) -> dict[str, Any]:
    own = visit.get(f"/v1/endpoints/{listed['id']}")
    newest = visit.get("/v1/deliveries", endpoint_id=listed["id"], limit=_DELIVERIES)["data"]
    return {
        **own,
        "deliveries": len(newest),
        "failed": sum(each["status"] in _FAILED for each in newest),
        "answers": _answers(attempt for each in newest for attempt in each["attempts"]),
        "ill": own["status"] != "active" or own["breaker"]["state"] != "closed" or bool(own["failing_since"]),
    }


def _answers(attempts: Iterable[Mapping[str, Any]]) -> dict[str, int | None]:
    """How long answers took, in milliseconds, None where there was none: an attempt without an answer says nothing."""
    took = [own["latency_ms"] for own in attempts if own["status_code"] and own["latency_ms"] is not None]
    return {"median": round(median(took)) if took else None, "slowest": max(took, default=None)}
