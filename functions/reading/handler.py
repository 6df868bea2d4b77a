"""The reading function: one HTTP API event of somebody else's client in, one answer in that client's form out.

The GraphQL library is loaded by the first query: who reads Wix' way does not wait for it.
"""

import time
from typing import Any

from functions.reading.answers import Answer
from functions.reading.composition import services
from shared.aws.faults import is_temporary
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger
from shared.aws.http_api import NotDecodable, body_of, headers_of, path_parameter, request_id
from shared.aws.snapshot import renew_after_restore

_logger = function_logger("reading")
renew_after_restore()
_RETRY_SECONDS = "2"


@behind_front
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one request."""
    started = time.monotonic()
    try:
        answer = _answered(event)
    except Exception as error:  # noqa: BLE001 - the last net: a trace must never reach the caller
        answer = _failed(error)
    _logger.info(
        "request",
        route=event.get("routeKey"),
        status=answer.status,
        caller="public" if answer.merchant_id is None else "merchant",
        merchant_id=answer.merchant_id,
        request_id=request_id(event),
        duration_ms=round((time.monotonic() - started) * 1000),
    )
    return answer.as_http()


def _answered(event: dict[str, Any]) -> Answer:
    from functions.reading import shopify

    try:
        body = body_of(event)
    except NotDecodable:
        return Answer(400, {"errors": "Bad Request"})
    return shopify.answer(path_parameter(event, "version"), headers_of(event), body, services())


def _failed(error: Exception) -> Answer:
    _logger.error("request_failed", error_type=type(error).__name__, exc_info=error)
    if is_temporary(error):
        return Answer(503, {"errors": "Service Unavailable"}, headers={"retry-after": _RETRY_SECONDS})
    return Answer(500, {"errors": "Internal Server Error"})
