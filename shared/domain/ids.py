"""Typed, prefixed identifiers.

All but ``chk_`` sort by time. ``chk_`` is derived from merchant, source and external id, so that concurrent first
webhooks of one checkout meet in one item; ``evt_`` and ``dlv_`` are derived too, so that a retry makes the same id.
"""

import base64
import hashlib
from datetime import datetime
from typing import NewType

from ulid import ULID

from shared.domain.instants import to_ms

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
    prefix, _, rest = of_checkout.partition("_")
    well_formed = prefix == "chk" and len(rest) == _ULID_LENGTH and rest.isascii() and rest.isalnum()
    return rest if well_formed and rest == rest.lower() else None


def digest_bytes(of_digest: str) -> bytes:
    """The 16 bytes behind a checkout digest."""
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


def first_delivery_id(at: datetime) -> str:
    """The id below which no delivery of ``at`` or later lies."""
    return "dlv_" + str(ULID.from_bytes(max(to_ms(at), 0).to_bytes(6, "big") + bytes(10)))


def endpoint_of(of_delivery: str) -> EndpointId | None:
    """The endpoint named inside a ``dlv_`` id, or None when the text is not such an id."""
    rest = of_delivery.removeprefix("dlv_")
    if rest == of_delivery or len(rest) != 2 * _ULID_LENGTH or not (rest.isascii() and rest.isalnum()):
        return None
    return EndpointId("ep_" + rest[_ULID_LENGTH:])
