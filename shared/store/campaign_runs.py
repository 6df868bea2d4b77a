"""Runs of scheduled campaigns: one row per campaign and firing with how far it is, and one claim per checkout of it.

One worker at a time holds a run, by a lease. A claim is done only after its episode was started: a worker that dies in
between leaves the checkout to the next one, and starting twice starts once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.domain.ids import CampaignId, MerchantId
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.conditions import Attr
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, Put, Update

KEPT_FOR = timedelta(days=90)
_CLAIMS_KEPT_FOR = timedelta(days=7)
"""A message of a run cannot come later."""


class RunTaken(Exception):
    """Another worker holds the run."""


@dataclass(slots=True)
class Run:
    """One run as its worker sees it: ``cursor`` is the place in the list after which it goes on."""

    merchant_id: MerchantId
    campaign_id: CampaignId
    fired_at: datetime
    lease: int
    cursor: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: str) -> None:
        """Count one checkout's outcome."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1


class RunStore:
    """Runs by campaign and firing."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def begin(
        self, merchant_id: MerchantId, campaign_id: CampaignId, fired_at: datetime, now: datetime, lease: timedelta
    ) -> Run | None:
        """Take up the run, new or where it was left; None when it is finished. Raises RunTaken."""
        pk, sk = keys.run(campaign_id, fired_at)
        until = to_ms(now + lease)
        row: Item = {"pk": pk, "sk": sk, "mer": merchant_id, "st": "running", "ca": to_ms(now), "lease": until}
        row |= keys.owned(merchant_id, pk)
        try:
            self._table.put(Put(row | {"ttl": to_ms(now + KEPT_FOR) // 1000}, Attr("pk").not_exists()))
        except ConditionFailed as failed:
            return self._resumed(merchant_id, campaign_id, fired_at, failed.old or {}, now, until)
        return Run(merchant_id, campaign_id, fired_at, until)

    def save(self, run: Run, *, finished: str | None = None, release: bool = False) -> None:
        """Write down how far the run is. ``finished`` names its end. Raises RunTaken when the lease was lost."""
        values: dict[str, Any] = {
            "cur": run.cursor,
            "counts": run.counts,
            "st": "running" if finished is None else finished,
        }
        if release or finished is not None:
            values["lease"] = 0
        update = Update(
            keys.run(run.campaign_id, run.fired_at),
            set={name: value for name, value in values.items() if value is not None},
            condition=Attr("lease").eq(run.lease),
        )
        try:
            self._table.update(update)
        except ConditionFailed as failed:
            raise RunTaken from failed

    def counts(self, campaign_id: CampaignId, fired_at: datetime) -> tuple[str, Mapping[str, int]] | None:
        """How a run stands, and its outcomes so far; None where there was none."""
        item = self._table.get(keys.run(campaign_id, fired_at))
        return None if item is None else (item["st"], _counts(item))

    def claim(self, run: Run, of_digest: str, now: datetime) -> bool:
        """Claim a checkout for the run; False where it was done with before."""
        pk, sk = keys.run_claim(run.campaign_id, run.fired_at, of_digest)
        row: Item = {"pk": pk, "sk": sk, "done": False, "ttl": to_ms(now + _CLAIMS_KEPT_FOR) // 1000}
        try:
            self._table.put(Put(row, Attr("pk").not_exists() | Attr("done").eq(False)))
        except ConditionFailed:
            return False
        return True

    def done(self, run: Run, of_digest: str) -> None:
        """The checkout's episode was started, or it was settled that none is."""
        self._table.update(Update(keys.run_claim(run.campaign_id, run.fired_at, of_digest), set={"done": True}))

    def _resumed(
        self,
        merchant_id: MerchantId,
        campaign_id: CampaignId,
        fired_at: datetime,
        row: Item,
        now: datetime,
        until: int,
    ) -> Run | None:
        if row.get("st") != "running":
            return None
        free = Attr("st").eq("running") & Attr("lease").lt(to_ms(now))
        try:
            self._table.update(Update(keys.run(campaign_id, fired_at), set={"lease": until}, condition=free))
        except ConditionFailed as failed:
            raise RunTaken from failed
        # Between the read and the lease nobody wrote: a worker that saves holds a lease that has not run out, or
        # loses it here.
        current = self._table.get(keys.run(campaign_id, fired_at)) or row
        return Run(merchant_id, campaign_id, fired_at, until, current.get("cur"), _counts(current))


def _counts(item: Item) -> dict[str, int]:
    return {name: int(count) for name, count in item.get("counts", {}).items()}
