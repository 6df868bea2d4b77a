"""What follows from an order's row: other carts are called off, and what is taken back is shown by its checkout."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.settings import Settings
from shared.store.orders import OrderRecord
from shared.workflows.recovery.reverse import Reverser
from shared.workflows.recovery.supersede import Superseder


@dataclass(frozen=True, slots=True)
class OrderEffects:
    """Who acts on orders."""

    superseder: Superseder
    reverser: Reverser

    def follow(self, order: OrderRecord, settings: Settings, now: datetime, *, placed: bool) -> str:
        """Act on a row as it was written; the outcome for the log. ``placed``: the order itself is news.

        Raises StoreUnavailable when others kept writing.
        """
        outcome = f"ordered:{self.superseder.settle_others(order, settings, now)}" if placed else "taken_back"
        if order.taken_back is None:
            return outcome
        return outcome if self.reverser.settle(order, settings, now) else f"{outcome}:as_shown"
