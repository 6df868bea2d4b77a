"""Due retries: late attempts go back to the queue, resend jobs go on."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryQueues
from shared.store.deliveries import DeliveryStore
from shared.store.due import DueRow
from shared.store.resend_jobs import ResendJobStore
from shared.workflows.delivering.resend import Resender
from shared.workflows.delivering.waiting import woken

RETRY_LEASE = timedelta(minutes=15)


class RetrySweeper:
    """Moves due retries. A crash repeats a message, never an attempt."""

    def __init__(self, deliveries: DeliveryStore, queues: DeliveryQueues, resender: Resender) -> None:
        """Share the stores of one process."""
        self._deliveries = deliveries
        self._queues = queues
        self._resender = resender

    def sweep(self, page: list[DueRow], now: datetime, out_of_time: Callable[[], bool]) -> Iterator[str]:
        """Move one page. A late retry is leased for 15 minutes, then enqueued; the attempt clears the lease."""
        jobs = [row for row in page if ResendJobStore.is_job(row.key)]
        for row in jobs:
            for _ in range(self._resender.work(row, now, out_of_time)):
                yield "resent"
        leased = [
            row for row in page if row not in jobs and self._deliveries.lease(row.key, row.seen, now + RETRY_LEASE)
        ]
        deliveries = self._deliveries.get_many(row.key for row in leased)
        messages = [woken(own, now) for own in deliveries.values()]
        self._queues.retry(messages)
        for _ in messages:
            yield "retried"
