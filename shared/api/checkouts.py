"""Checkouts, their timeline and deliveries: query parameters, request bodies, and how they are shown."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from shared.api.cursors import LONGEST_CURSOR
from shared.api.fields import SAID, Shape, Strict, described
from shared.api.problems import invalid_parameter
from shared.delivery.outcome import Outcome
from shared.domain.checkout import Activity
from shared.domain.ids import QuarantineId
from shared.domain.instants import InstantText, parse_instant, to_rfc3339
from shared.domain.phone import to_e164
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from shared.store.quarantine import QuarantineRecord
from shared.workflows.delivering.attempts import AttemptJson
from shared.workflows.intake.receive import Receipt
from shared.workflows.recovery.eligibility import Verdict

_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?")
_BESIDE_AT = r"[^@\s\x00-\x1f\x7f\x85]+"

FIRST_YEAR, LAST_YEAR = 1970, 2999

Limit = Annotated[int, Field(ge=1, le=200)]


def asked_instant(text: object) -> datetime | None:
    """The instant that a request names, None where it is none, or so far off that no calendar can count on from it."""
    # An unescaped plus sign of an offset arrives as a space.
    instant = parse_instant(text.replace(" ", "+") if isinstance(text, str) and "T" in text else text)
    return instant if instant is not None and FIRST_YEAR <= instant.year <= LAST_YEAR else None


def _instant(value: Any) -> Any:
    instant = asked_instant(value)
    if instant is None:
        raise ValueError(f"an RFC 3339 time of the years {FIRST_YEAR} to {LAST_YEAR}, like 2026-11-21T10:00:00Z")
    return instant


def _decimal(value: Any) -> Any:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError("a decimal amount, like 500.00")
    return Decimal(value)


INSTANT_SCHEMA = {
    "type": "string",
    "format": "date-time",
    "description": f"RFC 3339, of the years {FIRST_YEAR} to {LAST_YEAR}; without an offset it is UTC",
    "examples": ["2026-11-21T10:00:00Z"],
}
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema(INSTANT_SCHEMA)]
Amount = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": "string", "pattern": f"^{_DECIMAL.pattern}$", "examples": ["500.00"]}),
]
Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=320),
    Shape(rf"{_BESIDE_AT}@{_BESIDE_AT}\.{_BESIDE_AT}", "not an e-mail address", ("asha@example.com",)),
    AfterValidator(str.lower),
]
Phone = Annotated[
    str,
    described(
        format="phone",
        description="A valid number, with its country code or as the merchant's country writes it",
        examples=["+917777788888"],
    ),
]
Cursor = Annotated[
    str,
    described(
        pattern=rf"^[A-Za-z0-9_-]{{18,{LONGEST_CURSOR}}}$",
        description="`next_cursor` of the page before, of the same list with the same filters: it is signed",
    ),
]


class CompletionBody(Strict):
    """The order that completed a checkout, as far as it is known."""

    order_id: Annotated[str, StringConstraints(min_length=1, max_length=200), SAID] | None = None
    completed_at: Instant | None = None


def phone_parameter(phone: str | None, country: str) -> str | None:
    """The phone asked for, in E.164. Raises Problem 422."""
    if phone is None:
        return None
    # An unescaped plus sign arrives as a space.
    written = f"+{phone.strip()}" if phone.startswith(" ") else phone
    number = to_e164(written, country)
    if number is None:
        raise invalid_parameter("phone", "not a valid phone number")
    return number


class ActivityJson(TypedDict):
    """One entry of a checkout's timeline."""

    at: InstantText
    type: str
    detail: dict[str, Any]
    """What goes with an entry of its type."""


class DeliveryJson(TypedDict):
    """What was to reach an endpoint: an event, or a campaign's message."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    """The event's type; `campaign.step` for a campaign's message."""
    checkout_id: str | None
    status: DeliveryStatus
    reason: str | None
    """Why it has its status."""
    attempt_count: int
    attempts: list[AttemptJson]
    """The newest 12, oldest first."""
    reports: dict[str, InstantText]
    """When the vendor reported what of the message (`delivered`, `read`, …)."""
    next_attempt_at: InstantText | None
    created_at: InstantText
    correlation_id: str | None
    """The request whose webhook caused it."""


class VerdictJson(TypedDict):
    """Whether a message may go out at this moment."""

    may_send: bool
    reason: str | None
    """Why not."""
    do_not_send_after: InstantText
    """After this instant no message about the checkout may go out."""
    channels: list[str]
    """Over which channels."""
    ask_again_at: InstantText | None
    """When the answer may be another; null where it is final."""


class QuarantineJson(TypedDict):
    """An authentic webhook that was not understood, without its bytes."""

    id: str
    source_id: str
    provider: str
    event: str | None
    """The event's name from the URL, where it had one."""
    reason: str
    size: int
    """In bytes."""
    received_at: InstantText
    replayed_at: InstantText | None
    replay_status: str | None


class QuarantinedBodyJson(QuarantineJson):
    """An authentic webhook that was not understood."""

    headers: dict[str, str]
    """What came with it, without any proof."""
    body_base64: str
    """The exact bytes."""


class ReplayJson(TypedDict):
    """What became of a quarantined webhook when it was read once more."""

    quarantine_id: str
    status: str
    """As the webhook's own answer: `accepted`, `duplicate`, `ignored` or `quarantined`."""
    checkout_id: NotRequired[str]
    checkout_ids: NotRequired[list[str]]
    reason: NotRequired[str]


def activity_json(activity: Activity) -> ActivityJson:
    """One entry of a timeline."""
    return {"at": to_rfc3339(activity.at), "type": activity.type, "detail": dict(activity.detail)}


def delivery_json(delivery: DeliveryRecord) -> DeliveryJson:
    """A delivery with its newest attempts."""
    upcoming = delivery.next_attempt_at
    return {
        "id": delivery.id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "checkout_id": f"chk_{delivery.checkout_digest}" if delivery.of_checkout else None,
        "status": delivery.status,
        "reason": delivery.reason,
        "attempt_count": delivery.attempt_count,
        "attempts": [_attempt_json(attempt) for attempt in delivery.attempts],
        "reports": {status: to_rfc3339(at) for status, at in sorted(delivery.reports.items())},
        "next_attempt_at": None if upcoming is None else to_rfc3339(upcoming),
        "created_at": to_rfc3339(delivery.created_at),
        "correlation_id": delivery.correlation_id,
    }


def _attempt_json(stored: Mapping[str, Any]) -> AttemptJson:
    return {
        "at": stored["at"],
        "status_code": stored["status_code"],
        "latency_ms": stored["latency_ms"],
        "response_body": stored["response_body"],
        "outcome": Outcome(stored["outcome"]),
        "reason": stored["reason"],
        "next_attempt_at": stored["next_attempt_at"],
    }


def verdict_json(verdict: Verdict) -> VerdictJson:
    """The gate's answer to a BSP. ``ask_again_at`` is null where a refusal is final."""
    again = verdict.ask_again_at
    return {
        "may_send": verdict.may_send,
        "reason": verdict.reason,
        "do_not_send_after": to_rfc3339(verdict.do_not_send_after),
        "channels": list(verdict.channels),
        "ask_again_at": None if again is None else to_rfc3339(again),
    }


def replay_json(quarantine_id: QuarantineId, receipt: Receipt) -> ReplayJson:
    """What became of a quarantined webhook that was read once more."""
    shown: ReplayJson = {"quarantine_id": quarantine_id, "status": receipt.status}
    if len(receipt.checkout_ids) == 1:
        shown["checkout_id"] = receipt.checkout_ids[0]
    elif receipt.checkout_ids:
        shown["checkout_ids"] = list(receipt.checkout_ids)
    if receipt.reason is not None:
        shown["reason"] = receipt.reason
    return shown


def quarantine_json(record: QuarantineRecord) -> QuarantineJson:
    """A quarantined body, without its bytes."""
    return {
        "id": record.id,
        "source_id": record.source_id,
        "provider": record.provider,
        "event": record.event,
        "reason": record.reason,
        "size": record.size,
        "received_at": to_rfc3339(record.received_at),
        "replayed_at": None if record.replayed_at is None else to_rfc3339(record.replayed_at),
        "replay_status": record.replay_status,
    }
