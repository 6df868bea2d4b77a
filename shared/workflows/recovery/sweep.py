"""The sweep: moves what is due, and reads nothing else. Overlapping sweeps and crashes repeat work, never lose it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from shared.store import keys
from shared.store.due import DueRow, DueStore
from shared.workflows.recovery.merchant_settings import MerchantSettings
from shared.workflows.recovery.sweep_checkouts import CheckoutSweeper
from shared.workflows.recovery.sweep_episodes import EpisodeSweeper
from shared.workflows.recovery.sweep_retries import RetrySweeper


@dataclass(slots=True)
class Swept:
    """What one sweep did, by outcome; ``unfinished`` when time ran out with more to do."""

    counts: dict[str, int] = field(default_factory=dict)
    unfinished: bool = False
    failed: list[Exception] = field(default_factory=list)

    def count(self, outcome: str) -> None:
        """Count one item's outcome."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1


class Sweeper:
    """Sweeps due index shards. ``out_of_time`` is asked between pages."""

    def __init__(
        self,
        due: DueStore,
        settings: MerchantSettings,
        checkouts: CheckoutSweeper,
        episodes: EpisodeSweeper,
        retries: RetrySweeper,
    ) -> None:
        """Share the parts of one process."""
        self._due = due
        self._settings = settings
        self._checkouts = checkouts
        self._episodes = episodes
        self._retries = retries

    def sweep(
        self, parts: Iterable[tuple[str, int]], now: datetime, out_of_time: Callable[[], bool] = lambda: False
    ) -> Swept:
        """Move everything due at ``now`` in these (kind, shard) parts; returns when it is written.

        Raises ExceptionGroup after the rest is done when single checkouts could not be moved.
        """
        swept = Swept()
        self._settings.begin()
        for kind, shard in parts:
            for page in self._due.pages(kind, shard, now):
                for outcome in self._moved(kind, page, now, out_of_time):
                    if isinstance(outcome, Exception):
                        swept.failed.append(outcome)
                    else:
                        swept.count(outcome)
                swept.unfinished = out_of_time()
                if swept.unfinished:
                    return _whole(swept)
        return _whole(swept)

    def _moved(
        self, kind: str, page: list[DueRow], now: datetime, out_of_time: Callable[[], bool]
    ) -> Iterable[str | Exception]:
        """The outcomes of one page."""
        match kind:
            case keys.CHECKOUT_KIND:
                return self._checkouts.sweep(page, now)
            case keys.STEP_KIND:
                return self._episodes.sweep(page, now)
            case keys.RETRY_KIND:
                return self._retries.sweep(page, now, out_of_time)
            case _:
                return ()


def _whole(swept: Swept) -> Swept:
    """What was swept. Raises ExceptionGroup where single checkouts stay behind: the next sweep tries them again."""
    if swept.failed:
        raise ExceptionGroup(f"{len(swept.failed)} checkouts could not be moved", swept.failed)
    return swept
