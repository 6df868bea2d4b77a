"""Due episodes: a planned step goes to the queue, a lost claim becomes unknown, a horizon that is over ends it."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryQueues, StepMessage
from shared.domain import planning, step_state
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.ids import EpisodeId
from shared.domain.suppression import EndReason
from shared.store import keys
from shared.store.due import DueRow
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed
from shared.workflows.recovery.merchant_settings import SettingsOf
from shared.workflows.recovery.sweep_outcome import Failed, Outcome, Unreadable

STEP_LEASE = timedelta(minutes=15)


class EpisodeSweeper:
    """Moves due episodes. Overlapping sweeps and crashes repeat a message, never a send."""

    def __init__(
        self,
        episodes: EpisodeStore,
        shoppers: ShopperStore,
        queues: DeliveryQueues,
        settings_of: SettingsOf,
    ) -> None:
        """``settings_of`` gives a merchant's settings."""
        self._episodes = episodes
        self._shoppers = shoppers
        self._queues = queues
        self._settings_of = settings_of

    def sweep(self, page: list[DueRow], now: datetime) -> Iterator[Outcome]:
        """Move one page of due episodes; one outcome each. Raises QueueUnavailable."""
        found = self._episodes.get_readable(EpisodeId(row.key[0].removeprefix("P#")) for row in page)
        messages: list[StepMessage] = []
        for row in page:
            try:
                done = self._taken(row, found.get(EpisodeId(row.key[0].removeprefix("P#"))), messages, now)
                if done is not None:
                    yield done
            except Exception as error:  # noqa: BLE001 - this row's alone
                yield Failed(row, error)
        self._queues.steps(messages)

    def _taken(self, row: DueRow, episode: Episode | None, messages: list[StepMessage], now: datetime) -> str | None:
        """What is done about one row: a message more, or a write; None where another sweep was faster."""
        if episode is None:
            raise Unreadable
        if not self._sendable(episode, now):
            # Asked for before it is written: a sweep that dies in between asks again.
            self._queues.steps([_message(episode, lost=own) for own in _lost(episode, now)])
            return self._moved(episode, now)
        if not self._episodes.lease(keys.episode(episode.id), row.seen, now + STEP_LEASE):
            return None
        messages.append(_message(episode))
        return "step_queued"

    def _sendable(self, episode: Episode, now: datetime) -> bool:
        return not _lost(episode, now) and not self._over(episode, now) and planning.due_step(episode, now) is not None

    def _over(self, episode: Episode, now: datetime) -> bool:
        return planning.is_over(episode, self._settings_of(episode.merchant_id), now)

    def _moved(self, episode: Episode, now: datetime) -> str:
        """The episode written with what time alone has changed in it."""
        settings = self._settings_of(episode.merchant_id)
        after = episode
        for step in episode.steps:
            unknown = step_state.lease_lost(step, now)
            if unknown is not None:
                after = planning.with_step(after, unknown)
        outcome = "lease_lost" if after is not episode else "step_rearmed"
        if after.status is not EpisodeStatus.ENDED and self._over(episode, now):
            after = planning.ended(after, EndReason.HORIZON, now)
            outcome = "episode_over"
        due_at = None if after.status is EpisodeStatus.ENDED else planning.due_of(after, settings)
        try:
            self._episodes.write(self._episodes.rewritten(after, episode.version, now, due_at))
        except EpisodeMoved:
            return "moved_on"
        if after.status is EpisodeStatus.ENDED:
            self._release(after)
        return outcome

    def _release(self, episode: Episode) -> None:
        """Let the shopper's identifiers go; a row that holds another episode, or none, stays as it is."""
        for identity in episode.identities:
            try:
                self._shoppers.write(self._shoppers.released(identity, episode.id))
            except ConditionFailed:
                continue


def _message(episode: Episode, lost: int | None = None) -> StepMessage:
    return StepMessage(episode.id, episode.merchant_id, lost, correlation_id=episode.correlation_id)


def _lost(episode: Episode, now: datetime) -> list[int]:
    """The steps whose worker vanished."""
    return [own.number for own in episode.steps if step_state.lease_lost(own, now) is not None]
