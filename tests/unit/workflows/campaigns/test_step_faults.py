"""A step when things break: whatever call fails, before or after its effect, the shopper gets one message, once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.aws.stores import now
from shared.delivery.exchange import Answer, OutboundRequest
from shared.domain.coupon import CouponRule
from shared.domain.metrics import FactKind
from shared.domain.step_state import StepState
from shared.store.campaigns import CampaignStore
from shared.store.deliveries import DeliveryStatus
from tests.patience import PATIENCE
from tests.unit.workflows.campaigns.due_steps import VISIBILITY, Due, DueSteps, opened_stage
from tests.unit.workflows.memory_table import Fault, repeated, throttled, unseen

FAULTS = {"refused": throttled, "unseen": unseen, "repeated": repeated}


def sent_once_and_recorded(stage: DueSteps, due: Due) -> None:
    """The one end there is: everything that tells of the step tells the same."""
    assert stage.sent_to(due) == [1]
    step = stage.step(due)
    assert (step.state, step.lease_until, step.attempts) == (StepState.SENT, None, 0)
    [delivery] = stage.deliveries(due)
    assert (delivery.status, delivery.attempt_count) == (DeliveryStatus.DELIVERED, 1)
    assert [own.type for own in stage.timeline(due)] == ["TASK_CREATED"]
    assert [own.kind for own in stage.facts(due)] == [FactKind.MESSAGED]
    assert all(own.memory.last_message_at is not None for own in stage.shopper(due))


def test_a_due_step_is_sent_once_and_recorded_everywhere(stage: DueSteps) -> None:
    own = stage.due()
    assert stage.deliver(own) == []
    assert stage.deliver(own) == []
    sent_once_and_recorded(stage, own)


def calls_of_a_step() -> int:
    """How many calls to the table one step makes."""
    with fresh_stage() as stage:
        own = stage.due()
        stage.table.calls.clear()
        stage.deliver(own)
        return len(stage.table.calls)


@contextmanager
def fresh_stage() -> Iterator[DueSteps]:
    with pytest.MonkeyPatch.context() as patched:
        yield from opened_stage(patched)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whichever_call_of_a_step_fails_the_end_is_the_same(fault: Fault) -> None:
    calls = calls_of_a_step()
    assert calls > 20
    for number in range(1, calls + 1):
        with fresh_stage() as stage:
            own = stage.due()
            stage.table.fail(number, fault)
            stage.until_done(own)
            try:
                sent_once_and_recorded(stage, own)
            except AssertionError as wrong:
                raise AssertionError(f"call {number} of {calls}: {stage.table.calls}") from wrong


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_whichever_call_of_one_step_fails_the_others_of_its_batch_are_sent(fault: Fault) -> None:
    """The faulted shopper's episode, delivery and shopper rows are what fails, one call after the other."""
    for number in range(1, calls_of_a_step() + 1):
        with fresh_stage() as stage:
            steps = [stage.due(at) for at in range(3)]
            stage.table.fault = at_calls_about(steps[1], number, fault)
            back = stage.deliver(*steps)
            assert stage.sent_to(steps[0], steps[2]) == [1, 1], f"call {number}"
            assert back in ([], [steps[1]])
            stage.table.fault = None
            stage.until_done(steps[1])
            for own in steps:
                sent_once_and_recorded(stage, own)


def at_calls_about(due: Due, number: int, fault: Fault) -> Fault:
    """A fault at the n-th of the calls that name the shopper's rows."""
    names: set[str] = {due.key[0], due.checkout.digest, due.merchant.id, due.endpoint.id}
    names |= {own.mac for own in due.identities}
    counted = iter(range(1, 1_000_000))

    def once(name: str, about: Any, call: Callable[[], Any]) -> Any:
        text = repr(getattr(about, "get_expression", lambda: about)()) if name == "query" else repr(about)
        theirs = any(own in text for own in names)
        return fault(name, about, call) if theirs and next(counted) == number else call()

    return once


def test_a_message_whose_first_read_is_throttled_comes_back_alone(stage: DueSteps) -> None:
    steps = [stage.due(number) for number in range(10)]
    hot = steps[3].key

    def throttled_there(_: str, about: Any, call: Callable[[], Any]) -> Any:
        return throttled() if about == hot else call()

    stage.table.fault = throttled_there
    assert stage.deliver(*steps) == [steps[3]]
    assert stage.sent_to(*steps) == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    stage.table.fault = None
    assert stage.deliver(steps[3]) == []
    for own in steps:
        sent_once_and_recorded(stage, own)


def test_a_claim_that_cannot_be_written_leaves_the_step_planned(stage: DueSteps) -> None:
    steps = [stage.due(number) for number in range(10)]

    def throttled_there(name: str, about: Any, call: Callable[[], Any]) -> Any:
        return throttled() if name == "put" and about.item["pk"] == steps[3].key[0] else call()

    stage.table.fault = throttled_there
    assert stage.deliver(*steps) == [steps[3]]
    stage.table.fault = None
    assert stage.step(steps[3]).state is StepState.PLANNED
    assert stage.deliver(steps[3]) == []
    for own in steps:
        sent_once_and_recorded(stage, own)


def test_a_claim_that_took_effect_unseen_while_nothing_can_be_read_is_let_go(stage: DueSteps) -> None:
    """The worker cannot know whether the claim is written; it knows that it sent nothing."""
    own = stage.due()
    met: list[str] = []

    def away(name: str, about: Any, call: Callable[[], Any]) -> Any:
        if name == "put" and about.item["pk"] == own.key[0] and not met:
            met.append("the claim")
            return unseen(name, about, call)
        if name == "get" and met == ["the claim"]:
            met.append("the look at it")
            return throttled()
        return call()

    stage.table.fault = away
    assert stage.deliver(own) == [own]
    stage.table.fault = None
    assert (stage.step(own).state, stage.sent) == (StepState.PLANNED, [])
    stage.until_done(own)
    sent_once_and_recorded(stage, own)


def test_a_defect_at_one_message_is_its_own(stage: DueSteps) -> None:
    steps = [stage.due(number) for number in range(3)]
    stage.stores.cipher.broken_for.add(steps[1].endpoint.id)
    assert stage.deliver(*steps) == [steps[1]]
    assert stage.step(steps[1]).state is StepState.PLANNED
    stage.stores.cipher.broken_for.clear()
    assert stage.deliver(steps[1]) == []
    for own in steps:
        sent_once_and_recorded(stage, own)


def test_an_outcome_that_could_not_be_written_is_written_when_the_message_comes_again(stage: DueSteps) -> None:
    """The claim outlives the time until then: it is the same process that settles it."""
    own = stage.due()

    def sent(_: OutboundRequest) -> Answer:
        stage.table.fault = throttled
        return Answer(200)

    stage.answer = sent
    assert stage.deliver(own) == [own]
    stage.table.fault = None
    stage.wait(VISIBILITY)
    assert stage.step(own).state is StepState.CLAIMED
    assert stage.deliver(own) == []
    sent_once_and_recorded(stage, own)


def test_a_hand_over_that_breaks_leaves_an_unknown_outcome_and_is_never_repeated(stage: DueSteps) -> None:
    own = stage.due()

    def stuck(_: OutboundRequest) -> Answer:
        raise TimeoutError

    stage.answer = stuck
    assert stage.deliver(own) == []
    assert (stage.step(own).state, stage.step(own).reason) == (StepState.UNKNOWN, "hand_over_broke")
    stage.answer = lambda _: Answer(200)
    stage.until_done(own)
    assert stage.sent_to(own) == [1]


def test_nothing_is_claimed_that_cannot_be_sent_in_the_time_left(stage: DueSteps) -> None:
    """An attempt of 15 seconds, ten for writing down what came of it, and 24 are left."""
    quick, slow = stage.due(0, timeout=10_000), stage.due(1)
    stage.invocation.milliseconds = 24_000
    assert stage.deliver(quick, slow) == [slow]
    assert stage.sent_to(quick, slow) == [1, 0]
    assert stage.step(slow).state is StepState.PLANNED
    stage.invocation.milliseconds = 60_000
    assert stage.deliver(slow) == []
    sent_once_and_recorded(stage, slow)


def test_a_claim_that_took_the_time_away_is_let_go(stage: DueSteps) -> None:
    own = stage.due()

    def slow(name: str, about: Any, call: Callable[[], Any]) -> Any:
        result = call()
        if name == "put" and about.item["pk"] == own.key[0]:
            stage.invocation.milliseconds = 1_000
        return result

    stage.table.fault = slow
    assert stage.deliver(own) == [own]
    step = stage.step(own)
    assert (step.state, step.lease_until, stage.sent) == (StepState.PLANNED, None, [])
    stage.table.fault = None
    stage.invocation.milliseconds = 60_000
    assert stage.deliver(own) == []
    sent_once_and_recorded(stage, own)


class TestMintedCoupons:
    """Codes that the merchant's own server makes."""

    @pytest.fixture
    def minting(self, stage: DueSteps) -> Callable[[int], Due]:
        def due(number: int) -> Due:
            """A shopper whose step carries a minted code."""
            endpoint_id = f"ep_mint_mer_01KAHJ00000000000000{number:06d}"
            own = stage.due(number, coupon=CouponRule("minted", endpoint_id=endpoint_id))
            stage.endpoint(own.merchant, "mint")
            return own

        return due

    def test_the_code_is_in_the_message(self, stage: DueSteps, minting: Callable[[int], Due]) -> None:
        own = minting(0)
        stage.answer = lambda asked: Answer(200, body=b'{"code": "BACK-1"}' if "mint" in asked.url else b"")
        assert stage.deliver(own) == []
        asked, message = stage.sent
        assert "mint" in asked.url
        assert b'"coupon_code":"BACK-1"' in message.body
        sent_once_and_recorded(stage, own)

    def test_a_server_that_hangs_keeps_nobody_waiting_and_nothing_claimed(
        self, stage: DueSteps, minting: Callable[[int], Due]
    ) -> None:
        """Every other message has gone out, and been recorded, while the first server has not answered."""
        slow, *others = [minting(0), *(stage.due(number) for number in range(1, 10))]
        gone = threading.Barrier(2)
        left = iter(range(len(others) - 1, -1, -1))

        def answer(asked: OutboundRequest) -> Answer | None:
            if "mint-0" in asked.url:
                gone.wait(PATIENCE)
                assert stage.step(slow).state is StepState.PLANNED
                return None
            if next(left) == 0:
                gone.wait(PATIENCE)
            return Answer(200)

        stage.answer = answer
        assert stage.deliver(slow, *others) == []
        assert stage.sent_to(slow, *others) == [0, *[1] * 9]
        assert (stage.step(slow).state, stage.step(slow).attempts) == (StepState.PLANNED, 1)
        stage.answer = lambda asked: Answer(200, body=b'{"code": "BACK-1"}')
        stage.until_done(slow)
        assert stage.sent_to(slow) == [1]
        assert stage.step(slow).state is StepState.SENT

    def test_a_server_that_never_answers_is_asked_three_times(
        self, stage: DueSteps, minting: Callable[[int], Due]
    ) -> None:
        own = minting(0)
        stage.answer = lambda asked: None if "mint" in asked.url else Answer(200)
        stage.until_done(own)
        assert Counter(asked.url for asked in stage.sent) == {"https://mint-0.example/": 3}
        assert (stage.step(own).state, stage.step(own).reason) == (StepState.SKIPPED, "coupon_unavailable")
        assert len({asked.headers["webhook-id"] for asked in stage.sent}) == 1

    def test_it_is_asked_only_with_time_left_for_the_message(
        self, stage: DueSteps, minting: Callable[[int], Due]
    ) -> None:
        """25 seconds are kept for the attempt: the merchant's server has what is left, five at most."""
        own = minting(0)
        stage.answer = lambda asked: Answer(200, body=b'{"code": "BACK-1"}')
        stage.invocation.milliseconds = 25_500
        assert stage.deliver(own) == [own]
        assert stage.sent == []
        stage.invocation.milliseconds = 27_000
        assert stage.deliver(own) == []
        assert [asked.timeout.total_seconds() for asked in stage.sent] == [2, 15]

    def test_no_code_is_made_for_a_step_that_does_not_go_out(
        self, stage: DueSteps, minting: Callable[[int], Due]
    ) -> None:
        own = minting(0)
        store = CampaignStore(stage.table)
        found = store.get(own.merchant.id, own.campaign.id)
        assert found is not None
        store.restate(found, "paused", now())
        stage.deliver(own)
        assert stage.sent == []
        assert (stage.step(own).state, stage.step(own).reason) == (StepState.SKIPPED, "campaign_paused")

    def test_a_purchase_while_the_code_was_made_stops_the_message(
        self, stage: DueSteps, minting: Callable[[int], Due]
    ) -> None:
        own = minting(0)

        def bought(asked: OutboundRequest) -> Answer:
            stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
            return Answer(200, body=b'{"code": "BACK-1"}')

        stage.answer = bought
        stage.until_done(own)
        assert stage.sent_to(own) == [0]
        assert stage.step(own).state is StepState.SKIPPED


class TestVendorsThatMustBeToldFirst:
    """Interakt takes an event only of a user it knows."""

    @staticmethod
    def taking(asked: OutboundRequest) -> Answer:
        return Answer(202, body=b'{"result": true, "message": "queued"}')

    def test_the_user_is_told_before_the_claim_and_once(self, stage: DueSteps) -> None:
        own = stage.due(kind="interakt_event")

        def answer(asked: OutboundRequest) -> Answer:
            expected = StepState.PLANNED if "users" in asked.url else StepState.CLAIMED
            assert stage.step(own).state is expected
            return self.taking(asked)

        stage.answer = answer
        assert stage.deliver(own) == []
        assert [asked.url.rpartition("/track/")[2] for asked in stage.sent] == ["users/", "events/"]
        assert stage.step(own).state is StepState.SENT

    def test_one_that_hangs_keeps_nobody_waiting(self, stage: DueSteps) -> None:
        slow, other = stage.due(0, kind="interakt_event"), stage.due(1)
        gone = threading.Barrier(2)

        def answer(asked: OutboundRequest) -> Answer | None:
            gone.wait(PATIENCE)
            return None if "users" in asked.url else Answer(200)

        stage.answer = answer
        assert stage.deliver(slow, other) == []
        assert stage.step(other).state is StepState.SENT
        assert (stage.step(slow).state, stage.step(slow).attempts) == (StepState.PLANNED, 1)
        stage.answer = self.taking
        stage.until_done(slow)
        assert stage.step(slow).state is StepState.SENT

    def test_it_has_no_more_time_than_the_message_leaves_it(self, stage: DueSteps) -> None:
        own = stage.due(kind="interakt_event", timeout=30_000)
        stage.answer = self.taking
        assert stage.deliver(own) == []
        assert [asked.timeout.total_seconds() for asked in stage.sent] == [20, 30]

    def test_a_purchase_while_it_was_told_stops_the_message(self, stage: DueSteps) -> None:
        own = stage.due(kind="interakt_event")

        def bought(asked: OutboundRequest) -> Answer:
            stage.table.update(stage.episodes.ended(own.message.episode_id, "purchased", now()))
            return self.taking(asked)

        stage.answer = bought
        assert stage.deliver(own) == []
        assert [asked.url.rpartition("/track/")[2] for asked in stage.sent] == ["users/"]
