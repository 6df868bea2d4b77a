"""How many webhooks of a source, and of a merchant, are taken in within a minute.

Far more than a shop sends; so many that one source, gone wild or hostile, cannot take the whole of a stage. Counted per
minute of the clock, over all processes together, and never too strictly: no burst below the limit is refused.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.instants import EPOCH
from shared.domain.merchant import Merchant, Source

MINUTE = timedelta(minutes=1)
_FEWEST_TOLD = 10
_MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class WebhookRates:
    """A stage's limits per minute, for whoever has none of their own."""

    per_source: int = 60_000
    per_merchant: int = 120_000

    def of_merchant(self, merchant: Merchant) -> int:
        """The merchant's limit: its own, which only the operator sets."""
        return merchant.settings.webhooks_per_minute or self.per_merchant

    def of_source(self, source: Source, merchant: Merchant) -> int:
        """The source's limit: its own, which the merchant sets, and never above the merchant's."""
        return min(source.settings.webhooks_per_minute or self.per_source, self.of_merchant(merchant))


def share(limit: int) -> int:
    """How many webhooks a process counts for itself before it tells the others: about a hundredth of the limit.

    Of a small limit a tenth: the fewer writes the counting takes, the later a process hears of the rest.
    """
    return min(max(limit // 100, min(_FEWEST_TOLD, limit // 10), 1), _MOST_TOLD)


def minute_of(at: datetime) -> int:
    """The minute of the clock that counts a webhook of ``at``."""
    return (at - EPOCH) // MINUTE


def rest_of_minute(at: datetime) -> timedelta:
    """How long until the next minute begins."""
    return MINUTE - (at - EPOCH) % MINUTE


@dataclass(slots=True)
class Tally:
    """What one process knows of one source's or merchant's minute."""

    minute: int
    here: int = 0
    """Webhooks that this process took in."""
    told: int = 0
    """Those of them that the others may know of."""
    known: int = 0
    """All of everybody's, when this process last told."""
    refused: bool = False
    """Whether this process refused any."""

    def untold(self) -> int:
        """What this process took in since it last told."""
        return self.here - self.told

    def reaches(self, limit: int) -> bool:
        """Whether the limit is reached, by this process alone or surely by all together.

        A telling that was repeated unseen counted twice, so that the sum must exceed the limit by a share.
        """
        return self.here >= limit or self.known + self.untold() >= limit + share(limit)
