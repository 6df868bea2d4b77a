"""One step of a campaign: the gate in full, the claim, the hand-over, and exactly one recorded outcome.

The claim is a write of the episode under the version it was read at; a purchase, an opt-out and an erasure write the
episode too. So exactly one of them and the claim wins, and after a purchase's 200 no message goes out.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from shared.aws.credential_cipher import CredentialCipher
from shared.aws.queues import StepMessage
from shared.delivery.exchange import SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.destinations import registry
from shared.destinations.destination import Delivery, Destination, Unsendable
from shared.destinations.destination import Endpoint as Target
from shared.domain import coupon as coupons
from shared.domain import criteria, gate, planning, step_state
from shared.domain.announcement import EventType, envelope, messaging
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.checkout import Activity, Checkout
from shared.domain.consent import Channel
from shared.domain.coupon import Allocation, CouponRule
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import SHOPPER_KINDS, Identity, IdentityHasher
from shared.domain.ids import DeliveryId, EndpointId, EpisodeId, EventId, delivery_id, derived_ulid
from shared.domain.merchant import Endpoint, Merchant
from shared.domain.recovery_link import RecoveryCodes
from shared.domain.shopper import Shopper, together
from shared.domain.step_state import EpisodeStep
from shared.domain.suppression import EndReason, SuppressionReason
from shared.domain.transitions import retention_end
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.table import ConditionFailed, StoreUnavailable, Table, TransactionCancelled
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.delivering.attempts import attempt_json, target_of
from shared.workflows.delivering.deliver import First, Handled, Prepared
from shared.workflows.delivering.endpoint_health import EndpointHealth
from shared.workflows.recovery.announce import due_of
from shared.workflows.recovery.facts import FactRecorder

_ROUNDS = 5
_STATUS_OF = {
    step_state.StepState.SENT: DeliveryStatus.DELIVERED,
    step_state.StepState.PLANNED: DeliveryStatus.RETRYING,
    step_state.StepState.UNKNOWN: DeliveryStatus.UNKNOWN,
    step_state.StepState.SKIPPED: DeliveryStatus.SKIPPED,
    step_state.StepState.FAILED: DeliveryStatus.FAILED,
    step_state.StepState.EXPIRED: DeliveryStatus.EXPIRED,
}
SENT_ACTIVITY = {Channel.EMAIL: "EMAIL_SENT"}
NOT_SENT_ACTIVITY = {Channel.EMAIL: "EMAIL_NOT_SENT"}


class Coupons(Protocol):
    """Where codes come from."""

    def allocations(self, episode_id: EpisodeId) -> list[Allocation]:
        """The codes given to an episode's steps so far."""
        ...

    def allocate(self, episode: Episode, step: int, rule: CouponRule, now: datetime) -> Allocation | None:
        """A code for the step, the same one at a retry; None where there is none left."""
        ...


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything that was read for one step."""

    episode: Episode
    step: EpisodeStep
    planned: CampaignStep
    campaign: Campaign
    campaign_active: bool
    checkout: Checkout
    merchant: Merchant
    endpoint: Endpoint | None
    records: dict[Identity, ShopperRecord]

    @property
    def shopper(self) -> Shopper:
        """What is remembered of the shopper, over all identifiers."""
        return together(own.memory for own in self.records.values())

    @property
    def endpoint_id(self) -> EndpointId:
        """Where the step goes."""
        return self.planned.endpoint_id

    @property
    def delivery_id(self) -> DeliveryId:
        """The delivery of this step: the same at every attempt."""
        return delivery_id(self.episode.started_at, f"{self.episode.id}#{self.step.number}", self.endpoint_id)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A step that this worker alone may hand over."""

    case: _Case
    claimed: Episode
    channel: Channel | None
    code: str | None
    target: Target
    kind: Destination


class StepSender:
    """Sends due steps. One per process."""

    def __init__(
        self,
        *,
        episodes: EpisodeStore,
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        merchants: MerchantStore,
        endpoints: EndpointStore,
        campaigns: CampaignStore,
        deliveries: DeliveryStore,
        activities: ActivityStore,
        coupons: Coupons,
        facts: FactRecorder,
        messages: VendorMessageStore,
        disable: Callable[[Endpoint, str], object],
        suppressions: Suppressions,
        hasher: IdentityHasher,
        table: Table,
        health: EndpointHealth,
        cipher: CredentialCipher,
        recovery_codes: RecoveryCodes,
        unsubscribe_codes: RecoveryCodes,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process. ``disable`` switches an endpoint off and tells whom it concerns."""
        self._episodes = episodes
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._merchants = merchants
        self._endpoints = endpoints
        self._campaigns = campaigns
        self._deliveries = deliveries
        self._activities = activities
        self._coupons = coupons
        self._facts = facts
        self._messages = messages
        self._disable = disable
        self._suppressions = suppressions
        self._hasher = hasher
        self._table = table
        self._health = health
        self._cipher = cipher
        self._recovery_codes = recovery_codes
        self._unsubscribe_codes = unsubscribe_codes
        self._public_url = public_url
        self._now = now

    def prepare(self, messages: Sequence[StepMessage]) -> list[Handled | Prepared]:
        """What each message asks for, in order: a hand-over to make now, or what became of the step without one."""
        return [self._prepared(message) for message in messages]

    def _prepared(self, message: StepMessage) -> Handled | Prepared:
        try:
            for _ in range(_ROUNDS):
                case = self._read(message)
                if isinstance(case, Handled):
                    return case
                try:
                    return self._gated(case)
                except EpisodeMoved:
                    continue
        except StoreUnavailable:
            return Handled("step_unavailable", retry_message=True)
        return Handled("step_contended", retry_message=True)

    def _read(self, message: StepMessage) -> _Case | Handled:
        """The due step and all that the gate looks at, read consistently."""
        episode = self._episodes.get(message.episode_id)
        if episode is None or episode.merchant_id != message.merchant_id:
            return Handled("step_unknown")
        step = planning.due_step(episode, self._now())
        if step is None or episode.campaign_id is None or episode.newest_checkout is None:
            return Handled("step_not_due")
        campaign_id = CampaignId(episode.campaign_id)
        campaign = self._campaigns.version(episode.merchant_id, campaign_id, episode.campaign_version)
        checkout = self._checkouts.get(episode.newest_checkout)
        merchant = self._merchants.get(episode.merchant_id)
        planned = campaign.step(step.number) if campaign else None
        if campaign is None or checkout is None or merchant is None or planned is None:
            self._end(episode, EndReason.ERASED)
            return Handled("step_erased")
        endpoint = self._endpoints.get(episode.merchant_id, planned.endpoint_id)
        return _Case(
            episode=episode,
            step=step,
            planned=planned,
            campaign=campaign,
            campaign_active=self._campaigns.is_active(episode.merchant_id, campaign_id),
            checkout=checkout,
            merchant=merchant.value,
            endpoint=endpoint.value if endpoint else None,
            records=self._shoppers.get_many({*episode.identities, *self._shopper_of(checkout)}),
        )

    def _shopper_of(self, checkout: Checkout) -> list[Identity]:
        """The checkout's own identifiers: it may have learnt some since its episode was opened."""
        return [own for kind, own in self._hasher.of_checkout(checkout).items() if kind in SHOPPER_KINDS]

    def _gated(self, case: _Case) -> Handled | Prepared:
        """Run the gate and do what it says. Raises EpisodeMoved when the episode was written meanwhile."""
        if case.endpoint is None or not case.endpoint.active:
            reason = "endpoint_deleted" if case.endpoint is None else "endpoint_disabled"
            return self._skipped(case, reason, None)
        channel = _channel(case.endpoint, case.planned)
        plan = self._coupon_plan(case)
        decision = gate.gate(self._gate_facts(case, channel, plan))
        match decision:
            case gate.Send(channels):
                return self._claimed(case, channels[0] if channel or len(channels) == 1 else channel, plan)
            case gate.Defer(until, reason):
                later = planning.with_step(case.episode, step_state.deferred(case.step, until))
                self._rewrite(case, later)
                return Handled(f"step_deferred:{reason}")
            case gate.Skip(reason):
                return self._skipped(case, reason, channel)
            case gate.CloseChannel(channels, reason):
                closed = case.episode.closed_channels | {own.value for own in channels}
                return self._skipped(
                    replace(case, episode=replace(case.episode, closed_channels=closed)), reason, channel
                )
            case gate.EndEpisode(reason):
                self._record_not_sent(case, reason, channel)
                ended = step_state.skipped(case.step, str(reason), self._now())
                self._facts.step_ended(case.episode, ended, case.checkout, case.merchant, case.endpoint_id)
                self._end(case.episode, _END_OF.get(reason, EndReason.TOO_OLD))
                return Handled(f"episode_ended:{reason}")
            case gate.Replan():
                later = planning.replanned(
                    replace(case.episode, version=case.episode.version + 1),
                    case.campaign,
                    case.merchant.settings,
                    self._now(),
                )
                self._rewrite(case, later)
                return Handled("step_replanned")

    def _gate_facts(self, case: _Case, channel: Channel | None, plan: coupons.CouponPlan) -> gate.GateFacts:
        filter_rules, problems = (
            criteria.parse(dict(case.endpoint.settings.get("filter") or {}))
            if case.endpoint
            else (
                criteria.EVERYTHING,
                [],
            )
        )
        return gate.GateFacts(
            now=self._now(),
            checkout=case.checkout,
            settings=case.merchant.settings,
            merchant_zone=case.merchant.timezone,
            merchant_country=case.merchant.country,
            episode=case.episode,
            campaign=case.campaign,
            campaign_active=case.campaign_active,
            step=case.step.number,
            channel=channel,
            shopper=case.shopper,
            other_activity_at=self._other_activity(case),
            endpoint_filter=criteria.EVERYTHING if problems else filter_rules,
            coupon_available=not isinstance(plan, coupons.Unavailable),
        )

    def _other_activity(self, case: _Case) -> datetime | None:
        """When the shopper was last active in another open checkout: whoever is buying is left in peace."""
        since = case.checkout.created_at
        digests: set[str] = set()
        for identity in case.episode.identities:
            if not self._checkouts.is_shared(identity, self._now()):
                digests |= set(self._checkouts.by_identity(identity, since=since)[:10])
        others = self._checkouts.get_many(digests - {case.checkout.digest}).values()
        return max((own.last_activity_at for own in others if own.status.value == "open"), default=None)

    def _coupon_plan(self, case: _Case) -> coupons.CouponPlan:
        rule = coupons.rule_of(case.step.number, case.planned.coupon, case.campaign.coupon)
        if rule is None:
            return coupons.NoCoupon()
        allocations = self._coupons.allocations(case.episode.id)
        discount_at = None if allocations else case.shopper.last_discount_at
        plan = coupons.planned_coupon(case.step.number, rule, allocations, discount_at, self._now())
        if not isinstance(plan, coupons.Allocate):
            return plan
        given = self._coupons.allocate(case.episode, case.step.number, rule, self._now())
        return coupons.Unavailable("exhausted") if given is None else coupons.Carry(given.code)

    def _claimed(self, case: _Case, channel: Channel | None, plan: coupons.CouponPlan) -> Handled | Prepared:
        """Claim the step; only then is anything handed over."""
        assert case.endpoint is not None  # noqa: S101 - the gate was asked only with an endpoint
        now = self._now()
        key = self._health.key(case.endpoint_id)
        wait = self._health.admit([case.endpoint], self._table.batch_get([key]))[0]
        if wait is not None:
            self._rewrite(case, planning.with_step(case.episode, step_state.deferred(case.step, wait.until)))
            return Handled(f"step_deferred:{wait.reason}")
        claimed = planning.with_step(case.episode, step_state.claimed(case.step, case.checkout.digest, now))
        own = _Claimed(
            case=case,
            claimed=claimed,
            channel=channel,
            code=plan.code if isinstance(plan, coupons.Carry) else None,
            target=target_of(case.endpoint, self._cipher.endpoint(case.endpoint), now),
            kind=registry.destination(case.endpoint.kind),
        )
        self._claim(case, claimed)
        try:
            delivery = self._delivery(own)
            request = own.kind.build(delivery, own.target)
            preparing = registry.preparing(own.kind)
            first = preparing.prepare(delivery, own.target) if preparing else None
        except Unsendable as unsendable:
            return self._settled(own, unsendable.outcome, unsendable.reason, None)
        except ValueError:
            return self._settled(own, Outcome.FAIL_CONFIG, "unusable_endpoint", None)
        told_first = First(first, partial(self._refused_first, own)) if first else None
        return Prepared(request, partial(self._conclude, own), case.endpoint, told_first)

    def _claim(self, case: _Case, claimed: Episode) -> None:
        """Write the claim. Raises EpisodeMoved when it is not ours.

        A purchase ends the episode through the identifiers that hold it. Those that the checkout has learnt since do
        not hold it: that they are as they were read is part of the claim.
        """
        now = self._now()
        due_at = due_of(claimed, case.merchant.settings)
        put = self._episodes.rewritten(claimed, case.episode.version, now, due_at)
        learnt = [own for identity, own in case.records.items() if identity not in case.episode.identities]
        if not learnt:
            self._episodes.write(put)
            return
        try:
            self._table.transact([put, *(self._shoppers.unchanged(own) for own in learnt)])
        except TransactionCancelled as cancelled:
            raise EpisodeMoved from cancelled

    def _delivery(self, own: _Claimed) -> Delivery:
        """The step as its destination gets it; every link in it names the step."""
        case, now = own.case, self._now()
        recovery_url = f"{self._public_url}/r/{self._recovery_codes.code(case.checkout.digest, case.step.number)}"
        message_id = EventId("evt_" + derived_ulid(case.episode.started_at, case.episode.id, str(case.step.number)))
        step = {
            "index": case.step.number,
            "campaign_id": case.campaign.id,
            "template": dict(case.planned.template) or None,
            "coupon_code": own.code,
            "recovery_url": recovery_url,
            "unsubscribe_url": f"{self._public_url}/u/{self._unsubscribe_codes.code(case.checkout.digest)}",
            "idempotency_key": case.delivery_id,
        }
        facts = envelope(
            message_id,
            EventType.ABANDONED,
            case.checkout.abandoned_at or now,
            case.checkout,
            recovery_url=recovery_url,
            episode=case.episode,
            messaging=messaging(gate.Send(tuple(Channel) if own.channel is None else (own.channel,))),
            settings=case.merchant.settings,
        )
        facts["data"]["step"] = step
        facts["merchant"] = {"id": case.merchant.id, "name": case.merchant.name}
        return Delivery(
            id=case.delivery_id,
            message_id=message_id,
            event_type=EventType.ABANDONED.value,
            attempted_at=now,
            body=json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode(),
            facts=facts,
            step=step,
        )

    def _refused_first(self, own: _Claimed, result: SendResult) -> Handled | None:
        """The step's end where the vendor refused what it must be told first; the message itself did not go out."""
        attempt = own.kind.classify(result, own.target)
        if attempt.outcome is Outcome.DELIVERED:
            return None
        outcome = Outcome.RETRY if attempt.outcome is Outcome.UNKNOWN else attempt.outcome
        return self._settled(own, outcome, attempt.reason, (result, attempt))

    def _conclude(self, own: _Claimed, result: SendResult) -> Handled:
        attempt = own.kind.classify(result, own.target)
        if own.case.endpoint is not None:
            self._health.observe(own.case.endpoint, result, attempt.outcome)
        return self._settled(own, attempt.outcome, attempt.reason, (result, attempt))

    def _settled(
        self, own: _Claimed, outcome: Outcome, reason: str | None, sent: tuple[SendResult, Attempt] | None
    ) -> Handled:
        """Record what became of the claimed step, whatever else was written to the episode meanwhile."""
        now = self._now()
        attempt = sent[1] if sent else None
        for _ in range(_ROUNDS):
            episode = self._episodes.get(own.case.episode.id)
            step = episode.step(own.case.step.number) if episode else None
            if episode is None or step is None or step.state is not step_state.StepState.CLAIMED:
                return Handled("step_settled_elsewhere")
            concluded = step_state.concluded(
                step,
                outcome.value,
                now,
                do_not_send_after=planning.send_limit(episode, own.case.campaign, own.case.merchant.settings),
                channel=own.channel.value if own.channel else None,
                reason=reason,
                retry_after=attempt.retry_after if attempt else None,
                vendor_message_id=attempt.vendor_message_id if attempt else None,
            )
            after = planning.with_step(episode, concluded.step)
            if concluded.step.state.counts_as_sent:
                after = planning.replanned(after, own.case.campaign, own.case.merchant.settings, now)
            due_at = None if after.status is EpisodeStatus.ENDED else due_of(after, own.case.merchant.settings)
            try:
                self._episodes.write(self._episodes.rewritten(after, episode.version, now, due_at))
            except EpisodeMoved:
                continue
            self._record(own, concluded, sent, now)
            if concluded.step.state.ended:
                self._facts.step_ended(
                    after, concluded.step, own.case.checkout, own.case.merchant, own.case.endpoint_id
                )
            return Handled(f"step_{concluded.step.state}")
        return Handled("step_contended", retry_message=False)

    def _record(
        self, own: _Claimed, concluded: step_state.Concluded, sent: tuple[SendResult, Attempt] | None, now: datetime
    ) -> None:
        """Everything that follows from an outcome: the delivery, the timeline, the shopper's memory."""
        case, step = own.case, concluded.step
        earlier = self._deliveries.get(case.delivery_id, case.endpoint_id)
        next_at = step.due_at if step.state is step_state.StepState.PLANNED else None
        attempts = earlier.attempts if earlier else ()
        if sent is not None:
            attempts = (*attempts, attempt_json(*sent, next_at))
        self._deliveries.keep(self._delivery_record(case, _STATUS_OF[step.state], step.reason, attempts, next_at))
        if step.state.counts_as_sent:
            for identity in case.episode.identities:
                self._shoppers.messaged(identity, now, discount=own.code is not None)
        if concluded.suppress and own.channel is not None:
            self._suppressions.suppress(case.records, (own.channel,), SuppressionReason.REFUSED_BY_VENDOR)
        if concluded.capped_until is not None:
            for identity in case.records:
                self._shoppers.capped(identity, concluded.capped_until, now)
        if concluded.disable_endpoint and case.endpoint is not None:
            self._disable(case.endpoint, "gone")
        if step.vendor_message_id is not None:
            self._messages.remember(case.endpoint_id, step.vendor_message_id, case.delivery_id, now)
        sent_type = SENT_ACTIVITY.get(own.channel, "NOTIFICATION_SENT") if own.channel else "TASK_CREATED"
        kind = sent_type if step.state.counts_as_sent else NOT_SENT_ACTIVITY.get(own.channel or Channel.SMS, "NOT_SENT")
        self._note(case, kind, step.reason, own.channel)

    def _skipped(self, case: _Case, reason: str, channel: Channel | None) -> Handled:
        """The step ends without a message; the episode goes on."""
        ended = step_state.skipped(case.step, str(reason), self._now())
        self._rewrite(case, planning.with_step(case.episode, ended))
        self._record_not_sent(case, reason, channel)
        self._facts.step_ended(case.episode, ended, case.checkout, case.merchant, case.endpoint_id)
        return Handled(f"step_skipped:{reason}")

    def _record_not_sent(self, case: _Case, reason: str, channel: Channel | None) -> None:
        self._deliveries.keep(self._delivery_record(case, DeliveryStatus.SKIPPED, str(reason), (), None))
        self._note(case, NOT_SENT_ACTIVITY.get(channel or Channel.SMS, "NOT_SENT"), str(reason), channel)

    def _delivery_record(
        self,
        case: _Case,
        status: DeliveryStatus,
        reason: str | None,
        attempts: tuple[Any, ...],
        next_attempt_at: datetime | None,
    ) -> DeliveryRecord:
        return DeliveryRecord(
            id=case.delivery_id,
            endpoint_id=case.endpoint_id,
            merchant_id=case.merchant.id,
            event_id=EventId("evt_" + derived_ulid(case.episode.started_at, case.episode.id, str(case.step.number))),
            event_type="campaign.step",
            checkout_digest=case.checkout.digest,
            event_version=case.checkout.version,
            status=status,
            created_at=case.episode.started_at,
            reason=reason,
            attempt_count=len(attempts),
            attempts=attempts,
            next_attempt_at=next_attempt_at,
            episode_id=case.episode.id,
            step=case.step.number,
        )

    def _note(self, case: _Case, kind: str, reason: str | None, channel: Channel | None) -> None:
        detail: dict[str, str | int] = {"step": case.step.number, "campaign_id": case.campaign.id}
        detail |= {"delivery_id": case.delivery_id}
        if reason is not None:
            detail["reason"] = reason
        if channel is not None:
            detail["channel"] = channel.value
        expires_at = retention_end(case.checkout, case.merchant.settings)
        self._activities.add(case.checkout.digest, Activity(self._now(), kind, detail), expires_at)

    def _rewrite(self, case: _Case, after: Episode) -> None:
        """Write the episode over the version that was read. Raises EpisodeMoved."""
        now = self._now()
        due_at = due_of(after, case.merchant.settings)
        self._episodes.write(self._episodes.rewritten(after, case.episode.version, now, due_at))

    def _end(self, episode: Episode, reason: str) -> None:
        """End the episode and let its shopper go. Raises EpisodeMoved."""
        now = self._now()
        over = planning.ended(episode, reason, now)
        if over is not episode:
            self._episodes.write(self._episodes.rewritten(over, episode.version, now, None))
        for identity in episode.identities:
            try:
                self._shoppers.write(self._shoppers.released(identity, episode.id))
            except ConditionFailed:
                continue


_END_OF = {
    gate.Refusal.PURCHASED: EndReason.PURCHASED,
    gate.Refusal.TOO_OLD: EndReason.TOO_OLD,
    gate.Refusal.SUPPRESSED: EndReason.DISMISSED,
    gate.Refusal.SUPERSEDED: EndReason.JOINED,
}


def _channel(endpoint: Endpoint, step: CampaignStep) -> Channel | None:
    """What the step is sent over: what its kind always uses, else what the step names, else the receiver's choice."""
    own = registry.channel(endpoint.kind)
    return Channel(own) if own is not None else step.own_channel()
