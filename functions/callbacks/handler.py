"""The callbacks function: ``GET|POST /callbacks/{endpoint_id}``, proved by the vendor's own signature.

200 for every authentic request, also for reports about messages that are not ours: a vendor that gets anything else
switches its webhook off.
"""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from functions.callbacks.composition import public_url, status_reports
from shared.destinations.status import CallbackRequest, NotAuthentic
from shared.domain.ids import EndpointId
from shared.store.table import StoreUnavailable
from shared.workflows.delivering.report_subjects import UnknownEndpoint

logger = Logger(service="callbacks")

_LARGEST_BODY = 1024 * 1024


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one HTTP API (payload 2.0) request."""
    endpoint_id = EndpointId((event.get("pathParameters") or {}).get("endpoint_id", ""))
    try:
        request = _request(event)
        taken = status_reports().take(endpoint_id, request)
    except UnknownEndpoint:
        return _answer(404, "There is no such endpoint.")
    except (NotAuthentic, binascii.Error) as failed:
        logger.info("callback_refused", endpoint_id=endpoint_id, reason=str(failed))
        return _answer(401, "The request is not proved to come from the vendor.")
    except (StoreUnavailable, ClientError, BotoCoreError):
        logger.exception("callback_not_taken", endpoint_id=endpoint_id)
        return _answer(503, "Please try again.")
    logger.info("callback_taken", endpoint_id=endpoint_id, reports=taken.reports, unknown=taken.unknown)
    return _answer(200, taken.challenge or "")


def _request(event: dict[str, Any]) -> CallbackRequest:
    """The request as the vendor sent it. Raises NotAuthentic for one that no vendor sends."""
    body = event.get("body") or ""
    raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass")
    if len(raw) > _LARGEST_BODY:
        raise NotAuthentic("the body is too large")
    query = event.get("rawQueryString") or ""
    path = event.get("rawPath") or ""
    return CallbackRequest(
        method=str((event.get("requestContext") or {}).get("http", {}).get("method", "POST")),
        url=f"{public_url()}{path}" + (f"?{query}" if query else ""),
        headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
        query=dict(parse_qsl(query, keep_blank_values=True)) or dict(event.get("queryStringParameters") or {}),
        body=raw,
    )


def _answer(status: int, text: str) -> dict[str, Any]:
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers | {"x-content-type-options": "nosniff"}, "body": text}
