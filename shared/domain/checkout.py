"""The checkout: one purchase attempt at one provider, as Checkback keeps it.

What merges by itself is a *leaf*, named by its dotted path in the contract; the cart is one snapshot. A leaf is
absent or has a value: ``null`` and blank texts from a provider are absence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from shared.domain.cart import Cart
from shared.domain.ids import CheckoutId, MerchantId, SourceId, checkout_id
from shared.domain.instants import parse_instant
from shared.domain.money import Money
from shared.domain.place import Place

type LeafValue = str | tuple[str | None, str | None] | Mapping[str, str]
"""A text; a pair that moves together (a name and its code, a link and its verdict); or a small map of texts."""


class Status(StrEnum):
    """Where a checkout stands (recovery-domain state table)."""

    OPEN = "open"
    PAYMENT_PENDING = "payment_pending"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded"
    RECOVERED = "recovered"
    COMPLETED = "completed"
    DISCARDED = "discarded"
    EXPIRED = "expired"

    @property
    def purchased(self) -> bool:
        """Whether an order was placed: *fixed*, no other event changes it."""
        return self in {Status.RECOVERED, Status.COMPLETED}

    @property
    def unfinished(self) -> bool:
        """Whether the shopper may still buy it and a purchase elsewhere calls it off."""
        return self in {Status.OPEN, Status.PAYMENT_PENDING, Status.ABANDONED}


class Reason(StrEnum):
    """Why a checkout has its status."""

    INCOMPLETE = "incomplete"
    PAYMENT_FAILED = "payment_failed"
    PAYMENT_UNRESOLVED = "payment_unresolved"
    PROVIDER_DECLARED = "provider_declared"
    PURCHASED_ELSEWHERE = "purchased_elsewhere"


class Consent(StrEnum):
    """Marketing consent of one channel. A provider that says nothing leaves it unknown."""

    GRANTED = "granted"
    DENIED = "denied"
    UNKNOWN = "unknown"


ADDRESS_TEXTS = ("first_name", "last_name", "company", "phone", "address1", "address2", "city", "postal_code")
ADDRESS_PAIRS = {"province": "province_code", "country": "country_code"}
CUSTOMER_TEXTS = ("id", "email", "phone", "first_name", "last_name", "company", "legal_entity_id", "locale")
CHANNELS = ("email", "sms", "whatsapp")
ATTRIBUTION_TEXTS = (
    *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "landing_page", "referrer"),
)
ADDRESSES = ("shipping_address", "billing_address")

TEXT_LEAVES = (
    *("name", "cart_id", "join_token", "stage", "note", "started_at", "expires_at"),
    *(f"customer.{name}" for name in CUSTOMER_TEXTS),
    *(f"{address}.{name}" for address in ADDRESSES for name in ADDRESS_TEXTS),
    *(f"consent.channels.{channel}" for channel in CHANNELS),
    *("consent.source", "consent.at"),
    *(f"attribution.{name}" for name in ATTRIBUTION_TEXTS),
)
PAIR_LEAVES = (*(f"{address}.{name}" for address in ADDRESSES for name in ADDRESS_PAIRS), "checkout_url")
"""``checkout_url`` is the link as sent and, where its host is allowed, the https destination of the recovery link."""
MAP_LEAVES = ("attributes", "attribution.click_ids")
LEAVES = (*TEXT_LEAVES, *PAIR_LEAVES, *MAP_LEAVES)


CART_PREFIX = "cart:"
"""Before the token of a cart, as the name of a checkout that has not begun."""
SAMPLE_PREFIX = "sample:"
"""Before the provider's id, as the name of a checkout that a sample made: it is never one of the shop's."""


@dataclass(frozen=True, slots=True)
class Order:
    """The purchase that ended a checkout.

    ``stands_at``: as of when the provider showed it as placed, where a cancellation may be undone there.
    ``reversed``: what was taken back of it, one amount per currency.
    """

    id: str | None
    at: datetime | None
    total: Money | None = None
    stands_at: datetime | None = None
    reversed: tuple[Money, ...] = ()
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry of the checkout's timeline."""

    at: datetime
    type: str
    detail: Mapping[str, str | int | Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A stored checkout. ``version`` counts its writes; ``sequence`` is the version of its last transition."""

    merchant_id: MerchantId
    source_id: SourceId
    provider: str
    external_id: str
    digest: str
    status: Status
    version: int
    order_key: str
    ordered_at: datetime
    """Arrival of the event that set ``order_key``."""
    created_at: datetime
    updated_at: datetime
    last_activity_at: datetime
    idle_ms: int
    sequence: int = 0
    last_update: int = 0
    """Version of the newest write told as ``checkout.updated``."""
    reason: Reason | None = None
    announced: int | None = None
    """Sequence of the abandonment told to endpoints, while it was told."""
    episode_id: str | None = None
    leaves: Mapping[str, LeafValue] = field(default_factory=dict)
    cart: Cart | None = None
    origins: Mapping[str, Place] = field(default_factory=dict)
    """Where what the newest event did not name is from, by its name (``cart`` for the cart)."""
    shape: bytes | None = None
    """Which names the newest event named, as a digest. None in rows of older versions."""
    test: bool = False
    first_abandoned_at: datetime | None = None
    abandoned_at: datetime | None = None
    completed_at: datetime | None = None
    order: Order | None = None
    due_at: datetime | None = None
    last_body: bytes | None = None
    event_digests: frozenset[bytes] = frozenset()
    shard: int = 0
    erased: bool = False
    """Its shopper was erased: nothing is kept but that it was, and nothing more is taken in."""
    kept_until: datetime | None = field(default=None, compare=False)
    """When its row's time is over, as stored; what only it names is kept no longer. None for what is not stored."""

    @property
    def id(self) -> CheckoutId:
        """The public id."""
        return checkout_id(self.digest)

    @property
    def before_checkout(self) -> bool:
        """Whether it is a cart that the provider will give another name to once its shopper checks out."""
        return self.external_id.startswith(CART_PREFIX)

    @property
    def sample(self) -> bool:
        """Whether a sample webhook made it: no shopper was ever there."""
        return self.test and self.external_id.startswith(SAMPLE_PREFIX)

    @property
    def began_at(self) -> datetime:
        """When it was begun: by the provider's word, else when we first heard of it."""
        return parse_instant(self.text("started_at")) or self.created_at

    def text(self, leaf: str) -> str | None:
        """The text leaf's value, or None where it is absent."""
        value = self.leaves.get(leaf)
        return value if isinstance(value, str) else None

    def pair(self, leaf: str) -> tuple[str | None, str | None]:
        """The pair leaf's value, two Nones where it is absent."""
        value = self.leaves.get(leaf)
        return value if isinstance(value, tuple) else (None, None)

    def mapping(self, leaf: str) -> Mapping[str, str]:
        """The map leaf's value, empty where it is absent."""
        value = self.leaves.get(leaf)
        return value if isinstance(value, Mapping) else {}
