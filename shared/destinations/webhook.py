"""Kind ``webhook``: the stored event as signed JSON to a URL of the merchant's choice.

Signature and delivery rules: Standard Webhooks (github.com/standard-webhooks/standard-webhooks, v1.0.0). Any
BSP that gives out a callback URL is reached this way.
"""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from shared.delivery.exchange import (
    DestinationTimeout,
    ForbiddenAddress,
    InvalidRequest,
    OutboundRequest,
    RefusedDestination,
    SendResult,
)
from shared.delivery.outcome import Attempt, Outcome, excerpt
from shared.delivery.retry import parse_retry_after
from shared.delivery.signing import signature_headers
from shared.destinations.destination import Delivery, Endpoint
from shared.domain.pointer import pointer

USER_AGENT = "Checkback/1.0"
MAX_HEADERS = 20
MAX_HEADER_VALUE = 4096

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)

_OUR_PREFIXES = ("webhook-", "content-", "proxy-", "checkback-")
_SHORTEST_SECRET = 6


class WebhookDestination:
    """The generic webhook."""

    kind: Final = "webhook"
    title: Final = "Signed JSON events to a URL (Standard Webhooks)"
    takes_events: Final = True
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {
                "type": "string",
                "writeOnly": True,
                "maxLength": MAX_HEADER_VALUE,
                "description": "Sent as `Authorization: Bearer`.",
            },
            "signatures": {
                "type": "array",
                "items": {"enum": ["v1", "v1a"]},
                "minItems": 1,
                "uniqueItems": True,
                "default": ["v1"],
                "description": (
                    "Standard Webhooks signatures: `v1` by the secret that the receiver has too, `v1a` (Ed25519) by a "
                    "key that only Checkback has; its public keys are at the endpoint's `public_keys_url`."
                ),
            },
            "payload": {
                "oneOf": [
                    {"enum": ["checkback", "provider"]},
                    {
                        "type": "object",
                        "properties": {"liquid": {"type": "string"}},
                        "required": ["liquid"],
                        "additionalProperties": False,
                    },
                ],
                "default": "checkback",
                "description": (
                    "`provider`: the last accepted body of the checkout, as the provider posted it or answered it "
                    "when asked, without the fields that privacy drops."
                ),
            },
        },
        "required": [],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """Headers and token that cannot be sent or are not the merchant's to set; a payload that is no template."""
        found = header_problems(endpoint.headers, token_set=endpoint.bearer_token is not None)
        if endpoint.bearer_token is not None and not _BEARER.fullmatch(endpoint.bearer_token):
            found.append(("/settings/bearer_token", "a bearer token consists of A-Z a-z 0-9 . _ ~ + / - and final ="))
        payload = endpoint.settings.get("payload")
        if isinstance(payload, Mapping):
            from shared.destinations.liquid import syntax_problem

            problem = syntax_problem(str(payload.get("liquid")), "json")
            found += [] if problem is None else [("/settings/payload/liquid", problem)]
        return found

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """POST of the event's stored bytes. Where a custom header meets one of ours, ours is sent."""
        custom = {
            name.lower(): value
            for name, value in endpoint.headers.items()
            if not _reserved(name.lower(), token_set=endpoint.bearer_token is not None)
        }
        token = {} if endpoint.bearer_token is None else {"authorization": f"Bearer {endpoint.bearer_token}"}
        signed = signature_headers(endpoint.signing_secrets, delivery.message_id, delivery.attempted_at, delivery.body)
        return OutboundRequest(
            url=endpoint.url,
            body=delivery.body,
            headers={
                **custom,
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                **token,
                **signed,
            },
            timeout=endpoint.timeout,
        )

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """2xx is success; 410, or ``webhook-delivery: disable`` on any answer, ends the endpoint; else retry.

        Events carry their id, so an attempt whose outcome is unknown is repeated rather than lost.
        """
        answer = result.answer
        if answer is None:
            return Attempt(result.started_at, None, result.latency_ms, *_of_error(result))
        outcome, reason = _of_status(answer.status_code)
        if answer.headers.get("webhook-delivery", "").strip().lower() == "disable":
            outcome, reason = Outcome.GONE, "the endpoint asked for no further webhooks"
        asked = answer.headers.get("retry-after") if outcome is Outcome.RETRY else None
        return Attempt(
            at=result.started_at,
            status_code=answer.status_code,
            latency_ms=result.latency_ms,
            outcome=outcome,
            reason=reason,
            response_body=excerpt(answer, _secrets(endpoint)),
            retry_after=parse_retry_after(asked, result.finished_at) if asked else None,
        )


destination = WebhookDestination()


def header_problems(headers: Mapping[str, str], *, token_set: bool) -> list[tuple[str, str]]:
    """What is wrong with an endpoint's custom headers: (RFC 6901 pointer into the request, detail)."""
    found: list[tuple[str, str]] = []
    if len(headers) > MAX_HEADERS:
        found.append(("/headers", f"at most {MAX_HEADERS} headers"))
    seen: set[str] = set()
    for name, value in headers.items():
        where = pointer("headers", name)
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            found.append((where, "not a valid header name"))
        elif _reserved(lower, token_set=token_set):
            found.append((where, "this header is set by Checkback"))
        elif lower in seen:
            found.append((where, "given twice: header names ignore case"))
        if len(value) > MAX_HEADER_VALUE or not _VALUE.fullmatch(value):
            found.append((where, f"a header value is 1 to {MAX_HEADER_VALUE} visible ASCII characters"))
        seen.add(lower)
    return found


def _reserved(name: str, *, token_set: bool) -> bool:
    return name in _OURS or name.startswith(_OUR_PREFIXES) or (token_set and name == "authorization")


def _of_status(status: int) -> tuple[Outcome, str | None]:
    if status == HTTPStatus.GONE:
        return Outcome.GONE, "HTTP 410"
    match status // 100:
        case 2:
            return Outcome.DELIVERED, None
        case 3:
            return Outcome.RETRY, f"HTTP {status}: redirects are not followed"
        case _:
            return Outcome.RETRY, f"HTTP {status}"


def _of_error(result: SendResult) -> tuple[Outcome, str]:
    match result.error:
        case ForbiddenAddress(reason=reason):
            # Nothing was sent. DNS may be right again at the next attempt.
            return Outcome.RETRY, reason
        case RefusedDestination(reason=reason) | InvalidRequest(reason=reason):
            return Outcome.FAIL_CONFIG, reason
        case DestinationTimeout(reason=reason):
            return Outcome.RETRY, f"timeout: {reason}"
        case None:
            return Outcome.RETRY, "no answer"
        case error:
            return Outcome.RETRY, error.reason


def _secrets(endpoint: Endpoint) -> Iterable[str]:
    yield from endpoint.signing_secrets
    if endpoint.bearer_token:
        yield endpoint.bearer_token
    # A header may hold an API key or a mere "1": words too short to be a secret would blot out the excerpt.
    yield from (value for value in endpoint.headers.values() if len(value) >= _SHORTEST_SECRET)
