"""What a marked image tells: an order, or a transition of a checkout as it was committed."""

import zlib
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.announcement import EventType
from shared.domain.checkout import Checkout
from shared.domain.transitions import Mark
from shared.store.checkout_item import CAUSE, RAW, from_item
from shared.store.orders import ORDER_MARK, TAKEN_BACK_MARK, OrderRecord, read_order
from shared.store.writes import Item


class MalformedRecord(ValueError):
    """A stream record that no retry can make readable."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A checkout as it stood after the write that carried ``mark``.

    ``raw`` is the provider's last body, compressed JSON, where it is kept; ``correlation_id`` is the request that last
    had a say in the checkout.
    """

    checkout: Checkout
    mark: Mark
    raw: bytes | None = None
    correlation_id: str | None = None

    @property
    def event_type(self) -> EventType:
        """What merchants see it as."""
        return EventType(self.mark.event_type)

    @property
    def at(self) -> datetime:
        """When it happened, from the image itself: the same at every retry."""
        if self.mark is Mark.ABANDONED and self.checkout.abandoned_at is not None:
            return self.checkout.abandoned_at
        return self.checkout.updated_at


def told_by(image: Item) -> OrderRecord | Transition:
    """What the image tells. Raises MalformedRecord for what is none of ours."""
    try:
        if image["te"] in {ORDER_MARK, TAKEN_BACK_MARK}:
            return read_order(image)
        checkout = replace(from_item(image), version=int(image["tr"]))
        return Transition(checkout, Mark(image["te"]), image.get(RAW), image.get(CAUSE))
    except (KeyError, ValueError, TypeError, IndexError, zlib.error) as malformed:
        raise MalformedRecord(f"{type(malformed).__name__} in a marked record") from malformed
