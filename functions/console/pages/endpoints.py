"""Endpoints: how each is doing, and what can be done about it; making and changing one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from functions.console import answers, endpoint_form, forms
from functions.console.charts import Bar
from functions.console.forms import Form
from functions.console.jobs import at_work, jobs_of
from functions.console.visit import Refused, Visit

_DONE = {"test": "tested", "enable": "enabled", "disable": "disabled"}
_SPANS = (("", "all that is kept"), ("PT1H", "of the last hour"), ("P1D", "of the last day"), ("P7D", "of seven days"))
_MOST = 200
_NEWEST = 50
"""Deliveries, among which a test's is looked for."""
_PERIODS = {"P1D": "24 hours", "P7D": "7 days", "P30D": "30 days"}


def show_list(visit: Visit) -> dict[str, Any]:
    """All of them."""
    rows = visit.get("/v1/endpoints", limit=_MOST)["data"]
    return answers.page(visit, "endpoints.html", merchant=visit.merchant, rows=rows)


def show(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """One endpoint, its health over time, its newest deliveries, and the answer to a test event."""
    found = visit.get(f"/v1/endpoints/{endpoint_id}")
    newest = visit.get("/v1/deliveries", endpoint_id=endpoint_id, limit=_NEWEST)["data"]
    tested = next((own for own in newest if own["id"] == visit.query.get("tested")), None)
    asked = visit.query.get("period", "")
    period = asked if asked in _PERIODS else "P7D"
    latency = visit.get(f"/v1/metrics/endpoints/{endpoint_id}", period=period)
    rows = _labelled(latency, visit.merchant["timezone"])
    jobs = jobs_of(visit, endpoint_id=endpoint_id)
    return answers.page(
        visit,
        "endpoint.html",
        merchant=visit.merchant,
        endpoint=found,
        deliveries=newest[:10],
        tested=tested,
        latency=latency,
        rows=[own for own in rows if own["attempts"]],
        bars_of=[Bar(own["label"], own["attempts"], own["delivered"], pale=False) for own in rows],
        period=period,
        periods=_PERIODS,
        overlaps=forms.OVERLAPS,
        jobs=jobs,
        working=at_work(jobs),
        spans=_SPANS,
        templated=found["kind"] == "webhook" or "template" in _kinds(visit)[found["kind"]]["settings"]["properties"],
    )


def act(visit: Visit, endpoint_id: str, action: str) -> dict[str, Any]:
    """Test it, or switch it."""
    made = visit.ask("POST", f"/v1/endpoints/{endpoint_id}/{action}", once=action == "test")
    tested = made["id"] if action == "test" else None
    return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", done=_DONE[action], tested=tested))


def recover(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """Send again what it missed, unless that is at work."""
    if at_work(jobs_of(visit, endpoint_id=endpoint_id)):
        return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", done="at_work"))
    since = forms.since(visit.form.get("since", ""), visit.services.now())
    job = visit.ask("POST", f"/v1/endpoints/{endpoint_id}/recover", body=since, once=True)
    return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", job=job["id"]))


def choose(visit: Visit) -> dict[str, Any]:
    """Which kind it is to be."""
    return answers.page(visit, "endpoint_choice.html", merchant=visit.merchant, kinds=_kinds(visit).values())


def ask(visit: Visit, kind: str) -> dict[str, Any]:
    """The form of one kind."""
    return _editor(visit, kind, None, Form(endpoint_form.fresh(kind)))


def create(visit: Visit, kind: str) -> dict[str, Any]:
    """Make it, and show its signing secret once."""
    described = _kinds(visit).get(kind)
    if described is None:
        return answers.see_other(visit.url("/endpoints/new"))
    settings = endpoint_form.settings_of(described["settings"])
    body, wrong = endpoint_form.body_of(visit.form, settings, webhook=kind == "webhook")
    if wrong:
        return _editor(visit, kind, None, Form(visit.form, wrong))
    given = {name: own for name, own in body["settings"].items() if own is not None}
    asked = {name: own for name, own in body.items() if own is not None} | {"kind": kind, "settings": given}
    try:
        made = visit.ask("POST", "/v1/endpoints", body=asked, once=True)
    except Refused as why:
        return _editor(visit, kind, None, forms.refused(visit.form, why, endpoint_form.places(settings)))
    if "signing_secret" not in made or kind != "webhook":
        return answers.see_other(visit.url(f"/endpoints/{made['id']}", done="endpoint_made"))
    return answers.page(visit, "endpoint_secret.html", merchant=visit.merchant, endpoint=made, rotated=False)


def ask_change(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """Its name, address, events and settings, to be changed."""
    endpoint, version = visit.versioned(f"/v1/endpoints/{endpoint_id}")
    settings = endpoint_form.settings_of(_kinds(visit)[endpoint["kind"]]["settings"])
    typed = endpoint_form.typed_of(endpoint, settings) | {"version": version}
    return _editor(visit, endpoint["kind"], endpoint, Form(typed))


def change(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """Change the version that was read and no other; secrets that were left empty stay."""
    typed, path = visit.form, f"/v1/endpoints/{endpoint_id}"
    endpoint, version = visit.versioned(path)
    kind = endpoint["kind"]
    settings = endpoint_form.settings_of(_kinds(visit)[kind]["settings"])
    body, wrong = endpoint_form.body_of(typed, settings, webhook=kind == "webhook")
    if wrong:
        return _editor(visit, kind, endpoint, Form(typed, wrong))
    try:
        visit.ask("PATCH", path, body=body, if_match=typed.get("version") or "missing")
    except Refused as why:
        if why.changed_meanwhile:
            now = endpoint_form.compared(endpoint_form.typed_of(endpoint, settings))
            newer = forms.outdated(endpoint_form.compared(typed), version, now).newer
            return _editor(visit, kind, endpoint, Form({**typed, "version": version}, newer=newer))
        return _editor(visit, kind, endpoint, forms.refused(typed, why, endpoint_form.places(settings)))
    return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", done="endpoint_changed"))


def rotate(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """A new signing secret, shown once."""
    body = {"overlap": visit.form.get("overlap", forms.OVERLAPS[0][0])}
    made = visit.ask("POST", f"/v1/endpoints/{endpoint_id}/rotate-secret", body=body, once=True)
    if "signing_secret" not in made:  # sent twice, and the first answer was too large to be kept
        return answers.see_other(visit.url(f"/endpoints/{endpoint_id}"))
    return answers.page(visit, "endpoint_secret.html", merchant=visit.merchant, endpoint=made, rotated=True)


def remove(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """Remove it for good."""
    if visit.form.get("sure") != "yes":
        return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", done="not_sure"))
    visit.ask("DELETE", f"/v1/endpoints/{endpoint_id}")
    return answers.see_other(visit.url("/endpoints", done="endpoint_removed"))


def _editor(visit: Visit, kind: str, endpoint: Mapping[str, Any] | None, form: Form) -> dict[str, Any]:
    described = _kinds(visit).get(kind)
    if described is None:
        return answers.see_other(visit.url("/endpoints/new"))
    return answers.page(
        visit,
        "endpoint_editor.html",
        merchant=visit.merchant,
        endpoint=endpoint,
        kind=described,
        settings=endpoint_form.settings_of(described["settings"]),
        event_types=endpoint_form.EVENT_TYPES,
        form=form,
    )


def _kinds(visit: Visit) -> dict[str, dict[str, Any]]:
    return {own["kind"]: own for own in visit.get("/v1/destinations")["data"]}


def _labelled(latency: Mapping[str, Any], zone: str) -> list[dict[str, Any]]:
    """Hours or days, as the merchant's clock calls them."""
    form = "%d %b %H:00" if latency["period"] == "P1D" else "%Y-%m-%d"
    return [
        {
            **own,
            "label": datetime.fromisoformat(own["start"]).astimezone(ZoneInfo(zone)).strftime(form),
            "rate": own["delivered"] / own["attempts"] if own["attempts"] else None,
        }
        for own in latency["data"]
    ]
