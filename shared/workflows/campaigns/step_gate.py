"""What the gate says to a step: its facts gathered, its coupon chosen, the rules asked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.domain import coupon, criteria, gate
from shared.domain.checkout import Status
from shared.domain.consent import Channel
from shared.domain.coupon import Allocation, CouponRule
from shared.domain.episode import Episode
from shared.domain.ids import EpisodeId
from shared.domain.merchant import Endpoint
from shared.store.checkouts import CheckoutStore
from shared.workflows.campaigns.step_case import StepCase

_CHECKOUTS_LOOKED_AT = 10


class Coupons(Protocol):
    """Where codes come from."""

    def allocations(self, episode_id: EpisodeId) -> list[Allocation]:
        """The codes given to an episode's steps so far."""
        ...

    def allocate(self, episode: Episode, step: int, rule: CouponRule, now: datetime) -> Allocation | None:
        """A code for the step, the same one at a retry; None where there is none left."""
        ...


@dataclass(frozen=True, slots=True)
class NoEndpoint:
    """The endpoint was deleted or switched off: there is nobody to ask the gate for."""

    reason: str


type Decision = gate.Decision | NoEndpoint


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, the channel it is about, and the code the message carries if it goes out."""

    decision: Decision
    channel: Channel | None
    code: str | None = None


class StepGate:
    """Asks the gate about a case. Writes nothing but a coupon's allocation."""

    def __init__(self, checkouts: CheckoutStore, coupons: Coupons, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._checkouts = checkouts
        self._coupons = coupons
        self._now = now

    def ask(self, case: StepCase) -> Verdict:
        """What is to be done with the step now."""
        if case.endpoint is None or not case.endpoint.active:
            return Verdict(NoEndpoint("endpoint_deleted" if case.endpoint is None else "endpoint_disabled"), None)
        channel = case.channel
        plan = self._coupon_plan(case)
        decision = gate.gate(self._facts(case, case.endpoint, channel, plan))
        if isinstance(decision, gate.Send) and (channel is not None or len(decision.channels) == 1):
            channel = decision.channels[0]
        return Verdict(decision, channel, plan.code if isinstance(plan, coupon.Carry) else None)

    def _facts(
        self, case: StepCase, endpoint: Endpoint, channel: Channel | None, plan: coupon.CouponPlan
    ) -> gate.GateFacts:
        wanted, problems = criteria.parse(dict(endpoint.settings.get("filter") or {}))
        return gate.GateFacts(
            now=self._now(),
            checkout=case.checkout,
            settings=case.settings,
            merchant_zone=case.merchant.timezone,
            merchant_country=case.merchant.country,
            episode=case.episode,
            campaign=case.campaign,
            campaign_active=case.campaign_active,
            step=case.step.number,
            channel=channel,
            shopper=case.shopper,
            other_activity_at=self._other_activity(case),
            endpoint_filter=criteria.EVERYTHING if problems else wanted,
            coupon_available=not isinstance(plan, coupon.Unavailable),
        )

    def _other_activity(self, case: StepCase) -> datetime | None:
        """When the shopper was last active in another open checkout: whoever is buying is left in peace."""
        since = case.checkout.created_at
        digests: set[str] = set()
        for identity in case.episode.identities:
            if not self._checkouts.is_shared(identity, self._now()):
                digests |= set(self._checkouts.by_identity(identity, since=since)[:_CHECKOUTS_LOOKED_AT])
        others = self._checkouts.get_many(digests - {case.checkout.digest}).values()
        return max((own.last_activity_at for own in others if own.status is Status.OPEN), default=None)

    def _coupon_plan(self, case: StepCase) -> coupon.CouponPlan:
        rule = coupon.rule_of(case.step.number, case.planned.coupon, case.campaign.coupon)
        if rule is None:
            return coupon.NoCoupon()
        allocations = self._coupons.allocations(case.episode.id)
        discount_at = None if allocations else case.shopper.last_discount_at
        plan = coupon.planned_coupon(case.step.number, rule, allocations, discount_at, self._now())
        if not isinstance(plan, coupon.Allocate):
            return plan
        given = self._coupons.allocate(case.episode, case.step.number, rule, self._now())
        return coupon.Unavailable("exhausted") if given is None else coupon.Carry(given.code)
