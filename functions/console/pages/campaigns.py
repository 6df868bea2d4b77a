"""Campaigns: what each does and how it is doing, the editor, and what one would do before it is switched on."""

from collections.abc import Mapping
from typing import Any

from functions.console import answers, campaign_form, campaign_words, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit
from shared.domain.criteria import FIELDS

_LISTED = 200
_PLAYED_AT_ONCE = 100
_DAYS = ("1", "7", "14", "30")
_STALE = 409
"""The status of a form that was filled in on an older version."""
_RESTATED = {"pause": "paused", "activate": "activated"}


def show_list(visit: Visit) -> dict[str, Any]:
    """All of them, with what each recovered in the last 30 days, and the hours in which none of them writes."""
    rows = visit.get("/v1/campaigns", limit=_LISTED)["data"]
    report = visit.get("/v1/metrics/recovery", group_by="campaign")
    results = {own["key"]: own for own in report["data"]}
    return answers.page(
        visit, "campaigns.html", merchant=visit.merchant, rows=rows, results=results, said_of=campaign_words
    )


def show(visit: Visit, campaign_id: str) -> dict[str, Any]:
    """One campaign, what each step brought; of one that is off, or on request, what it would do."""
    campaign, version = visit.versioned(f"/v1/campaigns/{campaign_id}")
    report = visit.get("/v1/metrics/recovery", group_by="step")
    results = {own["key"]: own for own in report["data"]}
    days = visit.query.get("days", "7" if campaign["status"] == "paused" else "")
    played = _stored_played(visit, campaign_id, days) if days in _DAYS and visit.may_change else None
    return answers.page(
        visit,
        "campaign.html",
        merchant=visit.merchant,
        campaign=campaign,
        version=version,
        results=[results.get(f"{campaign_id}/{number}") for number in range(1, len(campaign["steps"]) + 1)],
        endpoints={own["id"]: _named(own) for own in visit.get("/v1/endpoints", limit=_LISTED)["data"]},
        played=played,
        days=days,
        all_days=_DAYS,
        said_of=campaign_words,
    )


def restate(visit: Visit, campaign_id: str, action: str) -> dict[str, Any]:
    """Pause at once, whatever it says by now; activate what was looked at, and nothing else."""
    where = f"/campaigns/{campaign_id}"
    if action == "pause":
        visit.ask("POST", f"/v1{where}/pause")
        return answers.see_other(visit.url(where, done="paused"))
    try:
        visit.ask("POST", f"/v1{where}/resume", if_match=visit.form.get("version") or "missing")
    except Refused as why:
        if not why.changed_meanwhile:
            raise
        return answers.see_other(visit.url(where, done="not_activated"))
    return answers.see_other(visit.url(where, done="activated"))


def remove(visit: Visit, campaign_id: str) -> dict[str, Any]:
    """Remove it for good."""
    if visit.form.get("sure") != "yes":
        return answers.see_other(visit.url(f"/campaigns/{campaign_id}", done="not_sure"))
    visit.ask("DELETE", f"/v1/campaigns/{campaign_id}")
    return answers.see_other(visit.url("/campaigns", done="campaign_removed"))


def ask_quiet_hours(visit: Visit) -> dict[str, Any]:
    """The hours in which no campaign writes."""
    merchant, version = visit.versioned("/v1/merchant")
    hours = _hours(merchant)
    return _quiet_hours(visit, Form(hours | {"version": version, "none": "" if hours["start"] else "yes"}))


def set_quiet_hours(visit: Visit) -> dict[str, Any]:
    """Change them for all campaigns."""
    typed = visit.form
    hours = None if typed.get("none") == "yes" else {name: typed.get(name, "") for name in ("start", "end")}
    try:
        visit.ask("PATCH", "/v1/merchant", body={"settings": {"quiet_hours": hours}}, if_match=typed.get("version"))
    except Refused as why:
        fields = {f"/settings/quiet_hours/{name}": name for name in ("start", "end")}
        if why.changed_meanwhile:
            merchant, version = visit.versioned("/v1/merchant")
            return _quiet_hours(visit, forms.outdated(typed, version, _hours(merchant)))
        return _quiet_hours(visit, forms.refused(typed, why, fields | {"/settings/quiet_hours": "start"}))
    return answers.see_other(visit.url("/campaigns", done="quiet_hours_set"))


def begin(visit: Visit) -> dict[str, Any]:
    """Templates to choose from, or the editor filled in from one."""
    template = visit.query.get("template")
    endpoints = visit.get("/v1/endpoints", limit=_LISTED)["data"]
    if template is None or not endpoints:
        return answers.page(visit, "campaign_choice.html", merchant=visit.merchant, endpoints=endpoints)
    return _editor(visit, None, Form(campaign_form.starter(template, endpoints[0]["id"])))


def create(visit: Visit) -> dict[str, Any]:
    """Store it, switched off: what it would do is looked at first. Or play, or rearrange what was typed."""
    typed = visit.form
    early = _before_saving(visit, None, typed)
    if early is not None:
        return early
    body, wrong = campaign_form.body_of(typed)
    if wrong:
        return _editor(visit, None, Form(typed, wrong))
    try:
        made = visit.ask("POST", "/v1/campaigns", body=body | {"status": "paused"}, once=True)
    except Refused as why:
        return _editor(visit, None, forms.refused(typed, why, campaign_form.places(typed)))
    return answers.see_other(visit.url(f"/campaigns/{made['id']}", done="campaign_made"))


def ask_change(visit: Visit, campaign_id: str) -> dict[str, Any]:
    """The editor of one."""
    campaign, version = visit.versioned(f"/v1/campaigns/{campaign_id}")
    return _editor(visit, campaign, Form(campaign_form.typed_of(campaign) | {"version": version}))


def change(visit: Visit, campaign_id: str) -> dict[str, Any]:
    """Change the version that was read and no other."""
    typed, path = visit.form, f"/v1/campaigns/{campaign_id}"
    campaign, version = visit.versioned(path)
    early = _before_saving(visit, campaign, typed)
    if early is not None:
        return early
    body, wrong = campaign_form.body_of(typed)
    if wrong:
        return _editor(visit, campaign, Form(typed, wrong))
    try:
        visit.ask("PATCH", path, body=body, if_match=typed.get("version") or "missing")
    except Refused as why:
        if why.changed_meanwhile:
            return _stale(visit, campaign, typed | {"version": version})
        return _editor(visit, campaign, forms.refused(typed, why, campaign_form.places(typed)))
    return answers.see_other(visit.url(f"/campaigns/{campaign_id}", done="campaign_changed"))


def _before_saving(visit: Visit, campaign: Mapping[str, Any] | None, typed: dict[str, str]) -> dict[str, Any] | None:
    """The editor again, rearranged or with what the draft would do; None where it is to be saved."""
    do = typed.get("do", "")
    moved = campaign_form.rearranged(typed, do)
    if moved is not None:
        return _editor(visit, campaign, Form(moved))
    return None if do == "save" else _tried(visit, campaign, typed)


def _tried(visit: Visit, campaign: Mapping[str, Any] | None, typed: dict[str, str]) -> dict[str, Any]:
    draft, wrong = campaign_form.body_of(typed)
    if wrong:
        return _editor(visit, campaign, Form(typed, wrong))
    days = typed.get("days", "7")
    asked = {"campaign": draft, "days": int(days) if days in _DAYS else 7}
    if campaign is not None:
        asked["in_place_of"] = campaign["id"]
    try:
        played = visit.ask("POST", "/v1/campaigns/preview", {"limit": _PLAYED_AT_ONCE}, asked)
    except Refused as why:
        return _editor(visit, campaign, forms.refused(typed, why, campaign_form.places(typed, "/campaign")))
    return _editor(visit, campaign, Form(typed), played=played)


def _stored_played(visit: Visit, campaign_id: str, days: str) -> dict[str, Any]:
    path = f"/v1/campaigns/{campaign_id}/preview"
    found: dict[str, Any] = visit.ask("POST", path, {"limit": _PLAYED_AT_ONCE}, {"days": int(days)})
    return found


def _stale(visit: Visit, campaign: Mapping[str, Any], typed: dict[str, str]) -> dict[str, Any]:
    differing = campaign_words.differences(typed, campaign)
    return _editor(visit, campaign, Form(typed), status=_STALE, differing=differing)


def _editor(
    visit: Visit, campaign: Mapping[str, Any] | None, form: Form, *, status: int | None = None, **shown: Any
) -> dict[str, Any]:
    endpoints = visit.get("/v1/endpoints", limit=_LISTED)["data"]
    pools = visit.get("/v1/coupon-pools", limit=_LISTED)["data"]
    more: dict[str, Any] = {"played": None, "differing": None} | shown
    return answers.page(
        visit,
        "campaign_editor.html",
        status=status,
        merchant=visit.merchant,
        campaign=campaign,
        form=form,
        steps=campaign_form.count(form.values, "steps"),
        conditions=campaign_form.count(form.values, "conditions"),
        most=(campaign_form.MOST_STEPS, campaign_form.MOST_CONDITIONS),
        endpoints=[(own["id"], _named(own)) for own in endpoints],
        webhooks=[(own["id"], _named(own)) for own in endpoints if own["kind"] == "webhook"],
        pools=[(own["id"], f"{own['name']} ({own['codes']['left']} left)") for own in pools],
        fields=[(own, campaign_words.field_label(own)) for own in FIELDS],
        operators=list(campaign_words.OPERATORS.items()),
        all_days=_DAYS,
        **more,
    )


def _hours(merchant: Mapping[str, Any]) -> dict[str, str]:
    return dict(merchant["settings"]["quiet_hours"] or {"start": "", "end": ""})


def _quiet_hours(visit: Visit, form: Form) -> dict[str, Any]:
    return answers.page(visit, "quiet_hours.html", merchant=visit.merchant, form=form)


def _named(endpoint: Mapping[str, Any]) -> str:
    return str(endpoint["name"] or endpoint["url"] or endpoint["kind"])
