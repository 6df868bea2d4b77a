"""The code a step's message carries: planned by the campaign's rule, and had from where codes come from."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain import coupon
from shared.domain.coupon import Allocation, CouponPlan, CouponRule, Unavailable
from shared.domain.episode import Episode
from shared.domain.ids import EpisodeId
from shared.workflows.campaigns.step_case import StepCase


class CouponDelayed(Exception):
    """Whoever makes the codes gave no answer: a code may be had later."""


class Coupons(Protocol):
    """Where codes come from."""

    def allocations(self, episode_id: EpisodeId) -> list[Allocation]:
        """The codes given to an episode's steps so far."""
        ...

    def allocate(
        self, episode: Episode, step: int, rule: CouponRule, now: datetime, within: timedelta
    ) -> Allocation | None:
        """A code for the step, the same one at a retry; None where there is none left.

        ``within``: how long whoever mints it may take. Raises CouponDelayed where it may be had later.
        """
        ...


class StepCoupons:
    """Chooses and gets codes. One per process."""

    def __init__(self, coupons: Coupons, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._coupons = coupons
        self._now = now

    def plan(self, case: StepCase) -> CouponPlan:
        """What the step carries; ``Allocate`` where a code must be had first. Asks nobody but the table."""
        rule = coupon.rule_of(case.step.number, case.planned.coupon, case.campaign.coupon)
        if rule is None:
            return coupon.NoCoupon()
        allocations = self._coupons.allocations(case.episode.id)
        discount_at = None if allocations else case.shopper.last_discount_at
        return coupon.planned_coupon(case.step.number, rule, allocations, discount_at, self._now())

    def get(self, case: StepCase, rule: CouponRule, within: timedelta) -> CouponPlan:
        """Give the step a code, written down before anybody sees it. Raises CouponDelayed."""
        given = self._coupons.allocate(case.episode, case.step.number, rule, self._now(), within)
        return Unavailable("exhausted") if given is None else coupon.Carry(given.code)
