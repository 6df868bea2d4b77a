"""The callbacks function: ``GET|POST /callbacks/{endpoint_id}``, proved by the vendor's own signature.

200 for every authentic request, also for reports about messages that are not ours: a vendor that gets anything else
switches its webhook off.
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from functions.callbacks.composition import VendorUnavailable, public_url, status_reports
from shared.aws.faults import AWS_ERRORS
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger, last_net
from shared.aws.http_api import NotDecodable, body_of, headers_of, path_parameter, problem, query_of, raw_query_of
from shared.aws.snapshot import renew_after_restore
from shared.destinations.ses_events import delivery_of
from shared.destinations.status import CallbackRequest, NotAuthentic
from shared.domain.ids import EndpointId, IdKind, endpoint_of, is_id
from shared.workflows.delivering.report_subjects import UnknownEndpoint

logger = function_logger("callbacks")
renew_after_restore()

_LARGEST_BODY = 1024 * 1024


@last_net
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Answer one HTTP API (payload 2.0) request, or hear what the stage's own topic says of its mails."""
    return _answered(event, context) if "Records" not in event else _heard(event["Records"])


def _heard(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What SNS brings: only the stage's own topic may invoke the function so (its permission says it).

    Raises what fails for now: Lambda repeats it, twice.
    """
    heard = 0
    for record in records:
        body = str(record["Sns"]["Message"]).encode()
        endpoint_id = endpoint_of(delivery_of(body) or "")
        if endpoint_id is None:
            continue
        try:
            taken = status_reports().hear(endpoint_id, CallbackRequest("POST", "", {}, {}, body))
        except UnknownEndpoint:
            continue
        heard += taken.reports
        logger.info("mail_event_heard", endpoint_id=endpoint_id, reports=taken.reports, unknown=taken.unknown)
    return {"reports": heard}


@behind_front
def _answered(event: dict[str, Any], _: object) -> dict[str, Any]:
    named = path_parameter(event, "endpoint_id")
    if not is_id(IdKind.ENDPOINT, named):
        return _refused(None, 404, "There is no such endpoint.")
    endpoint_id = EndpointId(named)
    try:
        body = body_of(event)
        if len(body) > _LARGEST_BODY:
            return _refused(endpoint_id, 413, f"A status webhook has at most {_LARGEST_BODY} bytes.")
        taken = status_reports().take(endpoint_id, _request(event, body))
    except UnknownEndpoint:
        return _refused(endpoint_id, 404, "There is no such endpoint.")
    except NotDecodable:
        return _refused(endpoint_id, 400, "The body cannot be decoded.")
    except NotAuthentic as failed:
        return _refused(endpoint_id, 401, "The request is not proved to come from the vendor.", why=str(failed))
    except (*AWS_ERRORS, VendorUnavailable):
        logger.exception("callback_not_taken", endpoint_id=endpoint_id)
        return problem(503, HTTPStatus.SERVICE_UNAVAILABLE.phrase, "Please try again.", {"retry-after": "1"})
    logger.info(
        "callback_taken", endpoint_id=endpoint_id, reports=taken.reports, unknown=taken.unknown, refused=taken.refused
    )
    return _answer(taken.challenge or "")


def _request(event: dict[str, Any], body: bytes) -> CallbackRequest:
    """The request as the vendor sent it."""
    query = raw_query_of(event)
    path = str(event.get("rawPath") or "")
    return CallbackRequest(
        method=str((event.get("requestContext") or {}).get("http", {}).get("method", "POST")),
        url=f"{public_url()}{path}" + (f"?{query}" if query else ""),
        headers=headers_of(event),
        query=dict(parse_qsl(query, keep_blank_values=True)) or query_of(event),
        body=body,
    )


def _refused(endpoint_id: EndpointId | None, status: int, detail: str, why: str | None = None) -> dict[str, Any]:
    logger.info("callback_refused", endpoint_id=endpoint_id, status_code=status, reason=why)
    return problem(status, HTTPStatus(status).phrase, detail)


def _answer(text: str) -> dict[str, Any]:
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    return {"statusCode": 200, "headers": headers | {"x-content-type-options": "nosniff"}, "body": text}
