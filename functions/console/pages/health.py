"""Health: whether sources are heard of and endpoints answer, and which keys soon stop to count."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from functions.console import answers
from functions.console.pages.sources import health_of
from functions.console.visit import Visit

_MOST_ENDPOINTS = 20
_DELIVERIES = 25
"""Newest of each endpoint, whose attempts are counted."""
_FAILED = {"failed", "expired", "retrying"}


def show(visit: Visit) -> dict[str, Any]:
    """Everything on one page, what is wrong first."""
    sources = visit.get("/v1/sources", limit=200)["data"]
    endpoints = visit.get("/v1/endpoints", limit=200)["data"]
    shown = [_endpoint(visit, own) for own in endpoints[:_MOST_ENDPOINTS]]
    health = health_of(visit) if sources else {}
    return answers.page(
        visit,
        "health.html",
        merchant=visit.merchant,
        sources=sources,
        health=health,
        endpoints=sorted(shown, key=lambda own: not own["ill"]),
        more=len(endpoints) - len(shown),
        expiring=[(own, key["expires_at"]) for own in endpoints for key in own["public_keys"] if key["expires_at"]],
    )


def _endpoint(visit: Visit, listed: dict[str, Any]) -> dict[str, Any]:
    own = visit.get(f"/v1/endpoints/{listed['id']}")
    newest = visit.get("/v1/deliveries", endpoint_id=listed["id"], limit=_DELIVERIES)["data"]
    latencies = _latencies(newest)
    return {
        **own,
        "deliveries": len(newest),
        "failed": sum(each["status"] in _FAILED for each in newest),
        "usual_ms": round(median(latencies)) if latencies else None,
        "slowest_ms": max(latencies, default=None),
        "ill": own["status"] != "active" or own["breaker"]["state"] != "closed" or bool(own["failing_since"]),
    }


def _latencies(deliveries: Sequence[dict[str, Any]]) -> list[int]:
    """Of the attempts that were answered at all."""
    told = [
        attempt.get("latency_ms") for own in deliveries for attempt in own["attempts"] if attempt.get("status_code")
    ]
    return [int(own) for own in told if own is not None]
