"""Requests to vendors' APIs and what their answers come to: the part that is the same for all of them.

A *send* kind puts a message on a shopper's phone: it repeats only what certainly was not processed. An *event* kind
hands over facts that carry their id: what is uncertain is repeated.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

from shared.delivery.exchange import (
    Answer,
    ForbiddenAddress,
    InvalidRequest,
    OutboundRequest,
    RefusedDestination,
    SendResult,
)
from shared.delivery.outcome import Attempt, Outcome, excerpt, mask
from shared.delivery.retry import parse_retry_after
from shared.destinations.destination import Endpoint
from shared.destinations.webhook import USER_AGENT

_LONGEST_DETAIL: Final = 200
_SHORTEST_SECRET: Final = 6


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer came to, as the kind's own rules have it."""

    outcome: Outcome
    reason: str | None = None
    vendor_message_id: str | None = None
    wait: timedelta | None = None
    """Before a retry, where the vendor says so elsewhere than in ``Retry-After``."""


type Judge = Callable[[Answer, Mapping[str, Any] | None], Verdict]
"""Decides over a complete answer; its body as a JSON object, None when it is none."""


def attempt_of(
    result: SendResult,
    endpoint: Endpoint,
    judge: Judge,
    *,
    repeatable: bool,
    secrets: Iterable[str] = (),
) -> Attempt:
    """The classified attempt. Total: whatever ``judge`` is not asked about is decided here.

    Args:
        result: of the exchange.
        endpoint: its secrets are masked in the excerpt.
        judge: the kind's rules for an answer that came completely.
        repeatable: an event kind: an unknown outcome is tried again.
        secrets: what else must not appear in the excerpt.
    """
    answer = result.answer
    if answer is None:
        return Attempt(result.started_at, None, result.latency_ms, *_of_error(result, repeatable))
    if answer.complete or answer.status_code == 429:
        verdict = judge(answer, json_object(answer.body))
    else:
        verdict = Verdict(Outcome.UNKNOWN, f"HTTP {answer.status_code}, but the answer broke off")
    outcome = Outcome.RETRY if repeatable and verdict.outcome is Outcome.UNKNOWN else verdict.outcome
    hidden = {*secrets_of(endpoint), *secrets}
    retry_after = None
    if outcome is Outcome.RETRY:
        asked = answer.headers.get("retry-after")
        retry_after = parse_retry_after(asked, result.finished_at) if asked else None
        if retry_after is None and verdict.wait is not None:
            retry_after = result.finished_at + verdict.wait
    return Attempt(
        at=result.started_at,
        status_code=answer.status_code,
        latency_ms=result.latency_ms,
        outcome=outcome,
        reason=None if verdict.reason is None else mask(verdict.reason, hidden),
        response_body=excerpt(answer, hidden),
        retry_after=retry_after,
        vendor_message_id=verdict.vendor_message_id if outcome is Outcome.DELIVERED else None,
    )


def by_status(answer: Answer, detail: str | None = None) -> Verdict:
    """What an answer without a more telling body comes to.

    2xx: ``unknown``, as a vendor's success is told by its body. 429 and 425 may be tried again; 401 to 404 and
    redirects are a matter of set-up; other refusals lie in the message. 5xx leaves open what was done, and so does
    408: it should mean that the request never came whole, but proxies say it of a vendor that was slow behind them.
    """
    status = answer.status_code
    reason = f"HTTP {status}" + (f": {detail}" if detail else "")
    if status in {425, 429}:
        return Verdict(Outcome.RETRY, reason)
    if status == 408:
        return Verdict(Outcome.UNKNOWN, reason)
    if status in {401, 402, 403, 404} or 300 <= status < 400:
        return Verdict(Outcome.FAIL_CONFIG, reason)
    if 400 <= status < 500:
        return Verdict(Outcome.FAIL_MESSAGE, reason)
    return Verdict(Outcome.UNKNOWN, reason if status >= 500 else f"{reason}, but no usable answer")


def json_object(body: bytes) -> Mapping[str, Any] | None:
    """The JSON object in ``body``; None for anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


_NOTHING: Final[Mapping[str, Any]] = {}


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` where it is a JSON object, else an empty one: vendors' bodies are read without trust."""
    return value if isinstance(value, Mapping) else {}


def first_row(value: object) -> Mapping[str, Any]:
    """The first object of a list; empty where there is none."""
    return next(iter(rows(value)), _NOTHING)


def rows(value: object) -> list[Mapping[str, Any]]:
    """The JSON objects in ``value`` where it is a list, else none."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def detail_of(value: object) -> str | None:
    """A vendor's own words for a reason, in one short line; None when there are none."""
    words = " ".join(value.split()) if isinstance(value, str) else ""
    return mask(words[: 4 * _LONGEST_DETAIL])[:_LONGEST_DETAIL] or None


def text_of(value: object) -> str | None:
    """An id as text, be it JSON text or a number; None for anything else and for blanks."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def json_request(url: str, body: object, endpoint: Endpoint, headers: Mapping[str, str]) -> OutboundRequest:
    """A POST of JSON with the endpoint's custom headers, which never displace the kind's own."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return _request(url, content, "application/json", endpoint, headers)


def form_request(url: str, form: Mapping[str, str], endpoint: Endpoint, headers: Mapping[str, str]) -> OutboundRequest:
    """A POST of a form with the endpoint's custom headers, which never displace the kind's own."""
    content = urlencode(form).encode()
    return _request(url, content, "application/x-www-form-urlencoded", endpoint, headers)


def address(endpoint: Endpoint, vendor: str, path: str, *others: str) -> str:
    """The URL to call: the endpoint's own base, else the vendor's, and ``path``.

    A merchant may paste a whole URL of the vendor's documentation: ``path`` or one of its ``others`` at its end is no
    part of the base.
    """
    base = (endpoint.url or str(endpoint.settings.get("base_url") or "") or vendor).rstrip("/")
    for known in (path, *others):
        base = base.removesuffix(known.rstrip("/"))
    return base + path


def token_problems(endpoint: Endpoint, what: str) -> list[tuple[str, str]]:
    """A missing or unsendable ``bearer_token``; ``what`` says which of the vendor's credentials belongs there."""
    token = endpoint.bearer_token
    if not token:
        return [("/settings/bearer_token", f"required for this kind: {what}")]
    if not token.isascii() or not token.isprintable() or token != token.strip():
        return [("/settings/bearer_token", "visible ASCII characters only")]
    return []


def secrets_of(endpoint: Endpoint) -> set[str]:
    """What an answer must not echo into the log of attempts."""
    known = {
        *endpoint.signing_secrets,
        *(value for value in endpoint.headers.values() if len(value) > _SHORTEST_SECRET),
    }
    return known | ({endpoint.bearer_token} if endpoint.bearer_token else set())


def _request(
    url: str, body: bytes, content_type: str, endpoint: Endpoint, headers: Mapping[str, str]
) -> OutboundRequest:
    custom = {name.lower(): value for name, value in endpoint.headers.items()}
    own = {name.lower(): value for name, value in headers.items()}
    return OutboundRequest(
        url=url,
        body=body,
        headers={**custom, "content-type": content_type, "accept": "application/json", "user-agent": USER_AGENT, **own},
        timeout=endpoint.timeout,
    )


def _of_error(result: SendResult, repeatable: bool) -> tuple[Outcome, str]:
    error = result.error
    reason = "no answer" if error is None else error.reason
    if isinstance(error, RefusedDestination | InvalidRequest) and not isinstance(error, ForbiddenAddress):
        return Outcome.FAIL_CONFIG, reason
    if not result.sent or repeatable:
        return Outcome.RETRY, reason
    return Outcome.UNKNOWN, f"{reason}; the request may have been processed"
