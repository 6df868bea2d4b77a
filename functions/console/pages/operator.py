"""The operator's pages: the merchants of the stage, and links into their consoles. Nothing of shoppers."""

from typing import Any

from functions.console import answers
from functions.console.visit import Visit

_SHOWN = 50


def show(visit: Visit) -> dict[str, Any]:
    """The merchants, oldest first, and whether the stage answers."""
    found = visit.get("/v1/merchants", limit=_SHOWN, cursor=visit.query.get("cursor"))
    health = visit.get("/healthz")
    return answers.page(
        visit,
        "operator.html",
        merchant=None,
        rows=found["data"],
        cursor=found["next_cursor"],
        health=health["status"],
        stage=visit.services.environment.stage,
    )


def link(visit: Visit, merchant_id: str) -> dict[str, Any]:
    """A link into a merchant's console, shown once."""
    merchant = visit.get(f"/v1/merchants/{merchant_id}")
    capability = "all" if visit.form.get("capability") == "all" else "read"
    body = {"merchant_id": merchant_id, "capabilities": [capability]}
    made = visit.ask("POST", "/v1/portal-links", body=body, once=True)
    return answers.page(
        visit, "operator_link.html", merchant=None, link=made, of=merchant, reading=capability == "read"
    )
