"""The sweep: moves what is due, and reads nothing else. Crashes repeat work, never lose it.

A shard is swept by one sweep at a time, which holds a lease of it; two that meet all the same, one of them having lost
its own, only repeat each other's work.
"""

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.aws.faults import AWS_ERRORS, code_of, is_temporary
from shared.aws.set_aside import count_set_aside
from shared.domain.instants import from_ms
from shared.store import keys
from shared.store.due import DuePage, DueRow, DueStore
from shared.store.sweep_leases import LEASE, SweepLeases
from shared.workflows.recovery.merchant_settings import MerchantSettings
from shared.workflows.recovery.sweep_checkouts import CheckoutSweeper
from shared.workflows.recovery.sweep_episodes import EpisodeSweeper
from shared.workflows.recovery.sweep_outcome import Failed, Outcome, Unreadable
from shared.workflows.recovery.sweep_retries import RetrySweeper

_logger = logging.getLogger(__name__)

SET_ASIDE_FOR = timedelta(hours=1)
FEW = 10
"""So many due rows are moved without a lease, which costs two writes itself."""


@dataclass(slots=True)
class Swept:
    """What one sweep did, by outcome; ``unfinished`` when time ran out with more to do.

    ``lag``: how long the row that had waited longest was due. ``held``: parts that another sweep was at.
    """

    counts: dict[str, int] = field(default_factory=dict)
    unfinished: bool = False
    held: int = 0
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
        leases: SweepLeases,
        settings: MerchantSettings,
        checkouts: CheckoutSweeper,
        episodes: EpisodeSweeper,
        retries: RetrySweeper,
        clock: Callable[[], datetime],
    ) -> None:
        """Share the parts of one process; ``clock`` says how long a lease still lasts."""
        self._due = due
        self._leases = leases
        self._clock = clock
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
            lease = _Lease(self._leases, self._clock, kind, shard)
            try:
                for page in self._due.pages(kind, shard, now):
                    swept.lag = max(swept.lag, now - from_ms(page.rows[0].seen))
                    # Where nothing is due, or hardly anything, nothing is written but what is moved.
                    if not (lease.is_spared(page) or lease.holds()):
                        swept.held += 1
                        break
                    self._page(kind, page.rows, now, out_of_time, swept)
                    swept.unfinished = out_of_time()
                    if swept.unfinished:
                        return _whole(swept)
            except Exception as error:  # noqa: BLE001 - the other parts are swept
                swept.failed.append(error)
            finally:
                lease.let_go()
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


class _Lease:
    """One sweep's lease of one part: taken before its first page, and again before one that begins late in it."""

    def __init__(self, leases: SweepLeases, clock: Callable[[], datetime], kind: str, shard: int) -> None:
        self._leases = leases
        self._clock = clock
        self._part = kind, shard
        # Of its own, and not the invocation's: AWS may bring one tick twice, under the same id.
        self._sweep = secrets.token_hex(8)
        self._taken_at: datetime | None = None

    def is_spared(self, page: DuePage) -> bool:
        """Whether the page is all that is due here, and so little that two sweeps may be at it.

        Each row is moved by one conditional write: of two sweeps one wins it. A job to resend may be long.
        """
        nothing_before = self._taken_at is None
        return nothing_before and page.last and len(page.rows) <= FEW and self._part[0] != keys.RETRY_KIND

    def holds(self) -> bool:
        """Whether the next page may be begun."""
        now = self._clock()
        if self._taken_at is not None and now - self._taken_at < LEASE / 2:
            return True
        taken = self._leases.take(*self._part, self._sweep, now)
        self._taken_at = now if taken else None
        return taken

    def let_go(self) -> None:
        """What cannot be let go ends by itself."""
        if self._taken_at is None:
            return
        try:
            self._leases.let_go(*self._part, self._sweep)
        except Exception as error:  # noqa: BLE001 - the work is done
            _logger.warning("a lease of the sweep stays until it is over: %s", code_of(error))


def _passes(error: Exception) -> bool:
    """Whether the next sweep may have more luck; a defect of ours is told by failing, every minute."""
    return not isinstance(error, (Unreadable, *AWS_ERRORS)) or is_temporary(error)


def _whole(swept: Swept) -> Swept:
    """What was swept. Raises ExceptionGroup where some stay behind: the next sweep tries them again."""
    if swept.failed:
        raise ExceptionGroup(f"{len(swept.failed)} could not be moved", swept.failed)
    return swept
