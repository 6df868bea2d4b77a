"""Keeps schedules as campaigns say: the stored campaign is the truth, the schedule follows it."""

from shared.aws.faults import AWS_ERRORS
from shared.aws.schedules import SCHEDULED_TIME, CampaignSchedule, ScheduleRefused, Schedules
from shared.domain.campaign import Campaign, CampaignId
from shared.domain.ids import MerchantId
from shared.store.campaigns import CampaignStore
from shared.store.configuration import Versioned
from shared.store.table import StoreUnavailable

_ROUNDS = 5


class CampaignSchedules:
    """Settles schedules after every write to a campaign, and repairs those that a crash left behind."""

    def __init__(self, campaigns: CampaignStore, schedules: Schedules) -> None:
        """Share the stores of one process."""
        self._campaigns = campaigns
        self._schedules = schedules

    def settle(self, merchant_id: MerchantId, campaign_id: CampaignId) -> None:
        """Make the campaign's schedule as the campaign says: made, changed, paused or gone.

        Reads the campaign again afterwards: of two writers at once, whoever settles last has seen both. Raises
        ScheduleRefused, and StoreUnavailable when the campaign kept changing.
        """
        found = self._campaigns.get(merchant_id, campaign_id)
        for _ in range(_ROUNDS):
            self._apply(found, schedule_name(merchant_id, campaign_id))
            settled, found = found, self._campaigns.get(merchant_id, campaign_id)
            if _revision(settled) == _revision(found):
                self._campaigns.settled(merchant_id, campaign_id, _revision(found))
                return
        raise StoreUnavailable("the campaign kept changing")

    def repair(self) -> int:
        """Settle whatever was not settled by its writer; answers how many that were.

        One that cannot be settled does not hold up the others. Raises what the last such one met.
        """
        settled, failure = 0, None
        for merchant_id, campaign_id in self._campaigns.unsettled():
            try:
                self.settle(merchant_id, campaign_id)
                settled += 1
            except (ScheduleRefused, *AWS_ERRORS) as error:
                failure = error
        if failure is not None:
            raise failure
        return settled

    def _apply(self, found: Versioned[Campaign] | None, name: str) -> None:
        trigger = None if found is None else found.value.trigger
        if found is None or trigger is None or trigger.type != "schedule" or trigger.expression is None:
            self._schedules.delete(name)
            return
        message = {
            "merchant_id": found.value.merchant_id,
            "campaign_id": found.value.id,
            "fired_at": SCHEDULED_TIME,
            "revision": found.version,
        }
        self._schedules.put(
            CampaignSchedule(name, trigger.expression, trigger.timezone or "UTC", found.value.active, message)
        )


def schedule_name(merchant_id: MerchantId, campaign_id: CampaignId) -> str:
    """The name of a campaign's schedule, the same whoever makes it: 61 of the 64 characters there may be."""
    return f"{merchant_id}-{campaign_id}"


def _revision(found: Versioned[Campaign] | None) -> int | None:
    return None if found is None else found.version
