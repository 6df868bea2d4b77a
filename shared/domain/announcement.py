"""The contract's webhook envelope: what merchants' endpoints receive, and whether it is still true at an attempt."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.domain.checkout import Checkout, Status
from shared.domain.episode import Episode
from shared.domain.ids import EventId
from shared.domain.instants import to_rfc3339
from shared.domain.representation import checkout_json
from shared.domain.settings import Settings


class EventType(StrEnum):
    """Every event type an endpoint may subscribe to."""

    UPDATED = "checkout.updated"
    ABANDONED = "checkout.abandoned"
    SUPERSEDED = "checkout.superseded"
    RECOVERED = "checkout.recovered"
    COMPLETED = "checkout.completed"
    DISCARDED = "checkout.discarded"
    EXPIRED = "checkout.expired"
    CUSTOMER_ERASED = "customer.erased"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_TEST = "endpoint.test"


@dataclass(frozen=True, slots=True)
class Messaging:
    """The gate's verdict at the moment of the event, for a BSP that sends on its own."""

    may_send: bool
    reason: str | None


def envelope(
    event_id: EventId,
    event_type: EventType,
    at: datetime,
    checkout: Checkout,
    *,
    recovery_url: str | None,
    episode: Episode | None,
    messaging: Messaging,
    settings: Settings,
) -> dict[str, Any]:
    """The body of a checkout event. ``sequence`` rises with every write to the checkout, with gaps."""
    return {
        "id": event_id,
        "type": event_type.value,
        "timestamp": to_rfc3339(at),
        "sequence": checkout.version,
        "merchant_id": checkout.merchant_id,
        "do_not_send_after": to_rfc3339(do_not_send_after(checkout, settings)),
        "messaging": {"may_send": messaging.may_send, "reason": messaging.reason},
        "data": {
            "checkout": checkout_json(checkout, recovery_url),
            "episode": None if episode is None else episode.as_json(),
        },
    }


def do_not_send_after(checkout: Checkout, settings: Settings) -> datetime:
    """After this instant no message about the checkout may go out: counted from the shopper's last activity."""
    return checkout.last_activity_at + min(settings.do_not_send_after, settings.recovery_horizon)


def messaging_verdict(checkout: Checkout, settings: Settings, now: datetime) -> Messaging:
    """Whether a BSP may message the shopper now, by what the checkout itself tells; first failing reason wins."""
    refusal = _refusal(checkout, settings, now)
    return Messaging(may_send=refusal is None, reason=refusal)


def _refusal(checkout: Checkout, settings: Settings, now: datetime) -> str | None:
    by_status = {
        Status.RECOVERED: "purchased",
        Status.COMPLETED: "purchased",
        Status.PAYMENT_PENDING: "payment_pending",
        Status.SUPERSEDED: "superseded",
        Status.OPEN: "shopper_active",
        Status.DISCARDED: "suppressed",
        Status.EXPIRED: "too_old",
    }.get(checkout.status)
    if by_status is not None:
        return by_status
    if now >= do_not_send_after(checkout, settings):
        return "too_old"
    if checkout.text("customer.phone") is None and checkout.text("customer.email") is None:
        return "no_contact"
    consents = {checkout.text(f"consent.channels.{channel}") for channel in ("email", "sms", "whatsapp")}
    if "granted" in consents or (settings.consent == "unknown_allowed" and consents != {"denied"}):
        return None
    return "no_consent"


def staleness(event_type: str, event_version: int, checkout: Checkout | None) -> str | None:
    """Why an undelivered event must not go out any more, or None while it is true.

    Facts that happened stay true; an abandonment is called off by whatever came after it, an update by the next.
    """
    if checkout is None:
        return None if event_type not in {EventType.ABANDONED, EventType.UPDATED} else "erased"
    if event_type == EventType.ABANDONED:
        if checkout.status is Status.ABANDONED and checkout.sequence == event_version:
            return None
        return _refusal_of_abandonment(checkout)
    if event_type == EventType.UPDATED and checkout.last_update > event_version:
        return "outdated"
    return None


def _refusal_of_abandonment(checkout: Checkout) -> str:
    return {
        Status.RECOVERED: "purchased",
        Status.COMPLETED: "purchased",
        Status.SUPERSEDED: "superseded",
        Status.PAYMENT_PENDING: "payment_pending",
        Status.OPEN: "shopper_active",
        Status.DISCARDED: "discarded",
        Status.EXPIRED: "expired",
        Status.ABANDONED: "outdated",
    }[checkout.status]
