"""The template editor: what an endpoint would be sent about a stored checkout, while the template is written."""

from collections.abc import Mapping
from typing import Any

from functions.console import answers, endpoint_form, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit
from functions.console.words import label, masked

_CHECKOUTS = 20
_CONTACT = ("phone", "email", "first_name", "last_name", "company", "address1", "address2", "postal_code")
_SHORTEST = 3
"""Shorter names stand in other words too."""
_PLACES = {"/settings/payload": "template", "/settings/template": "template"}
_NO_JSON = "this is no JSON"


def ask(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """The stored template, shown on the newest checkout."""
    endpoint, version = visit.versioned(f"/v1/endpoints/{endpoint_id}")
    return _editor(visit, endpoint, Form({"template": _stored(endpoint), "version": version}))


def write(visit: Visit, endpoint_id: str) -> dict[str, Any]:
    """Show what was typed, or save it."""
    path = f"/v1/endpoints/{endpoint_id}"
    endpoint, version = visit.versioned(path)
    typed = visit.form
    if typed.get("do") != "save":
        return _editor(visit, endpoint, Form(typed))
    try:
        body = {"settings": _settings(endpoint, typed.get("template", ""))}
    except (ValueError, RecursionError):
        return _editor(visit, endpoint, Form(typed, {"template": _NO_JSON}))
    try:
        visit.ask("PATCH", path, body=body, if_match=typed.get("version") or "missing")
    except Refused as why:
        if why.changed_meanwhile:
            return _editor(visit, endpoint, forms.outdated(typed, version, {"template": _stored(endpoint)}))
        return _editor(visit, endpoint, forms.refused(typed, why, _PLACES))
    return answers.see_other(visit.url(f"/endpoints/{endpoint_id}", done="endpoint_changed"))


def _stored(endpoint: Mapping[str, Any]) -> str:
    """The template as the form's field holds it."""
    stored = endpoint["settings"].get(_setting(endpoint))
    if endpoint["kind"] == "webhook":
        return str(stored["liquid"]) if isinstance(stored, dict) else ""
    return stored if isinstance(stored, str) else "" if stored is None else answers.pretty(stored)


def _editor(visit: Visit, endpoint: Mapping[str, Any], form: Form) -> dict[str, Any]:
    checkouts = visit.get("/v1/checkouts", limit=_CHECKOUTS)["data"]
    chosen = next((own for own in checkouts if own["id"] == form.value("checkout_id")), None)
    chosen = chosen or (checkouts[0] if checkouts else None)
    shown, wrong = _shown(visit, endpoint, form, chosen)
    return answers.page(
        visit,
        "endpoint_template.html",
        merchant=visit.merchant,
        endpoint=endpoint,
        form=form,
        checkouts=[(own["id"], f"{label(own)} ({own['status']})") for own in checkouts],
        chosen=chosen,
        shown=shown,
        wrong=wrong,
    )


def _shown(
    visit: Visit, endpoint: Mapping[str, Any], form: Form, checkout: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, str | None]:
    """The body that would be sent, contact masked until asked for; or what is wrong with the template."""
    if checkout is None or not visit.may_change:
        return None, None
    asked = {"checkout_id": checkout["id"]}
    try:
        asked["settings"] = _settings(endpoint, form.value("template"))
        shown: dict[str, Any] = visit.ask("POST", f"/v1/endpoints/{endpoint['id']}/preview", body=asked)
    except (ValueError, RecursionError):
        return None, _NO_JSON
    except Refused as why:
        if why.status != 422:
            raise
        return None, "; ".join(why.errors.values()) or why.detail
    if shown["body"] is not None and form.value("contact") != "yes":
        for people in (checkout["customer"], checkout["shipping_address"], checkout["billing_address"]):
            shown["body"] = _without_contact(shown["body"], people or {})
    return shown, None


def _without_contact(text: str, person: Mapping[str, Any]) -> str:
    for name in _CONTACT:
        value = person.get(name)
        if value and len(value) >= _SHORTEST:
            text = text.replace(value, masked(value))
            if name == "phone":
                text = text.replace(value.lstrip("+"), masked(value))
    return text


def _setting(endpoint: Mapping[str, Any]) -> str:
    return "payload" if endpoint["kind"] == "webhook" else "template"


def _settings(endpoint: Mapping[str, Any], text: str) -> Any:
    """The settings with the template; an empty one is the kind's own. Raises ValueError."""
    if endpoint["kind"] == "webhook":
        return {"payload": {"liquid": text.replace("\r\n", "\n")} if text.strip() else None}
    return {"template": endpoint_form.json_or_name(text) if text.strip() else None}
