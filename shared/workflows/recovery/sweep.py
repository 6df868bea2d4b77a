"""The sweep: moves what is due, and reads nothing else. Overlapping sweeps and crashes repeat work, never lose it."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.domain.checkout import Checkout
from shared.domain.deadline import at_deadline, bought_elsewhere
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.ids import MerchantId
from shared.domain.settings import Settings
from shared.store import keys
from shared.store.checkouts import CheckoutStore, StaleVersion
from shared.store.configuration import MerchantStore
from shared.store.deliveries import DeliveryStore
from shared.store.due import DueRow, DueStore
from shared.store.resend_jobs import ResendJobStore
from shared.store.shoppers import ShopperStore
from shared.workflows.delivering.resend import Resender
from shared.workflows.recovery.sweep_episodes import EpisodeSweeper

RETRY_LEASE = timedelta(minutes=15)
_THREADS = 16


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
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        merchants: MerchantStore,
        deliveries: DeliveryStore,
        queues: DeliveryQueues,
        hasher: IdentityHasher,
        episodes: EpisodeSweeper,
        resender: Resender,
    ) -> None:
        """Share the stores of one process."""
        self._due = due
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._merchants = merchants
        self._deliveries = deliveries
        self._queues = queues
        self._hasher = hasher
        self._episodes = episodes
        self._resender = resender

    def sweep(
        self, parts: Iterable[tuple[str, int]], now: datetime, out_of_time: Callable[[], bool] = lambda: False
    ) -> Swept:
        """Move everything due at ``now`` in these (kind, shard) parts; returns when it is written.

        Raises ExceptionGroup after the rest is done when single checkouts could not be moved.
        """
        swept = Swept()
        settings: dict[MerchantId, Settings] = {}
        with ThreadPoolExecutor(_THREADS) as threads:
            for kind, shard in parts:
                for page in self._due.pages(kind, shard, now):
                    if kind == keys.CHECKOUT_KIND:
                        self._checkouts_due(page, now, settings, threads, swept)
                    elif kind == keys.RETRY_KIND:
                        self._retries_due(page, now, out_of_time, swept)
                    elif kind == keys.STEP_KIND:
                        for outcome in self._episodes.sweep(page, now):
                            swept.count(outcome)
                    swept.unfinished = out_of_time()
                    if swept.unfinished:
                        return _whole(swept)
        return _whole(swept)

    def _checkouts_due(
        self,
        page: list[DueRow],
        now: datetime,
        settings: dict[MerchantId, Settings],
        threads: ThreadPoolExecutor,
        swept: Swept,
    ) -> None:
        found = self._checkouts.get_many(row.key[0].removeprefix("C#") for row in page)
        due = [own for own in found.values() if own.due_at is not None and own.due_at <= now]
        for merchant_id in {own.merchant_id for own in due} - settings.keys():
            merchant = self._merchants.get(merchant_id)
            settings[merchant_id] = merchant.value.settings if merchant else Settings()
        identities = {own.digest: self._shopper_of(own) for own in due}
        records = self._shoppers.get_many(one for several in identities.values() for one in several)

        def move(checkout: Checkout) -> str:
            purchases = [
                at
                for one in identities[checkout.digest]
                if (at := records[one].purchased_at) is not None
                and bought_elsewhere(checkout, at)
                and not self._checkouts.is_shared(one, now)
            ]
            bought_at = max(purchases, default=None)
            return self._move(checkout, now, settings[checkout.merchant_id], bought_at)

        moves = [threads.submit(move, own) for own in due]
        for failure in (own.exception() for own in moves):
            if isinstance(failure, Exception):
                swept.failed.append(failure)
            elif failure is not None:
                raise failure
        for own in moves:
            if own.exception() is None:
                swept.count(own.result())

    def _move(self, checkout: Checkout, now: datetime, settings: Settings, bought_at: datetime | None) -> str:
        """One conditional write; whoever wrote the checkout meanwhile wins and the next sweep looks again."""
        after = at_deadline(checkout, now, settings, bought_at)
        if after is None:
            return "not_due"
        try:
            self._checkouts.replace(checkout, after.checkout, after.mark, settings)
        except StaleVersion:
            return "moved_on"
        if after.checkout.status is checkout.status:
            return "rearmed"
        return after.checkout.status.value

    def _shopper_of(self, checkout: Checkout) -> list[Identity]:
        return list(self._hasher.of_checkout(checkout).values())

    def _retries_due(self, page: list[DueRow], now: datetime, out_of_time: Callable[[], bool], swept: Swept) -> None:
        """Late retries: leased for 15 minutes, then enqueued; the attempt clears the lease, a crash repeats it."""
        jobs = [row for row in page if ResendJobStore.is_job(row.key)]
        for row in jobs:
            for _ in range(self._resender.work(row, now, out_of_time)):
                swept.count("resent")
        leased = [
            row for row in page if row not in jobs and self._deliveries.lease(row.key, row.seen, now + RETRY_LEASE)
        ]
        deliveries = self._deliveries.get_many(row.key for row in leased)
        messages = [
            (DeliveryMessage(own.id, own.merchant_id, own.attempt_count), timedelta(0)) for own in deliveries.values()
        ]
        self._queues.retry(messages)
        for _ in messages:
            swept.count("retried")


def _whole(swept: Swept) -> Swept:
    """What was swept. Raises ExceptionGroup where single checkouts stay behind: the next sweep tries them again."""
    if swept.failed:
        raise ExceptionGroup(f"{len(swept.failed)} checkouts could not be moved", swept.failed)
    return swept
