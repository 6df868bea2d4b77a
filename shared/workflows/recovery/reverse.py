"""Showing what was taken back: the bought checkout says it, and by that write endpoints and figures hear of it."""

from datetime import datetime

from shared.domain.facts import order_total
from shared.domain.reversal import reversed_by
from shared.domain.settings import Settings
from shared.domain.transitions import Mark
from shared.store.checkouts import CheckoutStore, StaleVersion
from shared.store.orders import OrderRecord, OrderStore, names_of_order
from shared.store.table import StoreUnavailable

_ROUNDS = 5


class Reverser:
    """Brings checkouts up to what their orders' rows say."""

    def __init__(self, orders: OrderStore, checkouts: CheckoutStore) -> None:
        """Share the stores of one process."""
        self._orders = orders
        self._checkouts = checkouts

    def settle(self, order: OrderRecord, settings: Settings, now: datetime) -> bool:
        """The checkout that the order ended shows all that is taken back of it; False where it did already.

        Of several orders of one checkout the one counts that the checkout names. Raises StoreUnavailable when others
        kept writing it.
        """
        for _ in range(_ROUNDS):
            checkout = self._checkouts.get(order.checkout_digest)
            if checkout is None or checkout.erased or order.order_id not in names_of_order(checkout):
                return False
            # Read after the checkout: whatever is written to it over this version knows at least as much.
            known = self._orders.get(order.source_id, order.order_id).taken_back
            if known is None:
                return False
            moved = reversed_by(checkout, known, order_total(checkout), now)
            if moved is None:
                return False
            try:
                self._checkouts.replace(checkout, moved, Mark.REVERSED, settings, cause=order.correlation_id)
            except StaleVersion:
                continue
            return True
        raise StoreUnavailable("the checkout kept changing")
