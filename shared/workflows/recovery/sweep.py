"""The sweep: moves what is due, and reads nothing else. Overlapping sweeps and crashes repeat work, never lose it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.aws.faults import AWS_ERRORS, code_of, is_temporary
from shared.aws.set_aside import count_set_aside
from shared.domain.instants import from_ms
from shared.store import keys
from shared.store.due import DueRow, DueStore
from shared.workflows.recovery.merchant_settings import MerchantSettings
from shared.workflows.recovery.sweep_checkouts import CheckoutSweeper
from shared.workflows.recovery.sweep_episodes import EpisodeSweeper
from shared.workflows.recovery.sweep_outcome import Failed, Outcome, Unreadable
from shared.workflows.recovery.sweep_retries import RetrySweeper

SET_ASIDE_FOR = timedelta(hours=1)


@dataclass(slots=True)
class Swept:
    """What one sweep did, by outcome; ``unfinished`` when time ran out with more to do.

    ``lag``: how long the row that had waited longest was due.
    """

    counts: dict[str, int] = field(default_factory=dict)
    unfinished: bool = False
    lag: timedelta = timedelta(0)
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

        Neither a row nor a page nor a part holds up another. Raises ExceptionGroup after the rest is done when some
        could not be moved: the next sweep tries them again.
        """
        swept = Swept()
        self._settings.begin()
        for kind, shard in parts:
            try:
                for page in self._due.pages(kind, shard, now):
                    swept.lag = max(swept.lag, now - from_ms(page[0].seen))
                    self._page(kind, page, now, out_of_time, swept)
                    swept.unfinished = out_of_time()
                    if swept.unfinished:
                        return _whole(swept)
            except Exception as error:  # noqa: BLE001 - the other parts are swept
                swept.failed.append(error)
        return _whole(swept)

    def _page(
        self, kind: str, page: list[DueRow], now: datetime, out_of_time: Callable[[], bool], swept: Swept
    ) -> None:
        """Move one page and note what became of its rows."""
        try:
            for outcome in self._moved(kind, page, now, out_of_time):
                if isinstance(outcome, str):
                    swept.count(outcome)
                elif not _passes(outcome.error):
                    swept.count(self._set_aside(outcome, now))
                else:
                    swept.failed.append(outcome.error)
        except Exception as error:  # noqa: BLE001 - the next page is swept
            swept.failed.append(error)

    def _set_aside(self, failed: Failed, now: datetime) -> str:
        """A row that no sweep can move as it is: looked at again in an hour, so that a mend is met by itself."""
        if not self._due.put_off(failed.row, now + SET_ASIDE_FOR):
            return "moved_on"
        if not isinstance(failed.error, Unreadable):
            count_set_aside("due row", code_of(failed.error), " ".join(failed.row.key))
        return "set_aside"

    def _moved(
        self, kind: str, page: list[DueRow], now: datetime, out_of_time: Callable[[], bool]
    ) -> Iterable[Outcome]:
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


def _passes(error: Exception) -> bool:
    """Whether the next sweep may have more luck; a defect of ours is told by failing, every minute."""
    return not isinstance(error, (Unreadable, *AWS_ERRORS)) or is_temporary(error)


def _whole(swept: Swept) -> Swept:
    """What was swept. Raises ExceptionGroup where some stay behind: the next sweep tries them again."""
    if swept.failed:
        raise ExceptionGroup(f"{len(swept.failed)} could not be moved", swept.failed)
    return swept
