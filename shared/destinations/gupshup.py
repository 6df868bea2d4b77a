"""Kind ``gupshup``: an approved WhatsApp template through Gupshup's self-serve API.

Sources: docs.gupshup.io, "Template messages" (request, answer); partner-docs.gupshup.io, "Error codes" and "Message
events" (status webhooks). A template's language belongs to its id. There is no idempotency key, so an attempt without
a usable answer is never repeated.
"""

import json
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
    reply,
)
from shared.destinations.vendor_answer import (
    Verdict,
    address,
    attempt_of,
    by_status,
    detail_of,
    form_request,
    json_object,
    mapping,
    text_of,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp import message_of
from shared.destinations.whatsapp_errors import Meaning, code_of, meaning_of
from shared.destinations.whatsapp_template import Shape

VENDOR: Final = "https://api.gupshup.io"
PATH: Final = "/wa/api/v1/template/msg"
SHAPE: Final = Shape(name="id", headers=("image", "video", "document"), buttons=("url",), language=False)

_NO_OPT_IN: Final = Meaning(Outcome.FAIL_RECIPIENT, "the user has not opted in", Refusal.NO_OPT_IN)
_NO_TEMPLATE: Final = Meaning(Outcome.FAIL_CONFIG, "the template does not match")
_CODES: Final[dict[int, Meaning]] = {
    1002: Meaning(Outcome.FAIL_RECIPIENT, "not on WhatsApp", Refusal.NOT_ON_CHANNEL),
    1003: Meaning(Outcome.FAIL_CONFIG, "wallet balance too low"),
    1005: _NO_TEMPLATE,
    1006: _NO_OPT_IN,
    1007: _NO_TEMPLATE,
    1008: _NO_OPT_IN,
    1010: Meaning(Outcome.FAIL_MESSAGE, "bad media address"),
    1011: Meaning(Outcome.FAIL_MESSAGE, "media too large"),
    1012: Meaning(Outcome.FAIL_RECIPIENT, "the user has opted out", Refusal.OPTED_OUT),
    4001: Meaning(Outcome.RETRY, "API rate limited", wait=timedelta(minutes=15)),
    4002: Meaning(Outcome.UNKNOWN, "internal error"),
    500: Meaning(Outcome.UNKNOWN, "internal error"),
}
_REPORTED: Final = {
    "enqueued": None,
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "failed": Status.FAILED,
}
_OPT: Final = {"opted-in": Status.OPTED_IN, "opted-out": Status.OPTED_OUT}


class GupshupDestination:
    """WhatsApp templates through Gupshup."""

    kind: Final = "gupshup"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through Gupshup (self-serve API)"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {"type": "string", "writeOnly": True, "description": "The API key; sent as `apikey`."},
            "source": {
                "type": "string",
                "pattern": "^\\+?[0-9]{7,15}$",
                "description": "The WhatsApp number that sends, with country code.",
            },
            "app_name": {"type": "string", "minLength": 1, "maxLength": 100, "description": "The Gupshup app's name."},
            "template": SHAPE.schema(),
            "callback_token": CALLBACK_TOKEN,
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["bearer_token", "source", "app_name"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key, number or app name that is missing, a template that cannot be filled."""
        found = token_problems(endpoint, "the API key of your Gupshup account")
        found += header_problems(endpoint.headers, token_set=True)
        if e164(endpoint.settings.get("source")) is None:
            found.append(("/settings/source", "the sending number with its country code"))
        if not endpoint.settings.get("app_name"):
            found.append(("/settings/app_name", "the Gupshup app's name"))
        return found + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One template message as a form. Raises Unsendable."""
        message = message_of(delivery, endpoint, SHAPE)
        parameters = [value for _, value in message.body]
        parameters += [button.value for button in sorted(message.buttons, key=lambda button: button.index)]
        form = {
            "channel": "whatsapp",
            "source": str(endpoint.settings.get("source") or "").removeprefix("+"),
            "destination": phone_of(delivery).removeprefix("+"),
            "src.name": str(endpoint.settings.get("app_name") or ""),
            "template": _json({"id": message.name, "params": parameters}),
        }
        if message.header is not None:
            form["message"] = _json(message.header.media)
        return form_request(address(endpoint, VENDOR, PATH), form, endpoint, {"apikey": endpoint.bearer_token or ""})

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By Gupshup's or WhatsApp's code where there is one, else by ``status`` and HTTP status."""
        return attempt_of(result, endpoint, _judge, repeatable=False)


class GupshupStatuses(TokenProved):
    """Gupshup's callbacks, format version 2: message events, user events, inbound messages."""

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The report of the body, or none."""
        body = json_object(request.body) or {}
        payload = mapping(body.get("payload"))
        at = epoch(body.get("timestamp"))
        kind = str(payload.get("type"))
        match body.get("type"):
            case "message-event":
                return _message_event(payload, kind, at)
            case "user-event" if kind in _OPT:
                return [StatusReport(_OPT[kind], at=at, recipient_phone=e164(payload.get("phone")))]
            case "message":
                said = mapping(payload.get("payload"))
                context = mapping(payload.get("context"))
                phone = e164(payload.get("source"))
                return reply(phone, said.get("text") or said.get("title"), text_of(context.get("gsId")), at)
            case _:
                return []


destination = GupshupDestination()
statuses = GupshupStatuses()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = mapping((body or {}).get("message"))
    detail = detail_of((body or {}).get("message")) or detail_of(told.get("message")) or detail_of(told.get("reason"))
    if 200 <= answer.status_code < 300 and body is not None and body.get("status") == "submitted":
        message_id = text_of(body.get("messageId"))
        if message_id is None:
            return Verdict(Outcome.UNKNOWN, f"HTTP {answer.status_code}, but no messageId")
        return Verdict(Outcome.DELIVERED, None, message_id)
    code = code_of((body or {}).get("code")) or code_of(told.get("code"))
    meaning = _meaning(code)
    if code is not None and meaning is not None:
        return Verdict(meaning.outcome, _reason(code, meaning, detail), wait=meaning.wait)
    if answer.status_code == 400 and "invalid destination" in (detail or "").lower():
        return Verdict(Outcome.FAIL_RECIPIENT, Refusal.INVALID_ADDRESS.because(detail or "Invalid Destination"))
    if 200 <= answer.status_code < 300 and body is not None and body.get("status") == "error":
        return Verdict(Outcome.FAIL_MESSAGE, detail or "Gupshup refused it without a reason")
    return by_status(answer, detail)


def _meaning(code: int | None) -> Meaning | None:
    return None if code is None else _CODES.get(code) or meaning_of(code)


def _reason(code: int, meaning: Meaning, detail: str | None) -> str:
    told = f"{'Gupshup' if code in _CODES else 'WhatsApp'} {code}, {meaning.words}" + (f": {detail}" if detail else "")
    return told if meaning.refusal is None else meaning.refusal.because(told)


def _message_event(payload: Mapping[str, Any], kind: str, at: Any) -> list[StatusReport]:
    status = _REPORTED.get(kind)
    if status is None:
        return []
    told = mapping(payload.get("payload"))
    reason = None
    if status is Status.FAILED:
        code, detail = code_of(told.get("code")), detail_of(told.get("reason"))
        meaning = _meaning(code)
        if code is not None and meaning is not None:
            reason = _reason(code, meaning, detail)
        else:
            reason = f"Gupshup {told.get('code')}: {detail}" if detail else "Gupshup gave no reason"
    return [
        StatusReport(
            status=status,
            # Behind "sent", "delivered" and "read", ``id`` is WhatsApp's own and ``gsId`` the one we were given.
            vendor_message_id=text_of(payload.get("gsId")) or text_of(payload.get("id")),
            at=epoch(told.get("ts")) or at,
            reason=reason,
            recipient_phone=e164(payload.get("destination")),
        )
    ]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
