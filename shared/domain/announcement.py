"""The contract's webhook envelope: what merchants' endpoints receive, and whether it is still true at an attempt."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NotRequired, TypedDict

from shared.domain import gate as gating
from shared.domain.checkout import Checkout, Status
from shared.domain.episode import Episode, EpisodeJson
from shared.domain.ids import EventId
from shared.domain.instants import InstantText, to_rfc3339
from shared.domain.representation import CheckoutJson, checkout_json
from shared.domain.settings import Settings
from shared.domain.shopper import UNKNOWN_SHOPPER, Shopper


class EventType(StrEnum):
    """Every event type an endpoint may subscribe to."""

    UPDATED = "checkout.updated"
    ABANDONED = "checkout.abandoned"
    SUPERSEDED = "checkout.superseded"
    RECOVERED = "checkout.recovered"
    COMPLETED = "checkout.completed"
    REVERSED = "checkout.reversed"
    DISCARDED = "checkout.discarded"
    EXPIRED = "checkout.expired"
    CUSTOMER_ERASED = "customer.erased"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_TEST = "endpoint.test"


class MessagingJson(TypedDict):
    """Whether a message may go to the shopper, by the merchant's rules at the moment of the event."""

    may_send: bool
    reason: str | None
    """Why not."""


class CheckoutEventDataJson(TypedDict):
    """What a checkout event is about."""

    checkout: CheckoutJson
    """As it was at the moment of the event; its `activities_count` is 0."""
    episode: EpisodeJson | None
    """The recovery attempt that it belongs to."""


class _AboutCheckoutJson(TypedDict):
    id: str
    """The same for every endpoint and every attempt: it is the `webhook-id`."""
    type: EventType
    timestamp: InstantText
    sequence: int
    """Rises with every write to the checkout, with gaps."""
    merchant_id: str
    do_not_send_after: InstantText
    """After this instant no message about the checkout may go out."""
    messaging: MessagingJson


class CheckoutEventJson(_AboutCheckoutJson):
    """Something happened to a checkout."""

    data: CheckoutEventDataJson


class StepJson(TypedDict):
    """The part of a campaign step: what to say, and by which links."""

    index: int
    campaign_id: str
    template: dict[str, object] | None
    """As the campaign has it."""
    coupon_code: str | None
    recovery_url: str
    unsubscribe_url: str
    idempotency_key: str
    """The delivery's id: whoever sends the message sends it once per key."""


class StepEventDataJson(CheckoutEventDataJson):
    """What a message is about."""

    step: StepJson


class MerchantNameJson(TypedDict):
    """In whose name a message goes out."""

    id: str
    name: str


class StepEventJson(_AboutCheckoutJson):
    """A campaign's message to a shopper, for a receiver that sends it: `checkout.abandoned` with a step."""

    data: StepEventDataJson
    merchant: MerchantNameJson


class ErasedJson(TypedDict):
    """What the receiver must delete."""

    checkout_ids: list[str]
    episode_ids: list[str]


class CustomerErasedJson(TypedDict):
    """A shopper was erased: whatever is kept under these ids must go."""

    id: str
    type: EventType
    timestamp: InstantText
    sequence: int
    merchant_id: str
    data: ErasedJson


class EndpointAboutJson(TypedDict):
    """The endpoint that an event is about: `test` in a test, `status` and its reason where it was disabled."""

    id: str
    kind: str
    name: str | None
    url: str | None
    test: NotRequired[bool]
    status: NotRequired[str]
    disabled_reason: NotRequired[str]


class EndpointEventDataJson(TypedDict):
    """What an endpoint event is about."""

    endpoint: EndpointAboutJson


class EndpointEventJson(TypedDict):
    """Something happened to an endpoint; nothing in it is about shoppers."""

    id: str
    type: EventType
    timestamp: InstantText
    sequence: int
    merchant_id: str
    do_not_send_after: None
    messaging: None
    data: EndpointEventDataJson


type EventJson = CheckoutEventJson | StepEventJson | CustomerErasedJson | EndpointEventJson
"""The body of every webhook there is."""


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
) -> CheckoutEventJson:
    """The body of a checkout event. ``sequence`` rises with every write to the checkout, with gaps."""
    return {
        "id": event_id,
        "type": event_type,
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
    return gating.do_not_send_after(checkout, settings)


def messaging_verdict(
    checkout: Checkout,
    settings: Settings,
    now: datetime,
    *,
    merchant_zone: str | None = None,
    merchant_country: str | None = None,
    episode: Episode | None = None,
    shopper: Shopper = UNKNOWN_SHOPPER,
) -> Messaging:
    """The gate's verdict for a BSP that messages on its own, over whichever channel it chooses.

    What is not given is not judged: without the shopper's memory no suppression, cap or purchase elsewhere; without
    the merchant's zone no quiet hours for a recipient whose own zone is unknown.
    """
    facts = gating.GateFacts(
        now=now,
        checkout=checkout,
        settings=settings,
        merchant_zone=merchant_zone,
        merchant_country=merchant_country,
        episode=episode,
        shopper=shopper,
    )
    return messaging(gating.gate(facts))


def messaging(decision: gating.Decision) -> Messaging:
    """A decision as a BSP is told it."""
    return Messaging(isinstance(decision, gating.Send), None if decision.reason is None else decision.reason.value)


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
