"""What the gate says to a step as it was read, and what it looked at."""

from datetime import timedelta

from shared.aws.stores import now
from shared.domain import gate
from shared.domain.consent import Channel
from shared.domain.coupon import Allocation, CouponRule
from shared.domain.ids import PoolId
from shared.store.configuration import EndpointStore
from shared.store.coupons import CouponPool, CouponStore
from shared.workflows.campaigns.step_gate import NoEndpoint
from tests.unit.workflows.campaigns.due_steps import Due, DueSteps

MINTED = CouponRule("minted", endpoint_id="ep_mint")
STATIC = CouponRule("static", code="BACK10")


def test_a_step_that_may_go_out_goes_out(stage: DueSteps) -> None:
    verdict = stage.sender._gate.ask(stage.case(stage.due()))
    assert isinstance(verdict.decision, gate.Send)
    assert (verdict.channel, verdict.code, verdict.wants) == (None, None, None)


def test_without_an_endpoint_the_gate_is_not_asked(stage: DueSteps) -> None:
    deleted, disabled = stage.due(0), stage.due(1)
    endpoints = EndpointStore(stage.table)
    endpoints.delete(deleted.merchant.id, deleted.endpoint.id)
    endpoints.disable(disabled.merchant.id, disabled.endpoint.id, "gone")
    assert stage.sender._gate.ask(stage.case(deleted)).decision == NoEndpoint("endpoint_deleted")
    assert stage.sender._gate.ask(stage.case(disabled)).decision == NoEndpoint("endpoint_disabled")


def test_the_kinds_channel_is_the_one_asked_about(stage: DueSteps) -> None:
    verdict = stage.sender._gate.ask(stage.case(stage.due(kind="interakt_event")))
    assert verdict.channel is Channel.WHATSAPP
    assert verdict.decision == gate.Send((Channel.WHATSAPP,))


def test_a_static_code_is_carried(stage: DueSteps) -> None:
    assert stage.sender._gate.ask(stage.case(stage.due(coupon=STATIC))).code == "BACK10"


def test_a_step_that_may_go_out_once_it_has_a_code_says_so_and_asks_nobody(stage: DueSteps) -> None:
    own = stage.due(coupon=MINTED)
    verdict = stage.sender._gate.ask(stage.case(own))
    assert isinstance(verdict.decision, gate.Send)
    assert (verdict.code, verdict.wants, stage.sent) == (None, MINTED, [])


def test_without_a_code_left_the_step_is_skipped(stage: DueSteps) -> None:
    verdict = stage.sender._gate.ask(stage.case(stage.due(coupon=MINTED)), no_code_left=True)
    assert verdict.decision == gate.Skip(gate.Refusal.COUPON_UNAVAILABLE)


def test_a_code_given_before_is_carried_on(stage: DueSteps) -> None:
    own = stage.due(coupon=MINTED)
    CouponStore(stage.table).keep(own.message.episode_id, Allocation(1, "BACK-1", now()), now())
    verdict = stage.sender._gate.ask(stage.case(own))
    assert (verdict.code, verdict.wants) == ("BACK-1", None)


def test_a_step_that_is_refused_takes_no_code_from_the_pool(stage: DueSteps) -> None:
    own = stage.due(coupon=CouponRule("pool", pool_id="pool_1"))
    coupons = CouponStore(stage.table)
    coupons.create(CouponPool(PoolId("pool_1"), own.merchant.id, "Codes", now()))
    coupons.add(own.merchant.id, PoolId("pool_1"), ["A", "B"])
    stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
    assert stage.deliver(own) == []
    left = coupons.get(own.merchant.id, PoolId("pool_1"))
    assert left is not None
    assert left.left == 2


def active_elsewhere(stage: DueSteps, own: Due, minutes: int) -> None:
    """The same shopper, in another open checkout this long ago."""
    from dataclasses import replace

    from shared.domain.checkout import Status
    from shared.domain.ids import checkout_digest

    at = now() - timedelta(minutes=minutes)
    other = replace(
        own.checkout,
        digest=checkout_digest(own.merchant.id, own.checkout.source_id, "elsewhere"),
        external_id="elsewhere",
        status=Status.OPEN,
        reason=None,
        abandoned_at=None,
        last_activity_at=at,
    )
    stage.stores.checkouts.replace(None, other, None, own.merchant.settings)


def test_whoever_is_buying_elsewhere_is_left_in_peace(stage: DueSteps) -> None:
    own = stage.due()
    active_elsewhere(stage, own, minutes=5)
    decision = stage.sender._gate.ask(stage.case(own)).decision
    assert isinstance(decision, gate.Defer)
    assert decision.reason is gate.Refusal.SHOPPER_ACTIVE


def test_the_endpoints_own_filter_is_asked(stage: DueSteps) -> None:
    own = stage.due(filter={"field": "total", "op": "gte", "value": "100000"})
    assert stage.sender._gate.ask(stage.case(own)).decision == gate.Skip(gate.Refusal.CRITERIA_NOT_MET)
