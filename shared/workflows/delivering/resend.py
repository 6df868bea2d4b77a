"""Sending an endpoint's undelivered deliveries again: a job that the sweep works off page by page.

Nothing is sent from here: a delivery is put back into the queue with its id and its event's stored bytes, and whether
it is still true is decided at its attempt, as ever.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from shared.aws.queues import DeliveryQueues
from shared.domain.ids import JobId, MerchantId, first_delivery_id, new_ulid
from shared.domain.merchant import Endpoint
from shared.store.deliveries import KEPT_FOR, DeliveryRecord, DeliveryStatus, DeliveryStore, Recorded
from shared.store.due import DueRow
from shared.store.resend_jobs import ResendJob, ResendJobStore
from shared.workflows.delivering.attempts import message_of
from shared.workflows.delivering.refusals import Conflict, Invalid, NotFound

UNDELIVERED = (DeliveryStatus.FAILED, DeliveryStatus.HELD, DeliveryStatus.EXPIRED, DeliveryStatus.RETRYING)
"""What is meant without statuses. ``skipped`` is true no more, ``pending`` is on its way, and a message whose outcome
is ``unknown`` may have arrived: it goes out again only for whoever names it."""
NEVER_RESENT = (DeliveryStatus.DELIVERED, DeliveryStatus.PENDING)
_PAGE = 100
_LEASE = timedelta(minutes=5)
_MOMENT = timedelta(milliseconds=1)
_SAFETY_NET = timedelta(minutes=2)
"""Should the queue refuse a message, the sweep finds its delivery due after this time."""


class ResendJobs:
    """Starts and shows jobs, for the API."""

    def __init__(self, jobs: ResendJobStore, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._jobs = jobs
        self._now = now

    def start(
        self,
        endpoint: Endpoint,
        since: datetime | None,
        statuses: Sequence[DeliveryStatus] | None,
        *,
        ulid: str | None = None,
    ) -> ResendJob:
        """A job over the endpoint's deliveries since then, of this name or a random one. Raises Conflict, Invalid."""
        if not endpoint.active:
            raise Conflict("The endpoint is disabled; enable it first.")
        now = self._now()
        if since is not None and since > now:
            raise Invalid([("/since", "lies in the future")])
        wanted = UNDELIVERED if statuses is None else tuple(statuses)
        refused = [
            (f"/statuses/{at}", "cannot be sent again") for at, status in enumerate(wanted) if status in NEVER_RESENT
        ]
        if refused:
            raise Invalid(refused)
        job = ResendJob(
            id=JobId(f"job_{ulid or new_ulid(now)}"),
            merchant_id=endpoint.merchant_id,
            endpoint_id=endpoint.id,
            since=max(since or now - KEPT_FOR, now - KEPT_FOR),
            created_at=now,
            updated_at=now,
            statuses=tuple(dict.fromkeys(own.value for own in wanted)),
        )
        self._jobs.create(job)
        return job

    def find(self, merchant_id: MerchantId, job_id: str) -> ResendJob | None:
        """The merchant's job; None where the id is of another kind of job, or of none."""
        return self._jobs.get(merchant_id, JobId(job_id))

    def read(self, merchant_id: MerchantId, job_id: str) -> ResendJob:
        """The merchant's job. Raises NotFound."""
        found = self.find(merchant_id, job_id)
        if found is None:
            raise NotFound("There is no such job.")
        return found


class Resender:
    """Works jobs off, for the sweep."""

    def __init__(self, jobs: ResendJobStore, deliveries: DeliveryStore, queues: DeliveryQueues) -> None:
        """Share the stores of one process."""
        self._jobs = jobs
        self._deliveries = deliveries
        self._queues = queues

    def work(self, row: DueRow, now: datetime, out_of_time: Callable[[], bool]) -> int:
        """Go on with a due job until it is finished or time runs out; how many deliveries were enqueued.

        The cursor moves after a page's messages are out: a crash repeats at most a page, and what a page repeats is
        recognised by the attempt it is for.
        """
        if not self._jobs.lease(row.key, row.seen, now + _LEASE):
            return 0
        job = self._jobs.read(row.key)
        before = 0 if job is None else job.resent
        while job is not None and job.status != "completed":
            job = self._page(job, now)
            self._jobs.save(job, None if job.status == "completed" else now + _LEASE)
            if out_of_time() and job.status != "completed":
                self._jobs.save(job, now)
                break
        return 0 if job is None else job.resent - before

    def _page(self, job: ResendJob, now: datetime) -> ResendJob:
        after = job.cursor or first_delivery_id(job.since)
        page = self._deliveries.since(
            job.endpoint_id, after=after, below=first_delivery_id(job.created_at + _MOMENT), limit=_PAGE
        )
        # A campaign step is sent by its episode alone: whoever sent it again here could send it twice.
        wanted = [
            own
            for own in page.records
            if own.merchant_id == job.merchant_id and own.step is None and job.asks_for(own.status)
        ]
        again = [own for own in wanted if self._reset(own, now)]
        self._queues.retry([(message_of(own), timedelta()) for own in again])
        finished = page.ends_at is None
        return replace(
            job,
            status="completed" if finished else "running",
            cursor=page.ends_at or job.cursor,
            examined=job.examined + page.looked_at,
            resent=job.resent + len(again),
            updated_at=now,
            finished_at=now if finished else None,
        )

    def _reset(self, record: DeliveryRecord, now: datetime) -> bool:
        """Waiting again; found by the sweep should its message be lost. False where it moved on meanwhile."""
        again = Recorded(DeliveryStatus.PENDING, None, next_attempt_at=now + _SAFETY_NET, by_sweep=True)
        return self._deliveries.record(record, again)
