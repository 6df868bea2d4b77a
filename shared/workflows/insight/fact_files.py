"""A file per merchant and day with the facts of that day's cohort, for Athena, DuckDB and the like.

Once a day all merchants are walked. A day's file is first written when the day is over on its merchant's clock, again
each day while its cohort is young, and once a week after that: a refund comes late. What has not changed is not
written. A walk that is cut short, by its time or by an error, goes on where it was; facts hold nothing of a shopper.
"""

import gzip
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from traceback import format_tb
from typing import IO

from shared.aws.facts_bucket import FactsBucket
from shared.aws.faults import AWS_ERRORS
from shared.domain.fact_line import fact_line
from shared.domain.ids import MerchantId
from shared.domain.merchant import Merchant
from shared.domain.metrics import cohort_of, immature
from shared.store.configuration import MerchantStore
from shared.store.fact_walk import FactWalkStore, Walk
from shared.store.facts import FactStore, facts_end

_PAGE = 25
_SETTLED_EVERY = 7
"""Days between two looks at a cohort that is mature."""
_GOING = timedelta(days=2)
"""Before its facts go, a file is left as it is: it must not follow them."""
_IN_MEMORY = 4 * 1024 * 1024
_PIECE = 256 * 1024

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Written:
    """What one call did. ``done``: nothing is left of today's walk.

    ``failed``: merchants passed over for a defect, and days that no call has time enough for.
    """

    files: int = 0
    merchants: int = 0
    days: int = 0
    failed: int = 0
    done: bool = False


class _OutOfTime(Exception):
    """The call's time is used up."""


class FactFiles:
    """Writes the files. Every piece may be repeated, and ends the same."""

    def __init__(
        self,
        merchants: MerchantStore,
        facts: FactStore,
        walks: FactWalkStore,
        bucket: FactsBucket,
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is the clock."""
        self._merchants = merchants
        self._facts = facts
        self._walks = walks
        self._bucket = bucket
        self._now = now

    def write(self, out_of_time: Callable[[], bool]) -> Written:
        """Go on with today's walk until it is done or the time is up.

        Raises StoreUnavailable, BucketUnavailable and what AWS raises: the next call goes on from there. A merchant
        whose facts meet a defect of ours holds up no other.
        """
        today, written = self._now().astimezone(UTC).date(), Written()
        walk = self._walks.get()
        if walk is not None and walk.at is not None:
            self._look_again(walk.at)
        # One that took longer than its day is ended first: who comes last is reached as often as the others.
        if walk is None or (walk.done and walk.of != today):
            walk = Walk(today)
        while not walk.done:
            page, next_page = self._merchants.listed(_PAGE, walk.after)
            for merchant in page:
                try:
                    walk = self._of_merchant(merchant, walk, written, out_of_time)
                except _OutOfTime:
                    return written
                if out_of_time():
                    self._walks.put(walk)
                    return written
            # Not the last merchant: one that cannot be read is in no page.
            walk = replace(walk, after=None if next_page is None else MerchantId(next_page), done=next_page is None)
            self._walks.put(walk)
        written.done = True
        return written

    def _of_merchant(self, merchant: Merchant, walk: Walk, written: Written, out_of_time: Callable[[], bool]) -> Walk:
        """All days of one merchant; the walk with it behind."""
        try:
            changed = self._days(merchant, walk, written, out_of_time)
        except (_OutOfTime, *AWS_ERRORS):
            raise
        except Exception as defect:  # noqa: BLE001 - the other merchants' files are written
            # What it says is left out: it may quote a row.
            _logger.error("a defect: %s\n%s", type(defect).__name__, "".join(format_tb(defect.__traceback__)))
            written.failed += 1
            changed = True
        written.merchants += 1
        past = Walk(walk.of, after=merchant.id)
        if changed:
            self._walks.put(past)
        return past

    def _days(self, merchant: Merchant, walk: Walk, written: Written, out_of_time: Callable[[], bool]) -> bool:
        """Write what changed; whether anything did."""
        if self._merchants.get(merchant.id) is None:  # it is being erased
            return False
        done = walk.day if walk.at == merchant.id else None
        days = [own for own in self._wanted(merchant, walk.of) if done is None or own > done]
        marks = self._bucket.marks(merchant.id, days[0]) if days else {}
        begun = False
        for day in days:
            with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
                try:
                    filled = self._fill(file, merchant.id, day, out_of_time)
                except _OutOfTime:
                    self._put_off(replace(walk, at=merchant.id, day=done), day, written)
                    raise
                written.days += 1
                if filled and self._bucket.mark_of(file) != marks.get(day.isoformat()):
                    if not begun:
                        # Whoever is erased now is looked for again, also where this call never ends.
                        self._walks.put(replace(walk, at=merchant.id))
                        begun = True
                    self._bucket.put(merchant.id, day, file)
                    written.files += 1
            done = day
            if out_of_time() and day != days[-1]:
                self._walks.put(replace(walk, at=merchant.id, day=day))
                raise _OutOfTime
        if begun:
            self._look_again(merchant.id)
        return begun

    def _wanted(self, merchant: Merchant, today: date) -> list[date]:
        """The days whose files may have to be written, oldest first."""
        now, horizon = self._now(), merchant.settings.recovery_horizon
        current = cohort_of(now, merchant.timezone)

        def looked_at(day: date) -> bool:
            young = immature(day + timedelta(days=1), merchant.timezone, horizon, now)
            return young or (today.toordinal() - day.toordinal()) % _SETTLED_EVERY == 0

        known = self._facts.cohorts_of(merchant.id)
        return [day for day in known if day < current and facts_end(day) - _GOING > now and looked_at(day)]

    def _put_off(self, so_far: Walk, day: date, written: Written) -> None:
        """The next call begins with the day, and has all of its time for it; one that had it passes the day over."""
        if written.days == 0:
            _logger.error("a day with more facts than a call has time for: %s of %s", day, so_far.at)
            written.failed += 1
            so_far = replace(so_far, day=day)
        self._walks.put(so_far)

    def _fill(self, file: IO[bytes], merchant_id: MerchantId, day: date, out_of_time: Callable[[], bool]) -> bool:
        """Write the day's facts in order, the same bytes each time; whether there are any."""
        found = False
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            piece = bytearray()
            for fact in self._facts.in_order(merchant_id, day):
                found = True
                piece += fact_line(fact).encode()
                if len(piece) >= _PIECE:
                    packed.write(piece)
                    piece.clear()
                    if out_of_time():
                        raise _OutOfTime
            packed.write(piece)
        return found

    def _look_again(self, merchant_id: MerchantId) -> None:
        """A merchant that was erased while its files were written has none."""
        if self._merchants.get(merchant_id) is None:
            while self._bucket.delete_of(merchant_id):
                pass
