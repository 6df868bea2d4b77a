"""Merging normalised changes durably, whoever brought them: a webhook, a pull, a replay."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.domain.change import NO_ORDER, CheckoutChange, Signal, on_our_clock
from shared.domain.checkout import Checkout
from shared.domain.instants import MOST_AHEAD
from shared.domain.merchant import Merchant, Source
from shared.domain.transitions import Applied, Arrival, Effect, apply
from shared.store.checkouts import CheckoutStore, StaleVersion
from shared.store.table import StoreUnavailable
from shared.workflows.intake.contention import ROUNDS, pause
from shared.workflows.intake.purchase import Purchases
from shared.workflows.intake.sources import settings_of


def arrival_at(at: datetime, source: Source, merchant: Merchant) -> Arrival:
    """Where and when something arrived, with the rules in force there."""
    return Arrival(merchant.id, source.id, source.provider, at, settings_of(source, merchant), feed=merchant.feed)


def deferred(change: CheckoutChange) -> CheckoutChange:
    """A declared abandonment whose contents must still be pulled: the contents declare it when they come.

    Until then only gaps are filled and the shopper's last activity is noted: nobody is told of a checkout without
    items or contact, and should the pull fail for good, our own timer decides.
    """
    if change.signal is not Signal.ABANDONED:
        return change
    return replace(change, signal=Signal.ACTIVITY, order_key=NO_ORDER, abandoned_at=None)


def pointing(change: CheckoutChange) -> CheckoutChange:
    """What only points to a cart that is asked for is not kept as the provider's body of it."""
    return change if change.cart is not None else replace(change, raw=None, bodiless=True)


class Merger:
    """Merges changes. One per process."""

    def __init__(self, checkouts: CheckoutStore, purchases: Purchases) -> None:
        """Share the stores of one process."""
        self._checkouts = checkouts
        self._purchases = purchases

    def merge_all(self, changes: Iterable[CheckoutChange], arrival: Arrival) -> list[Applied]:
        """Merge each durably, in order. Raises as ``merge``; what was merged before stays, and may come again."""
        return [self.merge(change, arrival) for change in changes]

    def merge(self, change: CheckoutChange, arrival: Arrival) -> Applied:
        """Merge one change durably. Raises StoreUnavailable when others kept writing the same checkout."""
        change = on_our_clock(change, arrival.at, MOST_AHEAD)
        if change.signal is Signal.PURCHASED:
            return self._purchases.record(change, arrival)
        applied = apply(None, change, arrival)
        try:
            if change.signal is Signal.ACTIVITY:
                self._checkouts.merge_in_order(applied.checkout, change, arrival)
                return applied
            self._checkouts.replace(
                None, applied.checkout, applied.mark, arrival.settings, change=change, at=arrival.at
            )
        except StaleVersion as stale:
            old = stale.current
        else:
            return applied
        return self._merge_over(old, change, arrival)

    def _merge_over(self, old: Checkout | None, change: CheckoutChange, arrival: Arrival) -> Applied:
        """The write under the version read, as often as others are faster, but not for ever."""
        for round_number in range(ROUNDS):
            applied = apply(old, change, arrival)
            if applied.effect is Effect.DUPLICATE:
                return applied
            try:
                self._checkouts.replace(
                    old, applied.checkout, applied.mark, arrival.settings, change=change, at=arrival.at
                )
            except StaleVersion as stale:
                old = stale.current
                pause(round_number)
            else:
                return applied
        raise StoreUnavailable("the checkout kept changing")
