"""An abandonment becomes true for others: event, episode and the shopper's records in one transaction."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.deadline import bought_elsewhere, floor_of
from shared.domain.episode import Episode
from shared.store.checkouts import CheckoutStore
from shared.store.events import EventRecord
from shared.store.shoppers import ShopperStore
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Write
from shared.workflows.recovery.audience import Audience, Hearers
from shared.workflows.recovery.episode_plan import EpisodePlanner
from shared.workflows.recovery.event_making import EventMaker
from shared.workflows.recovery.known_shopper import KnownShoppers, last_purchase
from shared.workflows.recovery.outbox import Transition

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Announced:
    """The abandonment is told: its event as stored, and the episode it opened or joined."""

    event: EventRecord
    episode: Episode | None


@dataclass(frozen=True, slots=True)
class BoughtElsewhere:
    """It is not told: the shopper had bought at ``at``."""

    at: datetime


class Abandonments:
    """Announces abandonments, each in one transaction that fails if it is not true any more."""

    def __init__(self, table: Table, shoppers: KnownShoppers, planner: EpisodePlanner, events: EventMaker) -> None:
        """Share the parts of one process."""
        self._table = table
        self._shoppers = shoppers
        self._planner = planner
        self._events = events

    def announce(
        self, transition: Transition, audience: Audience, hearers: Hearers, now: datetime
    ) -> Announced | BoughtElsewhere | None:
        """Write it; None where the checkout moved on. An earlier run's event stays the one that goes out.

        Raises StoreUnavailable when the shopper's records kept changing.
        """
        checkout = transition.checkout
        for _ in range(_ROUNDS):
            records = self._shoppers.personal(checkout, now)
            bought_at = last_purchase(records)
            if bought_at is not None and bought_elsewhere(checkout, bought_at):
                return BoughtElsewhere(bought_at)
            cause = transition.correlation_id
            episode, episode_writes = self._planner.planned(checkout, records, audience, now, cause=cause)
            held = episode.id if episode else None
            event = self._events.made(transition, audience, hearers, episode, now)
            writes: list[Write] = [
                self._events.piece(event),
                CheckoutStore.announced(checkout, held),
                *(ShopperStore.joined(own, held, floor_of(checkout), now) for own in records.values() if held),
                *episode_writes,
            ]
            try:
                self._table.transact(writes)
            except TransactionCancelled as cancelled:
                told_before, moved_on, *_ = (own.failed_condition for own in cancelled.reasons)
                if told_before:
                    return Announced(self._events.stored(event), episode)
                if moved_on:
                    return None
            else:
                return Announced(event, episode)
        raise StoreUnavailable("the shopper's records kept changing")
