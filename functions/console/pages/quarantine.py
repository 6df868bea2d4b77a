"""Quarantine: webhooks that were not understood. Another mapping is tried on the kept body, then all are read again."""

import base64
import time
from dataclasses import replace
from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit
from shared.store.quarantine import UNDERSTOOD

_SHOWN = 50
_MOST_SHOWN_OF_A_BODY = 20_000
_MOST_AT_ONCE = 200
_SECONDS = 12.0
"""For one click: the function has 29, and a page must come back."""
_PLACES = {"/mapping": "mapping", "/settings/mapping": "mapping"}


def show_list(visit: Visit) -> dict[str, Any]:
    """Newest first."""
    found = visit.get("/v1/quarantine", limit=_SHOWN, cursor=visit.query.get("cursor"))
    sources = {own["id"]: own["name"] or own["provider"] for own in visit.get("/v1/sources", limit=200)["data"]}
    return answers.page(
        visit,
        "quarantine.html",
        merchant=visit.merchant,
        rows=found["data"],
        cursor=found["next_cursor"],
        sources=sources,
        understood=UNDERSTOOD,
        replayed=_replayed(visit),
    )


def show(visit: Visit, quarantine_id: str) -> dict[str, Any]:
    """One body, and the mapping by which it is read now."""
    return _page(visit, visit.get(f"/v1/quarantine/{quarantine_id}"))


def attempt(visit: Visit, quarantine_id: str) -> dict[str, Any]:
    """What the body would become by the mapping that was typed; nothing is stored."""
    typed, path = visit.form, f"/v1/quarantine/{quarantine_id}"
    found = visit.get(path)
    body = {"mapping": forms.pairs(typed.get("mapping", ""))}
    try:
        shown = visit.ask("POST", f"{path}/preview", body=body)
    except Refused as why:
        if why.status == 422 and not why.errors:
            return _page(visit, found, Form(typed), why=why.detail)
        return _page(visit, found, forms.refused(typed, why, _PLACES))
    return _page(visit, found, Form(typed), shown=shown)


def keep(visit: Visit, quarantine_id: str) -> dict[str, Any]:
    """The mapping that was typed becomes the source's own, and the body is read by it."""
    typed, path = visit.form, f"/v1/quarantine/{quarantine_id}"
    found = visit.get(path)
    body = {"settings": {"mapping": forms.pairs(typed.get("mapping", ""))}}
    try:
        visit.ask("PATCH", f"/v1/sources/{found['source_id']}", body=body, if_match=typed.get("version") or "missing")
    except Refused as why:
        if why.changed_meanwhile:
            source, version = _source(visit, found["source_id"])
            return _page(visit, found, forms.outdated(typed, version, _typed(source)))
        return _page(visit, found, forms.refused(typed, why, _PLACES))
    return replay(visit, quarantine_id)


def replay(visit: Visit, quarantine_id: str) -> dict[str, Any]:
    """Read it once more."""
    done = visit.ask("POST", f"/v1/quarantine/{quarantine_id}/replay")
    outcome = "replayed" if done["status"] in UNDERSTOOD else "still_quarantined"
    return answers.see_other(visit.url(f"/quarantine/{quarantine_id}", done=outcome))


def replay_all(visit: Visit) -> dict[str, Any]:
    """Read again what is not understood yet, as many as a click may take; those first that waited longest for it."""
    visit.demand_change()
    rows = visit.get("/v1/quarantine", limit=_MOST_AT_ONCE)["data"]
    waiting = [own for own in rows if own["replay_status"] not in UNDERSTOOD]
    until, understood, tried = time.monotonic() + _SECONDS, 0, 0
    for own in sorted(waiting, key=lambda row: row["replayed_at"] or ""):
        tried += 1
        try:
            understood += visit.ask("POST", f"/v1/quarantine/{own['id']}/replay")["status"] in UNDERSTOOD
        except Refused as why:
            if why.status not in {404, 409}:  # dropped meanwhile, or its source is gone
                raise
        if time.monotonic() >= until:
            break
    return answers.see_other(
        visit.url("/quarantine", tried=str(tried), fit=str(understood), left=str(len(waiting) - tried))
    )


def drop(visit: Visit, quarantine_id: str) -> dict[str, Any]:
    """Forget the body."""
    if visit.form.get("sure") != "yes":
        return answers.see_other(visit.url(f"/quarantine/{quarantine_id}", done="not_sure"))
    dropped = visit.remove(f"/v1/quarantine/{quarantine_id}")
    return answers.see_other(visit.url("/quarantine", done="dropped" if dropped else "gone"))


def _page(
    visit: Visit,
    found: dict[str, Any],
    form: Form | None = None,
    *,
    shown: dict[str, Any] | None = None,
    why: str | None = None,
) -> dict[str, Any]:
    source, version = _source(visit, found["source_id"])
    # What was typed is kept, and the version that it was typed over: who tries a mapping has not seen a newer one yet.
    values = {**_typed(source), "version": version, **(form.values if form else {})}
    body = base64.b64decode(found.pop("body_base64"))
    asked = "shown" in (visit.query.get("body"), visit.form.get("body"))
    return answers.page(
        visit,
        "quarantined.html",
        merchant=visit.merchant,
        own=found,
        source=source,
        form=replace(form, values=values) if form else Form(values),
        body=_readable(body) if asked else None,
        shown=shown,
        why=why,
        understood=found["replay_status"] in UNDERSTOOD,
    )


def _typed(source: dict[str, Any] | None) -> dict[str, str]:
    """The source's mapping as the form's field holds it."""
    return {"mapping": forms.paired(source["settings"]["mapping"]) if source else ""}


def _source(visit: Visit, source_id: str) -> tuple[dict[str, Any] | None, str]:
    """The source, None where it was disconnected, and its version."""
    try:
        return visit.versioned(f"/v1/sources/{source_id}")
    except Refused as why:
        if why.status != 404:
            raise
        return None, ""


def _readable(body: bytes) -> str:
    """The body as a person reads it, as far as a page should hold."""
    text = answers.readable(body)
    more = len(text) - _MOST_SHOWN_OF_A_BODY
    return text if more <= 0 else f"{text[:_MOST_SHOWN_OF_A_BODY]}\n… and {more:,} characters more"


def _replayed(visit: Visit) -> dict[str, int] | None:
    """What reading all again came to, as the address says; numbers and nothing else."""
    told = {name: visit.query.get(name, "") for name in ("tried", "fit", "left")}
    if not all(own.isascii() and own.isdigit() and len(own) < 5 for own in told.values()):
        return None
    return {name: int(own) for name, own in told.items()}
