"""What one provider event says about one checkout, after authentication and normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.cart import Cart
from shared.domain.checkout import LeafValue, Order
from shared.domain.instants import EPOCH


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
    other; beyond that, and between equal ranks, arrival decides.
    """

    value: str
    clockless: bool = False


def clock_key(instant: datetime, body_digest: bytes) -> OrderKey:
    """The key of an event by the provider's own clock; the body breaks a tie, the same way in any order of arrival."""
    return OrderKey(f"{(instant - EPOCH) // timedelta(microseconds=1):017d}.{body_digest[:4].hex()}")


def sequence_key(sequence: int, body_digest: bytes) -> OrderKey:
    """The key of an event by the provider's own sequence number."""
    return OrderKey(f"{max(sequence, 0):020d}.{body_digest[:4].hex()}")


def on_our_clock(change: "CheckoutChange", arrived_at: datetime, ahead: timedelta) -> "CheckoutChange":
    """The change, ordered by its arrival where the provider's clock runs ahead of ours by more than ``ahead``.

    One timestamp from the future would make every later event of the checkout stale.
    """
    own = change.occurred_at
    if own is None or own <= arrived_at + ahead or change.order_key != clock_key(own, change.body_digest):
        return change
    return replace(change, order_key=clock_key(arrived_at, change.body_digest))


NO_ORDER = OrderKey("")
"""The event compares with no other: it fills gaps and moves the status only where a purchase does."""


@dataclass(frozen=True, slots=True)
class CheckoutChange:
    """One normalised event. ``leaves`` and ``cart`` hold only what the provider sent.

    ``event_id`` is the provider's own id of the event, where it has one; ``body_digest`` stands in where it has not.
    ``join_token`` among the leaves is the token that this checkout's order will name, where it is not ``cart_id``.
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
    join_tokens: tuple[str, ...] = ()
    """For a purchase that may not name its checkout: tokens under which one may be known (cart, checkout), best first.

    Such a purchase has an ``external_id`` of its own (``order:<id>``), used when no checkout is found.
    """
    raw: bytes | None = field(default=None, repr=False)
    """The provider's body without its private fields, compressed; only where an endpoint asks for it."""
    part: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    """Of a body that is about several checkouts: the object in it that says this."""
    bodiless: bool = False
    """It only points to the contents, or tells something beside them: the body that is kept stays."""
    correlation_id: str | None = field(default=None, compare=False)
    """The request that brought it: whatever is sent because of it names that."""
    second_hand: bool = False
    """Of a purchase that may have been made through another checkout of the same cart, which tells of it itself."""
    join_contact: bool = False
    """After the tokens, the shopper's newest unfinished checkout at the same source is the one bought."""
