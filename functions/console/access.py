"""Signing in and out: a merchant token, or a portal link, is exchanged for a session; the token itself is not kept."""

import secrets
from typing import Any
from urllib.parse import unquote

from functions.console import answers
from functions.console.composition import services
from functions.console.visit import CONSOLE, Visit
from shared.api.console_sessions import (
    new_credential,
    new_operator_credential,
    read_credential,
    read_operator_credential,
)
from shared.api.problems import Problem
from shared.aws.function_log import function_logger
from shared.domain.capability import Capability
from shared.domain.ids import MerchantId
from shared.store.console_access import ConsoleSession

_log = function_logger("console")
_WRONG = "This is no token of a merchant, or it was revoked."
_WRONG_KEY = "This is not the admin key of this stage."
_SPENT = "This link was used, or its ten minutes are over. Ask for another."
_TOO_MANY = "Too many tries within a minute. Wait a moment, then try again."


def ask(visit: Visit) -> dict[str, Any]:
    """The form, for whoever has no session; a session that was over is said so."""
    return _form(visit, None, 200)


def over(visit: Visit) -> dict[str, Any]:
    """No session, or one that is over: to the form, and from there back to where they wanted to go."""
    wanted = visit.here if visit.method == "GET" else None
    return answers.see_other(visit.url("/sign-in", next=wanted, over=visit.credential and "1"))


def sign_in(visit: Visit) -> dict[str, Any]:
    """A session for a merchant token."""
    own = services()
    if not _may_try(visit):
        return _form(visit, _TOO_MANY, 429)
    try:
        principal = own.by_token.principal(f"Bearer {visit.form.get('token', '').strip()}")
    except Problem:
        _log.info("sign_in_refused")
        return _form(visit, _WRONG, 403)
    assert principal.merchant_id is not None  # noqa: S101 - the console knows no operator
    return _begun(visit, principal.merchant_id, "all", principal.token_hash, visit.query.get("next"))


def ask_operator(visit: Visit) -> dict[str, Any]:
    """The operator's form."""
    return _operators_form(visit, None, 200)


def sign_in_operator(visit: Visit) -> dict[str, Any]:
    """A session for the admin key; what is kept is a keyed hash of it."""
    own = services()
    if not _may_try(visit):
        return _operators_form(visit, _TOO_MANY, 429)
    key_mac = own.admin_key.mac_of(visit.form.get("key", "").strip())
    if key_mac is None:
        _log.info("operator_sign_in_refused")
        return _operators_form(visit, _WRONG_KEY, 403)
    text, secret_hash = new_operator_credential(secrets.token_bytes(32))
    own.console_access.begin_operator(secret_hash, key_mac, own.now())
    _log.info("operator_signed_in")
    return answers.see_other(visit.url("/operator"), cookie=answers.session_cookie(text, framed=False))


def ask_to_enter(visit: Visit, link: str) -> dict[str, Any]:
    """A button. Previews and scanners follow links: opening one uses nothing up."""
    return answers.page(visit, "enter.html", signed_in=False, link=link)


def enter(visit: Visit, link: str) -> dict[str, Any]:
    """A session for a portal link, which is used up."""
    own = services()
    if not _may_try(visit):
        return _form(visit, _TOO_MANY, 429)
    credential = read_credential(link)
    found = credential and own.console_access.redeem(*credential, own.now())
    if not found:
        return _form(visit, _SPENT, 403)
    return _begun(visit, found.merchant_id, found.capability, found.token_hash, None)


def sign_out(visit: Visit) -> dict[str, Any]:
    """End this session."""
    own = services()
    operators = read_operator_credential(visit.credential or "")
    if operators is not None and own.console_access.operator_session(operators, own.now()) is not None:
        own.console_access.end_operator(operators, own.now())
    credential = read_credential(visit.credential or "")
    if credential is not None and own.console_access.session(*credential, own.now()) is not None:
        own.console_access.end(*credential, own.now())
    return answers.see_other(visit.url("/sign-in"), cookie=answers.session_cookie(""))


def sign_out_everywhere(visit: Visit) -> dict[str, Any]:
    """End all of the merchant's sessions."""
    visit.ask("DELETE", "/v1/console-sessions")
    return answers.see_other(visit.url("/sign-in"), cookie=answers.session_cookie(""))


def _begun(
    visit: Visit, merchant_id: MerchantId, capability: Capability, token_hash: str | None, wanted: str | None
) -> dict[str, Any]:
    own = services()
    text, credential = new_credential(merchant_id, secrets.token_bytes(32))
    own.console_access.begin(credential.secret_hash, ConsoleSession(merchant_id, capability, own.now(), token_hash))
    _log.info("signed_in", merchant_id=merchant_id, capability=capability)
    return answers.see_other(_ours(visit, wanted), cookie=answers.session_cookie(text))


def _may_try(visit: Visit) -> bool:
    own = services()
    return own.console_access.may_sign_in(own.keys.request_mac(b"sign-in\n" + visit.source_ip.encode()), own.now())


def _ours(visit: Visit, wanted: str | None) -> str:
    """Where to go next: nowhere but below the console, whatever the address says."""
    begins = f"{visit.base}{CONSOLE}"
    path = (wanted or "").partition("?")[0]
    below = path == begins or path.startswith(f"{begins}/")
    # A browser resolves dots, encoded ones too: below the console would then be beside it, and recovery links lead out.
    steps_up = any(part in {".", ".."} for part in unquote(path).split("/"))
    plain = path.isprintable() and "\\" not in path and "//" not in path and not steps_up
    return wanted if wanted is not None and below and plain and wanted.isprintable() else begins


def _operators_form(visit: Visit, error: str | None, status: int) -> dict[str, Any]:
    return answers.page(visit, "sign_in_operator.html", status=status, signed_in=False, error=error)


def _form(visit: Visit, error: str | None, status: int) -> dict[str, Any]:
    return answers.page(
        visit,
        "sign_in.html",
        status=status,
        signed_in=False,
        error=error,
        over=visit.query.get("over") == "1",
        wanted=visit.query.get("next"),
    )
