"""A merchant's jobs of every kind, newest first: the list index names them, their own rows say how far each is."""

from shared.domain.ids import JobId, MerchantId
from shared.store import keys
from shared.store.codec import unpack
from shared.store.conditions import Key
from shared.store.jobs import Job
from shared.store.resend_jobs import ResendJob, ResendJobStore
from shared.store.table import Table
from shared.store.writes import Item

type AnyJob = Job | ResendJob
_LOOKED_AT = 100
"""At most in one call, where only those of one source or endpoint are wanted: as many as one read of rows takes."""


class JobList:
    """What a merchant asked for that takes longer than an answer."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def page(
        self, merchant_id: MerchantId, of: str | None, limit: int, before: JobId | None
    ) -> tuple[list[AnyJob], JobId | None]:
        """The next jobs, and the place to go on from; None at the end. ``of``: a source or an endpoint.

        A page may hold fewer than ``limit``; what is newer than the index knows is not in it yet.
        """
        condition = Key("lp").eq(keys.jobs_of(merchant_id))
        if before is not None:
            condition &= Key("ls").lt(keys.job(before)[0])
        most = limit if of is None else max(limit, _LOOKED_AT)
        named = self._table.query(condition, index=keys.LIST_INDEX, limit=most, forward=False)
        places = [(item["pk"], item["sk"]) for item in named.items]
        rows = self._table.batch_get(places)
        found: list[AnyJob] = []
        for at, place in enumerate(places, 1):
            there = self._table.readable([rows[place]] if place in rows else [], _job)
            found += [job for job in there if of is None or of == _of(job)]
            if len(found) == limit and (at < len(places) or named.next_key is not None):
                return found, _id_of(place)
        return found, _id_of(places[-1]) if named.next_key is not None else None


def _job(item: Item) -> AnyJob:
    return unpack(ResendJob, item) if ResendJobStore.is_resend(item) else unpack(Job, item)


def _of(job: AnyJob) -> str:
    """The source or the endpoint that it is about."""
    return job.source_id if isinstance(job, Job) else job.endpoint_id


def _id_of(place: tuple[str, str]) -> JobId:
    return JobId(place[0].removeprefix(keys.JOB_PREFIX))
