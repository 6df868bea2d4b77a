"""How a merchant's sources are doing, read from what they brought: ingest writes nothing for it.

The newest checkouts, purchases and quarantined bodies of all sources are read once, and each is told what is its own.
Samples are none of it: that our own webhook was understood says nothing of whether the provider sends any.
A source that is quieter than the others may be in none of them: until when one would have been seen is told beside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.checkout import Checkout, Status
from shared.domain.ids import SourceId
from shared.domain.merchant import Merchant
from shared.store.quarantine import UNDERSTOOD, QuarantineRecord, QuarantineStore
from shared.workflows.insight.checkout_search import CheckoutQuery, CheckoutSearch

MOST_LOOKED_AT = 100
"""Newest of each kind: checkouts, purchases, quarantined bodies."""


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """What one source brought, of what was looked at. ``quarantined``: bodies that are not understood by now."""

    last_activity_at: datetime | None
    last_purchase_at: datetime | None
    last_quarantined_at: datetime | None
    checkouts: int
    quarantined: int

    @property
    def heard_at(self) -> datetime | None:
        """When it was heard of last."""
        return _newest((self.last_activity_at, self.last_quarantined_at))

    @property
    def understood(self) -> float | None:
        """The share that is understood; None where it brought nothing."""
        whole = self.checkouts + self.quarantined
        return self.checkouts / whole if whole else None


@dataclass(frozen=True, slots=True)
class SourcesHealth:
    """All that was looked at. ``*_since``: what is older was not; None: all that is kept was looked at."""

    checkouts: Sequence[Checkout]
    purchases: Sequence[Checkout]
    quarantined: Sequence[QuarantineRecord]
    checkouts_since: datetime | None
    purchases_since: datetime | None
    quarantined_since: datetime | None

    def of(self, source_id: SourceId) -> SourceHealth:
        """What is the source's own."""
        checkouts = [own for own in self.checkouts if own.source_id == source_id and not own.sample]
        bought = [own for own in self.purchases if own.source_id == source_id and not own.sample]
        bodies = [own for own in self.quarantined if own.source_id == source_id]
        return SourceHealth(
            _newest(own.last_activity_at for own in (*checkouts, *bought)),
            _newest(own.completed_at for own in bought),
            _newest(own.received_at for own in bodies),
            len(checkouts),
            sum(own.replay_status not in UNDERSTOOD for own in bodies),
        )


def sources_health(
    merchant: Merchant, search: CheckoutSearch, quarantine: QuarantineStore, now: datetime
) -> SourcesHealth:
    """Look at the newest of everything: four lists, each in pages of at most ``MOST_LOOKED_AT``."""

    def newest(status: Status | None) -> tuple[list[Checkout], bool]:
        found, after = search.find(merchant, CheckoutQuery(status=status), now, limit=MOST_LOOKED_AT, after=None)
        return found, after is not None

    checkouts, more = newest(None)
    bought = [newest(status) for status in Status if status.purchased]
    purchases = [own for found, _ in bought for own in found]
    bodies, later = quarantine.listed(merchant.id, limit=MOST_LOOKED_AT, start=None)
    own_bodies = [own for own in bodies if own.merchant_id == merchant.id]
    # Of two lists of purchases the one that ends sooner says how far back both were seen.
    ends = [found[-1].last_activity_at for found, further in bought if further and found]
    return SourcesHealth(
        checkouts,
        purchases,
        own_bodies,
        checkouts[-1].last_activity_at if more and checkouts else None,
        max(ends, default=None),
        own_bodies[-1].received_at if later is not None and own_bodies else None,
    )


def _newest(instants: Iterable[datetime | None]) -> datetime | None:
    return max((own for own in instants if own is not None), default=None)
