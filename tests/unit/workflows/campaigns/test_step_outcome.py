"""Exactly one recorded outcome of a claimed step, and what follows from it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from functions.deliver import composition
from shared.aws.stores import now
from shared.delivery.exchange import Answer, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.domain import planning, step_state
from shared.domain.consent import Channel
from shared.domain.metrics import FactKind
from shared.domain.step_state import StepState
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStatus
from shared.store.early_reports import EarlyReportStore
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.campaigns.step_claim import Claim
from shared.workflows.campaigns.step_outcome import Ending
from shared.workflows.campaigns.step_record import Answered
from tests.unit.workflows.campaigns.due_steps import Due, DueSteps
from tests.unit.workflows.memory_table import throttled


def answered(outcome: Outcome, reason: str | None = None, **more: Any) -> Ending:
    """An exchange that came to this."""
    result = SendResult(now(), now(), 7, sent=True, answer=Answer(200))
    return Ending(outcome, reason, Answered(result, Attempt(now(), 200, 7, outcome, reason, **more)))


def over_whatsapp(stage: DueSteps, own: Due) -> Claim:
    """The step, claimed to go out over WhatsApp."""
    return stage.sender._claims.claim(stage.case(own), Channel.WHATSAPP, "CODE")


@pytest.mark.parametrize(
    ("outcome", "reason", "state", "delivery", "entry", "facts"),
    [
        (Outcome.DELIVERED, None, StepState.SENT, DeliveryStatus.DELIVERED, "NOTIFICATION_SENT", [FactKind.MESSAGED]),
        (Outcome.RETRY, "503", StepState.PLANNED, DeliveryStatus.RETRYING, "NOT_SENT", []),
        (Outcome.UNKNOWN, "t", StepState.UNKNOWN, DeliveryStatus.UNKNOWN, "NOTIFICATION_SENT", [FactKind.MESSAGED]),
        (Outcome.FAIL_MESSAGE, "132000", StepState.FAILED, DeliveryStatus.FAILED, "NOT_SENT", [FactKind.NOT_SENT]),
    ],
)
def test_every_outcome_is_told_everywhere_alike(
    stage: DueSteps,
    outcome: Outcome,
    reason: str | None,
    state: StepState,
    delivery: DeliveryStatus,
    entry: str,
    facts: list[FactKind],
) -> None:
    own = stage.due()
    handled = stage.sender._outcomes.settle(over_whatsapp(stage, own), answered(outcome, reason))
    assert (handled.outcome, handled.retry_message) == (f"step_{state}", False)
    assert stage.step(own).state is state
    [kept] = stage.deliveries(own)
    assert (kept.status, kept.reason, kept.attempt_count) == (delivery, reason, 1)
    assert [told.type for told in stage.timeline(own)] == [entry]
    assert [fact.kind for fact in stage.facts(own)] == facts
    messaged = state.counts_as_sent
    assert all((who.memory.last_message_at is not None) == messaged for who in stage.shopper(own))
    assert all((who.memory.last_discount_at is not None) == messaged for who in stage.shopper(own))


def test_a_vendors_message_id_finds_its_delivery(stage: DueSteps) -> None:
    own = stage.due()
    stage.sender._outcomes.settle(stage.claim(own), answered(Outcome.DELIVERED, vendor_message_id="wamid.1"))
    [kept] = stage.deliveries(own)
    assert VendorMessageStore(stage.table).delivery_of(own.endpoint.id, "wamid.1") == kept.id


def test_a_person_the_vendor_refuses_is_not_written_to_again(stage: DueSteps) -> None:
    own = stage.due()
    stage.sender._outcomes.settle(over_whatsapp(stage, own), answered(Outcome.FAIL_RECIPIENT, "131050"))
    assert all(Channel.WHATSAPP in who.memory.suppressed for who in stage.shopper(own))


def test_a_vendors_cap_is_remembered_of_the_person(stage: DueSteps) -> None:
    own = stage.due()
    stage.sender._outcomes.settle(over_whatsapp(stage, own), answered(Outcome.FAIL_RECIPIENT, "131049"))
    assert all(who.memory.capped == {Channel.WHATSAPP: now() + timedelta(days=1)} for who in stage.shopper(own))


def test_an_endpoint_that_is_gone_is_switched_off(stage: DueSteps) -> None:
    own = stage.due()
    stage.sender._outcomes.settle(stage.claim(own), answered(Outcome.GONE))
    stored = EndpointStore(stage.table).get(own.merchant.id, own.endpoint.id)
    assert stored is not None
    assert (stored.value.status, stored.value.disabled_reason) == ("disabled", "gone")


def test_a_step_that_is_anothers_by_now_is_left_alone(stage: DueSteps) -> None:
    own = stage.due()
    mine = stage.claim(own)
    stage.sender._claims.release(mine)
    theirs = stage.claim(own)
    assert stage.sender._outcomes.settle(mine, answered(Outcome.DELIVERED)).outcome == "step_settled_elsewhere"
    assert theirs.holds(stage.step(own))
    assert stage.deliveries(own) == []


def test_an_outcome_is_recorded_although_the_shopper_bought_meanwhile(stage: DueSteps) -> None:
    own = stage.due()
    claim = stage.claim(own)
    stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
    assert stage.sender._outcomes.settle(claim, answered(Outcome.DELIVERED)).outcome == "step_sent"
    assert stage.episode(own).end_reason == "purchased"


def test_what_could_not_be_written_is_owed_and_written_at_a_later_batch(stage: DueSteps) -> None:
    own = stage.due()
    claim = stage.claim(own)
    stage.table.fault = throttled
    handled = stage.sender._outcomes.settle(claim, answered(Outcome.DELIVERED))
    assert (handled.outcome, handled.retry_message) == ("step_unrecorded", True)
    stage.table.fault = None
    composition.follow_ups().catch_up()
    assert stage.step(own).state is StepState.SENT
    assert len(stage.deliveries(own)) == len(stage.timeline(own)) == len(stage.facts(own)) == 1
    composition.follow_ups().catch_up()
    assert len(stage.timeline(own)) == 1


def test_what_is_owed_too_late_does_not_contradict_the_sweep(stage: DueSteps) -> None:
    """The lease was over, the step counts as unknown: an outcome that comes after that is nobody's any more."""
    own = stage.due()
    claim = stage.claim(own)
    stage.table.fault = throttled
    stage.sender._outcomes.settle(claim, answered(Outcome.DELIVERED))
    stage.table.fault = None
    stage.wait(step_state.CLAIM_LEASE)
    episode = stage.episode(own)
    lost = step_state.lease_lost(episode.steps[0], now())
    assert lost is not None
    after = planning.with_step(episode, lost)
    stage.episodes.write(stage.episodes.rewritten(after, episode.version, now(), now()))
    composition.follow_ups().catch_up()
    assert (stage.step(own).state, stage.step(own).reason) == (StepState.UNKNOWN, "lease_lost")
    assert stage.deliveries(own) == []


def test_an_effect_that_cannot_be_written_keeps_no_other_from_it(stage: DueSteps) -> None:
    own = stage.due()
    claim = replace(over_whatsapp(stage, own), code=None)

    def without_shoppers(name: str, about: Any, call: Any) -> Any:
        return throttled() if name == "update" else call()

    stage.table.fault = without_shoppers
    assert stage.sender._outcomes.settle(claim, answered(Outcome.DELIVERED)).outcome == "step_sent"
    stage.table.fault = None
    assert len(stage.deliveries(own)) == len(stage.timeline(own)) == len(stage.facts(own)) == 1
    assert all(who.memory.last_message_at is None for who in stage.shopper(own))
    composition.follow_ups().catch_up()
    assert all(who.memory.last_message_at is not None for who in stage.shopper(own))


class TestAVendorThatIsFasterThanItsAnswer:
    """It takes the message, its reports are there at once, and its answer comes after everything, or never."""

    @pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.DELIVERED])
    def test_what_it_reported_before_stands_in_the_delivery(self, stage: DueSteps, outcome: Outcome) -> None:
        own = stage.due(kind="meta_cloud")
        mine = over_whatsapp(stage, own)
        reported(stage, mine, "sent")
        reported(stage, mine, "delivered")
        stage.sender._outcomes.settle(mine, answered(outcome, "no answer in time" if outcome == "unknown" else None))
        [kept] = stage.deliveries(own)
        assert (kept.status, kept.reason) == (DeliveryStatus.DELIVERED, None)
        assert set(kept.reports) == {"sent", "delivered"}
        assert {fact.kind for fact in stage.facts(own)} == {FactKind.MESSAGED, FactKind.DELIVERED}

    def test_what_could_not_be_delivered_is_not_shown_as_taken(self, stage: DueSteps) -> None:
        own = stage.due(kind="meta_cloud")
        mine = over_whatsapp(stage, own)
        reported(stage, mine, "sent")
        reported(stage, mine, "failed", "not_on_channel: WhatsApp 131026")
        stage.sender._outcomes.settle(mine, answered(Outcome.DELIVERED))
        [kept] = stage.deliveries(own)
        assert (kept.status, kept.reason) == (DeliveryStatus.FAILED, "not_on_channel: WhatsApp 131026")


def reported(stage: DueSteps, claim: Claim, status: str, reason: str | None = None) -> None:
    """A report about a message that is out."""
    delivery, endpoint = claim.case.delivery_id, claim.case.endpoint_id
    EarlyReportStore(stage.table).note(delivery, endpoint, status, now(), reason, now())
