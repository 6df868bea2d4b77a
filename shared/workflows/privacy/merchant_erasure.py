"""Erasing a merchant: nothing comes in any more first, then everything that came, the merchant itself last.

A call does what fits into its time. While the merchant's own row stands, another call goes on where this one ended.
What goes is found by its keys alone: rows past their time and rows that nobody can read any more go like all others.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from boto3.dynamodb.conditions import Key

from shared.aws.quarantine_bucket import QuarantineBucket
from shared.domain.checkout import Status
from shared.domain.ids import CampaignId, EndpointId, MerchantId, SourceId
from shared.domain.merchant import Merchant
from shared.store import keys
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from shared.store.coupons import CouponStore
from shared.store.facts import KEPT_FOR
from shared.store.idempotency import IdempotencyStore
from shared.store.quarantine import QuarantineStore
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item
from shared.workflows.intake.sources import REMEMBERED_FOR

_PAGE = 50
_BATCH = 500
_BACKDATED = timedelta(days=31)
"""A backfilled abandonment lies at most a recovery horizon before its merchant came."""
BUDGET = timedelta(seconds=20)
"""Well inside the function's 29 s."""
SETTLED_AFTER = REMEMBERED_FOR + timedelta(seconds=10.5)
"""By then no webhook is on its way in: a source is remembered, and ingest runs for 10 s at most."""
_LIST_SHARDS = 16
"""The most that a merchant may have."""


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
    ) -> None:
        """``unschedule`` removes the schedule of a campaign that is gone; ``now`` is the clock, ``clock`` measures."""
        self._table = table
        self._bucket = bucket
        self._unschedule = unschedule
        self._now = now
        self._clock = clock or Clock()
        self._merchants = MerchantStore(table)

    def erase(self, merchant: Merchant) -> bool:
        """Erase what the call's time allows; True when nothing is left.

        Raises StoreUnavailable, BucketUnavailable, and what Scheduler raises: repeat.
        """
        ends = self._clock.read() + BUDGET.total_seconds()
        try:
            configured = self._close(merchant.id)
            if configured is None:
                return True
            self._end_campaigns(merchant.id, configured)
            self._erase_hanging(configured, ends)
            CouponStore(self._table).forget(merchant.id, lambda: self._check(ends))
            statuses = (
                keys.list_partition(merchant.id, status, shard) for status in Status for shard in range(_LIST_SHARDS)
            )
            self._erase_listed(statuses, ends)
            self._erase_bodies(merchant.id, ends)
            self._erase_listed(keys.owned_partitions(merchant.id), ends)
            self._erase_suppressed(merchant.id, ends)
            self._erase_figures(merchant, ends)
            IdempotencyStore(self._table).forget(merchant.id)
        except OutOfTime:
            return False
        self._merchants.delete(merchant.id)
        return True

    def _close(self, merchant_id: MerchantId) -> "_Configured | None":
        """Tokens and sources stop working; then wait until no function remembers one that did.

        None where another call has erased the merchant meanwhile.
        """
        try:
            closed_at = self._merchants.close(merchant_id, self._now())
        except ConditionFailed:
            return None
        configured = _Configured.read(self._table, merchant_id)
        self._table.delete_all(map(keys.token, configured.token_hashes))
        self._table.delete_all(map(keys.source, configured.sources))
        left = closed_at + SETTLED_AFTER - self._now()
        if left > timedelta(0):
            self._clock.sleep(min(left, SETTLED_AFTER).total_seconds())
        return configured

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
            for partition in (*keys.deliveries(endpoint_id), *keys.vendor_messages(endpoint_id), health):
                self._erase_partition(partition, ends)
            self._table.delete_all([keys.endpoint_owner(endpoint_id)])
        for source_id in configured.sources:
            self._erase_partition(keys.source_pause(source_id)[0], ends)

    def _erase_listed(self, partitions: Iterable[str], ends: float) -> None:
        """Whole partitions of the table that these of the list index name."""
        for listed in partitions:
            start: Item | None = None
            while True:
                page = self._table.query(Key("lp").eq(listed), index=keys.LIST_INDEX, limit=_PAGE, start=start)
                for partition in dict.fromkeys(item["pk"] for item in page.items):
                    self._erase_partition(partition, ends)
                start = page.next_key
                if start is None:
                    break

    def _erase_partition(self, partition: str, ends: float) -> None:
        while doomed := self._table.keys_of(partition, limit=_BATCH):
            self._table.delete_all(doomed)
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

    def _erase_figures(self, merchant: Merchant, ends: float) -> None:
        """Sums, then the facts they were made of, newest cohort first."""
        self._erase_partition(keys.rollups(merchant.id), ends)
        newest = datetime.now(UTC).date() + timedelta(days=1)
        oldest = max(merchant.created_at.date() - _BACKDATED, newest - KEPT_FOR - timedelta(days=1))
        for age in range((newest - oldest).days + 1):
            for partition in keys.facts(merchant.id, newest - timedelta(days=age)):
                self._erase_partition(partition, ends)
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

    @classmethod
    def read(cls, table: Table, merchant_id: MerchantId) -> "_Configured":
        def named(prefix: str) -> Iterable[str]:
            found = table.keys_of(keys.merchant(merchant_id), prefix=prefix)
            return (sk.removeprefix(prefix) for _, sk in found)

        former = list(named(keys.FORMER_PREFIX))
        tokens = table.rows_of(table.keys_of(keys.merchant(merchant_id), prefix="TOK#"))
        hashes = (row.get("token_hash") for row in tokens.values())
        return cls(
            tuple(own for own in hashes if isinstance(own, str)),
            tuple(SourceId(own) for own in (*named("SRC#"), *former) if own.startswith("src_")),
            tuple(EndpointId(own) for own in (*named("EP#"), *former) if own.startswith("ep_")),
            tuple(map(CampaignId, named("CMP#"))),
        )
