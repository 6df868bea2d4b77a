"""What the gate says to a step: its facts gathered, the rules asked. Nothing is written, and nobody outside asked."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.domain import criteria, gate
from shared.domain.checkout import Status
from shared.domain.consent import Channel
from shared.domain.coupon import Allocate, Carry, CouponPlan, CouponRule, Unavailable
from shared.domain.merchant import Endpoint
from shared.store.checkouts import CheckoutStore
from shared.workflows.campaigns.step_case import StepCase
from shared.workflows.campaigns.step_coupon import StepCoupons

_CHECKOUTS_LOOKED_AT = 10


@dataclass(frozen=True, slots=True)
class NoEndpoint:
    """The endpoint was deleted or switched off: there is nobody to ask the gate for."""

    reason: str


type Decision = gate.Decision | NoEndpoint


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, the channel it is about, and the code the message carries if it goes out.

    ``wants``: it may go out once it has a code of this rule; then the gate is to be asked again.
    """

    decision: Decision
    channel: Channel | None
    code: str | None = None
    wants: CouponRule | None = None


class StepGate:
    """Asks the gate about a case. One per process."""

    def __init__(self, checkouts: CheckoutStore, coupons: StepCoupons, now: Callable[[], datetime]) -> None:
        """``now`` is the clock."""
        self._checkouts = checkouts
        self._coupons = coupons
        self._now = now

    def ask(self, case: StepCase, *, no_code_left: bool = False) -> Verdict:
        """What is to be done with the step now; ``no_code_left``: it was asked for one, and there is none."""
        if case.endpoint is None or not case.endpoint.active:
            return Verdict(NoEndpoint("endpoint_deleted" if case.endpoint is None else "endpoint_disabled"), None)
        channel = case.channel
        plan = self._coupons.plan(case)
        if isinstance(plan, Allocate) and no_code_left:
            plan = Unavailable("exhausted")
        decision = gate.gate(self._facts(case, case.endpoint, channel, plan))
        if not isinstance(decision, gate.Send):
            return Verdict(decision, channel)
        if channel is not None or len(decision.channels) == 1:
            channel = decision.channels[0]
        wants = plan.rule if isinstance(plan, Allocate) else None
        return Verdict(decision, channel, plan.code if isinstance(plan, Carry) else None, wants)

    def _facts(self, case: StepCase, endpoint: Endpoint, channel: Channel | None, plan: CouponPlan) -> gate.GateFacts:
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
            coupon_available=not isinstance(plan, Unavailable),
        )

    def _other_activity(self, case: StepCase) -> datetime | None:
        """When the shopper was last active in another open checkout: whoever is buying is left in peace."""
        since = case.checkout.created_at
        digests: set[str] = set()
        for identity in case.episode.identities:
            if not self._checkouts.is_shared(identity, self._now()):
                digests |= set(self._checkouts.by_identity(identity, since=since)[:_CHECKOUTS_LOOKED_AT])
        others = self._checkouts.get_readable(digests - {case.checkout.digest}).values()
        return max((own.last_activity_at for own in others if own.status is Status.OPEN), default=None)
