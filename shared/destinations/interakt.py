"""What both Interakt kinds share: address, credential, answers, status webhooks.

Sources: Interakt's Postman documentation (2sA2r7zibM), "Track API" and "Interakt's Webhooks" in its resource center,
github.com/interakt/track-python. Requests have no idempotency key; the limit on Growth is 300 a minute.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.delivery.exchange import Answer, OutboundRequest
from shared.delivery.outcome import Outcome
from shared.destinations.destination import Endpoint
from shared.destinations.status import (
    CallbackRequest,
    Status,
    StatusReport,
    check_hmac,
    e164,
    own_delivery,
    reply,
)
from shared.destinations.vendor_answer import (
    Verdict,
    address,
    by_status,
    detail_of,
    json_object,
    json_request,
    mapping,
    text_of,
    token_problems,
)
from shared.destinations.webhook import header_problems
from shared.destinations.whatsapp_errors import failure_reason
from shared.domain.instants import parse_instant

VENDOR: Final = "https://api.interakt.ai"
USERS: Final = "/v1/public/track/users/"
EVENTS: Final = "/v1/public/track/events/"
MESSAGES: Final = "/v1/public/message/"
CREDENTIALS: Final[Mapping[str, Any]] = {
    "bearer_token": {
        "type": "string",
        "writeOnly": True,
        "description": "The API key as Interakt shows it (it is encoded already); sent as `Authorization: Basic`.",
    },
    "webhook_secret": {
        "type": "string",
        "writeOnly": True,
        "minLength": 8,
        "description": "The secret key given to Interakt for its webhooks: proves its status reports.",
    },
    "base_url": {"type": "string", "format": "uri", "default": VENDOR},
}
_REPORTED: Final = {
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.READ,
    "clicked": Status.CLICKED,
    "failed": Status.FAILED,
}
_TIME_FIELDS: Final = {Status.DELIVERED: "delivered_at_utc", Status.READ: "seen_at_utc"}


def credential_problems(endpoint: Endpoint) -> list[tuple[str, str]]:
    """A key that is missing or unsendable, headers that are not the merchant's to set."""
    return [
        *token_problems(endpoint, "the API key of Interakt's developer settings"),
        *header_problems(endpoint.headers, token_set=True),
    ]


def request(endpoint: Endpoint, path: str, body: Mapping[str, Any]) -> OutboundRequest:
    """A POST to Interakt's public API."""
    key = (endpoint.bearer_token or "").removeprefix("Basic ").strip()
    return json_request(
        address(endpoint, VENDOR, path, USERS, EVENTS, MESSAGES), body, endpoint, {"authorization": f"Basic {key}"}
    )


def judge(answer: Answer, body: Mapping[str, Any] | None) -> Verdict:
    """What a complete answer comes to: ``result`` tells, whatever the HTTP status."""
    status = answer.status_code
    detail = detail_of((body or {}).get("message"))
    if 200 <= status < 300:
        if body is None or not isinstance(body.get("result"), bool):
            return by_status(answer, detail)
        if body["result"]:
            return Verdict(Outcome.DELIVERED, None, text_of(body.get("id")))
        return Verdict(Outcome.FAIL_MESSAGE, detail or "Interakt refused it without a reason")
    if status in {402, 404}:
        # Interakt answers the body's own faults with these too; only 401 and 403 speak of the credential.
        return Verdict(Outcome.FAIL_MESSAGE, f"HTTP {status}" + (f": {detail}" if detail else ""))
    return by_status(answer, detail)


class InteraktStatuses:
    """Interakt's webhooks: statuses of API and campaign messages, and shoppers' replies."""

    def challenge(self, request: CallbackRequest, endpoint: Endpoint) -> str | None:  # noqa: ARG002  the Protocol's
        """None: Interakt sets up without a challenge."""
        return None

    def authenticate(self, request: CallbackRequest, endpoint: Endpoint) -> None:
        """``Interakt-Signature``: ``sha256=`` and the hex HMAC of the body with the webhook's secret key."""
        check_hmac(request, "interakt-signature", endpoint.settings.get("webhook_secret"))

    def read_statuses(self, request: CallbackRequest) -> list[StatusReport]:
        """The one report of the body, or none."""
        body = json_object(request.body) or {}
        data = mapping(body.get("data"))
        message = mapping(data.get("message"))
        kind = str(body.get("type"))
        phone = _phone(mapping(data.get("customer")))
        if kind == "message_received":
            at = parse_instant(message.get("received_at_utc")) or parse_instant(body.get("timestamp"))
            return reply(phone, message.get("message"), text_of(message.get("source_message_id")), at)
        reported = _REPORTED.get(kind.removeprefix("message_api_").removeprefix("message_campaign_"))
        if reported is None or kind == reported.value:
            return []
        failed = reported is Status.FAILED
        return [
            StatusReport(
                status=reported,
                vendor_message_id=text_of(message.get("id")),
                at=parse_instant(message.get(_TIME_FIELDS.get(reported, ""))) or parse_instant(body.get("timestamp")),
                reason=_failure(message) if failed else None,
                recipient_phone=phone,
                delivery_id=_correlation(message),
            )
        ]


def _failure(message: Mapping[str, Any]) -> str:
    return failure_reason(message.get("channel_error_code"), detail_of(message.get("channel_failure_reason")))


def _phone(customer: Mapping[str, Any]) -> str | None:
    whole = e164(customer.get("channel_phone_number"))
    parts = f"{customer.get('country_code') or ''}{customer.get('phone_number') or ''}"
    return whole or (e164(parts) if customer.get("country_code") else None)


def _correlation(message: Mapping[str, Any]) -> str | None:
    meta: Any = message.get("meta_data")
    if isinstance(meta, str):
        # Documented as an object, seen as its text.
        meta = json_object(meta.encode("utf-8", "replace"))
    return own_delivery(mapping(mapping(meta).get("source_data")).get("callback_data"))
