"""Checkouts: the list with its filters in the address, and one with everything that became of it."""

from datetime import datetime
from typing import Any

from functions.console import answers, words
from functions.console.visit import Visit
from shared.domain.checkout import Status

_SHOWN = 25
_MOST_ENTRIES = 200
_DONE = {"discard": "discarded", "complete": "completed"}
_PLANNED = {"SCHEDULED", "TASK_CREATED"}
"""What a campaign notes that took a checkout up, besides what it sent and did not send."""
_FINAL = {Status.COMPLETED.value, Status.RECOVERED.value}


def show_list(visit: Visit) -> dict[str, Any]:
    """Newest activity first."""
    status = visit.query.get("status")
    found = visit.get("/v1/checkouts", status=status, limit=_SHOWN, cursor=visit.query.get("cursor"))
    return _listed(visit, found["data"], chosen=status, cursor=found["next_cursor"])


def find(visit: Visit) -> dict[str, Any]:
    """Those of one shopper. Posted, because phone numbers and addresses of mail stand in no address of ours."""
    sought = visit.form.get("contact", "").strip()
    if not sought:
        return answers.see_other(visit.url("/checkouts"))
    by = "email" if "@" in sought else "phone"
    found = visit.get("/v1/checkouts", **{by: sought}, limit=_SHOWN)
    return _listed(visit, found["data"], sought=True)


def show(visit: Visit, checkout_id: str) -> dict[str, Any]:
    """One checkout: cart, contact (masked until asked for), eligibility now, and its timeline."""
    path = f"/v1/checkouts/{checkout_id}"
    checkout = visit.get(path)
    timeline = visit.get(f"{path}/activities", limit=_MOST_ENTRIES)
    deliveries = visit.get("/v1/deliveries", checkout_id=checkout_id)["data"]
    not_sent = [own for own in timeline["data"] if own["type"].endswith("NOT_SENT")]
    return answers.page(
        visit,
        "checkout.html",
        merchant=visit.merchant,
        checkout=checkout,
        timeline=_timeline(checkout, timeline["data"], deliveries),
        more=timeline["next_cursor"] is not None,
        deliveries=deliveries,
        eligibility=visit.get(f"{path}/eligibility"),
        not_sent=not_sent,
        planned=any(own["type"] in _PLANNED or own["type"].endswith("_SENT") for own in timeline["data"]),
        contact=visit.query.get("contact") == "shown",
        final=checkout["status"] in _FINAL,
    )


def act(visit: Visit, checkout_id: str, action: str) -> dict[str, Any]:
    """Discard it, or say that it was bought."""
    visit.ask("POST", f"/v1/checkouts/{checkout_id}/{action}")
    return answers.see_other(visit.url(f"/checkouts/{checkout_id}", done=_DONE[action]))


def _timeline(
    checkout: dict[str, Any], activities: list[dict[str, Any]], deliveries: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Everything in one order: what was noted, the checkout's own turns, and what was sent."""
    turns = (("begun", "started_at"), ("abandoned", "abandoned_at"), ("bought", "completed_at"))
    noted: list[dict[str, Any]] = [
        {"at": checkout[at], "type": turn, "detail": {}} for turn, at in turns if checkout[at]
    ]
    shown: list[dict[str, Any]] = [own | {"entry": words.entry(own)} for own in (*noted, *activities)]
    for own in deliveries:
        at = own["attempts"][-1]["at"] if own["attempts"] else own["created_at"]
        shown.append({"at": at, "detail": {"delivery_id": own["id"]}, "entry": words.told(own)})
    return sorted(shown, key=lambda own: datetime.fromisoformat(own["at"]))


def _listed(visit: Visit, rows: list[dict[str, Any]], **shown: Any) -> dict[str, Any]:
    more: dict[str, Any] = {"chosen": None, "cursor": None, "sought": False} | shown
    statuses = [own.value for own in Status]
    return answers.page(visit, "checkouts.html", merchant=visit.merchant, rows=rows, statuses=statuses, **more)
