"""The shop's own profile and rules."""

from collections.abc import Mapping
from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.visit import Refused, Visit

_PROFILE = ("name", "country", "currency", "timezone")
_DURATIONS = (
    *("idle_after", "recovery_horizon", "retention", "cooldown", "min_step_gap"),
    *("payment_pending_after", "do_not_send_after"),
)
_PLACES = {
    **{f"/{name}": name for name in (*_PROFILE, "store_domains")},
    **{f"/settings/{name}": name for name in (*_DURATIONS, "consent", "holdout_percent", "minimum_total")},
    "/settings/quiet_hours/start": "quiet_start",
    "/settings/quiet_hours/end": "quiet_end",
}


def show(visit: Visit) -> dict[str, Any]:
    """As it is; the form is there for whoever may change it."""
    merchant, version = visit.versioned("/v1/merchant")
    return _page(visit, merchant, Form(_typed(merchant) | {"version": version}))


def change(visit: Visit) -> dict[str, Any]:
    """Change what was typed; the whole form is sent, so only the version that was shown may be meant."""
    typed = visit.form
    percent = typed.get("holdout_percent", "").strip()
    settings: dict[str, Any] = {name: typed.get(name, "").strip() for name in _DURATIONS}
    settings |= {
        "consent": typed.get("consent", ""),
        "holdout_percent": int(percent) if percent.isascii() and percent.isdigit() else percent,
        "quiet_hours": _quiet_hours(typed),
        "minimum_total": [_amount(line) for line in forms.lines(typed.get("minimum_total", ""))],
    }
    body = {name: typed.get(name, "").strip() for name in _PROFILE}
    domains = forms.lines(typed.get("store_domains", ""))
    try:
        visit.ask(
            "PATCH",
            "/v1/merchant",
            body=body | {"store_domains": domains, "settings": settings},
            if_match=typed.get("version") or "missing",
        )
    except Refused as why:
        merchant, version = visit.versioned("/v1/merchant")
        newer = why.changed_meanwhile
        form = forms.outdated(typed, version, _typed(merchant)) if newer else forms.refused(typed, why, _PLACES)
        return _page(visit, merchant, form)
    return answers.see_other(visit.url("/settings", done="settings_changed"))


def _page(visit: Visit, merchant: dict[str, Any], form: Form) -> dict[str, Any]:
    return answers.page(visit, "settings.html", merchant=merchant, form=form, durations=_DURATIONS)


def _typed(merchant: Mapping[str, Any]) -> dict[str, str]:
    """The merchant as the form's fields hold it."""
    settings = merchant["settings"]
    hours = settings["quiet_hours"] or {"start": "", "end": ""}
    return {
        **{name: merchant[name] for name in _PROFILE},
        **{name: settings[name] for name in _DURATIONS},
        "store_domains": "\n".join(merchant["store_domains"]),
        "consent": settings["consent"],
        "holdout_percent": str(settings["holdout_percent"]),
        "quiet_start": hours["start"],
        "quiet_end": hours["end"],
        "minimum_total": "\n".join(f"{own['amount']} {own['currency']}" for own in settings["minimum_total"]),
    }


def _quiet_hours(typed: Mapping[str, str]) -> dict[str, str] | None:
    """None where both are empty: none are kept."""
    start, end = (typed.get(name, "").strip() for name in ("quiet_start", "quiet_end"))
    return {"start": start, "end": end} if start or end else None


def _amount(line: str) -> dict[str, str]:
    amount, _, currency = line.partition(" ")
    return {"amount": amount, "currency": currency.strip()}
