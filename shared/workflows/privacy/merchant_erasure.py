"""Erasing a merchant: nothing comes in any more first, then everything that came, the merchant itself last.

A call does what fits into its time. While the merchant's own row stands, another call goes on where this one ended.
What goes is found by its keys alone: rows past their time and rows that nobody can read any more go like all others.
An erasure asks only for what the merchant's rows say there may be, so that a small merchant's takes some fifty calls.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.aws.facts_bucket import FactsBucket
from shared.aws.quarantine_bucket import QuarantineBucket
from shared.domain.checkout import Status
from shared.domain.ids import CampaignId, EndpointId, MerchantId, SourceId
from shared.domain.merchant import Merchant
from shared.store import keys, list_keys
from shared.store.campaigns import CampaignStore
from shared.store.conditions import Key
from shared.store.configuration import MerchantStore
from shared.store.coupons import CouponStore
from shared.store.idempotency import IdempotencyStore
from shared.store.quarantine import QuarantineStore
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item
from shared.workflows.intake.sources import REMEMBERED_FOR
from shared.workflows.privacy.hanging import hanging_on

_PAGE = 50
_BATCH = 500
_THREADS = 8
BUDGET = timedelta(seconds=20)
"""Well inside the function's 29 s."""
SETTLED_AFTER = REMEMBERED_FOR + timedelta(seconds=10.5)
"""By then no webhook is on its way in: a source is remembered, and ingest runs for 10 s at most."""


class OutOfTime(Exception):
    """The call's time is used up; more is left."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic seconds, and a way to let them pass; tests replace both."""

    read: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class MerchantErasure:
    """Erases merchants, piece by piece; every piece may be repeated."""

    def __init__(
        self,
        table: Table,
        bucket: QuarantineBucket,
        unschedule: Callable[[MerchantId, CampaignId], None],
        now: Callable[[], datetime],
        clock: Clock | None = None,
        files: FactsBucket | None = None,
    ) -> None:
        """``unschedule`` removes the schedule of a campaign that is gone; ``now`` is the clock, ``clock`` measures.

        ``files``: the daily files of facts, where the stage keeps any.
        """
        self._table = table
        self._bucket = bucket
        self._unschedule = unschedule
        self._now = now
        self._clock = clock or Clock()
        self._merchants = MerchantStore(table)
        self._files = files

    def erase(self, merchant: Merchant) -> bool:
        """Erase what the call's time allows; True when nothing is left.

        Raises StoreUnavailable, BucketUnavailable, and what Scheduler raises: repeat.
        """
        ends = self._clock.read() + BUDGET.total_seconds()
        try:
            if self._close(merchant.id):
                self._erase_all(merchant.id, ends)
        except OutOfTime:
            return False
        self._merchants.delete(merchant.id)
        return True

    def _close(self, merchant_id: MerchantId) -> bool:
        """Tokens and sources stop working; then wait until no function remembers one that did.

        False where another call has erased the merchant meanwhile.
        """
        try:
            closed_at = self._merchants.close(merchant_id, self._now())
        except ConditionFailed:
            return False
        self._void(_Configured.read(self._table, merchant_id))
        left = closed_at + SETTLED_AFTER - self._now()
        if left > timedelta(0):
            self._clock.sleep(min(left, SETTLED_AFTER).total_seconds())
        return True

    def _void(self, configured: "_Configured") -> None:
        self._table.delete_all(map(keys.token, configured.token_hashes))
        self._table.delete_all(map(keys.source, configured.sources))

    def _erase_all(self, merchant_id: MerchantId, ends: float) -> None:
        """Everything but the merchant itself, as it stands now: until just now somebody could still add to it."""
        configured = _Configured.read(self._table, merchant_id)
        self._void(configured)
        self._end_campaigns(merchant_id, configured)
        CouponStore(self._table).forget(merchant_id, lambda: self._check(ends))
        shards = self._merchants.list_shards(merchant_id)
        self._erase_listed(list_keys.list_partitions(merchant_id, Status, shards), ends, of_checkouts=merchant_id)
        # After the events: a delivery that is written later finds its event gone, and keeps no word of its receiver.
        self._erase_hanging(configured, ends)
        self._erase_bodies(merchant_id, ends)
        self._erase_listed([*keys.owned_partitions(merchant_id), keys.jobs_of(merchant_id)], ends)
        self._erase_suppressed(merchant_id, ends)
        self._erase_figures(merchant_id, configured, ends)
        IdempotencyStore(self._table).forget(merchant_id)

    def _end_campaigns(self, merchant_id: MerchantId, configured: "_Configured") -> None:
        campaigns = CampaignStore(self._table)
        for campaign_id in configured.campaigns:
            campaigns.erase(merchant_id, campaign_id)
        for campaign_id in campaigns.unsettled_of(merchant_id):
            self._unschedule(merchant_id, campaign_id)

    def _erase_hanging(self, configured: "_Configured", ends: float) -> None:
        """What hangs on endpoints and sources."""
        for endpoint_id in configured.endpoints:
            health = keys.endpoint_health(endpoint_id)[0]
            self._erase_partitions([*keys.deliveries(endpoint_id), *keys.vendor_messages(endpoint_id), health], ends)
            self._table.delete_all([keys.endpoint_owner(endpoint_id)])
        self._erase_partitions([keys.source_pause(source_id)[0] for source_id in configured.sources], ends)

    def _erase_listed(self, partitions: Iterable[str], ends: float, of_checkouts: MerchantId | None = None) -> None:
        """Whole partitions of the table that these of the list index name; before a checkout's, what it alone names."""
        for listed in partitions:
            start: Item | None = None
            while True:
                page = self._table.query(Key("lp").eq(listed), index=keys.LIST_INDEX, limit=_PAGE, start=start)
                named = list(dict.fromkeys(item["pk"] for item in page.items))
                if of_checkouts is not None and named:
                    rows = self._table.rows_of((own, "C") for own in named)
                    self._table.delete_all(hanging_on(self._table, rows.values(), of_checkouts))
                self._erase_partitions(named, ends)
                self._check(ends)
                start = page.next_key
                if start is None:
                    break

    def _erase_partitions(self, partitions: Iterable[str], ends: float) -> None:
        """Whole partitions, read side by side."""
        left = list(partitions)
        with ThreadPoolExecutor(_THREADS) as threads:
            while left:
                found = list(threads.map(lambda own: self._table.keys_of(own, limit=_BATCH), left))
                self._table.delete_all(key for doomed in found for key in doomed)
                left = [own for own, doomed in zip(left, found, strict=True) if len(doomed) == _BATCH]
                self._check(ends)

    def _erase_bodies(self, merchant_id: MerchantId, ends: float) -> None:
        """Rows and what they point to, then bodies without a row, and poison records."""
        store = QuarantineStore(self._table)
        start: Item | None = None
        while True:
            found, start = store.remains(merchant_id, limit=_PAGE, start=start)
            for own in found:
                if own.object_key is not None:
                    self._bucket.delete_body(own.object_key)
                store.delete(own.id)
                self._check(ends)
            if start is None:
                break
        while self._bucket.delete_bodies_of(merchant_id) or self._bucket.delete_poison_of(merchant_id):
            self._check(ends)

    def _erase_suppressed(self, merchant_id: MerchantId, ends: float) -> None:
        """The list of suppressions, and what it says is remembered for ever."""
        prefix = keys.SUPPRESSION_PREFIX
        while found := self._table.keys_of(keys.merchant(merchant_id), limit=_BATCH, prefix=prefix):
            self._table.delete_all(map(keys.identity_of, found))
            self._table.delete_all(found)
            self._check(ends)

    def _erase_figures(self, merchant_id: MerchantId, configured: "_Configured", ends: float) -> None:
        """The facts of each day that has any, and what was summed of them."""
        for cohort in configured.cohorts:
            self._erase_partitions(keys.facts(merchant_id, cohort), ends)
            self._table.delete_all([keys.cohort(merchant_id, cohort)])
        self._erase_partitions([keys.rollups(merchant_id)], ends)
        while self._files is not None and self._files.delete_of(merchant_id):
            self._check(ends)

    def _check(self, ends: float) -> None:
        if self._clock.read() >= ends:
            raise OutOfTime


@dataclass(frozen=True, slots=True)
class _Configured:
    """What the merchant's partition names, as far as its keys tell; what was removed lately too."""

    token_hashes: tuple[str, ...]
    sources: tuple[SourceId, ...]
    endpoints: tuple[EndpointId, ...]
    campaigns: tuple[CampaignId, ...]
    cohorts: tuple[date, ...]

    @classmethod
    def read(cls, table: Table, merchant_id: MerchantId) -> "_Configured":
        """Everything but the suppressions, of which there may be millions."""
        partition, skipped = keys.merchant(merchant_id), keys.SUPPRESSION_PREFIX
        ranges = (" ", skipped), (skipped + "~", "~")
        entries = [own for between in ranges for own in table.keys_of(partition, between=between)]

        def named(prefix: str) -> Iterable[str]:
            return (sk.removeprefix(prefix) for _, sk in entries if sk.startswith(prefix))

        former = list(named(keys.FORMER_PREFIX))
        tokens = table.rows_of(key for key in entries if key[1].startswith("TOK#"))
        hashes = (row.get("token_hash") for row in tokens.values())
        return cls(
            tuple(own for own in hashes if isinstance(own, str)),
            tuple(SourceId(own) for own in (*named("SRC#"), *former) if own.startswith("src_")),
            tuple(EndpointId(own) for own in (*named("EP#"), *former) if own.startswith("ep_")),
            tuple(map(CampaignId, named("CMP#"))),
            tuple(map(date.fromisoformat, named(keys.COHORT_PREFIX))),
        )
