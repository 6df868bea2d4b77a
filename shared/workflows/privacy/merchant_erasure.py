"""Erasing a merchant: nothing comes in any more first, then everything that came, the merchant itself last.

A call does what fits into its time. While the merchant's own row stands, another call goes on where this one ended.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from boto3.dynamodb.conditions import Key

from shared.aws.quarantine_bucket import QuarantineBucket
from shared.domain.checkout import Checkout, Status
from shared.domain.identity import IdentityHasher
from shared.domain.ids import EndpointId, EpisodeId
from shared.domain.merchant import Merchant
from shared.store import keys
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore, MerchantStore, SourceStore, TokenStore
from shared.store.coupons import CouponStore
from shared.store.facts import KEPT_FOR
from shared.store.idempotency import IdempotencyStore
from shared.store.listing import CheckoutListing
from shared.store.quarantine import QuarantineStore
from shared.store.suppressions import SuppressionStore
from shared.store.table import ItemKey, Table
from shared.workflows.intake.sources import REMEMBERED_FOR

_PAGE = 50
_BACKDATED = timedelta(days=31)
"""A backfilled abandonment lies at most a recovery horizon before its merchant came."""
BUDGET = timedelta(seconds=20)
"""Well inside the function's 29 s."""


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
        checkouts: CheckoutStore,
        hasher: IdentityHasher,
        bucket: QuarantineBucket,
        clock: Clock | None = None,
    ) -> None:
        """Share the stores of one process."""
        self._table = table
        self._checkouts = checkouts
        self._hasher = hasher
        self._bucket = bucket
        self._clock = clock or Clock()
        self._merchants = MerchantStore(table)

    def erase(self, merchant: Merchant) -> bool:
        """Erase what the call's time allows; True when nothing is left."""
        ends = self._clock.read() + BUDGET.total_seconds()
        try:
            self._close(merchant)
            self._end_campaigns(merchant)
            self._erase_deliveries(merchant, ends)
            for own in EndpointStore(self._table).listed(merchant.id):
                EndpointStore(self._table).delete(merchant.id, own.value.id)
            self._erase_checkouts(merchant, ends)
            self._erase_bodies(merchant, ends)
            self._erase_suppressed(merchant, ends)
            self._erase_figures(merchant, ends)
            IdempotencyStore(self._table).forget(merchant.id)
        except OutOfTime:
            return False
        self._merchants.delete(merchant.id)
        return True

    def _close(self, merchant: Merchant) -> None:
        """Revoke tokens and remove sources, then wait until no function remembers a removed source."""
        tokens = TokenStore(self._table)
        for token in tokens.listed(merchant.id):
            tokens.delete(token)
        sources = SourceStore(self._table)
        found = sources.listed(merchant.id)
        for source in found:
            sources.delete(source.value)
        if found:
            self._clock.sleep(REMEMBERED_FOR.total_seconds() + 0.5)

    def _end_campaigns(self, merchant: Merchant) -> None:
        """Each deletion leaves a note about its schedule, which the campaign function's repair takes up."""
        campaigns = CampaignStore(self._table)
        for campaign in campaigns.listed(merchant.id):
            campaigns.delete(campaign)
        CouponStore(self._table).forget(merchant.id)

    def _erase_deliveries(self, merchant: Merchant, ends: float) -> None:
        for own in EndpointStore(self._table).listed(merchant.id):
            for partition in keys.deliveries(EndpointId(own.value.id)):
                while doomed := self._keys(partition):
                    self._table.delete_all(doomed)
                    self._check(ends)

    def _keys(self, partition: str) -> list[ItemKey]:
        page = self._table.query(Key("pk").eq(partition), limit=500, consistent=True)
        return [(item["pk"], item["sk"]) for item in page.items]

    def _erase_checkouts(self, merchant: Merchant, ends: float) -> None:
        listing = CheckoutListing(self._table)
        shards = range(max(merchant.settings.list_shards, 1))
        for partition in (keys.list_partition(merchant.id, status, shard) for status in Status for shard in shards):
            below: str | None = None
            while listed := listing.newest([partition], None, None, below=below, limit=_PAGE):
                found = self._checkouts.get_many(own.digest for own in listed)
                own_rows = [own for own in found.values() if own.merchant_id == merchant.id]
                self._table.delete_all(key for own in own_rows for key in self._everything_of(own))
                below = listed[-1].place
                self._check(ends)

    def _everything_of(self, checkout: Checkout) -> Iterable[ItemKey]:
        yield from self._checkouts.forget(checkout.digest)
        yield from (keys.identity(own) for own in self._hasher.of_checkout(checkout).values())
        if checkout.episode_id is not None:
            yield keys.episode(EpisodeId(checkout.episode_id))
        if checkout.completed_at is not None:
            order_id = checkout.order.id if checkout.order else None
            name = f"id:{order_id}" if order_id else f"checkout:{checkout.external_id}"
            yield keys.order(checkout.source_id, name)

    def _erase_bodies(self, merchant: Merchant, ends: float) -> None:
        """Rows and what they point to, then bodies without a row, and poison records."""
        store = QuarantineStore(self._table)
        start = None
        while True:
            found, start = store.remains(merchant.id, limit=_PAGE, start=start)
            for own in found:
                if own.object_key is not None:
                    self._bucket.delete_body(own.object_key)
                store.delete(own.id)
                self._check(ends)
            if start is None:
                break
        while self._bucket.delete_bodies_of(merchant.id) or self._bucket.delete_poison_of(merchant.id):
            self._check(ends)

    def _erase_suppressed(self, merchant: Merchant, ends: float) -> None:
        """Identifiers that are remembered for ever because of a suppression; the list itself goes with the merchant."""
        store = SuppressionStore(self._table)
        after: str | None = None
        while True:
            found, after = store.listed(merchant.id, limit=_PAGE, after=after)
            self._table.delete_all(keys.identity(own.identity) for own in found)
            if after is None:
                return
            self._check(ends)

    def _erase_figures(self, merchant: Merchant, ends: float) -> None:
        """Sums, then the facts they were made of, newest cohort first."""
        while doomed := self._keys(keys.rollups(merchant.id)):
            self._table.delete_all(doomed)
            self._check(ends)
        newest = datetime.now(UTC).date() + timedelta(days=1)
        oldest = max(merchant.created_at.date() - _BACKDATED, newest - KEPT_FOR - timedelta(days=1))
        for age in range((newest - oldest).days + 1):
            for partition in keys.facts(merchant.id, newest - timedelta(days=age)):
                while doomed := self._keys(partition):
                    self._table.delete_all(doomed)
            self._check(ends)

    def _check(self, ends: float) -> None:
        if self._clock.read() >= ends:
            raise OutOfTime
