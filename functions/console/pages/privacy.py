"""Privacy requests: what is held of somebody, to take along, and its erasure, round by round while there is more."""

from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.pages.suppressions import KINDS, identifier
from functions.console.visit import Refused, Visit

_PLACES = {**{f"/{kind}": "contact" for kind, _ in KINDS}, "": "contact"}


def ask(visit: Visit) -> dict[str, Any]:
    """Whom it is about."""
    return _page(visit, Form())


def look(visit: Visit) -> dict[str, Any]:
    """How much is held of them; nothing of it is shown."""
    typed = visit.form
    try:
        held = visit.ask("POST", "/v1/customers/export", body=_asked(visit))
    except Refused as why:
        return _page(visit, forms.refused(typed, why, _PLACES))
    counts = {
        "checkouts": len(held["checkouts"]),
        "activities": sum(len(own["activities"]) for own in held["checkouts"]),
        "events": sum(len(own["events"]) for own in held["checkouts"]),
        "episodes": len(held["episodes"]),
        "remembered": len(held["remembered"]),
    }
    part = int(typed["part"]) if typed.get("part", "").isdecimal() and len(typed["part"]) < 5 else 1
    return _page(visit, Form(typed), held=counts, after=held["next_cursor"], part=part)


def download(visit: Visit) -> dict[str, Any]:
    """One part of what is held, as a file."""
    held = visit.ask("POST", "/v1/customers/export", body=_asked(visit))
    return answers.file("export.json", answers.pretty(held))


def erase(visit: Visit) -> dict[str, Any]:
    """One round; while more is left the page goes on by itself, and says how far it is."""
    typed = visit.form
    if typed.get("sure") != "yes":
        return _page(visit, Form(typed, rest=("Tick the box to say that you are sure.",)))
    try:
        done = visit.ask("POST", "/v1/customers/erase", body=_asked(visit))
    except Refused as why:
        return _page(visit, forms.refused(typed, why, _PLACES))
    so_far = {name: done[name] + _count(typed.get(f"so_far_{name}")) for name in ("checkouts", "quarantined")}
    told = max(len(done["endpoints_told"]), _count(typed.get("so_far_told")))
    return _page(
        visit, Form(typed), erasing={**so_far, "told": told, "done": done["status"] == "erased"}, after=done["cursor"]
    )


def _asked(visit: Visit) -> dict[str, Any]:
    cursor = visit.form.get("cursor")
    return identifier(visit.form) | ({"cursor": cursor} if cursor else {})


def _count(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _page(visit: Visit, form: Form, **shown: Any) -> dict[str, Any]:
    known: dict[str, Any] = {"held": None, "erasing": None, "after": None, "part": 1}
    return answers.page(
        visit,
        "privacy.html",
        merchant=visit.merchant,
        form=form,
        kinds=KINDS,
        **known | shown,
    )
