"""What is remembered of a shopper across episodes, whichever identifier it is remembered under."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.consent import Channel


@dataclass(frozen=True, slots=True)
class Shopper:
    """One identifier's memory, or several identifiers' together. ``suppressed`` is channel to reason."""

    purchased_at: datetime | None = None
    cooldown_until: datetime | None = None
    """No recovery message before: the rest after an order."""
    last_message_at: datetime | None = None
    """Last hand-over of a recovery message, in any episode, over any channel."""
    capped: Mapping[Channel, datetime] = field(default_factory=dict)
    """Until when a vendor takes no marketing for this person, by channel."""
    last_discount_at: datetime | None = None
    """When a code was last allocated in an earlier episode."""
    suppressed: Mapping[Channel, str] = field(default_factory=dict)


UNKNOWN_SHOPPER = Shopper()
"""Nothing is remembered."""


def together(parts: Iterable[Shopper]) -> Shopper:
    """The shopper behind several identifiers: the latest of every instant, every suppression."""
    several = list(parts)

    def latest(name: str) -> datetime | None:
        return max((at for own in several if (at := getattr(own, name)) is not None), default=None)

    suppressed: dict[Channel, str] = {}
    capped: dict[Channel, datetime] = {}
    for own in several:
        suppressed = {**own.suppressed, **suppressed}
        capped |= {channel: max(until, capped.get(channel, until)) for channel, until in own.capped.items()}
    return Shopper(
        purchased_at=latest("purchased_at"),
        cooldown_until=latest("cooldown_until"),
        last_message_at=latest("last_message_at"),
        capped=capped,
        last_discount_at=latest("last_discount_at"),
        suppressed=suppressed,
    )
