"""Deliveries: what was sent to the merchant's endpoints, attempt by attempt."""

from http import HTTPStatus
from typing import Any

from functions.console import answers
from functions.console.visit import Refused, Visit
from shared.store.deliveries import DeliveryStatus

_SHOWN = 25
_MOST = 200
_ENDED = {"failed", "expired", "unknown", "skipped", "held"}


def show_list(visit: Visit) -> dict[str, Any]:
    """Newest first."""
    filters = {name: visit.query.get(name) for name in ("status", "endpoint_id", "checkout_id")}
    found = visit.get("/v1/deliveries", **filters, limit=_SHOWN, cursor=visit.query.get("cursor"))
    endpoints = visit.get("/v1/endpoints", limit=_MOST)["data"]
    return answers.page(
        visit,
        "deliveries.html",
        merchant=visit.merchant,
        rows=found["data"],
        cursor=found["next_cursor"],
        filters=filters,
        statuses=[own.value for own in DeliveryStatus],
        endpoints=endpoints,
        names={own["id"]: own["name"] or own["kind"] for own in endpoints},
    )


def show(visit: Visit, delivery_id: str) -> dict[str, Any]:
    """One delivery with its newest attempts and what was answered."""
    found = visit.get(f"/v1/deliveries/{delivery_id}")
    return answers.page(
        visit,
        "delivery.html",
        merchant=visit.merchant,
        delivery=found,
        endpoint=_endpoint(visit, found["endpoint_id"]),
        ended=found["status"] in _ENDED,
    )


def _endpoint(visit: Visit, endpoint_id: str) -> dict[str, Any] | None:
    """None where it was removed: its deliveries stay for a while. Raises Refused for other reasons."""
    try:
        found: dict[str, Any] = visit.get(f"/v1/endpoints/{endpoint_id}")
    except Refused as why:
        if why.status != HTTPStatus.NOT_FOUND:
            raise
        return None
    return found


def retry(visit: Visit, delivery_id: str) -> dict[str, Any]:
    """Try it once more."""
    visit.ask("POST", f"/v1/deliveries/{delivery_id}/retry")
    return answers.see_other(visit.url(f"/deliveries/{delivery_id}", done="retried"))
