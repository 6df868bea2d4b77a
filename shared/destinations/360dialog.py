"""Kind ``360dialog``: WhatsApp templates through 360dialog, which passes Meta's Cloud API on.

Sources: docs.360dialog.com, "Send a message" (request), "Error Code Reference" (its own refusals: all of them 400,
told apart by their text alone), "Receiving messages" (status webhooks in Meta's form). The API has no idempotency
key, so an attempt without a usable answer is never repeated.
"""
# ruff: noqa: N999  the vendor's name begins with a digit, and a kind is named as its module

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.message import phone_of
from shared.destinations.meta_cloud import SHAPE, MetaStatuses, judge, template_message
from shared.destinations.status import CALLBACK_TOKEN, TokenProved
from shared.destinations.vendor_answer import (
    Verdict,
    address,
    attempt_of,
    by_status,
    detail_of,
    first_row,
    json_request,
    mapping,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp import message_of
from shared.destinations.whatsapp_errors import code_of

VENDOR: Final = "https://waba-v2.360dialog.io"
PATH: Final = "/messages"
_TOO_FAST: Final = re.compile(r"rate limit", re.IGNORECASE)
_ACCOUNT: Final = re.compile(
    r"lack of payment|overdue|has been disabled|endpoint is blocked|invalid api.?key", re.IGNORECASE
)


class Dialog360Destination:
    """WhatsApp Cloud API behind 360dialog."""

    kind: Final = "360dialog"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through 360dialog"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "bearer_token": {
                "type": "string",
                "writeOnly": True,
                "description": "The number's API key; sent as `D360-API-KEY`.",
            },
            "template": SHAPE.schema(),
            "callback_token": CALLBACK_TOKEN,
            "base_url": {"type": "string", "format": "uri", "default": VENDOR},
        },
        "required": ["bearer_token"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key that is missing, a template that cannot be filled."""
        found = token_problems(endpoint, "the API key of the number in the 360dialog Hub")
        return found + header_problems(endpoint.headers, token_set=True) + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One template message, in Meta's form with the number as digits. Raises Unsendable."""
        phone = phone_of(delivery).removeprefix("+")
        body = template_message(message_of(delivery, endpoint, SHAPE), phone, delivery.id)
        return json_request(
            address(endpoint, VENDOR, PATH), body, endpoint, {"d360-api-key": endpoint.bearer_token or ""}
        )

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By Meta's error code where there is one, else by 360dialog's words."""
        return attempt_of(result, endpoint, _judge, repeatable=False)


class Dialog360Statuses(TokenProved, MetaStatuses):
    """Meta's webhooks as 360dialog passes them on: the bodies are Meta's, the signature is not."""


destination = Dialog360Destination()
statuses = Dialog360Statuses()


def _judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    told = body or {}
    if answer.status_code < 400 or code_of(mapping(told.get("error")).get("code")) not in {None, answer.status_code}:
        return judge(answer, body)
    detail = _detail(told)
    if answer.status_code < 500 and _TOO_FAST.search(detail or ""):
        return Verdict(Outcome.RETRY, f"360dialog: {detail}", wait=timedelta(minutes=1))
    if answer.status_code < 500 and _ACCOUNT.search(detail or ""):
        return Verdict(Outcome.FAIL_CONFIG, f"360dialog: {detail}")
    return by_status(answer, detail)


def _detail(told: Mapping[str, Any]) -> str | None:
    """360dialog's words, wherever one of its layers puts them."""
    error, first = mapping(told.get("error")), first_row(told.get("errors"))
    places = (
        mapping(told.get("meta")).get("developer_message"),
        error.get("message"),
        told.get("error"),
        first.get("details"),
        first.get("title"),
        told.get("message"),
        told.get("detail"),
    )
    return next((words for words in map(detail_of, places) if words), None)
