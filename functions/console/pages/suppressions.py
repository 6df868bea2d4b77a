"""Suppressions: whom no message reaches. By posted forms: no contact stands in an address."""

from collections.abc import Mapping
from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit
from shared.domain.ids import IdKind, is_id

KINDS = (("phone", "Phone"), ("email", "E-mail"), ("customer_id", "Your customer id"))
CHANNELS = {"whatsapp": "WhatsApp", "sms": "SMS", "email": "E-mail"}
_SHOWN = 25
_PLACES = {
    **{f"/{kind}": "contact" for kind, _ in KINDS},
    **{kind: "contact" for kind, _ in KINDS},
    "": "contact",
    "/reason": "reason",
}


def identifier(typed: Mapping[str, str]) -> dict[str, str]:
    """Whom a form means, as the API names them."""
    kind = typed.get("kind", "")
    named = kind if kind in dict(KINDS) else "phone"
    return {named: typed.get("contact", "").strip()}


def show_list(visit: Visit) -> dict[str, Any]:
    """All of them, by hash: identifiers themselves are not kept."""
    return _page(visit, Form())


def find(visit: Visit) -> dict[str, Any]:
    """Whether somebody is suppressed, and what can be done about it."""
    typed = visit.form
    try:
        rows = visit.get("/v1/suppressions", **_sought(typed))["data"]
    except Refused as why:
        return _page(visit, forms.refused(typed, why, _PLACES))
    return _page(visit, Form(typed), found={"row": rows[0] if rows else None})


def add(visit: Visit) -> dict[str, Any]:
    """From now on no message reaches them over these channels; all where none is named."""
    typed = visit.form
    body: dict[str, Any] = identifier(typed)
    if chosen := [own for own in CHANNELS if typed.get(f"channel_{own}")]:
        body["channels"] = chosen
    if typed.get("reason", "").strip():
        body["reason"] = typed["reason"].strip()
    try:
        visit.ask("POST", "/v1/suppressions", body=body, once=True)
    except Refused as why:
        return _page(visit, forms.refused(typed, why, _PLACES), found={"row": None})
    return answers.see_other(visit.url("/settings/suppressions", done="suppressed"))


def lift(visit: Visit) -> dict[str, Any]:
    """Messages may reach them again: whom the form names, or one of the list by its id."""
    listed = visit.form.get("suppression_id")
    if listed is None:
        lifted = visit.remove("/v1/suppressions", identifier(visit.form))
    else:
        lifted = is_id(IdKind.SUPPRESSION, listed) and visit.remove(f"/v1/suppressions/{listed}")
    return answers.see_other(visit.url("/settings/suppressions", done="lifted" if lifted else "gone"))


def _sought(typed: Mapping[str, str]) -> dict[str, str]:
    # Asked for with nothing, the list would answer with everybody.
    return {name: value or " " for name, value in identifier(typed).items()}


def _page(visit: Visit, form: Form, found: dict[str, Any] | None = None) -> dict[str, Any]:
    listed = visit.get("/v1/suppressions", limit=_SHOWN, cursor=visit.query.get("cursor"))
    return answers.page(
        visit,
        "suppressions.html",
        merchant=visit.merchant,
        rows=listed["data"],
        cursor=listed["next_cursor"],
        form=form,
        found=found,
        kinds=KINDS,
        channels=CHANNELS,
    )
