"""Endpoints: how each is doing, and what can be done about it."""

from typing import Any

from functions.console import answers
from functions.console.visit import Visit

_DONE = {"test": "tested", "enable": "enabled", "disable": "disabled", "recover": "recovering"}


def show_list(visit: Visit) -> dict[str, Any]:
    """All of them."""
    rows = visit.get("/v1/endpoints")["data"]
    return answers.page(visit, "endpoints.html", merchant=visit.merchant, rows=rows)


def show(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """One endpoint, its health and its newest deliveries."""
    found = visit.get(f"/v1/endpoints/{endpoint_id}")
    newest = visit.get("/v1/deliveries", endpoint_id=endpoint_id, limit=10)["data"]
    return answers.page(visit, "endpoint.html", merchant=visit.merchant, endpoint=found, deliveries=newest)


def act(visit: Visit, endpoint_id: str, action: str) -> dict[str, Any]:
    """Test it, switch it, or send again what it missed."""
    visit.ask("POST", f"/v1/endpoints/{endpoint_id}/{action}")
    return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", done=_DONE[action]))
