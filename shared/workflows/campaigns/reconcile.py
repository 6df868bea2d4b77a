"""Makes every campaign's schedule what it should be, whatever notes there are: after a restore, or a lost group.

A note says that one write's schedule must follow (``schedules.py``). A restored table holds campaigns of an earlier
moment, and a service stack that was made anew has another queue and another role: of neither there is a note.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.aws.faults import AWS_ERRORS
from shared.aws.schedules import ScheduleRefused
from shared.domain.campaign import CampaignId
from shared.domain.ids import MerchantId
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from shared.workflows.campaigns.schedules import CampaignSchedules, schedule_name

_PAGE = 25


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many schedules were settled, the names of those that were not, and whom to go on after (None: all done)."""

    settled: int
    failed: tuple[str, ...]
    next: str | None

    def as_json(self) -> dict[str, object]:
        """What the function answers."""
        return {"settled": self.settled, "failed": list(self.failed), "next": self.next}


class Reconciliation:
    """Walks all merchants, and of each the campaigns that have a schedule."""

    def __init__(self, merchants: MerchantStore, campaigns: CampaignStore, schedules: CampaignSchedules) -> None:
        """Share the stores of one process."""
        self._merchants = merchants
        self._campaigns = campaigns
        self._schedules = schedules

    def run(self, after: str | None, out_of_time: Callable[[], bool]) -> Reconciled:
        """Settle from the merchant after ``after`` on until all is done or the time is up.

        A schedule that cannot be settled holds up no other. Orphans, of campaigns that the table does not hold, remove
        themselves when they fire.
        """
        settled, failed = 0, list[str]()
        while True:
            page, next_page = self._merchants.listed(_PAGE, after)
            for merchant in page:
                done, missed = self._of_merchant(merchant.id)
                settled += done
                failed += missed
                # Asked after one is done: every call gets further.
                if out_of_time():
                    return Reconciled(settled, tuple(failed), merchant.id)
            if next_page is None:
                return Reconciled(settled, tuple(failed), None)
            after = next_page

    def _of_merchant(self, merchant_id: MerchantId) -> tuple[int, list[str]]:
        scheduled: list[CampaignId] = [
            own.value.id for own in self._campaigns.listed(merchant_id) if own.value.trigger.type == "schedule"
        ]
        failed = []
        for campaign_id in scheduled:
            try:
                self._schedules.settle(merchant_id, campaign_id)
            except (ScheduleRefused, *AWS_ERRORS):
                failed.append(schedule_name(merchant_id, campaign_id))
        return len(scheduled) - len(failed), failed
