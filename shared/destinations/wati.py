"""Kind ``wati``: an approved WhatsApp template through WATI's API v3, one recipient a call.

Sources: docs.wati.io, "Send template messages" (v3), "Template message payload guide", "Errors";
support.wati.io 11823158 (limits) and 11463225 (status webhooks). Neither ``broadcast_name`` nor ``local_message_id``
prevents duplicates, so an attempt without a usable answer is never repeated. A 200 may be a failure.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome, Refusal
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.message import phone_of
from shared.destinations.status import (
    CALLBACK_TOKEN,
    CallbackRequest,
    Status,
    StatusReport,
    TokenProved,
    e164,
    epoch,
    own_delivery,
    reply,
)
from shared.destinations.vendor_answer import (
    Verdict,
    address,
    attempt_of,
    by_status,
    detail_of,
    json_object,
    json_request,
    mapping,
    rows,
    text_of,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp import message_of
from shared.destinations.whatsapp_errors import code_of, failure_reason, meaning_of
from shared.destinations.whatsapp_template import Shape
from shared.domain.instants import parse_instant

PATH: Final = "/api/ext/v3/messageTemplates/send"
SHAPE: Final = Shape(body="named", headers=(), buttons=(), language=False)
_QUOTA: Final = re.compile(r"quota|month|plan|subscription|usage limit", re.IGNORECASE)
_DAILY: Final = re.compile(r"daily|24.?hour|marketing limit|messaging limit", re.IGNORECASE)
# The v1 twin of each event comes too, but without the id that we know the message by.
_REPORTED: Final = {
    "templateMessageSent_v2": Status.SENT,
    "sentMessageDELIVERED_v2": Status.DELIVERED,
    "sentMessageREAD_v2": Status.READ,
    "sentMessageREPLIED_v2": Status.REPLIED,
    "templateMessageFailed": Status.FAILED,
}


class WatiDestination:
    """WhatsApp templates through WATI."""

    kind: Final = "wati"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through WATI"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {"type": "string", "writeOnly": True, "description": "The access token of the API page."},
            "base_url": {
                "type": "string",
                "format": "uri",
                "description": "Your account's API endpoint without the tenant, like https://live-mt-server.wati.io.",
            },
            "template": SHAPE.schema(),
            "channel": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "Name or number of the channel that sends; by default the account's.",
            },
            "broadcast_name": {"type": "string", "minLength": 1, "maxLength": 100, "default": "abandoned_checkout"},
            "callback_token": CALLBACK_TOKEN,
        },
        "required": ["bearer_token"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A token or host that is missing, a template that cannot be filled."""
        found = token_problems(endpoint, "the access token of WATI's API page")
        found += header_problems(endpoint.headers, token_set=True)
        if not endpoint.url and not endpoint.settings.get("base_url"):
            found.append(("/settings/base_url", "required for this kind: each WATI account has its own host"))
        return found + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """A broadcast to one recipient. Raises Unsendable."""
        message = message_of(delivery, endpoint, SHAPE)
        token = (endpoint.bearer_token or "").removeprefix("Bearer ").strip()
        body = {
            "template_name": message.name,
            "broadcast_name": str(endpoint.settings.get("broadcast_name") or "abandoned_checkout"),
            "channel": endpoint.settings.get("channel"),
            "recipients": [
                {
                    "phone_number": phone_of(delivery).removeprefix("+"),
                    "local_message_id": delivery.id,
                    "custom_params": [{"name": name, "value": value} for name, value in message.body],
                }
            ],
        }
        return json_request(address(endpoint, "", PATH), body, endpoint, {"authorization": f"Bearer {token}"})

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By ``success`` and the recipient's row; the limits behind 429 and 400 are told apart by their text."""
        return attempt_of(result, endpoint, _judge, repeatable=False)


class WatiStatuses(TokenProved):
    """WATI's webhooks: the ``_v2`` events of template messages, and shoppers' messages."""

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The report of the body, or none."""
        body = json_object(request.body) or {}
        phone = e164(body.get("waId"))
        at = epoch(body.get("timestamp")) or parse_instant(body.get("created"))
        local_id = text_of(body.get("localMessageId"))
        if body.get("eventType") == "message":
            # WATI reports an operator's own messages by the same event.
            return [] if body.get("owner") is True else reply(phone, body.get("text"), None, at)
        status = _REPORTED.get(str(body.get("eventType")))
        if status is None:
            return []
        detail = detail_of(body.get("failedDetail"))
        return [
            StatusReport(
                status=status,
                vendor_message_id=local_id,
                at=at,
                reason=failure_reason(body.get("failedCode"), detail) if status is Status.FAILED else None,
                recipient_phone=phone,
                delivery_id=own_delivery(local_id),
            )
        ]


destination = WatiDestination()
statuses = WatiStatuses()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    text = answer.body[:2048].decode("utf-8", "replace")
    if answer.status_code == 429 and _QUOTA.search(text):
        return Verdict(Outcome.FAIL_CONFIG, "HTTP 429: the plan's or the month's quota is used up")
    if answer.status_code == 429:
        return Verdict(Outcome.RETRY, "HTTP 429", wait=timedelta(seconds=10))
    detail = _detail(body)
    if answer.status_code == 400 and _DAILY.search(text):
        return Verdict(Outcome.FAIL_CONFIG, f"HTTP 400: {detail or 'the daily marketing limit is reached'}")
    if not 200 <= answer.status_code < 300 or body is None:
        return by_status(answer, detail)
    success = body.get("success", body.get("result"))
    recipients = body.get("recipients", body.get("receivers"))
    row = next(iter(rows(recipients)), None)
    refused = None if row is None else _refusal(row)
    if refused is not None:
        return refused
    if success is not True:
        refusing = success is False or bool(body.get("error"))
        return Verdict(Outcome.FAIL_MESSAGE, detail or "WATI refused it") if refusing else by_status(answer, detail)
    if recipients is None:
        return Verdict(Outcome.UNKNOWN, "success, but no row for the recipient")
    if row is None:
        return Verdict(Outcome.FAIL_MESSAGE, "WATI left the recipient out")
    return Verdict(Outcome.DELIVERED, None, text_of(row.get("local_message_id")) or text_of(row.get("localMessageId")))


def _refusal(row: Mapping[str, Any]) -> Verdict | None:
    """What a recipient's row says against it, None when nothing."""
    valid = row.get("isValidWhatsAppNumber", row.get("is_valid_whatsapp_number"))
    errors = row.get("errors") or row.get("error")
    first: Any = next(iter(errors), None) if isinstance(errors, list) else errors
    detail = detail_of(first) or detail_of(mapping(first).get("message")) or detail_of(mapping(first).get("error"))
    code = code_of(mapping(first).get("code"))
    meaning = None if code is None else meaning_of(code)
    if code is not None and meaning is not None:
        # The row says it was not sent: what would be unknown elsewhere is a failure here.
        outcome = Outcome.FAIL_MESSAGE if meaning.outcome is Outcome.UNKNOWN else meaning.outcome
        return Verdict(outcome, meaning.reason(code, detail), wait=meaning.wait)
    if valid is False:
        return Verdict(Outcome.FAIL_RECIPIENT, Refusal.NOT_ON_CHANNEL.because(detail or "not a WhatsApp number"))
    failed = bool(errors) or str(row.get("status")).lower() in {"failed", "error", "rejected", "invalid"}
    return Verdict(Outcome.FAIL_MESSAGE, detail or "the recipient's row tells of a failure") if failed else None


def _detail(body: Mapping[str, Any] | None) -> str | None:
    told = body or {}
    error = told.get("error")
    return detail_of(error) or detail_of(mapping(error).get("message")) or detail_of(told.get("message"))
