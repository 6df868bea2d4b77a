"""Campaigns: what each does and how it is doing."""

from typing import Any

from functions.console import answers
from functions.console.visit import Visit


def show_list(visit: Visit) -> dict[str, Any]:
    """All of them, with what each recovered in the last 30 days."""
    rows = visit.get("/v1/campaigns")["data"]
    report = visit.get("/v1/metrics/recovery", group_by="campaign")
    results = {own["key"]: own for own in report["data"]}
    return answers.page(visit, "campaigns.html", merchant=visit.merchant, rows=rows, results=results)
