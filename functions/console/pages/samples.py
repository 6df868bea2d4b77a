"""A sample webhook of a source's provider: sent with a click, or to a phone and an address of one's own."""

import re
from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.providers import titles_of
from functions.console.visit import Refused, Visit

_PLACES = {"/contact/phone": "phone", "/contact/email": "email"}
_CHECKOUT = re.compile(r"chk_[a-z2-7]{26}", re.ASCII)
_TOO_MANY = 429


def ask(visit: Visit, source_id: str) -> dict[str, Any]:
    """Whom the sample is to name."""
    visit.demand_change()
    return _form(visit, source_id, Form(visit.form))


def send(visit: Visit, source_id: str) -> dict[str, Any]:
    """Send it, once however often the form comes; what became of it is shown where it was asked for."""
    typed = visit.form
    contact = {name: own for name, own in forms.filled(typed, ("phone", "email")).items() if own is not None}
    body = {"contact": contact} if contact else None
    try:
        told = visit.ask("POST", f"/v1/sources/{source_id}/sample", body=body, once=True)
    except Refused as why:
        if why.status == _TOO_MANY:
            return _form(visit, source_id, Form(typed, rest=(why.detail,)), status=_TOO_MANY)
        return _form(visit, source_id, forms.refused(typed, why, _PLACES))
    if told["checkout_id"] is None:
        return _form(visit, source_id, Form(typed), told=told)
    back = "/start" if typed.get("back") == "start" else f"/sources/{source_id}"
    return answers.see_other(visit.url(back, checkout=told["checkout_id"]))


def made(visit: Visit) -> dict[str, Any] | None:
    """The checkout of the sample that the address names, where there is one."""
    named = visit.query.get("checkout", "")
    if not _CHECKOUT.fullmatch(named):
        return None
    try:
        found: dict[str, Any] = visit.get(f"/v1/checkouts/{named}")
    except Refused as why:
        if why.status != 404:
            raise
        return None
    return found if found["test"] else None


def _form(
    visit: Visit, source_id: str, form: Form, *, told: dict[str, Any] | None = None, status: int | None = None
) -> dict[str, Any]:
    source = visit.get(f"/v1/sources/{source_id}")
    return answers.page(
        visit,
        "sample.html",
        merchant=visit.merchant,
        source=source,
        title=titles_of(visit)[source["provider"]],
        form=form,
        told=told,
        status=status,
    )
