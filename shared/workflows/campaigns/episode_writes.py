"""An episode written over the version it was read at, with the instant at which it must be looked at again."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from shared.domain import planning
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId
from shared.domain.instants import to_ms
from shared.domain.settings import Settings
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed
from shared.store.writes import Put
from shared.workflows.campaigns.follow_ups import FollowUps
from shared.workflows.delivering.batch import TEMPORARY


class EpisodeWrites:
    """Writes episodes for a step's sake. One per process.

    A write whose answer was lost is looked up before it counts as failed: it may have taken effect unseen.
    """

    def __init__(
        self, episodes: EpisodeStore, shoppers: ShopperStore, follow_ups: FollowUps, now: Callable[[], datetime]
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._episodes = episodes
        self._shoppers = shoppers
        self._follow_ups = follow_ups
        self._now = now

    def over(self, read: Episode, after: Episode, settings: Settings) -> Put:
        """``after`` in place of the episode as it was read, as a piece of a transaction."""
        due_at = None if after.status is EpisodeStatus.ENDED else planning.due_of(after, settings)
        return self._episodes.rewritten(after, read.version, self._now(), due_at)

    def write(self, read: Episode, after: Episode, settings: Settings) -> None:
        """Write ``after`` in place of the episode as it was read. Raises EpisodeMoved, and what the table raises."""
        self.confirmed(after, partial(self._episodes.write, self.over(read, after, settings)))

    def confirmed(self, after: Episode, write: Callable[[], object]) -> None:
        """Make a write of ``after``; what it raises is raised unless the episode stands as it was to be written."""
        try:
            write()
        except (EpisodeMoved, *TEMPORARY):
            if not self._stands(after):
                raise

    def end(self, episode: Episode, reason: str) -> None:
        """End the episode and let its shopper go. Raises EpisodeMoved, and what the table raises."""
        now = self._now()
        over = planning.ended(episode, reason, now)
        if over is not episode:
            put = self._episodes.rewritten(over, episode.version, now, None)
            self.confirmed(over, partial(self._episodes.write, put))
        for identity in episode.identities:
            self._follow_ups.do(partial(self._release, identity, episode.id))

    def _release(self, identity: Identity, episode_id: EpisodeId) -> None:
        try:
            self._shoppers.write(self._shoppers.released(identity, episode_id))
        except ConditionFailed:
            return

    def _stands(self, after: Episode) -> bool:
        try:
            current = self._episodes.get(after.id)
        except TEMPORARY:
            return False
        return current is not None and _shape(current) == _shape(after)


def _shape(episode: Episode) -> Any:
    """What tells a write of an episode from any other: of two claims of a step, each names its own."""
    steps = tuple(
        (own.number, own.state, own.claimed_by, own.attempts, own.reason, to_ms(own.due_at)) for own in episode.steps
    )
    return episode.version, episode.status, steps
