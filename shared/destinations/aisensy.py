"""Kind ``aisensy``: a WhatsApp template through an API campaign at AiSensy.

Sources: AiSensy's "API reference docs" (help.aisensy.com 5358962, aisensy.com/docs); the form of ``buttons``, the
answer's ``submitted_message_id`` and the texts of refusals are known from public code only. The key is part of the
body. There is no idempotency key, so an attempt without a usable answer is never repeated.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome, Refusal
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.liquid import gave_up, template_problems
from shared.destinations.message import filled, locale_of, phone_of, variables
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
from shared.destinations.whatsapp import Header, message_of
from shared.destinations.whatsapp_template import Shape
from shared.domain.pointer import pointer

VENDOR: Final = "https://backend.aisensy.com"
PATH: Final = "/campaign/t1/api/v2"
SHAPE: Final = Shape(
    name="campaign", headers=("image", "video", "document"), buttons=("url", "copy_code"), language=False
)
NAME_WITHOUT_ONE: Final = "Customer"
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 1000}
_CONFIG: Final = re.compile(
    r"no plan|campaign .*(not|does|inactive|paused)|not live|credits|api ?key|template", re.IGNORECASE
)

_PERSON: Final = re.compile(r"invalid (destination|number|phone)", re.IGNORECASE)


class AisensyDestination:
    """API campaigns at AiSensy."""

    kind: Final = "aisensy"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through an AiSensy API campaign"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {"type": "string", "writeOnly": True, "description": "The project's API key."},
            "template": SHAPE.schema(),
            "source": {"type": "string", "maxLength": 100, "default": "abandoned-checkout"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 100}, "maxItems": 20},
            "attributes": {
                "type": "object",
                "additionalProperties": _TEXT,
                "maxProperties": 30,
                "description": "Contact attributes that exist at AiSensy, each a Liquid template.",
            },
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["bearer_token"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key that is missing, a campaign or attribute that cannot be filled."""
        found = token_problems(endpoint, "the API key of your AiSensy project")
        found += header_problems(endpoint.headers, token_set=False)
        attributes = mapping(endpoint.settings.get("attributes")).items()
        places = ((pointer("settings", "attributes", str(name)), source) for name, source in attributes)
        found += template_problems(places, blank=True)
        return found if gave_up(found) else found + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One campaign call. Raises Unsendable."""
        message = message_of(delivery, endpoint, SHAPE)
        names = variables(delivery)
        body: dict[str, Any] = {
            "apiKey": endpoint.bearer_token or "",
            "campaignName": message.name,
            "destination": phone_of(delivery),
            "userName": names.get("first_name") or NAME_WITHOUT_ONE,
            "source": str(endpoint.settings.get("source") or "abandoned-checkout"),
            "templateParams": [value for _, value in message.body],
        }
        if message.header is not None:
            body["media"] = _media(message.header)
        if message.buttons:
            body["buttons"] = [
                {
                    "type": "button",
                    "sub_type": button.type,
                    "index": button.index,
                    "parameters": [
                        {"type": "text", "text": button.value}
                        if button.type == "url"
                        else {"type": "coupon_code", "coupon_code": button.value}
                    ],
                }
                for button in message.buttons
            ]
        tags = endpoint.settings.get("tags")
        if tags:
            body["tags"] = [str(tag) for tag in tags]
        attributes = mapping(endpoint.settings.get("attributes"))
        if attributes:
            locale = locale_of(delivery)
            body["attributes"] = {
                str(name): clean(filled(str(source), names, f"attribute {name}", locale), 1000)
                for name, source in attributes.items()
            }
        return json_request(address(endpoint, VENDOR, PATH), body, endpoint, {})

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By HTTP status; a body may tell a refusal behind 2xx, and whose fault a 4xx is."""
        return attempt_of(result, endpoint, _judge, repeatable=False)


destination = AisensyDestination()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = body or {}
    detail = detail_of(told.get("errorMessage")) or detail_of(told.get("message")) or detail_of(told.get("error"))
    if 200 <= answer.status_code < 300:
        refused = str(told.get("success")).lower() == "false" or bool(told.get("error") or told.get("errorCode"))
        if refused:
            return _refusal(detail) or Verdict(Outcome.FAIL_MESSAGE, detail or "AiSensy refused it")
        if body is None and answer.body.lstrip().startswith(b"<"):
            # A page for people: a proxy's, or that of a wrong address. No API took the message.
            return by_status(answer)
        # The body of a success is not documented, so any other one is taken for it.
        return Verdict(Outcome.DELIVERED, None, text_of(told.get("submitted_message_id")))
    if 400 <= answer.status_code < 500 and answer.status_code != 429:
        return _refusal(detail) or (
            Verdict(Outcome.FAIL_MESSAGE, f"HTTP 404: {detail}" if detail else "HTTP 404")
            if answer.status_code == 404
            else by_status(answer, detail)
        )
    return by_status(answer, detail)


def _refusal(detail: str | None) -> Verdict | None:
    if detail and _PERSON.search(detail):
        return Verdict(Outcome.FAIL_RECIPIENT, Refusal.INVALID_ADDRESS.because(detail))
    if detail and _CONFIG.search(detail):
        return Verdict(Outcome.FAIL_CONFIG, detail)
    return None


def _media(header: Header) -> dict[str, str]:
    name = header.filename or urlsplit(header.value).path.rsplit("/", 1)[-1] or header.type
    return {"url": header.value, "filename": name}
