"""An episode written over the version it was read at, with the instant at which it must be looked at again."""

from collections.abc import Callable
from datetime import datetime

from shared.domain import planning
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.settings import Settings
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed, Put


class EpisodeWrites:
    """Writes episodes for a step's sake. One per process."""

    def __init__(self, episodes: EpisodeStore, shoppers: ShopperStore, now: Callable[[], datetime]) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._episodes = episodes
        self._shoppers = shoppers
        self._now = now

    def over(self, read: Episode, after: Episode, settings: Settings) -> Put:
        """``after`` in place of the episode as it was read, as a piece of a transaction."""
        due_at = None if after.status is EpisodeStatus.ENDED else planning.due_of(after, settings)
        return self._episodes.rewritten(after, read.version, self._now(), due_at)

    def write(self, read: Episode, after: Episode, settings: Settings) -> None:
        """Write ``after`` in place of the episode as it was read. Raises EpisodeMoved."""
        self._episodes.write(self.over(read, after, settings))

    def end(self, episode: Episode, reason: str) -> None:
        """End the episode and let its shopper go. Raises EpisodeMoved."""
        now = self._now()
        over = planning.ended(episode, reason, now)
        if over is not episode:
            self._episodes.write(self._episodes.rewritten(over, episode.version, now, None))
        for identity in episode.identities:
            try:
                self._shoppers.write(self._shoppers.released(identity, episode.id))
            except ConditionFailed:
                continue
