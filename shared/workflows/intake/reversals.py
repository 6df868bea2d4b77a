"""Taking back: what a webhook says was refunded or cancelled, written to its order's row, before or after the order."""

from datetime import timedelta

from shared.domain.ids import CheckoutId, checkout_digest, checkout_id
from shared.domain.reversal import Reversal, TakenBack, told_by
from shared.domain.transitions import Arrival, Effect
from shared.store.checkouts import CheckoutStore
from shared.store.orders import OrderStore, name_of_order, taken_back
from shared.store.table import StoreUnavailable, Table
from shared.workflows.intake.contention import ROUNDS, pause

type Recorded = tuple[CheckoutId | None, Effect]
"""The checkout whose order it is, where that is known yet, and what became of the webhook's word."""


class Reversals:
    """Records what is taken back of orders, each refund once. One per process."""

    def __init__(self, table: Table, checkouts: CheckoutStore) -> None:
        """Share the stores of one process."""
        self._orders = OrderStore(table)
        self._checkouts = checkouts

    def record(self, reversal: Reversal, arrival: Arrival) -> Recorded:
        """Record it. Raises StoreUnavailable when others kept writing the order: the provider must try again."""
        key = (arrival.source_id, self._order_name(reversal, arrival))
        row = self._orders.get(*key)
        for round_number in range(ROUNDS):
            if row.order is not None and row.order.forgotten:
                return None, Effect.DUPLICATE
            of_checkout = None if row.order is None else checkout_id(row.order.checkout_digest)
            before = row.taken_back or TakenBack()
            known = before.joined(told_by(reversal, arrival.at))
            if known == before:
                return of_checkout, Effect.DUPLICATE
            ends = arrival.at + _kept_for(arrival)
            cause = reversal.correlation_id
            there = self._orders.take_back(taken_back(key, row, known, arrival.merchant_id, ends=ends, cause=cause))
            if there is None:
                return of_checkout, Effect.MERGED
            row = there
            pause(round_number)
        raise StoreUnavailable("the order kept changing")

    def _order_name(self, reversal: Reversal, arrival: Arrival) -> str:
        """What names the order. One that only its checkout names may have an id by now."""
        if reversal.order_id is not None or reversal.external_id is None:
            return name_of_order(reversal.order_id, "")
        digest = checkout_digest(arrival.merchant_id, arrival.source_id, reversal.external_id)
        checkout = self._checkouts.get(digest)
        own = None if checkout is None or checkout.order is None else checkout.order.id
        return name_of_order(own, reversal.external_id)


def _kept_for(arrival: Arrival) -> timedelta:
    """How long a row waits for its order: as long as an order is kept."""
    return arrival.settings.recovery_horizon + arrival.settings.retention
