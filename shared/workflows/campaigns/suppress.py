"""Suppressing and lifting: the identity rows, the merchant's list and the open episodes in one transaction.

A claim is conditional on the episode's version, so that of an opt-out and a claim exactly one wins.
"""

from collections.abc import Callable, Container, Iterable
from datetime import datetime

from shared.domain import suppression
from shared.domain.consent import Channel
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId
from shared.domain.suppression import EndReason
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.suppressions import SuppressionStore, channels_closed
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Write

_ROUNDS = 6
_CHECKOUTS_LOOKED_AT = 20


class Suppressions:
    """Closes and opens channels for identifiers; both may be repeated."""

    def __init__(
        self, table: Table, shoppers: ShopperStore, episodes: EpisodeStore, now: Callable[[], datetime]
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._table = table
        self._shoppers = shoppers
        self._episodes = episodes
        self._now = now

    def suppress(
        self,
        identities: Iterable[Identity],
        channels: Iterable[Channel],
        reason: str,
        *,
        episode_ids: Iterable[EpisodeId] = (),
    ) -> bool:
        """Never contact these identifiers over these channels; False where that was so already.

        Their open episodes (and ``episode_ids``) end when no channel is left, otherwise they go on without these.
        Raises StoreUnavailable when others kept writing.
        """
        who, closing = list(dict.fromkeys(identities)), frozenset(channels)
        also = frozenset(episode_ids)
        for _ in range(_ROUNDS):
            now = self._now()
            records = self._shoppers.get_many(who)
            held = {
                own: suppression.suppressed(record.memory.suppressed, closing, reason)
                for own, record in records.items()
            }
            writes: list[Write] = []
            for own, record in records.items():
                fresh = held[own].keys() - record.memory.suppressed.keys()
                if fresh:
                    writes.append(self._shoppers.remembering(record, held[own], now))
                    writes.append(SuppressionStore.added(own, fresh, reason, now))
            open_ids = also | {own.episode_id for own in records.values() if own.episode_id is not None}
            closed = closing.union(*held.values())
            for episode in self._episodes.get_many(open_ids).values():
                writes += _on_episode(episode, closed, now)
            if not writes:
                return False
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                continue
            return True
        raise StoreUnavailable("the shopper's records kept changing")

    @staticmethod
    def episodes_of(identity: Identity, checkouts: CheckoutStore) -> set[EpisodeId]:
        """Episodes of the identifier's newest checkouts, which may have learnt it after their episode was opened."""
        found = checkouts.get_many(checkouts.by_identity(identity)[:_CHECKOUTS_LOOKED_AT])
        return {EpisodeId(own.episode_id) for own in found.values() if own.episode_id is not None}

    def rest(self, identities: Iterable[Identity], channels: Iterable[Channel], until: datetime) -> None:
        """Not before ``until`` over these channels: what a vendor refuses for now. A later word stays."""
        for own in dict.fromkeys(identities):
            self._shoppers.capped(own, channels, until, self._now())

    def lift(
        self, identities: Iterable[Identity], channels: Iterable[Channel], reasons: Container[str] | None = None
    ) -> bool:
        """Allow contact again; False where nothing was suppressed. An episode that ended stays ended.

        ``reasons``: only what is suppressed for one of these.
        """
        who, opening = list(dict.fromkeys(identities)), frozenset(channels)
        for _ in range(_ROUNDS):
            now = self._now()
            writes: list[Write] = []
            for own, record in self._shoppers.get_many(who).items():
                held = record.memory.suppressed
                gone = {own for own in opening & held.keys() if reasons is None or held[own] in reasons}
                if gone:
                    left = suppression.lifted(held, gone)
                    writes.append(self._shoppers.remembering(record, left, now))
                    writes.append(SuppressionStore.lifted(own, gone, left))
            if not writes:
                return False
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                continue
            return True
        raise StoreUnavailable("the shopper's records kept changing")


def _on_episode(episode: Episode, closing: frozenset[Channel], now: datetime) -> list[Write]:
    if episode.status is EpisodeStatus.ENDED:
        return []
    closed = {*episode.closed_channels, *(channel.value for channel in closing)}
    if closed >= {channel.value for channel in Channel}:
        return [EpisodeStore.ended(episode.id, EndReason.OPTED_OUT, now)]
    return [channels_closed(episode, closed)] if closed - episode.closed_channels else []
