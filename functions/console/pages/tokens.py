"""Tokens: which live, a new one shown once, and the end of one."""

from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit
from shared.domain.ids import IdKind, is_id


def show_list(visit: Visit) -> dict[str, Any]:
    """Those that live, never themselves."""
    return _page(visit, Form())


def make(visit: Visit) -> dict[str, Any]:
    """A further one, shown this once."""
    typed = visit.form
    name = typed.get("name", "").strip()
    try:
        made = visit.ask("POST", "/v1/tokens", body={"name": name} if name else {}, once=True)
    except Refused as why:
        return _page(visit, forms.refused(typed, why, {"/name": "name"}))
    return _page(visit, Form(), made=made)


def revoke(visit: Visit) -> dict[str, Any]:
    """End one. Sessions that were begun with it end with it, perhaps this very one."""
    if visit.form.get("sure") != "yes":
        return answers.see_other(visit.url("/settings/tokens", done="not_sure"))
    token_id = visit.form.get("token_id", "")
    # An id, and nothing else that a form may name: it becomes a part of an address.
    revoked = is_id(IdKind.TOKEN, token_id) and visit.remove(f"/v1/tokens/{token_id}")
    return answers.see_other(visit.url("/settings/tokens", done="revoked" if revoked else "gone"))


def _page(visit: Visit, form: Form, made: dict[str, Any] | None = None) -> dict[str, Any]:
    return answers.page(visit, "tokens.html", merchant=visit.merchant, rows=_listed(visit), form=form, made=made)


def _listed(visit: Visit) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = visit.get("/v1/tokens", limit=200)["data"]
    return rows
