"""Checkouts out of a provider's list, each under the checkout that a webhook made of it where there is one."""

from dataclasses import replace
from datetime import datetime

from shared.domain.change import CheckoutChange, Signal
from shared.domain.ids import checkout_digest
from shared.domain.transitions import Arrival, Effect
from shared.store.checkouts import CheckoutStore
from shared.store.jobs import JobCounts
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.purchase import Purchases
from shared.workflows.intake.source_apis import AskedSource
from shared.workflows.intake.sources import settings_of


class ListedCheckouts:
    """Merges listed checkouts. One per process."""

    def __init__(self, merger: Merger, purchases: Purchases, checkouts: CheckoutStore) -> None:
        """Share the stores of one process."""
        self._merger = merger
        self._purchases = purchases
        self._checkouts = checkouts

    def merge(self, change: CheckoutChange, asked: AskedSource, arrival: Arrival, *, since: datetime) -> JobCounts:
        """Merge one listed checkout and count what became of it.

        What is older than ``since`` is skipped, and so is word of a purchase that is known: a list names no
        order, and the order must not count twice.
        """
        if (acted_at := _last_act(change)) is not None and acted_at < since:
            return JobCounts(skipped=1)
        joined = self._purchases.joined(change, arrival)
        known = self._checkouts.get(checkout_digest(arrival.merchant_id, arrival.source_id, joined.external_id))
        bought = joined.signal is Signal.PURCHASED and (joined.order is None or joined.order.id is None)
        if bought and known is not None and known.status.purchased:
            return JobCounts(unchanged=1)
        applied = self._merger.merge(self._declared(joined, asked, arrival), arrival)
        if applied.effect in {Effect.STALE, Effect.DUPLICATE}:
            return JobCounts(unchanged=1)
        return JobCounts(created=1) if known is None else JobCounts(merged=1)

    @staticmethod
    def _declared(change: CheckoutChange, asked: AskedSource, arrival: Arrival) -> CheckoutChange:
        """A list of a provider that declares no abandonment also holds checkouts in use: our idle time decides."""
        if change.signal is not Signal.ABANDONED or asked.provider.description.declares_abandonment:
            return change
        if asked.source.settings.on_arrival == "abandoned":
            return change
        idle_since = change.occurred_at or arrival.at
        if arrival.at - idle_since >= settings_of(asked.source, asked.merchant).idle_after:
            return change
        return replace(change, signal=Signal.ACTIVITY, abandoned_at=None)


def _last_act(change: CheckoutChange) -> datetime | None:
    times = [own for own in (change.occurred_at, change.order.at if change.order else None) if own is not None]
    return max(times, default=None)
