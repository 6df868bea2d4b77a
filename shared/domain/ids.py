"""Typed, prefixed identifiers.

All but ``chk_`` sort by time. ``chk_`` is derived from merchant, source and external id, so that concurrent first
webhooks of one checkout meet in one item; ``evt_`` and ``dlv_`` are derived too, so that a retry makes the same id.

Whoever takes an id from outside asks ``is_id`` before anything is read by it: what has another shape is no id.
"""

import base64
import hashlib
import re
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NewType

from ulid import ULID

from shared.domain.instants import from_ms, to_ms

MerchantId = NewType("MerchantId", str)
SourceId = NewType("SourceId", str)
EndpointId = NewType("EndpointId", str)
CheckoutId = NewType("CheckoutId", str)
EpisodeId = NewType("EpisodeId", str)
EventId = NewType("EventId", str)
DeliveryId = NewType("DeliveryId", str)
QuarantineId = NewType("QuarantineId", str)
TokenId = NewType("TokenId", str)
JobId = NewType("JobId", str)
CampaignId = NewType("CampaignId", str)
PoolId = NewType("PoolId", str)

_ULID_LENGTH = 26
_CHECKOUT_DIGEST_BYTES = 16
_ULID = "[0-7][0-9A-HJKMNP-TV-Z]{25}"
"""128 bits in Crockford's base32, upper case: the first character holds three of them."""
_DIGEST = "[a-z2-7]{25}[aeimquy4]"
"""128 bits in RFC 4648's base32, lower case: the last character holds three of them."""


class IdKind(StrEnum):
    """What an id names; the value is its prefix."""

    MERCHANT = "mer"
    TOKEN = "tok"  # noqa: S105 - a prefix
    SOURCE = "src"
    ENDPOINT = "ep"
    CHECKOUT = "chk"
    EPISODE = "epi"
    CAMPAIGN = "cmp"
    POOL = "pool"
    EVENT = "evt"
    DELIVERY = "dlv"
    QUARANTINE = "qrn"
    JOB = "job"
    SUPPRESSION = "sup"


_REST: Final = {
    IdKind.CHECKOUT: _DIGEST,
    IdKind.DELIVERY: _ULID * 2,
    IdKind.SUPPRESSION: "(?:phone|email|customer)_[A-Za-z0-9_-]{20}",
}
"""What follows prefix and underscore; one ULID where nothing is said."""


def id_pattern(kind: IdKind) -> str:
    """The one shape that ids of this kind have, as a regular expression of the whole id."""
    return f"{kind}_{_REST.get(kind, _ULID)}"


_SHAPES: Final = {kind: re.compile(id_pattern(kind)) for kind in IdKind}


def is_id(kind: IdKind, text: str) -> bool:
    """Whether the text has the one shape that ids of this kind have. Says nothing about whether it exists."""
    return _SHAPES[kind].fullmatch(text) is not None


def new_ulid(at: datetime) -> str:
    """A random ULID of the instant ``at``: 26 characters that sort by time."""
    return str(ULID.from_datetime(at))


def derived_ulid(at: datetime, *parts: str) -> str:
    """The ULID of ``at`` whose random half is a hash of ``parts``: the same input makes the same id."""
    return str(ULID.from_bytes(max(to_ms(at), 0).to_bytes(6, "big") + digest(*parts)[:10]))


def digest(*parts: str) -> bytes:
    """SHA-256 over the parts, each preceded by its length, so that no two lists of parts collide."""
    framed = b"".join(len(raw := part.encode("utf-8", "surrogatepass")).to_bytes(4, "big") + raw for part in parts)
    return hashlib.sha256(framed).digest()


def checkout_digest(merchant_id: MerchantId, source_id: SourceId, external_id: str) -> str:
    """26 lower-case base32 characters that name one checkout: the part of ``chk_`` after the prefix."""
    raw = digest(merchant_id, source_id, external_id)[:_CHECKOUT_DIGEST_BYTES]
    return base64.b32encode(raw).decode().rstrip("=").lower()


def checkout_id(of_digest: str) -> CheckoutId:
    """The public id of the checkout with this digest."""
    return CheckoutId(f"chk_{of_digest}")


def digest_of(of_checkout: str) -> str | None:
    """The digest inside a ``chk_`` id, or None when the text is not such an id."""
    return of_checkout.removeprefix("chk_") if is_id(IdKind.CHECKOUT, of_checkout) else None


@lru_cache(maxsize=64)
def digest_bytes(of_digest: str) -> bytes:
    """The 16 bytes behind a checkout digest; each write asks for those of one some three times."""
    return base64.b32decode(of_digest.upper() + "======")


def digest_text(raw: bytes) -> str:
    """The checkout digest of 16 bytes: the inverse of ``digest_bytes``."""
    return base64.b32encode(raw).decode().rstrip("=").lower()


def event_id(at: datetime, of_digest: str, version: int, event_type: str) -> EventId:
    """The id of the event that a checkout's transition at ``version`` makes."""
    return EventId("evt_" + derived_ulid(at, of_digest, str(version), event_type))


def delivery_id(at: datetime, subject: str, endpoint_id: EndpointId) -> DeliveryId:
    """The id of the delivery of ``subject`` (an event or a step) to an endpoint; holds the endpoint's own ULID."""
    return DeliveryId("dlv_" + derived_ulid(at, subject, endpoint_id) + endpoint_id.removeprefix("ep_"))


def step_delivery_id(started_at: datetime, episode_id: str, step: int, endpoint_id: EndpointId) -> DeliveryId:
    """The id of the delivery of a campaign's step, the same at every attempt; ``started_at`` is the episode's."""
    return delivery_id(started_at, f"{episode_id}#{step}", endpoint_id)


def step_event_id(started_at: datetime, episode_id: str, step: int) -> EventId:
    """What stands for an event in a step's delivery."""
    return EventId("evt_" + derived_ulid(started_at, episode_id, str(step)))


def made_at(of_delivery: DeliveryId) -> datetime:
    """The instant that a delivery's id is of, to the millisecond. Raises ValueError for what is none."""
    return from_ms(int.from_bytes(ULID.from_str(of_delivery.removeprefix("dlv_")[:_ULID_LENGTH]).bytes[:6], "big"))


def first_delivery_id(at: datetime) -> str:
    """The id below which no delivery of ``at`` or later lies."""
    return "dlv_" + str(ULID.from_bytes(max(to_ms(at), 0).to_bytes(6, "big") + bytes(10)))


def endpoint_of(of_delivery: str) -> EndpointId | None:
    """The endpoint named inside a ``dlv_`` id, or None when the text is not such an id."""
    return EndpointId("ep_" + of_delivery[-_ULID_LENGTH:]) if is_id(IdKind.DELIVERY, of_delivery) else None
