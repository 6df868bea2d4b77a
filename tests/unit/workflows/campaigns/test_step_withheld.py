"""Steps that do not go out now: each decision done once, and told."""

from datetime import timedelta

import pytest

from shared.aws.stores import now
from shared.domain import gate
from shared.domain.breaker import Wait
from shared.domain.consent import Channel
from shared.domain.episode import EpisodeStatus
from shared.domain.metrics import FactKind
from shared.domain.step_state import StepState
from shared.store.deliveries import DeliveryStatus
from shared.store.episodes import EpisodeMoved
from shared.store.shoppers import ShopperStore
from shared.workflows.campaigns.step_gate import Decision, NoEndpoint, Verdict
from tests.unit.workflows.campaigns.due_steps import Due, DueSteps
from tests.unit.workflows.memory_table import repeated, throttled, unseen


def withhold(stage: DueSteps, own: Due, decision: Decision) -> str:
    return stage.sender._withheld.withhold(stage.case(own), Verdict(decision, Channel.EMAIL))


def told_as_skipped(stage: DueSteps, own: Due, reason: str) -> None:
    """Whoever looks sees it, once."""
    [kept] = stage.deliveries(own)
    assert (kept.status, kept.reason, kept.attempt_count) == (DeliveryStatus.SKIPPED, reason, 0)
    [entry] = stage.timeline(own)
    assert (entry.type, entry.detail["reason"]) == ("EMAIL_NOT_SENT", reason)
    assert [fact.kind for fact in stage.facts(own)] == [FactKind.NOT_SENT]


@pytest.mark.parametrize(
    ("decision", "reason"),
    [(gate.Skip(gate.Refusal.NO_CONSENT), "no_consent"), (NoEndpoint("endpoint_deleted"), "endpoint_deleted")],
)
def test_a_skipped_step_ends_and_the_episode_goes_on(stage: DueSteps, decision: Decision, reason: str) -> None:
    own = stage.due()
    assert withhold(stage, own, decision) == f"step_skipped:{reason}"
    assert (stage.step(own).state, stage.step(own).reason) == (StepState.SKIPPED, reason)
    assert stage.episode(own).status is EpisodeStatus.ACTIVE
    told_as_skipped(stage, own, reason)


@pytest.mark.parametrize("fault", [throttled, unseen, repeated])
def test_a_skipped_step_is_told_once_whichever_call_fails(stage: DueSteps, fault: object) -> None:
    """The step's own write is the third call from the reading on; what is told of it follows."""
    for number in range(1, 12):
        own = stage.due(number)
        case = stage.case(own)
        stage.table.fail(number, fault)  # type: ignore[arg-type]
        try:
            stage.sender._withheld.withhold(case, Verdict(gate.Skip(gate.Refusal.NO_CONSENT), Channel.EMAIL))
        except Exception:  # noqa: BLE001 - nothing was written: the message comes again
            withhold(stage, own, gate.Skip(gate.Refusal.NO_CONSENT))
        stage.table.fault = None
        told_as_skipped(stage, own, "no_consent")


def test_a_closed_channel_is_closed_for_the_episode(stage: DueSteps) -> None:
    own = stage.due()
    withhold(stage, own, gate.CloseChannel((Channel.EMAIL,)))
    assert stage.episode(own).closed_channels == {"email"}
    told_as_skipped(stage, own, "suppressed")


def test_an_ended_episode_lets_its_shopper_go(stage: DueSteps) -> None:
    own = stage.due()
    shoppers = ShopperStore(stage.table)
    for record in stage.shopper(own):
        stage.table.update(shoppers.joined(record, own.message.episode_id, own.checkout.created_at, now()))
    assert withhold(stage, own, gate.EndEpisode(gate.Refusal.PURCHASED)) == "episode_ended:purchased"
    assert (stage.episode(own).status, stage.episode(own).end_reason) == (EpisodeStatus.ENDED, "purchased")
    assert all(record.episode_id is None for record in stage.shopper(own))
    told_as_skipped(stage, own, "purchased")


@pytest.mark.parametrize("wait", [gate.Defer, Wait])
def test_a_step_put_off_is_due_again_then(stage: DueSteps, wait: type) -> None:
    own = stage.due()
    later = now() + timedelta(hours=2)
    assert stage.sender._withheld.put_off(stage.case(own), wait(later, "why")) == "step_deferred:why"
    assert (stage.step(own).state, stage.step(own).due_at) == (StepState.PLANNED, later)
    assert stage.deliveries(own) == []


def test_what_a_step_lacks_puts_it_off_twice(stage: DueSteps) -> None:
    own = stage.due()
    for minutes in (1, 10):
        assert stage.sender._withheld.try_again(stage.case(own)) == "step_deferred:coupon_delayed"
        assert stage.step(own).due_at == now() + timedelta(minutes=minutes)
        stage.wait(timedelta(minutes=minutes))
    assert stage.sender._withheld.try_again(stage.case(own)) is None


def test_what_was_written_meanwhile_stays(stage: DueSteps) -> None:
    own = stage.due()
    case = stage.case(own)
    stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
    with pytest.raises(EpisodeMoved):
        stage.sender._withheld.withhold(case, Verdict(gate.Skip(gate.Refusal.NO_CONSENT), None))
    assert (stage.deliveries(own), stage.timeline(own)) == ([], [])
