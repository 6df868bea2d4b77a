"""Which of several campaigns has a shopper: by priority, then by age; and when an open episode changes hands.

The campaign that an abandonment starts is chosen once (``campaign.chosen``). A scheduled run that comes to the same
shopper competes by the same order: for an abandonment that nobody was told of yet with the campaigns that it would
start, for an open episode with the campaign that has it, as long as nothing has become of any message of it.
"""

from collections.abc import Iterable
from datetime import datetime

from shared.domain.campaign import Campaign, chosen, outranks
from shared.domain.checkout import Activity, Checkout
from shared.domain.episode import Episode
from shared.domain.step_state import StepState

ANOTHER_CAMPAIGN = "another_campaign"
"""Why a fitting campaign does not write to a shopper: another one has them."""


def is_told(checkout: Checkout) -> bool:
    """Whether the checkout's abandonment was told, and with it its campaign chosen."""
    return checkout.announced is not None and checkout.announced == checkout.sequence


def rival_of(run: Campaign, others: Iterable[Campaign], checkout: Checkout, now: datetime) -> Campaign | None:
    """The campaign that takes an abandonment before the scheduled ``run`` does, or None."""
    best = chosen(others, checkout, now)
    return best if best is not None and outranks(best, run) else None


def stays(episode: Episode, holder: Campaign | None, run: Campaign) -> bool:
    """Whether an open episode of another campaign stays with it when a scheduled ``run`` comes to its shopper.

    ``holder`` is that campaign as it is now, None where it was deleted. One that is paused or deleted gives way.
    """
    if _begun(episode):
        return True
    return holder is not None and holder.active and outranks(holder, run)


def _begun(episode: Episode) -> bool:
    """Whether something has become of one of its messages."""
    return any(own.state is not StepState.PLANNED or own.put_off for own in episode.steps)


def left_to(campaign_id: str, taker_id: str, at: datetime) -> Activity:
    """The timeline's entry that a fitting campaign does not write to the shopper, and which one does.

    ``at`` is the abandonment's: a campaign that comes again every hour leaves one entry.
    """
    detail: dict[str, str | int] = {"campaign_id": campaign_id, "reason": ANOTHER_CAMPAIGN}
    return Activity(at, "NOT_SENT", detail | {"taken_by": taker_id})
