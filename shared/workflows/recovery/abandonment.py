"""An abandonment becomes true for others: episode, the shopper's records and the checkout, then its event.

Where a campaign is to write to the shopper, or episodes are joined, the first three are one transaction. A new episode
that plans no message is nothing that could be sent: there each is a conditional write of its own, at half the price,
the checkout's last, which alone says that the abandonment is told. Whoever dies in between is repeated by the stream.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.domain import planning
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.deadline import bought_elsewhere, floor_of
from shared.domain.episode import Episode
from shared.domain.ids import EpisodeId
from shared.domain.settings import Settings
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeMoved
from shared.store.events import EventRecord
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed, StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Item, Update, Write
from shared.workflows.recovery.audience import Audience, Hearers
from shared.workflows.recovery.episode_plan import EpisodePlanner, kept_with
from shared.workflows.recovery.event_making import EventMaker
from shared.workflows.recovery.known_shopper import KnownShoppers, ShopperRecords, last_purchase
from shared.workflows.recovery.outbox import Transition

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Announced:
    """The abandonment is told: its event as stored, and the episode it opened or joined."""

    event: EventRecord
    episode: Episode | None
    before: bool = False
    """By an earlier run: the episode is as it stands now, and may have gone on since."""


@dataclass(frozen=True, slots=True)
class BoughtElsewhere:
    """It is not told: the shopper had bought at ``at``."""

    at: datetime


@dataclass(frozen=True, slots=True)
class LeftEarlier:
    """It is not told: the shopper went on to another checkout, which is told by itself."""


class _MovedOn(Exception):
    """The checkout is not abandoned any more, or not by this transition."""


class _ToldBefore(Exception):
    """An earlier run has written all but, perhaps, the event; ``episode_id``: the episode it was told with."""

    def __init__(self, episode_id: EpisodeId | None) -> None:
        super().__init__("told before")
        self.episode_id = episode_id


class _ShopperMoved(Exception):
    """Something of the shopper's was written meanwhile: it is read again."""


class Abandonments:
    """Announces abandonments, each by writes that fail if it is not true any more."""

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
        checkout, settings = transition.checkout, audience.merchant.settings
        begun = False
        before = False
        for _ in range(_ROUNDS):
            records = self._shoppers.personal(checkout, now)
            refused = self._refused(checkout, records, settings, now)
            if refused is not None:
                self._planner.take_back(checkout, records, now, begun=begun)
                return refused
            planned = self._planned(transition, records, audience, now)
            episode = planned.episode
            event = self._events.made(transition, audience, hearers, episode, now)
            try:
                if planned.is_plain:
                    begun = True
                    self._write_in_turn(planned)
                else:
                    self._write_at_once(planned)
            except _ShopperMoved:
                continue
            except _MovedOn:
                self._planner.take_back(checkout, records, now, begun=begun)
                return None
            except _ToldBefore as told:
                before, episode = True, self._planner.known(told.episode_id)
            if begun and (episode is None or episode.id != planning.own_episode(checkout, now)):
                self._planner.take_back(checkout, records, now, begun=begun)
            stored = self._events.put(event, now)
            return None if stored is None else Announced(stored, episode, before)
        raise StoreUnavailable("the shopper's records kept changing")

    def _refused(
        self, checkout: Checkout, records: ShopperRecords, settings: Settings, now: datetime
    ) -> BoughtElsewhere | LeftEarlier | None:
        """Why it is not told, by what is known of the shopper now."""
        bought_at = last_purchase(records)
        if bought_at is not None and bought_elsewhere(checkout, bought_at):
            return BoughtElsewhere(bought_at)
        if self._went_on(checkout) or self._left_later(checkout, records, settings, now):
            return LeftEarlier()
        return None

    def _planned(
        self, transition: Transition, records: ShopperRecords, audience: Audience, now: datetime
    ) -> "_Planned":
        checkout, cause = transition.checkout, transition.correlation_id
        episode, writes = self._planner.planned(checkout, records, audience, now, cause=cause)
        joins: list[Update] = []
        if episode is not None:
            floor, ends = floor_of(checkout), kept_with(episode, checkout)
            joins = [ShopperStore.joined(own, episode.id, floor, now, ends) for own in records.values()]
        announced = CheckoutStore.announced(checkout, episode.id if episode else None)
        return _Planned(checkout, episode, writes, joins, announced)

    def _write_at_once(self, planned: "_Planned") -> None:
        """All of it or nothing. Raises _MovedOn, _ToldBefore, _ShopperMoved."""
        try:
            self._table.transact([planned.announced, *planned.joins, *planned.episode_writes])
        except TransactionCancelled as cancelled:
            first = cancelled.reasons[0]
            if first.failed_condition:
                raise _why(planned.checkout, first.old) from cancelled
            raise _ShopperMoved from cancelled

    def _write_in_turn(self, planned: "_Planned") -> None:
        """First the episode: whoever holds it finds it. Raises _MovedOn, _ToldBefore, _ShopperMoved.

        The checkout is written last, while it is still abandoned. A purchase that comes in between finds what it would
        find had it come after, or makes the rest fail.
        """
        try:
            for write in planned.episode_writes:
                self._planner.open(write)
            for write in planned.joins:
                self._table.update(write)
        except (EpisodeMoved, ConditionFailed) as failed:
            raise _ShopperMoved from failed
        try:
            self._table.update(planned.announced)
        except ConditionFailed as failed:
            raise _why(planned.checkout, failed.old) from failed

    def _went_on(self, checkout: Checkout) -> bool:
        """Whether the cart became a checkout meanwhile."""
        return checkout.before_checkout and bool(self._checkouts.of_same_cart(checkout))

    def _left_later(self, checkout: Checkout, records: ShopperRecords, settings: Settings, now: datetime) -> bool:
        """Whether the shopper left another checkout after this one, by the providers' own times, that was told already.

        What our own timer finds is left when it is found, in that order.
        """
        if checkout.reason is not Reason.PROVIDER_DECLARED or checkout.abandoned_at is None:
            return False
        newest = self._planner.newest_of_others(checkout, records, settings, now)
        others = self._checkouts.get_readable(newest).values()
        left = (own.abandoned_at for own in others if own.status is Status.ABANDONED and own.announced is not None)
        return any(at is not None and at > checkout.abandoned_at for at in left)


@dataclass(frozen=True, slots=True)
class _Planned:
    """The writes of one abandonment, but its event."""

    checkout: Checkout
    episode: Episode | None
    episode_writes: list[Write]
    joins: list[Update]
    announced: Update

    @property
    def is_plain(self) -> bool:
        """Whether nothing depends on all of it being written at once: a new episode without a message, or none."""
        if self.episode is None:
            return True
        return self.episode.version == 1 and self.episode.campaign_id is None and len(self.episode_writes) == 1


def _why(checkout: Checkout, found: Item | None) -> Exception:
    """Why the checkout was not written: ``found`` in its place."""
    if found is None or found.get("ann") != checkout.sequence:
        return _MovedOn()
    return _ToldBefore(EpisodeId(found["epi"]) if "epi" in found else None)
