"""Checkouts, their timeline and deliveries: query parameters, request bodies, and how they are shown."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from shared.api.cursors import LONGEST_CURSOR
from shared.api.fields import SAID, Shape, Strict, described
from shared.api.problems import invalid_parameter
from shared.domain.checkout import Activity
from shared.domain.instants import parse_instant, to_rfc3339
from shared.domain.phone import to_e164
from shared.store.deliveries import DeliveryRecord
from shared.store.quarantine import QuarantineRecord
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


def activity_json(activity: Activity) -> dict[str, Any]:
    """One entry of a timeline."""
    return {"at": to_rfc3339(activity.at), "type": activity.type, "detail": dict(activity.detail)}


def delivery_json(delivery: DeliveryRecord) -> dict[str, Any]:
    """A delivery with its newest attempts."""
    upcoming = delivery.next_attempt_at
    return {
        "id": delivery.id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "checkout_id": f"chk_{delivery.checkout_digest}" if delivery.of_checkout else None,
        "status": delivery.status.value,
        "reason": delivery.reason,
        "attempt_count": delivery.attempt_count,
        "attempts": [dict(attempt) for attempt in delivery.attempts],
        "reports": {status: to_rfc3339(at) for status, at in sorted(delivery.reports.items())},
        "next_attempt_at": None if upcoming is None else to_rfc3339(upcoming),
        "created_at": to_rfc3339(delivery.created_at),
        "correlation_id": delivery.correlation_id,
    }


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The gate's answer to a BSP. ``ask_again_at`` is null where a refusal is final."""
    again = verdict.ask_again_at
    return {
        "may_send": verdict.may_send,
        "reason": verdict.reason,
        "do_not_send_after": to_rfc3339(verdict.do_not_send_after),
        "channels": list(verdict.channels),
        "ask_again_at": None if again is None else to_rfc3339(again),
    }


def quarantine_json(record: QuarantineRecord) -> dict[str, Any]:
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
