"""Attribution: which message an order is owed to, by evidence. Last touch; opens never count.

Tier 1: a click not classed as a bot's, or our coupon used, at most 5 days before the order. Tier 2: no such click,
and a message delivered at most 24 hours before. Tier 3: the shopper came back alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Literal

CLICK_WINDOW = timedelta(days=5)
DELIVERY_WINDOW = timedelta(hours=24)

ClickClass = Literal["human", "probable_bot", "unknown"]


class Tier(IntEnum):
    """How strong the evidence is; 1 is the strongest and the only one that counts as attributed."""

    CLICKED = 1
    DELIVERED = 2
    ALONE = 3


@dataclass(frozen=True, slots=True)
class Click:
    """A visit through a step's recovery link (step 0: the checkout's own link)."""

    at: datetime
    step: int
    classed: ClickClass


@dataclass(frozen=True, slots=True)
class Touch:
    """A step that was handed over. ``delivered_at`` None where nobody reported the delivery."""

    step: int
    handed_over_at: datetime
    delivered_at: datetime | None = None
    coupon: str | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """The tier of an order, and the step it is owed to (None where to none)."""

    tier: Tier
    step: int | None = None


def attributed(
    ordered_at: datetime, touches: Iterable[Touch], clicks: Iterable[Click], discount_codes: Iterable[str] = ()
) -> Attribution:
    """What the order is owed to. ``discount_codes`` are the order's; codes are compared without regard to case.

    A link without a step (0) is ours all the same: the visit counts for the last message before it, if any.
    """
    sent = sorted((own for own in touches if own.handed_over_at <= ordered_at), key=lambda own: own.handed_over_at)
    evidence = [
        (click.at, _step_of(click, sent))
        for click in clicks
        if click.classed != "probable_bot" and ordered_at - CLICK_WINDOW <= click.at <= ordered_at
    ]
    used = {code.casefold() for code in discount_codes}
    evidence += [
        (own.handed_over_at, own.step)
        for own in sent
        if own.coupon is not None and own.coupon.casefold() in used and ordered_at - own.handed_over_at <= CLICK_WINDOW
    ]
    if evidence:
        return Attribution(Tier.CLICKED, max(evidence, key=lambda own: (own[0], own[1] or 0))[1])
    delivered = [
        (own.delivered_at, own.step)
        for own in sent
        if own.delivered_at is not None and timedelta() <= ordered_at - own.delivered_at <= DELIVERY_WINDOW
    ]
    if delivered:
        return Attribution(Tier.DELIVERED, max(delivered)[1])
    return Attribution(Tier.ALONE)


def _step_of(click: Click, sent: list[Touch]) -> int | None:
    if click.step:
        return click.step
    return next((own.step for own in reversed(sent) if own.handed_over_at <= click.at), None)
