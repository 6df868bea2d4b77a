"""What one provider event says about one checkout, after authentication and normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from shared.domain.cart import Cart
from shared.domain.checkout import LeafValue, Order


class Signal(StrEnum):
    """What the event means for the checkout's status."""

    ACTIVITY = "activity"
    PAYMENT_STARTED = "payment_started"
    PAYMENT_FAILED = "payment_failed"
    ABANDONED = "abandoned"
    """The provider itself declares the checkout abandoned."""
    PURCHASED = "purchased"
    ENDED = "ended"
    """Emptied or deleted at the provider."""


@dataclass(frozen=True, slots=True)
class OrderKey:
    """Where an event stands among the events of its checkout.

    ``value`` sorts as text (numbers zero-padded): the provider's finest own clock or sequence. ``clockless``: the
    value is only a rank (FlexyPe flat: the stage), which reorders events that arrive within two minutes of each
    other; beyond that, arrival decides.
    """

    value: str
    clockless: bool = False


@dataclass(frozen=True, slots=True)
class CheckoutChange:
    """One normalised event. ``leaves`` and ``cart`` hold only what the provider sent.

    ``event_id`` is the provider's own id of the event, where it has one; ``body_digest`` stands in where it has not.
    ``occurred_at`` is the event's own time, ``abandoned_at`` the provider's own time of abandonment.
    """

    external_id: str
    signal: Signal
    order_key: OrderKey
    body_digest: bytes
    event_id: str | None = None
    occurred_at: datetime | None = None
    abandoned_at: datetime | None = None
    order: Order | None = None
    leaves: Mapping[str, LeafValue] = field(default_factory=dict)
    cart: Cart | None = None
    test: bool = False
    cart_token: str | None = None
    """A purchase that names its cart instead of its checkout."""
