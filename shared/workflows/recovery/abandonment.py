"""An abandonment becomes true for others: event, episode and the shopper's records in one transaction."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.checkout import Checkout, Reason, Status
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
from shared.workflows.recovery.known_shopper import KnownShoppers, ShopperRecords, last_purchase
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


@dataclass(frozen=True, slots=True)
class LeftEarlier:
    """It is not told: the shopper went on to another checkout, which is told by itself."""


class Abandonments:
    """Announces abandonments, each in one transaction that fails if it is not true any more."""

    def __init__(
        self,
        table: Table,
        checkouts: CheckoutStore,
        shoppers: KnownShoppers,
        planner: EpisodePlanner,
        events: EventMaker,
    ) -> None:
        """Share the parts of one process."""
        self._table = table
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._planner = planner
        self._events = events

    def announce(
        self, transition: Transition, audience: Audience, hearers: Hearers, now: datetime
    ) -> Announced | BoughtElsewhere | LeftEarlier | None:
        """Write it; None where the checkout moved on. An earlier run's event stays the one that goes out.

        Raises StoreUnavailable when the shopper's records kept changing.
        """
        checkout = transition.checkout
        for _ in range(_ROUNDS):
            records = self._shoppers.personal(checkout, now)
            bought_at = last_purchase(records)
            if bought_at is not None and bought_elsewhere(checkout, bought_at):
                return BoughtElsewhere(bought_at)
            if self._went_on(checkout) or self._left_later(checkout, records):
                return LeftEarlier()
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

    def _went_on(self, checkout: Checkout) -> bool:
        """Whether the cart became a checkout meanwhile."""
        return checkout.before_checkout and bool(self._checkouts.of_same_cart(checkout))

    def _left_later(self, checkout: Checkout, records: ShopperRecords) -> bool:
        """Whether the shopper left another checkout after this one, by the providers' own times, that was told already.

        What our own timer finds is left when it is found, in that order.
        """
        if checkout.reason is not Reason.PROVIDER_DECLARED or checkout.abandoned_at is None:
            return False
        others = self._checkouts.get_readable(self._planner.newest_of_others(checkout, records)).values()
        left = (own.abandoned_at for own in others if own.status is Status.ABANDONED and own.announced is not None)
        return any(at is not None and at > checkout.abandoned_at for at in left)
