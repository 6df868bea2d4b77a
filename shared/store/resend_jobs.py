"""Jobs that send an endpoint's undelivered deliveries again. The cursor is in the row; the due index wakes the sweep.

A job row lies among the late retries of the due index (kind ``R``) until it is finished.
"""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.domain.ids import EndpointId, JobId, MerchantId, SourceId, checkout_digest
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.conditions import Attr
from shared.store.deliveries import DeliveryStatus
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Put, Update

KEPT_FOR = timedelta(days=90)
_KIND = "resend"


@dataclass(frozen=True, slots=True)
class ResendJob:
    """One ``/recover``. ``cursor`` is the last delivery looked at; only what was created in [since, created_at] is."""

    id: JobId
    merchant_id: MerchantId
    endpoint_id: EndpointId
    since: datetime
    created_at: datetime
    updated_at: datetime
    statuses: tuple[str, ...]
    status: Literal["queued", "running", "completed"] = "queued"
    cursor: str | None = None
    examined: int = 0
    resent: int = 0
    kind: str = _KIND
    finished_at: datetime | None = None

    def asks_for(self, status: DeliveryStatus) -> bool:
        """Whether deliveries in this status are to be sent again."""
        return status.value in self.statuses


class ResendJobStore:
    """Resend jobs by id."""

    def __init__(self, table: Table, due_shards: int) -> None:
        """``due_shards``: the stage's number of due index shards per kind."""
        self._table = table
        self._due_shards = due_shards

    @staticmethod
    def is_job(key: ItemKey) -> bool:
        """Whether a due row is a job and not a delivery."""
        return key[0].startswith("J#")

    @staticmethod
    def is_resend(item: Item) -> bool:
        """Whether a job's row is of this kind."""
        return item.get("kind") == _KIND

    def create(self, job: ResendJob) -> None:
        """Write a new job, due at once; one that stands stays as it is."""
        pk, sk = keys.job(job.id)
        shard = checkout_digest(job.merchant_id, SourceId(_KIND), job.id)
        row = {
            **pack(job),
            "pk": pk,
            "sk": sk,
            "lp": keys.jobs_of(job.merchant_id),
            "ls": pk,
            "dq": keys.due_queue(keys.RETRY_KIND, shard, self._due_shards),
            "da": to_ms(job.created_at),
            "ttl": to_ms(job.created_at + KEPT_FOR) // 1000,
        }
        with contextlib.suppress(ConditionFailed):
            self._table.put(Put(row, Attr("pk").not_exists()))

    def get(self, merchant_id: MerchantId, job_id: JobId) -> ResendJob | None:
        """The merchant's job, or None; also for a job of another kind."""
        found = self.read(keys.job(job_id))
        return found if found is not None and found.merchant_id == merchant_id else None

    def read(self, key: ItemKey) -> ResendJob | None:
        """The job at a due row's key, or None."""
        item = self._table.get(key)
        return unpack(ResendJob, item) if item is not None and self.is_resend(item) else None

    def lease(self, key: ItemKey, seen: int, until: datetime) -> bool:
        """Take the job until ``until``; False where another sweep was faster."""
        try:
            self._table.update(Update(key, set={"da": to_ms(until)}, condition=Attr("da").eq(seen)))
        except ConditionFailed:
            return False
        return True

    def save(self, job: ResendJob, due_at: datetime | None) -> None:
        """Write down how far the job is; ``due_at``: when it goes on, None when it is finished."""
        values = {
            "status": job.status,
            "cursor": job.cursor,
            "examined": job.examined,
            "resent": job.resent,
            "updated_at": to_ms(job.updated_at),
            "finished_at": None if job.finished_at is None else to_ms(job.finished_at),
            "da": None if due_at is None else to_ms(due_at),
        }
        self._table.update(
            Update(
                keys.job(job.id),
                set={name: value for name, value in values.items() if value is not None},
                remove=() if due_at is not None else ("dq", "da"),
            )
        )
