"""The ingest function: one webhook in, one durable write, one answer."""

import json
from typing import Any

from functions.ingest import answers
from functions.ingest.composition import prepare, receiver
from shared.aws.deadline import no_call_after
from shared.aws.faults import AWS_ERRORS
from shared.aws.front import behind_front
from shared.aws.function_log import function_logger, last_net
from shared.aws.http_api import NotDecodable, arrived_at, body_of, headers_of, path_parameter, query_of, request_id
from shared.aws.preparing import prepare_where_it_is_free
from shared.aws.snapshot import renew_after_restore
from shared.aws.stores import now
from shared.delivery.own_address import HOP_HEADER
from shared.domain.ids import IdKind, SourceId, is_id
from shared.providers.provider import AuthenticationFailed, NotReadable, WebhookRequest
from shared.workflows.intake.receive import Receipt, UnknownSource
from shared.workflows.intake.webhook_rate import TooManyWebhooks

logger = function_logger("ingest")
renew_after_restore()
LAST_CALL = 2.4
"""Seconds in which calls to AWS begin; the last ends two later at most. Shopify gives up after five."""
_LONGEST_EVENT = 100


@last_net
@behind_front
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - Lambda's signature
    """Answer one HTTP API (payload 2.0) request."""
    named, event_name = path_parameter(event, "source_id"), path_parameter(event, "event") or None
    if not is_id(IdKind.SOURCE, named) or not _may_be_an_event(event_name):
        return _refused(None, answers.unknown_source())
    source_id = SourceId(named)
    if HOP_HEADER in headers_of(event):
        return _refused(source_id, answers.come_back())
    try:
        with no_call_after(LAST_CALL):
            receipt = receiver().receive(source_id, _request(event, event_name))
    except UnknownSource:
        return _refused(source_id, answers.unknown_source())
    except TooManyWebhooks as over:
        if over.first:
            answers.count_above_rate()
        return _refused(source_id, answers.too_many(over.again_in))
    except AuthenticationFailed as failed:
        return _refused(source_id, answers.unauthenticated(str(failed)))
    except (NotReadable, NotDecodable) as unreadable:
        return _refused(source_id, answers.not_readable(str(unreadable)))
    except AWS_ERRORS:
        logger.exception("webhook_not_stored", source_id=source_id)
        answers.count_not_stored()
        return answers.unavailable()
    _log(source_id, receipt, request_id(event))
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(receipt.as_json()),
    }


def _may_be_an_event(name: str | None) -> bool:
    """Whether a vendor may call an event so; it is kept with what is not understood."""
    return name is None or (len(name) <= _LONGEST_EVENT and name.isprintable())


def _request(event: dict[str, Any], event_name: str | None) -> WebhookRequest:
    """The webhook as the provider sent it, byte for byte. Raises NotDecodable."""
    arrived = arrived_at(event, now())
    return WebhookRequest(headers_of(event), query_of(event), body_of(event), arrived, event_name, request_id(event))


def _refused(source_id: SourceId | None, answer: dict[str, Any]) -> dict[str, Any]:
    logger.info("webhook_refused", source_id=source_id, status_code=answer["statusCode"])
    return answer


def _log(source_id: SourceId, receipt: Receipt, correlation_id: str | None) -> None:
    logger.info(
        "webhook_received",
        source_id=source_id,
        provider=receipt.provider,
        outcome=receipt.status,
        correlation_id=correlation_id,
        checkout_ids=receipt.checkout_ids,
        quarantine_id=receipt.quarantine_id,
    )
    answers.count_heard(receipt.provider, now())
    if receipt.status == "quarantined":
        answers.count_quarantined()


prepare_where_it_is_free("ingest", prepare)
