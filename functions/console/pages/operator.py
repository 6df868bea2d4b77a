"""The operator's pages: merchants, links into their consoles, how the stage fares. Nothing of shoppers."""

from typing import Any

from functions.console import answers, runbook
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


def show_stage(visit: Visit) -> dict[str, Any]:
    """How the stage fares: what rings first, each with what to do about it."""
    health = visit.get("/v1/stage/health")
    for own in [*health["queues"], *(health["alarms"] or {"ringing": []})["ringing"]]:
        own["section"] = (own["runbook"] or "").rpartition("#")[2]
    return answers.page(visit, "operator_stage.html", merchant=None, health=health)


def show_runbook(visit: Visit, section: str) -> dict[str, Any]:
    """A section of the runbook: what an alarm means, where to look, how to mend it."""
    visit.demand_operator()
    found = runbook.section(section)
    if found is None:
        return answers.see_other(visit.url("/operator/stage"))
    return answers.page(visit, "operator_runbook.html", merchant=None, section=found)


def link(visit: Visit, merchant_id: str) -> dict[str, Any]:
    """A link into a merchant's console, shown once."""
    merchant = visit.get(f"/v1/merchants/{merchant_id}")
    capability = "all" if visit.form.get("capability") == "all" else "read"
    body = {"merchant_id": merchant_id, "capabilities": [capability]}
    made = visit.ask("POST", "/v1/portal-links", body=body, once=True)
    return answers.page(
        visit, "operator_link.html", merchant=None, link=made, of=merchant, reading=capability == "read"
    )
