"""Kind ``meta_cloud``: template messages through Meta's WhatsApp Cloud API.

Sources: github.com/facebook/openapi ``business-messaging-api_v23.0.yaml`` (request and answer), Meta's template pages
(copy-code button), ``webhooks/reference`` (statuses, user preferences), pywa 4.5.0 (``biz_opaque_callback_data`` on
messages). The API has no idempotency key, so an attempt without a usable answer is never repeated.
"""

import hmac
from collections.abc import Iterable, Mapping
from typing import Any, Final

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.message import phone_of
from shared.destinations.status import (
    CallbackRequest,
    NotAuthentic,
    Status,
    StatusReport,
    check_hmac,
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
    first_row,
    json_object,
    json_request,
    mapping,
    rows,
    text_of,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp import Button, Header, Message, message_of
from shared.destinations.whatsapp_errors import code_of, failure_reason, meaning_of
from shared.destinations.whatsapp_template import Shape

VENDOR: Final = "https://graph.facebook.com"
DEFAULT_VERSION: Final = "v23.0"
SHAPE: Final = Shape(body="either")
_REPORTED: Final = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "failed": Status.FAILED,
}
_PREFERENCES: Final = {"stop": Status.OPTED_OUT, "resume": Status.OPTED_IN}


class MetaCloudDestination:
    """WhatsApp Cloud API."""

    kind: Final = "meta_cloud"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through Meta's Cloud API"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {"type": "string", "writeOnly": True, "description": "A system user's access token."},
            "phone_number_id": {"type": "string", "pattern": "^[0-9]{5,20}$"},
            "template": SHAPE.schema(),
            "graph_version": {"type": "string", "pattern": "^v[0-9]{2,3}\\.[0-9]$", "default": DEFAULT_VERSION},
            "api": {
                "enum": ["messages", "marketing_messages"],
                "default": "messages",
                "description": "`marketing_messages` for accounts whose marketing templates go only there (131063).",
            },
            "app_secret": {
                "type": "string",
                "writeOnly": True,
                "minLength": 16,
                "description": "The Meta app's secret: proves its status webhooks.",
            },
            "verify_token": {
                "type": "string",
                "writeOnly": True,
                "minLength": 8,
                "description": "Your own word for Meta's webhook set-up challenge.",
            },
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["phone_number_id", "bearer_token"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A token that is missing, an id that is none, a template that cannot be filled."""
        found = token_problems(endpoint, "the system user's access token")
        found += header_problems(endpoint.headers, token_set=True)
        if not str(endpoint.settings.get("phone_number_id") or "").isdigit():
            found.append(("/settings/phone_number_id", "the number's id (digits), not the phone number itself"))
        return found + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One template message. Raises Unsendable."""
        body = template_message(message_of(delivery, endpoint, SHAPE), phone_of(delivery), delivery.id)
        api = str(endpoint.settings.get("api") or "messages")
        if api == "marketing_messages":
            body["product_policy"] = "CLOUD_API_FALLBACK"
        version = str(endpoint.settings.get("graph_version") or DEFAULT_VERSION)
        url = address(endpoint, VENDOR, f"/{version}/{endpoint.settings.get('phone_number_id')}/{api}")
        return json_request(url, body, endpoint, {"authorization": f"Bearer {endpoint.bearer_token}"})

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By Meta's error code where there is one, whatever the HTTP status."""
        return attempt_of(result, endpoint, judge, repeatable=False)


class MetaStatuses:
    """Meta's webhooks: statuses of messages, replies, marketing preferences."""

    def challenge(self, request: CallbackRequest, endpoint: Endpoint) -> str | None:
        """``hub.challenge``, where ``hub.verify_token`` is the endpoint's."""
        if request.method != "GET":
            return None
        token = endpoint.settings.get("verify_token")
        sent = request.query.get("hub.verify_token", "")
        if not isinstance(token, str) or not token or not hmac.compare_digest(sent.encode(), token.encode()):
            raise NotAuthentic("hub.verify_token is missing or wrong")
        return request.query.get("hub.challenge", "")

    def authenticate(self, request: CallbackRequest, endpoint: Endpoint) -> None:
        """``X-Hub-Signature-256``: HMAC-SHA256 of the body with the app's secret."""
        check_hmac(request, "x-hub-signature-256", endpoint.settings.get("app_secret"))

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """Every report in the body; also what 360dialog and Gupshup's v3 pass on in Meta's form."""
        body = json_object(request.body) or {}
        values = [
            mapping(change.get("value")) for entry in rows(body.get("entry")) for change in rows(entry.get("changes"))
        ]
        return [report for value in values for report in _reports(value)]


destination = MetaCloudDestination()
statuses = MetaStatuses()


def template_message(message: Message, phone: str, delivery_id: str) -> dict[str, Any]:
    """The body of ``POST .../messages``; the same for every door to Meta's API."""
    components: list[dict[str, Any]] = []
    if message.header is not None:
        components.append({"type": "header", "parameters": [_header_parameter(message.header)]})
    if message.body:
        parameters = [
            {"type": "text", **({"parameter_name": name} if name else {}), "text": text} for name, text in message.body
        ]
        components.append({"type": "body", "parameters": parameters})
    components += [_button_component(button) for button in message.buttons]
    template: dict[str, Any] = {
        "name": message.name,
        "language": {"code": message.language.replace("-", "_"), "policy": "deterministic"},
    }
    if components:
        template["components"] = components
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": phone,
        "type": "template",
        "biz_opaque_callback_data": delivery_id,
        "template": template,
    }


def judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    """What a complete answer of Meta's API comes to."""
    if body is not None and isinstance(body.get("error"), Mapping):
        return _error(answer, body["error"])
    if not 200 <= answer.status_code < 300 or body is None:
        return by_status(answer)
    message = first_row(body.get("messages"))
    message_id = text_of(message.get("id"))
    if message_id is None:
        return Verdict(Outcome.UNKNOWN, f"HTTP {answer.status_code}, but no message id")
    status = detail_of(message.get("message_status"))
    return Verdict(Outcome.DELIVERED, None if status == "accepted" else status, message_id)


def _error(answer: Answer, error: Mapping[str, Any]) -> Verdict:
    code = code_of(error.get("code"))
    meaning = None if code is None else meaning_of(code)
    detail = detail_of(mapping(error.get("error_data")).get("details")) or detail_of(error.get("message"))
    if code is not None and meaning is not None:
        return Verdict(meaning.outcome, meaning.reason(code, detail), wait=meaning.wait)
    told = f"WhatsApp {code}: {detail or 'unknown error'}" if code is not None else detail
    if answer.status_code >= 500 or error.get("is_transient") is True:
        return Verdict(Outcome.UNKNOWN, told or f"HTTP {answer.status_code}")
    if code is None:
        return by_status(answer, detail) if answer.status_code >= 300 else Verdict(Outcome.FAIL_MESSAGE, told)
    return Verdict(Outcome.RETRY if answer.status_code == 429 else Outcome.FAIL_MESSAGE, told)


def _header_parameter(header: Header) -> dict[str, Any]:
    if header.type == "text":
        return {"type": "text", "text": header.value}
    return header.media


def _button_component(button: Button) -> dict[str, Any]:
    parameter = {
        "url": {"type": "text", "text": button.value},
        "copy_code": {"type": "coupon_code", "coupon_code": button.value},
        "quick_reply": {"type": "payload", "payload": button.value},
    }[button.type]
    return {"type": "button", "sub_type": button.type, "index": str(button.index), "parameters": [parameter]}


def _reports(value: Mapping[str, Any]) -> Iterable[StatusReport]:
    for status in rows(value.get("statuses")):
        reported = _REPORTED.get(str(status.get("status")))
        if reported is not None:
            yield StatusReport(
                status=reported,
                vendor_message_id=text_of(status.get("id")),
                at=epoch(status.get("timestamp")),
                reason=_failure(status) if reported is Status.FAILED else None,
                recipient_phone=e164(status.get("recipient_id")),
                delivery_id=own_delivery(status.get("biz_opaque_callback_data")),
            )
    for message in rows(value.get("messages")):
        if message.get("type") == "system":
            continue  # WhatsApp's own: the person has another number now
        replied_to = text_of(mapping(message.get("context")).get("id"))
        yield from reply(e164(message.get("from")), _said(message), replied_to, epoch(message.get("timestamp")))
    for preference in rows(value.get("user_preferences")):
        chosen = _PREFERENCES.get(str(preference.get("value")))
        if chosen is not None and preference.get("category") == "marketing_messages":
            phone = e164(preference.get("wa_id"))
            yield StatusReport(chosen, at=epoch(preference.get("timestamp")), recipient_phone=phone)


def _failure(status: Mapping[str, Any]) -> str:
    error = first_row(status.get("errors"))
    detail = mapping(error.get("error_data")).get("details") or error.get("message") or error.get("title")
    return failure_reason(error.get("code"), detail_of(detail))


def _said(message: Mapping[str, Any]) -> object:
    pressed = mapping(mapping(message.get("interactive")).get("button_reply"))
    said = mapping(message.get("text")).get("body") or mapping(message.get("button")).get("text")
    return said or pressed.get("title")
