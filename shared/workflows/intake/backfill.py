"""Starting a backfill: what already lies at the provider is asked for page by page, by the pull function."""

from collections.abc import Callable, Mapping
from datetime import datetime

from shared.aws.credential_cipher import CredentialCipher
from shared.aws.pull_queue import PageMessage, PullQueue
from shared.aws.queues import QueueRefused, QueueUnavailable
from shared.domain.ids import JobId, MerchantId, new_ulid
from shared.domain.job import has_stalled
from shared.domain.merchant import Merchant, Source
from shared.providers import registry
from shared.providers.pull import BackfillQuery, PullFailed, api_of
from shared.store.job_list import JobList
from shared.store.jobs import Job, JobStore
from shared.workflows.delivering.refusals import Conflict, Invalid, NotFound
from shared.workflows.intake.sources import context_of

_LOOKED_AT = 100


class Backfills:
    """Starts and shows backfill jobs."""

    def __init__(
        self,
        jobs: JobStore,
        listed: JobList,
        cipher: CredentialCipher,
        queue: Callable[[], PullQueue],
        now: Callable[[], datetime],
    ) -> None:
        """``queue`` is made at first need; ``now`` is the clock."""
        self._jobs = jobs
        self._listed = listed
        self._cipher = cipher
        self._queue = queue
        self._now = now

    def start(
        self,
        source: Source,
        merchant: Merchant,
        since: datetime | None,
        filters: Mapping[str, str],
        *,
        ulid: str | None = None,
    ) -> Job:
        """A job, of this name or a random one, over the checkouts changed since.

        Never before the recovery horizon: nothing older may be recovered.

        Raises Conflict where the source cannot be listed or another job that asks for the same is at work, Invalid for
        a filter or a time that cannot be, QueueUnavailable and QueueRefused; no job stands then.
        """
        now = self._now()
        earliest = now - merchant.settings.recovery_horizon
        if since is not None and since > now:
            raise Invalid([("/since", "lies in the future")])
        provider = registry.provider(source.provider)
        api = api_of(provider)
        if api is None or not api.lists:
            raise Conflict(f"{provider.description.title} offers no list of past checkouts.")
        unknown = sorted(set(filters) - api.filters)
        if unknown:
            raise Invalid([(f"/{name}", "this provider's list has no such filter") for name in unknown])
        query = BackfillQuery(max(since or earliest, earliest), filters)
        context = context_of(source, merchant, self._cipher.source(source), provider)
        try:
            api.access(context)
            api.page(query, None, context)
        except PullFailed as failed:
            raise Conflict(f"The provider cannot be asked: {failed.reason}.") from failed
        job = Job(
            id=JobId(f"job_{ulid or new_ulid(now)}"),
            merchant_id=merchant.id,
            source_id=source.id,
            since=query.since,
            created_at=now,
            updated_at=now,
            filters=filters,
        )
        at_work = self._at_work_beside(job)
        if at_work is not None:
            raise Conflict(f"Past checkouts of this source are being read already: {at_work.id}.")
        self._jobs.create(job)
        try:
            self._queue().send(PageMessage(job.id, job.merchant_id))
        except (QueueUnavailable, QueueRefused):
            # Nobody would ever begin it. Where the message is out after all, it finds no job.
            self._jobs.withdraw(job.id)
            raise
        return job

    def _at_work_beside(self, new: Job) -> Job | None:
        """Another job that asks for the same, and goes on. Among the newest; the list lags by up to a second.

        ``new`` itself stands where its request came before and its answer was lost.
        """
        found, _ = self._listed.page(new.merchant_id, new.source_id, _LOOKED_AT, None)
        for own in found:
            if not isinstance(own, Job) or own.id == new.id or dict(own.filters) != dict(new.filters):
                continue
            if own.live and not has_stalled(own.status, own.updated_at, new.created_at):
                return own
        return None

    def read(self, merchant_id: MerchantId, job_id: str) -> Job:
        """The merchant's job. Raises NotFound."""
        job = self._jobs.get(JobId(job_id))
        if job is None or job.merchant_id != merchant_id:
            raise NotFound("There is no such job.")
        return job
