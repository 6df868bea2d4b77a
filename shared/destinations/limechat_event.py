"""Kind ``limechat_event``: the checkout as a custom event for LimeChat's flows.

The merchant builds the flow there; LimeChat decides whether and when it messages. Source: LimeChat's product guide,
"Custom Events". Its answers are not documented: any 2xx that does not tell of a failure counts as accepted. An event
may repeat; it carries ``checkout_id``, ``event_id`` and ``delivery_id`` for a condition.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.event_facts import facts_of
from shared.destinations.liquid import template_problems
from shared.destinations.message import checkout_of, filled, locale_of, phone_of, variables
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
from shared.domain.pointer import pointer

VENDOR: Final = "https://flow-builder.limechat.ai"
PATH: Final = "/api/v1/cvf-events"
LONGEST_VALUE: Final = 1000
_EVENT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_ACCOUNT: Final = re.compile(r"[!-~]{1,100}")


class LimeChatEventDestination:
    """Events for LimeChat's flows."""

    kind: Final = "limechat_event"
    channel: Final = "whatsapp"
    title: Final = "LimeChat: custom events for its flows"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {
                "type": "string",
                "writeOnly": True,
                "description": "The API key of your LimeChat profile; sent as `x-limechat-uat`.",
            },
            "account_id": {
                "type": "string",
                "pattern": f"^{_ACCOUNT.pattern}$",
                "description": "The Id of LimeChat's account settings; sent as `x-fb-account-id`.",
            },
            "template": {
                "type": "object",
                "properties": {
                    "event": {
                        "type": "string",
                        "pattern": f"^{_EVENT_NAME.pattern}$",
                        "description": "The event's name; by default that of its type, like `checkout_abandoned`.",
                    },
                    "data": {
                        "type": "object",
                        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 4000},
                        "maxProperties": 50,
                        "description": "More data of the event, each a Liquid template.",
                    },
                },
                "additionalProperties": False,
            },
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["bearer_token", "account_id"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key or account that is missing, a name with spaces, data that are no template."""
        found = token_problems(endpoint, "the API key of your LimeChat profile")
        found += header_problems(endpoint.headers, token_set=True)
        if not _ACCOUNT.fullmatch(str(endpoint.settings.get("account_id") or "")):
            found.append(("/settings/account_id", "the Id of LimeChat's account settings"))
        template = endpoint.settings.get("template")
        if template is not None and not isinstance(template, str | Mapping):
            return [*found, ("/settings/template", "an object with event and data, or the event's name")]
        name = template if isinstance(template, str) else mapping(template).get("event")
        if name is not None and not (isinstance(name, str) and _EVENT_NAME.fullmatch(name)):
            found.append(("/settings/template/event", "letters, digits and _ only, as LimeChat asks for"))
        data = mapping(mapping(template).get("data")).items()
        places = ((pointer("settings", "template", "data", str(key)), source) for key, source in data)
        return found + template_problems(places, blank=True)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """The event. Raises Unsendable."""
        template = (delivery.step or {}).get("template") or endpoint.settings.get("template")
        given = mapping(template)
        name = template if isinstance(template, str) else given.get("event")
        phone = phone_of(delivery).removeprefix("+")
        body = {
            # LimeChat's id of the user, not of the event.
            "distinct_id": text_of(mapping(checkout_of(delivery).get("customer")).get("id")) or phone,
            "phone": phone,
            "event": str(name or delivery.event_type.replace(".", "_")),
            "data": {**facts_of(delivery), **_filled(mapping(given.get("data")), delivery)},
        }
        credentials = {
            "x-limechat-uat": endpoint.bearer_token or "",
            "x-fb-account-id": str(endpoint.settings.get("account_id") or ""),
        }
        return json_request(address(endpoint, VENDOR, PATH), body, endpoint, credentials)

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By HTTP status unless the body tells of a failure; what is uncertain is tried again."""
        return attempt_of(result, endpoint, _judge, repeatable=True)


destination = LimeChatEventDestination()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = body or {}
    error = told.get("error") or told.get("errors")
    detail = detail_of(error) or detail_of(told.get("message")) or detail_of(told.get("detail"))
    if not 200 <= answer.status_code < 300:
        return by_status(answer, detail)
    if error or told.get("success") is False or told.get("result") is False or told.get("hasError") is True:
        return Verdict(Outcome.FAIL_MESSAGE, detail or "LimeChat refused it without a reason")
    return Verdict(Outcome.DELIVERED)


def _filled(sources: Mapping[str, Any], delivery: Delivery) -> dict[str, str]:
    if not sources:
        return {}
    names, locale = variables(delivery), locale_of(delivery)
    return {
        str(key): clean(filled(str(source), names, f"data {key}", locale), LONGEST_VALUE)
        for key, source in sources.items()
    }
