"""Claiming a step: one worker, and never after a purchase."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.aws.stores import now
from shared.domain.step_state import CLAIM_LEASE, StepState
from shared.store.episodes import EpisodeMoved
from shared.store.shoppers import ShopperStore
from tests.unit.workflows.campaigns.due_steps import Due, DueSteps
from tests.unit.workflows.memory_table import Fault, repeated, throttled, unseen


def test_a_claim_is_written_with_its_name_and_its_lease(stage: DueSteps) -> None:
    own = stage.due()
    claim = stage.claim(own)
    step = stage.step(own)
    assert (step.state, step.claimed_by, step.lease_until) == (StepState.CLAIMED, claim.name, now() + CLAIM_LEASE)
    assert step.checkout == own.checkout.digest
    assert claim.holds(step)


def test_of_two_workers_that_read_the_same_one_claims(stage: DueSteps) -> None:
    case = stage.case(stage.due())
    stage.sender._claims.claim(case, None, None)
    with pytest.raises(EpisodeMoved):
        stage.sender._claims.claim(case, None, None)


def test_after_a_purchase_there_is_nothing_to_claim(stage: DueSteps) -> None:
    own = stage.due()
    case = stage.case(own)
    stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
    with pytest.raises(EpisodeMoved):
        stage.sender._claims.claim(case, None, None)


def learning(stage: DueSteps, own: Due) -> Due:
    """The shopper, whose checkout has learnt a customer id since the episode was opened."""
    leaves = {**own.checkout.leaves, "customer.id": "c-1"}
    learnt = replace(own.checkout, leaves=leaves, version=own.checkout.version + 1)
    stage.stores.checkouts.replace(own.checkout, learnt, None, own.merchant.settings)
    return own


def test_a_purchase_under_an_identifier_learnt_later_wins_too(stage: DueSteps) -> None:
    own = learning(stage, stage.due())
    case = stage.case(own)
    [(_, record)] = [pair for pair in case.records.items() if pair[0] not in own.identities]
    stage.table.update(ShopperStore.purchased(record, now(), now(), now()))
    with pytest.raises(EpisodeMoved):
        stage.sender._claims.claim(case, None, None)
    assert stage.claim(own).case.step.number == 1


@pytest.mark.parametrize("fault", [unseen, repeated])
@pytest.mark.parametrize("prepared", [lambda _, own: own, learning], ids=["a put", "a transaction"])
def test_a_claim_whose_answer_was_lost_is_known_again(
    stage: DueSteps, fault: Fault, prepared: Callable[[DueSteps, Due], Due]
) -> None:
    case = stage.case(prepared(stage, stage.due()))
    stage.table.fail(1, fault)
    claim = stage.sender._claims.claim(case, None, None)
    found = stage.episodes.get(case.episode.id)
    assert found is not None
    assert claim.holds(found.steps[0])


def test_another_workers_claim_is_not_taken_for_ones_own(stage: DueSteps) -> None:
    """It is written between the reading and the claim, at the same instant and for the same checkout."""
    own = stage.due()
    case = stage.case(own)
    theirs = stage.sender._claims.claim(stage.case(own), None, None)
    stage.table.fail(1, throttled)
    with pytest.raises(Exception, match="Throughput"):
        stage.sender._claims.claim(case, None, None)
    assert theirs.holds(stage.step(own))


def test_a_claim_under_which_nothing_was_sent_is_let_go(stage: DueSteps) -> None:
    own = stage.due()
    before = stage.step(own)
    claim = stage.claim(own)
    stage.sender._claims.release(claim)
    assert replace(stage.step(own), claimed_by=None) == before
    stage.sender._claims.release(claim)
    assert stage.claim(own).name != claim.name


def test_nobody_lets_go_of_anothers_claim(stage: DueSteps) -> None:
    own = stage.due()
    first = stage.claim(own)
    stage.sender._claims.release(first)
    second = stage.claim(own)
    stage.sender._claims.release(first)
    assert second.holds(stage.step(own))


def test_a_claim_is_let_go_although_the_shopper_bought_meanwhile(stage: DueSteps) -> None:
    own = stage.due()
    claim = stage.claim(own)
    stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
    stage.sender._claims.release(claim)
    assert (stage.step(own).state, stage.step(own).reason) == (StepState.SKIPPED, "purchased")


def test_what_holds_the_endpoint_back_holds_the_step_back(stage: DueSteps) -> None:
    first, second = stage.due(0, rate_limit={"max": 1, "per": 60_000}), stage.due(1)
    admit: Callable[[Any], Any] = stage.sender._claims.admit
    assert admit(first.endpoint) is None
    wait = admit(first.endpoint)
    assert wait is not None
    assert wait.reason == "rate_limited"
    assert admit(second.endpoint) is None
