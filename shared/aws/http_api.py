"""The HTTP API's events (payload 2.0): what was sent, as it was sent, and refusals as RFC 9457 problems."""

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.domain.instants import from_ms

LONGEST_WAIT = timedelta(seconds=30)
"""How long API Gateway waits for a function at most
(https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html)."""
_FAR_FUTURE_MS = 10**14
_REQUEST_ID = re.compile(r"[\w+/=-]{1,64}", re.ASCII)


class NotDecodable(ValueError):
    """The body is not what its encoding says."""


def body_of(event: Mapping[str, Any]) -> bytes:
    """The body, byte for byte. Raises NotDecodable."""
    text = str(event.get("body") or "")
    try:
        return base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
    except ValueError as error:
        raise NotDecodable("the body cannot be decoded") from error


def headers_of(event: Mapping[str, Any]) -> dict[str, str]:
    """The headers by lower-case name."""
    return {name.lower(): value for name, value in _texts(event.get("headers")).items()}


def query_of(event: Mapping[str, Any]) -> dict[str, str]:
    """The query's parameters, decoded."""
    return _texts(event.get("queryStringParameters"))


def raw_query_of(event: Mapping[str, Any]) -> str:
    """The query as it was sent."""
    return _text(event.get("rawQueryString") or "")


def path_parameter(event: Mapping[str, Any], name: str) -> str:
    """A parameter of the route's path; empty where there is none."""
    return _text((event.get("pathParameters") or {}).get(name) or "")


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A refusal as a problem document; never cached."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return {
        "statusCode": status,
        "headers": {"content-type": "application/problem+json", "cache-control": "no-store", **(headers or {})},
        "body": json.dumps(body),
    }


def _texts(given: Mapping[str, Any] | None) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in (given or {}).items()}


def _text(value: Any) -> str:
    """The value; half a character, which nothing can encode, becomes a question mark."""
    known = str(value)
    return known if known.isascii() else known.encode(errors="replace").decode()


def request_id(event: Mapping[str, Any]) -> str | None:
    """API Gateway's own id of the request, which its access log has too."""
    found = event.get("requestContext", {}).get("requestId")
    return found if isinstance(found, str) and _REQUEST_ID.fullmatch(found) else None


def arrived_at(event: Mapping[str, Any], now: datetime) -> datetime:
    """When API Gateway took the request in; ``now`` where it does not say, or says what cannot be.

    One webhook may wait for a cold start while the next meets a warm worker, and workers' clocks disagree: by their own
    clocks two webhooks could change places. What lies further from ``now`` than the gateway waits is not believed.
    """
    told = (event.get("requestContext") or {}).get("timeEpoch")
    if not isinstance(told, int) or not abs(told) < _FAR_FUTURE_MS:
        return now
    taken_in = from_ms(told)
    return taken_in if abs(now - taken_in) <= LONGEST_WAIT else now
