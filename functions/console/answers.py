"""What a browser gets: pages rendered with autoescape, redirects, files under hashed names, by one strict CSP."""

import base64
import gzip
import hashlib
import json
import mimetypes
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from functions.console import charts, words
from functions.console.forms import Form
from functions.console.visit import CONSOLE, COOKIE, Visit
from shared.api.console_frames import FRAME_ANCESTORS
from shared.store.console_access import SESSION_LASTS

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors {}"
)
_OPERATORS = (f"{CONSOLE}/operator", f"{CONSOLE}/sign-in/operator")
"""Pages that nobody frames."""
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    # Not no-referrer: with that, browsers call the origin of our own forms null.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_UNFRAMED = {"content-security-policy": _POLICY.format("'none'")}
_FOR_A_YEAR = "public, max-age=31536000, immutable"
_KEPT_BY_NOBODY = "no-store"
_TAG = secrets.token_hex(16)
"""Stands in a page where its own entity tag comes; nobody who writes into a page can know it."""
_SEED = secrets.token_hex(16)
"""Stands where what tells a form's sendings apart comes: new in each page, and in no entity tag."""
NOTICES: Mapping[str, str] = {
    "discarded": "The checkout is discarded: nobody is written to about it.",
    "completed": "The checkout counts as bought.",
    "retried": "The delivery is tried once more, now.",
    "tested": "A test event is on its way; its answer appears here.",
    "enabled": "The endpoint is on. What was held meanwhile waits until you recover it.",
    "paused": "The campaign is paused: nothing more of it is sent.",
    "activated": "The campaign is active. Checkouts that are left from now on count.",
    "not_activated": "It was changed meanwhile, so it stays off. Look what it would do now, then activate it.",
    "campaign_made": "The campaign is stored, and switched off. Look what it would do, then activate it.",
    "campaign_changed": "The campaign is changed.",
    "campaign_removed": "The campaign is removed: nothing more of it is sent.",
    "quiet_hours_set": "The quiet hours are changed, for all campaigns.",
    "endpoint_made": "The endpoint is there. Send a test event, and look at what is answered.",
    "endpoint_changed": "The endpoint is changed: what is sent from now on goes by it.",
    "endpoint_removed": "The endpoint is removed.",
    "disabled": "The endpoint is off. What arrives meanwhile is held.",
    "not_sure": "Nothing was done: tick the box to say that you are sure.",
    "source_changed": "The source is changed. Webhooks are read so from now on.",
    "disconnected": "The source is disconnected. Its checkouts stay; its webhooks are answered 404.",
    "replayed": "It is understood now, and taken in as of the day it came.",
    "still_quarantined": "It is still not understood, and stays here.",
    "dropped": "The body is deleted.",
    "pool_made": "The pool is there, and empty. Add its codes.",
    "settings_changed": "Your settings are changed.",
    "gone": "It was not there any more, so nothing was done.",
    "revoked": "The token is revoked.",
    "suppressed": "No message reaches them from now on.",
    "lifted": "Messages may reach them again. What was called off meanwhile stays so.",
    "at_work": "It is at work already; how far it is stands below.",
}
"""What a page says after an action; the address names one of these and never a text of its own."""


@cache
def files() -> Mapping[str, tuple[str, bytes]]:
    """The static files by hashed name: media type and bytes, compressed because HTTP APIs do not."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        content = path.read_bytes()
        name = f"{path.stem}.{hashlib.sha256(content).hexdigest()[:12]}{path.suffix}"
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        found[name] = (kind, gzip.compress(content, mtime=0))
    return found


@cache
def _names() -> Mapping[str, str]:
    return {f"{stem}{Path(name).suffix}": name for name in files() for stem in [name.rsplit(".", 2)[0]]}


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Callable[..., Any]] = {
        "money": _money,
        "moneys": _moneys,
        "percent": words.percent,
        "said": words.said,
        "many": words.many,
        "reason": words.reason,
        "masked": words.masked,
        "moment": _moment,
        "pretty": pretty,
        "broken": _broken,
        "readable": readable,
    }
    made.filters |= filters
    made.globals.update(bars=charts.bars, label=words.label, is_sample=words.is_sample)
    return made


def load() -> None:
    """Read the page that one begins with, and with it what stands around all pages."""
    _templates().get_template("overview.html")
    _names()


def page(
    visit: Visit, template: str, *, status: int | None = None, form: Form | None = None, **shown: Any
) -> dict[str, Any]:
    """A page. Answered with its entity tag, and with 304 where the browser shows that very page already.

    ``form`` is what stands in its form; where something of it is wrong the answer is 422, unless ``status`` says more.
    """
    if form is not None:
        shown["form"] = form
    status = status or (422 if form and form.wrong else 200)
    notice = NOTICES.get(visit.query.get("done", ""))
    text = _templates().get_template(template).render(
        visit=visit, url=visit.url, asset=lambda name: f"{visit.base}{CONSOLE}/static/{_names()[name]}",
        notice=notice, tag=_TAG, seed=_SEED, **{"signed_in": True, "problem": None} | shown,
    )  # fmt: skip
    tag = hashlib.sha256(text.encode()).hexdigest()[:32]
    ancestors = "" if visit.path.startswith(_OPERATORS) else os.environ.get(FRAME_ANCESTORS, "")
    headers = {**_HEADERS, "cache-control": _KEPT_BY_NOBODY, "etag": f'"{tag}"'}
    headers["content-security-policy"] = _POLICY.format(ancestors or "'none'")
    text = text.replace(_TAG, tag, 1).replace(_SEED, secrets.token_urlsafe(16))
    if status == 200 and visit.headers.get("if-none-match", "").strip('"') == tag:
        return {"statusCode": 304, "headers": headers, "body": ""}
    headers["content-type"] = "text/html; charset=utf-8"
    return {"statusCode": status, "headers": headers, "body": text}


def file(name: str, text: str) -> dict[str, Any]:
    """JSON to be kept as a file. ``name`` is ours."""
    headers = {
        **_HEADERS,
        "cache-control": _KEPT_BY_NOBODY,
        "content-type": "application/json; charset=utf-8",
        "content-disposition": f'attachment; filename="{name}"',
    }
    return {"statusCode": 200, "headers": headers, "body": text}


def see_other(address: str, *, cookie: str | None = None) -> dict[str, Any]:
    """303 to an address of ours, perhaps with the session's cookie set."""
    answer: dict[str, Any] = {
        "statusCode": 303,
        "headers": {**_HEADERS, **_UNFRAMED, "cache-control": _KEPT_BY_NOBODY, "location": address},
        "body": "",
    }
    return answer if cookie is None else answer | {"cookies": [cookie]}


def session_cookie(credential: str, *, framed: bool = True) -> str:
    """The cookie of a new session; an empty credential takes it away. ``framed``: wherever the console may be."""
    lasts = int(SESSION_LASTS.total_seconds()) if credential else 0
    # Lax, not Strict: whoever follows a link to a page from a mail is signed in there. Unsafe methods ask for more.
    # In a frame of another site no browser sends that; partitioned, what is sent there is known there alone.
    sent = "SameSite=None; Partitioned" if framed and os.environ.get(FRAME_ANCESTORS) else "SameSite=Lax"
    return f"{COOKIE}={credential}; Path=/; Max-Age={lasts}; Secure; HttpOnly; {sent}"


def static(name: str) -> dict[str, Any] | None:
    """A file by its hashed name, or None."""
    found = files().get(name)
    if found is None:
        return None
    kind, content = found
    headers = {
        "content-type": f"{kind}; charset=utf-8",
        "content-encoding": "gzip",
        "cache-control": _FOR_A_YEAR,
        "x-content-type-options": "nosniff",
    }
    return {
        "statusCode": 200,
        "headers": headers,
        "body": base64.b64encode(content).decode(),
        "isBase64Encoded": True,
    }


def pretty(value: Any) -> str:
    """Data as JSON to be read."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def readable(body: str | bytes) -> str:
    """A body as it can be read: JSON in lines, anything else as it is."""
    try:
        return pretty(json.loads(body))
    except ValueError:
        return body if isinstance(body, str) else body.decode(errors="replace")


def _moment(at: str | None, zone: str) -> Markup:
    """An instant on the merchant's clock, its UTC beside it for programs and pointers."""
    if not at:
        return Markup('<span class="quiet">never</span>')
    made = Markup('<time datetime="{0}" title="{0}" data-zone="{1}">{2}</time>')
    return made.format(at, zone, words.on_clock(at, zone))


def _broken(name: str) -> Markup:
    """A dotted name that may be broken where its dots are, and nowhere else."""
    return Markup(".<wbr>").join(name.split("."))


def _money(amount: Mapping[str, str] | None) -> Markup:
    """An amount as the API says it; the browser may say it in its reader's way."""
    if not amount:
        return Markup("-")
    made = Markup('<data class="money" value="{}" data-currency="{}">{}</data>')
    return made.format(amount["amount"], amount["currency"], words.money(amount))


def _moneys(amounts: Sequence[Mapping[str, str]]) -> Markup:
    """Amounts of several currencies, never added."""
    return Markup(" · ").join(map(_money, amounts)) or Markup("nothing yet")
