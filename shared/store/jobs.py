"""Backfill jobs: where each stands, and who works on it. The cursor is in the row, so that a crash loses one page.

Turns: a message names the page it is for. ``claim`` gives a turn to one worker at a time; ``turned`` ends it after the
next page's message is out. A message for a page whose successor is out already is a late copy.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.domain.ids import JobId, MerchantId, SourceId
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Delete, Put, Update

KEPT_FOR = timedelta(days=90)
JobStatus = Literal["queued", "running", "completed", "failed"]
_LIVE = ("queued", "running")


@dataclass(frozen=True, slots=True)
class JobCounts:
    """Checkouts read from the provider, and what became of each.

    ``refused`` ones could not be read or stored: they were set aside, and cost the others nothing.
    """

    read: int = 0
    created: int = 0
    merged: int = 0
    unchanged: int = 0
    skipped: int = 0
    refused: int = 0

    def plus(self, other: "JobCounts") -> "JobCounts":
        """Both together."""
        return JobCounts(
            self.read + other.read,
            self.created + other.created,
            self.merged + other.merged,
            self.unchanged + other.unchanged,
            self.skipped + other.skipped,
            self.refused + other.refused,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One backfill. ``attempts`` counts the present page's failures; ``announced`` is the page whose message is out."""

    id: JobId
    merchant_id: MerchantId
    source_id: SourceId
    since: datetime
    created_at: datetime
    updated_at: datetime
    filters: Mapping[str, str] = field(default_factory=dict)
    status: JobStatus = "queued"
    reason: str | None = None
    cursor: str | None = None
    page: int = 0
    announced: int = 0
    attempts: int = 0
    counts: JobCounts = JobCounts()
    finished_at: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether there is anything left to do."""
        return self.status in _LIVE


class JobStore:
    """Jobs by id."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def create(self, job: Job) -> None:
        """Write a new job; one that stands stays as it is."""
        pk, sk = keys.job(job.id)
        row = {
            **pack(job),
            "pk": pk,
            "sk": sk,
            "lp": keys.jobs_of(job.merchant_id),
            "ls": pk,
            "version": 1,
            "ttl": to_ms(job.created_at + KEPT_FOR) // 1000,
        }
        with contextlib.suppress(ConditionFailed):
            self._table.put(Put(row, Attr("pk").not_exists()))

    def withdraw(self, job_id: JobId) -> None:
        """Remove a job on which nobody has begun; one that is begun stays."""
        with contextlib.suppress(ConditionFailed):
            self._table.delete(Delete(keys.job(job_id), Attr("status").eq("queued")))

    def get(self, job_id: JobId) -> Job | None:
        """The job, or None. Whoever acts for a merchant must compare ``merchant_id``."""
        item = self._table.get(keys.job(job_id))
        return None if item is None else unpack(Job, item)

    def claim(self, job: Job, now: datetime, lease: timedelta) -> bool:
        """Take the turn at the job as it was read; False where another worker has it or it moved on."""
        condition = (
            Attr("page").eq(job.page)
            & Attr("status").is_in(list(_LIVE))
            & (Attr("lease").not_exists() | Attr("lease").lt(to_ms(now)))
        )
        values = {"lease": to_ms(now + lease), "status": "running", "updated_at": to_ms(now)}
        try:
            self._table.update(Update(keys.job(job.id), set=values, condition=condition))
        except ConditionFailed:
            return False
        return True

    def save(self, job: Job, page: int) -> bool:
        """Write down how far the job is, whose turn is claimed for ``page``; False where another took the turn over."""
        values = {name: value for name, value in pack(job).items() if name not in {"id", "merchant_id", "source_id"}}
        absent = [name for name in ("cursor", "reason", "finished_at") if getattr(job, name) is None]
        condition = Attr("page").eq(page) & Attr("status").is_in(list(_LIVE))
        try:
            self._table.update(Update(keys.job(job.id), set=values, remove=absent, condition=condition))
        except ConditionFailed:
            return False
        return True

    def forget(self, merchant_id: MerchantId, customers: Collection[str], now: datetime) -> None:
        """Drop these customers' ids from the jobs that ask for one of them alone; one at work ends.

        A worker that has such a job's turn writes nothing over that.
        """
        listed = (
            Key("lp").eq(partition) & Key("ls").begins_with(keys.JOB_PREFIX)
            # Those from before there was a list of jobs stand among the merchant's other rows.
            for partition in (keys.jobs_of(merchant_id), *keys.owned_partitions(merchant_id))
        )
        found = [own["pk"] for each in listed for own in self._table.query_all(each, index=keys.LIST_INDEX)]
        for key, row in self._table.rows_of((own, keys.JOB) for own in found).items():
            filters = row.get("filters")
            if not isinstance(filters, Mapping) or str(filters.get("customer_id")) not in customers:
                continue
            values: dict[str, Any] = {"filters": {**filters, "customer_id": "erased"}}
            if row.get("status") in _LIVE:
                values |= {"status": "failed", "reason": "erased", "finished_at": to_ms(now)}
            with contextlib.suppress(ConditionFailed):  # it is gone, or past its time
                self._table.update(Update(key, set=values, remove=["cursor"], condition=Attr("pk").exists()))

    def turned(self, job: Job) -> None:
        """The next page's message is out (or there is none): the turn is free."""
        self._table.update(Update(keys.job(job.id), set={"announced": job.page}, remove=["lease"]))
