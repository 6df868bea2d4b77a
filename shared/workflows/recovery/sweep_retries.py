"""Due retries: late attempts go back to the queue, resend jobs go on."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryQueues
from shared.store.deliveries import DeliveryStore
from shared.store.due import DueRow
from shared.store.resend_jobs import ResendJobStore
from shared.workflows.delivering.resend import Resender
from shared.workflows.delivering.waiting import woken
from shared.workflows.recovery.sweep_outcome import Failed, Outcome

RETRY_LEASE = timedelta(minutes=15)


class RetrySweeper:
    """Moves due retries. A crash repeats a message, never an attempt."""

    def __init__(self, deliveries: DeliveryStore, queues: DeliveryQueues, resender: Resender) -> None:
        """Share the stores of one process."""
        self._deliveries = deliveries
        self._queues = queues
        self._resender = resender

    def sweep(self, page: list[DueRow], now: datetime, out_of_time: Callable[[], bool]) -> Iterator[Outcome]:
        """Move one page. A late retry is leased for 15 minutes, then enqueued; the attempt clears the lease.

        A delivery that cannot be read comes again after its lease. Raises QueueUnavailable.
        """
        leased: list[DueRow] = []
        for row in page:
            try:
                if ResendJobStore.is_job(row.key):
                    yield from ["resent"] * self._resender.work(row, now, out_of_time)
                elif self._deliveries.lease(row.key, row.seen, now + RETRY_LEASE):
                    leased.append(row)
            except Exception as error:  # noqa: BLE001 - this row's alone
                yield Failed(row, error)
        deliveries = self._deliveries.get_readable(row.key for row in leased)
        messages = [woken(own, now) for own in deliveries.values()]
        self._queues.retry(messages)
        yield from ["retried"] * len(messages)
