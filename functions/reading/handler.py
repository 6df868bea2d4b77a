"""The reading function: one HTTP API event of somebody else's client in, one answer in that client's form out.

The GraphQL library is loaded ahead where that is free, else by the first query.
"""

import time
from typing import Any

from functions.reading import wix
from functions.reading.answers import Answer
from functions.reading.composition import prepare, services
from shared.aws.faults import is_temporary
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger
from shared.aws.http_api import NotDecodable, body_of, headers_of, path_parameter, request_id
from shared.aws.preparing import prepare_where_it_is_free
from shared.aws.snapshot import renew_after_restore

_logger = function_logger("reading")
renew_after_restore()
_RETRY_SECONDS = "2"
_WIX = "/ecom/v1/abandoned-checkout"
_OF_WIX = {
    f"GET {_WIX}/{{id}}": "get",
    f"DELETE {_WIX}/{{id}}": "delete",
    f"POST {_WIX}/query": "query",
    f"POST {_WIX}/search": "search",
    f"POST {_WIX}/{{id}}/activities": "activities",
    # The path that Wix' own client has for it.
    f"POST {_WIX}s/{{id}}/add-activity": "activities",
}


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
    headers = headers_of(event)
    try:
        body = body_of(event)
    except NotDecodable:
        return Answer(400, {"message": "The body cannot be decoded.", "errors": "Bad Request"})
    operation = _OF_WIX.get(str(event.get("routeKey")))
    if operation is None:
        from functions.reading import shopify

        return shopify.answer(path_parameter(event, "version"), headers, body, services())
    return wix.answer(wix.Asked(operation, path_parameter(event, "id"), headers, body), services())


def _failed(error: Exception) -> Answer:
    _logger.error("request_failed", error_type=type(error).__name__, exc_info=error)
    if is_temporary(error):
        return Answer(
            503,
            {"message": "Please try again.", "errors": "Service Unavailable"},
            headers={"retry-after": _RETRY_SECONDS},
        )
    return Answer(500, {"message": "Something went wrong here.", "errors": "Internal Server Error"})


prepare_where_it_is_free("reading", prepare)
