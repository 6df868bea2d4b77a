"""Customers and suppressions: request bodies, and how suppressions are shown."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict

from pydantic import ConfigDict, Field, StringConstraints

from shared.api.checkouts import ActivityJson, Cursor, DeliveryJson, Email, Phone, activity_json, delivery_json
from shared.api.fields import SAID, Shape, Strict, exactly_one
from shared.api.problems import FieldError, Problem, invalid
from shared.domain.consent import Channel
from shared.domain.episode import Episode, EpisodeJson
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import MerchantId
from shared.domain.instants import InstantText, to_rfc3339
from shared.domain.phone import to_e164
from shared.domain.pointer import pointer
from shared.domain.representation import CheckoutJson, checkout_json
from shared.domain.step_state import StepState
from shared.domain.suppression import channels_meant
from shared.store.shoppers import ShopperRecord
from shared.store.suppressions import Suppression
from shared.workflows.privacy.customer_erasure import Erased
from shared.workflows.privacy.customer_export import Export

ChannelName = Literal["email", "sms", "whatsapp"]
CustomerId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_PREFIX = "sup_"
_KINDS: Mapping[IdentityKind, Literal["phone", "email", "customer_id"]] = {
    IdentityKind.PHONE: "phone",
    IdentityKind.EMAIL: "email",
    IdentityKind.CUSTOMER: "customer_id",
}
"""By what a customer is suppressed; a cart is no customer."""

Reason = Annotated[
    str,
    Shape(
        r"(?!.*[0-9]{5})[^\W\d_][\w .,'()-]{0,99}",
        "a few words without addresses or numbers, at most 100 characters",
        ("asked for it",),
    ),
]


class CustomerBody(Strict):
    """One customer, by exactly one identifier."""

    model_config = ConfigDict(json_schema_extra=exactly_one("phone", "email", "customer_id"))

    phone: Annotated[Phone, StringConstraints(min_length=1, max_length=40)] | None = None
    email: Email | None = None
    customer_id: Annotated[CustomerId, SAID] | None = None

    def identifier(self, country: str) -> tuple[IdentityKind, str]:
        """The identifier in its normal form; ``country`` (alpha-2) reads a phone without a country code.

        Raises Problem 422 unless exactly one is given, and for what is no phone number.
        """
        named = {
            IdentityKind.PHONE: self.phone,
            IdentityKind.EMAIL: self.email,
            IdentityKind.CUSTOMER: self.customer_id,
        }
        given = [(kind, value) for kind, value in named.items() if value is not None]
        if len(given) != 1:
            raise invalid([FieldError("give exactly one of phone, email and customer_id", pointer())])
        kind, value = given[0]
        if kind is not IdentityKind.PHONE:
            return kind, value
        number = to_e164(value, country)
        if number is None:
            raise invalid([FieldError("not a valid phone number", pointer("phone"))])
        return kind, number


class SuppressionBody(CustomerBody):
    """Whom never to contact, over which channels (default: all), and why."""

    channels: Annotated[list[ChannelName], Field(min_length=1, max_length=3)] | None = None
    reason: Reason = "merchant"

    def closed(self) -> frozenset[Channel]:
        """The channels meant."""
        return channels_meant(self.channels)


class LiftBody(CustomerBody):
    """Whom to allow contact again, over which channels (default: all)."""

    channels: Annotated[list[ChannelName], Field(min_length=1, max_length=3)] | None = None


class ErasureBody(CustomerBody):
    """Whom to erase. ``cursor`` is that of a 202 answer, to go on where it stopped."""

    cursor: Annotated[Cursor, StringConstraints(max_length=512)] | None = None


class ExportBody(CustomerBody):
    """Whose data to export. ``cursor`` is an earlier page's ``next_cursor``."""

    cursor: Annotated[Cursor, StringConstraints(max_length=512)] | None = None


class ClosedChannelJson(TypedDict):
    """Why and since when one channel is closed."""

    channel: Channel
    reason: str
    at: InstantText


class SuppressionJson(TypedDict):
    """An identifier that is not to be contacted."""

    id: str
    kind: Literal["phone", "email", "customer_id"]
    identifier_hash: str
    """The identifier itself is not kept."""
    channels: list[Channel]
    """Those that are closed."""
    reason: str | None
    """Of the channel that was closed first."""
    at: InstantText | None
    details: list[ClosedChannelJson]


class ErasureJson(TypedDict):
    """What an erasure did, in numbers."""

    status: Literal["erased", "erasing"]
    checkouts: int
    quarantined: int
    """Webhooks in the quarantine that were about the customer."""
    endpoints_told: list[str]
    """Those that get `customer.erased`."""
    cursor: str | None
    """Only while more is left: send it with the next call."""


class ExportedEventJson(TypedDict):
    """One event as it was told, and its deliveries."""

    event: dict[str, Any]
    deliveries: list[DeliveryJson]


class ExportedCheckoutJson(CheckoutJson):
    """A checkout with all that hangs on it."""

    activities: list[ActivityJson]
    events: list[ExportedEventJson]


class ExportedStepJson(TypedDict):
    """One planned message of an episode."""

    step: int
    status: StepState
    reason: str | None
    channel: str | None
    due_at: InstantText
    handed_over_at: InstantText | None
    vendor_message_id: str | None


class ExportedEpisodeJson(EpisodeJson):
    """An episode and its messages. `holdout`: its shopper was left without any, to compare."""

    campaign_id: str | None
    holdout: bool
    steps: list[ExportedStepJson]


class RememberedJson(TypedDict):
    """What is remembered of an identifier."""

    kind: str
    identifier_hash: str
    purchased_at: InstantText | None
    cooldown_until: InstantText | None
    last_message_at: InstantText | None
    capped_until: InstantText | None
    """The latest of ``capped``."""
    capped: dict[str, InstantText]
    """Channels over which a vendor takes no marketing for the person for now, and until when."""
    last_discount_at: InstantText | None
    suppressed: dict[str, str]
    """Channels that are closed, and why."""


class ExportPageJson(TypedDict):
    """One page of all that is held about a customer."""

    generated_at: InstantText
    checkouts: list[ExportedCheckoutJson]
    episodes: list[ExportedEpisodeJson]
    remembered: list[RememberedJson]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null at the end."""


def suppression_id(identity: Identity) -> str:
    """The id under which a suppression is listed and lifted."""
    return f"{_PREFIX}{identity.kind.value}_{identity.mac}"


def identity_of(merchant_id: MerchantId, named: str) -> Identity | None:
    """The identity behind a suppression's id, as the asking merchant's own; None for what is no such id."""
    kind, _, mac = named.removeprefix(_PREFIX).partition("_")
    if not named.startswith(_PREFIX) or kind not in {"phone", "email", "customer"} or not 0 < len(mac) <= 64:
        return None
    return Identity(merchant_id, IdentityKind(kind), mac)


def suppression_json(row: Suppression) -> SuppressionJson:
    """A suppression as the API shows it: the identifier only as its keyed hash."""
    details: list[ClosedChannelJson] = [
        {"channel": channel, "reason": own.reason, "at": to_rfc3339(own.at)}
        for channel, own in sorted(row.channels.items())
    ]
    first = min(row.channels.values(), key=lambda own: own.at, default=None)
    return {
        "id": suppression_id(row.identity),
        "kind": _KINDS[row.identity.kind],
        "identifier_hash": row.identity.mac,
        "channels": sorted(row.channels),
        "reason": None if first is None else first.reason,
        "at": None if first is None else to_rfc3339(first.at),
        "details": details,
    }


def as_parameters(problem: Problem) -> Problem:
    """The same problem of query parameters instead of a body."""
    errors = [
        FieldError(own.detail, parameter=(own.pointer or "").strip("/") or "phone | email | customer_id")
        for own in problem.errors
    ]
    return invalid(errors)


def erasure_json(done: Erased, cursor: str | None) -> ErasureJson:
    """What an erasure did, in numbers; ``cursor`` only while more is left."""
    return {
        "status": "erased" if done.done else "erasing",
        "checkouts": done.checkouts,
        "quarantined": done.quarantined,
        "endpoints_told": sorted(done.told),
        "cursor": cursor,
    }


def export_json(found: Export, link: Callable[[str], str], now: datetime, next_cursor: str | None) -> ExportPageJson:
    """One page of an export; ``link`` makes a checkout's recovery link from its digest."""
    return {
        "generated_at": to_rfc3339(now),
        "checkouts": [
            {
                **checkout_json(own.checkout, link(own.checkout.digest), len(own.activities)),
                "activities": [activity_json(each) for each in own.activities],
                "events": [
                    {"event": each.body, "deliveries": [delivery_json(one) for one in each.deliveries]}
                    for each in own.events
                ],
            }
            for own in found.checkouts
        ],
        "episodes": [_episode_json(own) for own in found.episodes],
        "remembered": [_remembered_json(own) for own in found.remembered],
        "next_cursor": next_cursor,
    }


def _episode_json(episode: Episode) -> ExportedEpisodeJson:
    steps: list[ExportedStepJson] = [
        {
            "step": own.number,
            "status": own.state,
            "reason": own.reason,
            "channel": own.channel,
            "due_at": to_rfc3339(own.due_at),
            "handed_over_at": _at(own.handed_over_at),
            "vendor_message_id": own.vendor_message_id,
        }
        for own in episode.steps
    ]
    return {**episode.as_json(), "campaign_id": episode.campaign_id, "holdout": episode.holdout, "steps": steps}


def _remembered_json(record: ShopperRecord) -> RememberedJson:
    memory = record.memory
    return {
        "kind": record.identity.kind.value,
        "identifier_hash": record.identity.mac,
        "purchased_at": _at(memory.purchased_at),
        "cooldown_until": _at(memory.cooldown_until),
        "last_message_at": _at(memory.last_message_at),
        "capped_until": _at(max(memory.capped.values(), default=None)),
        "capped": {channel.value: to_rfc3339(until) for channel, until in memory.capped.items()},
        "last_discount_at": _at(memory.last_discount_at),
        "suppressed": {channel.value: reason for channel, reason in memory.suppressed.items()},
    }


def _at(instant: datetime | None) -> str | None:
    return None if instant is None else to_rfc3339(instant)
