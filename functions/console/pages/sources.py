"""Sources: connecting a provider, how each is doing, and what can be changed about it."""

from collections.abc import Mapping
from typing import Any

from functions.console import answers, forms
from functions.console.forms import Form
from functions.console.jobs import at_work, jobs_of
from functions.console.pages import samples
from functions.console.providers import providers, titles_of
from functions.console.visit import Refused, Visit

_SETTINGS = ("currency", "country", "idle_after", "on_arrival", "recovery_url_template", "money_unit")
_SPANS = (("", "as far back as may be recovered"), ("P1D", "of the last day"), ("P3D", "of the last three days"))
_PLACES = {
    "/name": "name",
    "/credentials/secret": "secrets",
    "/credentials/secrets": "secrets",
    "/credentials/public_key": "public_key",
    "/credentials/api": "api",
    "/settings/mapping": "mapping",
    **{f"/settings/{name}": name for name in _SETTINGS},
}


def show_list(visit: Visit) -> dict[str, Any]:
    """All of them, with when each was heard of last."""
    rows = visit.get("/v1/sources", limit=200)["data"]
    return answers.page(
        visit, "sources.html", merchant=visit.merchant, rows=rows, health=health_of(visit), titles=titles_of(visit)
    )


def choose(visit: Visit) -> dict[str, Any]:
    """Which provider is to be connected."""
    visit.demand_change()
    return answers.page(visit, "source_choice.html", merchant=visit.merchant, providers=providers(visit).values())


def ask(visit: Visit, provider: str) -> dict[str, Any]:
    """The form of one provider."""
    visit.demand_change()
    return _form(visit, provider, Form({"country": "", "currency": ""}))


def connect(visit: Visit, provider: str) -> dict[str, Any]:
    """Connect it, and show once what the provider must be told."""
    typed = visit.form
    body: dict[str, Any] = {"provider": provider, "credentials": _credentials(typed), "settings": _settings(typed)}
    if typed.get("name", "").strip():
        body["name"] = typed["name"].strip()
    body["settings"] = {name: value for name, value in body["settings"].items() if value is not None}
    try:
        made = visit.ask("POST", "/v1/sources", body=body, once=True)
    except Refused as why:
        return _form(visit, provider, forms.refused(typed, why, _PLACES))
    if "credentials" not in made:  # sent twice, and the first answer was too large to be kept
        return answers.see_other(visit.url(f"/sources/{made['id']}"))
    described = providers(visit)[provider]
    return answers.page(visit, "source_connected.html", merchant=visit.merchant, source=made, provider=described)


def show(visit: Visit, source_id: str) -> dict[str, Any]:
    """One source: where its webhooks go, how it is doing, and what is read of its past."""
    return _shown(visit, source_id, Form())


def backfill(visit: Visit, source_id: str) -> dict[str, Any]:
    """Read past checkouts, unless that is at work: who clicks again, or in two tabs, asks the provider once."""
    if at_work(jobs_of(visit, source_id=source_id)):
        return answers.see_other(visit.url(f"/sources/{source_id}", done="at_work"))
    since = forms.since(visit.form.get("since", ""), visit.services.now())
    try:
        job = visit.ask("POST", f"/v1/sources/{source_id}/backfill", body=since, once=True)
    except Refused as why:
        if why.status != 409:
            raise
        return _shown(visit, source_id, Form(rest=(why.detail,)))
    return answers.see_other(visit.url(f"/sources/{source_id}", job=job["id"]))


def ask_change(visit: Visit, source_id: str) -> dict[str, Any]:
    """Its name, settings and credentials, to be changed."""
    visit.demand_change()
    source, version = visit.versioned(f"/v1/sources/{source_id}")
    return _changing(visit, source, Form(_typed(source) | {"version": version}))


def change(visit: Visit, source_id: str) -> dict[str, Any]:
    """Change what was changed; credentials that were left empty stay."""
    typed, path = visit.form, f"/v1/sources/{source_id}"
    body: dict[str, Any] = {"name": typed.get("name", "").strip() or None, "settings": _settings(typed)}
    if given := _credentials(typed):
        body["credentials"] = given
    try:
        visit.ask("PATCH", path, body=body, if_match=typed.get("version") or "missing")
    except Refused as why:
        source, version = visit.versioned(path)
        newer = why.changed_meanwhile
        form = forms.outdated(typed, version, _typed(source)) if newer else forms.refused(typed, why, _PLACES)
        return _changing(visit, source, form)
    return answers.see_other(visit.url(f"/sources/{source_id}", done="source_changed"))


def rotate(visit: Visit, source_id: str) -> dict[str, Any]:
    """Another token in the address, which is shown once."""
    body = {"overlap": visit.form.get("overlap", forms.OVERLAPS[0][0])}
    made = visit.ask("POST", f"/v1/sources/{source_id}/rotate-token", body=body, once=True)
    provider = providers(visit)[made["provider"]]
    return answers.page(visit, "source_address.html", merchant=visit.merchant, source=made, provider=provider)


def disconnect(visit: Visit, source_id: str) -> dict[str, Any]:
    """Take no more webhooks from it."""
    if visit.form.get("sure") != "yes":
        return answers.see_other(visit.url(f"/sources/{source_id}", done="not_sure"))
    gone = visit.remove(f"/v1/sources/{source_id}")
    return answers.see_other(visit.url("/sources", done="disconnected" if gone else "gone"))


def health_of(visit: Visit) -> dict[str, dict[str, Any]]:
    """How each source is doing, by its id."""
    return {own["source_id"]: own for own in visit.get("/v1/metrics/sources")["data"]}


def _shown(visit: Visit, source_id: str, form: Form) -> dict[str, Any]:
    source = visit.get(f"/v1/sources/{source_id}")
    provider = providers(visit)[source["provider"]]
    jobs = jobs_of(visit, source_id=source_id) if provider["backfill"] else []
    return answers.page(
        visit,
        "source.html",
        form=form,
        merchant=visit.merchant,
        source=source,
        sampled=samples.made(visit),
        overlaps=forms.OVERLAPS,
        provider=provider,
        health=health_of(visit)[source_id],
        jobs=jobs,
        working=at_work(jobs),
        spans=_SPANS,
    )


def _form(visit: Visit, provider: str, form: Form) -> dict[str, Any]:
    described = providers(visit).get(provider)
    if described is None:
        return answers.see_other(visit.url("/sources/new"))
    return answers.page(visit, "source_new.html", merchant=visit.merchant, provider=described, form=form)


def _changing(visit: Visit, source: dict[str, Any], form: Form) -> dict[str, Any]:
    described = providers(visit)[source["provider"]]
    return answers.page(
        visit,
        "source_change.html",
        merchant=visit.merchant,
        source=source,
        provider=described,
        form=form,
    )


def _typed(source: Mapping[str, Any]) -> dict[str, str]:
    """A source as the form's fields hold it; credentials are never shown."""
    settings = source["settings"]
    typed = {name: settings[name] or "" for name in _SETTINGS}
    return typed | {"name": source["name"] or "", "mapping": forms.paired(settings["mapping"])}


def _credentials(typed: Mapping[str, str]) -> dict[str, Any]:
    """Those that were given: one secret, or several while they are rotated, a key, the provider's API."""
    given: dict[str, Any] = {}
    secrets = forms.lines(typed.get("secrets", ""))
    if len(secrets) == 1:
        given["secret"] = secrets[0]
    elif secrets:
        given["secrets"] = secrets
    if typed.get("public_key", "").strip():
        given["public_key"] = typed["public_key"].strip()
    if api := forms.pairs(typed.get("api", "")):
        given["api"] = api
    return given


def _settings(typed: Mapping[str, str]) -> dict[str, Any]:
    return forms.filled(typed, _SETTINGS) | {"mapping": forms.pairs(typed.get("mapping", ""))}
