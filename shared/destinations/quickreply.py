"""Kind ``quickreply``: an approved WhatsApp template through QuickReply.ai.

Source: docs.quickreply.ai, "Send Template API" (request, answers). A refusal by WhatsApp comes back as 400 like a
fault of the body, with words as the only difference. Status webhooks and idempotency are not documented, so an
attempt without a usable answer is never repeated.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.message import checkout_of, phone_of
from shared.destinations.one_line import clean
from shared.destinations.vendor_answer import (
    Verdict,
    address,
    attempt_of,
    by_status,
    detail_of,
    json_request,
    mapping,
    text_of,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp import message_of
from shared.destinations.whatsapp_errors import meaning_of
from shared.destinations.whatsapp_template import Shape

VENDOR: Final = "https://app.quickreply.ai"
PATH: Final = "/api/whatsapp/send-template"
SHAPE: Final = Shape(name="id", headers=("image", "video", "document"), buttons=("url",), language=False)
_META_CODE: Final = re.compile(r"(?<!\d)13[0-9]{4}(?!\d)")
_ACCOUNT: Final = re.compile(r"wallet|balance|template (?:is )?(?:not found|missing)|no such template", re.IGNORECASE)


class QuickReplyDestination:
    """WhatsApp templates through QuickReply.ai."""

    kind: Final = "quickreply"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through QuickReply.ai"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {"type": "string", "writeOnly": True, "description": "The API's secret-key."},
            "client_id": {"type": "string", "pattern": "^[!-~]{1,200}$", "description": "The API's client-id."},
            "template": SHAPE.schema(),
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["bearer_token", "client_id"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key or client id that is missing, a template that cannot be filled."""
        found = token_problems(endpoint, "the secret-key of QuickReply's API credentials")
        found += header_problems(endpoint.headers, token_set=True)
        if not re.fullmatch(r"[!-~]{1,200}", str(endpoint.settings.get("client_id") or "")):
            found.append(("/settings/client_id", "the client-id of QuickReply's API credentials"))
        return found + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One template message. Raises Unsendable."""
        message = message_of(delivery, endpoint, SHAPE)
        body: dict[str, Any] = {"to": phone_of(delivery)}
        name = mapping(checkout_of(delivery).get("customer")).get("first_name")
        if isinstance(name, str) and name.strip():
            body["name"] = clean(name, 60)
        if message.header is not None:
            body["link"] = message.header.value
        body["params"] = [value for _, value in message.body]
        if message.buttons:
            ordered = sorted(message.buttons, key=lambda button: button.index)
            body["button_params"] = [button.value for button in ordered]
        url = f"{address(endpoint, VENDOR, PATH)}?templateId={quote(message.name, safe='')}"
        credentials = {
            "client-id": str(endpoint.settings.get("client_id") or ""),
            "secret-key": endpoint.bearer_token or "",
        }
        return json_request(url, body, endpoint, credentials)

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By ``error`` and ``status``, whatever the HTTP status; WhatsApp's code where the words quote one."""
        return attempt_of(result, endpoint, _judge, repeatable=False)


destination = QuickReplyDestination()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = body or {}
    error = told.get("error")
    detail = detail_of(error) or detail_of(mapping(error).get("message")) or detail_of(told.get("message"))
    status = str(told.get("status") or "").upper()
    refused = bool(error) or told.get("success") is False or status in {"FAILED", "ERROR", "REJECTED"}
    if 200 <= answer.status_code < 300 and not refused:
        if body is None:
            return by_status(answer)
        return Verdict(Outcome.DELIVERED, None, text_of(told.get("id")))
    if answer.status_code < 300 or answer.status_code == 400:
        return _refusal(detail, answer)
    return by_status(answer, detail)


def _refusal(detail: str | None, answer: Answer) -> Verdict:
    quoted = _META_CODE.search(detail or "")
    code = None if quoted is None else int(quoted.group())
    meaning = None if code is None else meaning_of(code)
    if code is not None and meaning is not None:
        return Verdict(meaning.outcome, meaning.reason(code, detail), wait=meaning.wait)
    if _ACCOUNT.search(detail or ""):
        return Verdict(Outcome.FAIL_CONFIG, detail)
    return Verdict(Outcome.FAIL_MESSAGE, detail or f"HTTP {answer.status_code}: QuickReply gave no reason")
