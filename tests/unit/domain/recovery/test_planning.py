"""Planning and the life of a step: when it is due, what an answer makes of it, and how an episode goes on and ends."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.domain.campaign import Limits
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.planning import (
    due_step,
    ended,
    joined,
    next_due,
    opened,
    paused,
    replanned,
    send_limit,
    with_step,
)
from shared.domain.step_state import (
    ALLOWED,
    Concluded,
    EpisodeStep,
    IllegalMove,
    StepState,
    claimed,
    concluded,
    deferred,
    lease_lost,
    moved,
    released,
    skipped,
    tried_in_vain,
)
from tests.unit.domain.recovery.episodes import (
    ANYTIME,
    DAY,
    HOUR,
    PHONE,
    campaign_of,
    checkout_left,
    episode_of,
    sent,
)
from tests.unit.domain.sessions import NOON, after

MINUTE = timedelta(minutes=1)
PLANNED = EpisodeStep(1, StepState.PLANNED, NOON + HOUR)
LEASE_ENDS = NOON + HOUR + timedelta(minutes=7)
CLAIMED = claimed(PLANNED, "d" * 26, NOON + HOUR)
LIMIT = NOON + 3 * DAY


def dues(episode: Episode) -> list[tuple[int, datetime]]:
    return [(own.number, own.due_at) for own in episode.steps if own.state is StepState.PLANNED]


def states(episode: Episode) -> list[str]:
    return [own.state.value if own.reason is None else f"{own.state}:{own.reason}" for own in episode.steps]


def test_steps_count_from_the_shoppers_last_activity_not_from_its_detection() -> None:
    assert dues(episode_of(checkout_left(NOON))) == [(1, NOON + HOUR), (2, NOON + DAY), (3, NOON + 2 * DAY)]


def test_two_steps_keep_the_merchants_gap() -> None:
    own = episode_of(checkout_left(), campaign_of(HOUR, 2 * HOUR, 3 * HOUR))
    assert dues(own) == [(1, NOON + HOUR), (2, NOON + 5 * HOUR), (3, NOON + 9 * HOUR)]


def test_a_late_hand_over_moves_the_next_step() -> None:
    campaign = campaign_of(HOUR, 6 * HOUR)
    own = episode_of(checkout_left(), campaign)
    late = replanned(with_step(own, sent(own.steps[0], NOON + 5 * HOUR)), campaign, ANYTIME, NOON + 5 * HOUR)
    assert dues(late) == [(2, NOON + 9 * HOUR)]


def test_nothing_is_planned_at_or_after_do_not_send_after() -> None:
    campaign = campaign_of(HOUR, 20 * HOUR, 23 * HOUR, do_not_send_after=DAY)
    own = episode_of(checkout_left(), campaign)
    assert dues(own) == [(1, NOON + HOUR), (2, NOON + 20 * HOUR)]
    late = replanned(with_step(own, sent(own.steps[0], NOON + 20 * HOUR)), campaign, ANYTIME, NOON + 20 * HOUR)
    assert states(late) == ["sent", "skipped:too_old"]


def test_do_not_send_after_never_outlives_the_horizon() -> None:
    campaign = campaign_of(HOUR, do_not_send_after=20 * DAY)
    assert send_limit(episode_of(checkout_left(), campaign), campaign, ANYTIME) == NOON + 7 * DAY


def test_at_most_so_many_messages_in_an_episode() -> None:
    campaign = campaign_of(HOUR, 10 * HOUR, 20 * HOUR, 30 * HOUR, limits=Limits(3))
    own = episode_of(checkout_left(), campaign)
    assert [number for number, _ in dues(own)] == [1, 2, 3]
    # A step that was skipped leaves its place to the next.
    first = skipped(own.steps[0], "no_consent", NOON + HOUR)
    assert [number for number, _ in dues(replanned(with_step(own, first), campaign, ANYTIME, NOON))] == [2, 3, 4]


def test_without_a_campaign_nothing_is_planned() -> None:
    own = opened(checkout_left(), [PHONE], NOON, campaign=None, holdout=False, settings=ANYTIME)
    assert own.steps == ()
    assert next_due(own) is None


def test_a_scheduled_run_counts_from_itself() -> None:
    run = NOON + 5 * DAY
    campaign = campaign_of(timedelta(), DAY)
    own = opened(checkout_left(), [PHONE], run, campaign=campaign, holdout=False, settings=ANYTIME, anchor=run)
    assert dues(own) == [(1, run), (2, run + DAY)]


def test_reopened_and_left_again_unsent_steps_count_from_the_new_anchor() -> None:
    campaign = campaign_of()
    own = episode_of(checkout_left(), campaign)
    waiting = paused(with_step(own, sent(own.steps[0], NOON + HOUR)))
    assert waiting.status is EpisodeStatus.PAUSED
    assert next_due(waiting) is None
    back = checkout_left(NOON + 3 * HOUR)
    again = joined(waiting, back, [PHONE], NOON + 4 * HOUR, campaign=campaign, settings=ANYTIME)
    assert again.status is EpisodeStatus.ACTIVE
    assert again.anchor == NOON + 3 * HOUR
    assert states(again) == ["sent", "planned", "planned"]
    assert dues(again) == [(2, NOON + 27 * HOUR), (3, NOON + 51 * HOUR)]


def test_two_checkouts_in_one_episode_the_newest_is_told_and_the_counter_carries_on() -> None:
    campaign = campaign_of()
    own = episode_of(checkout_left(), campaign)
    own = with_step(own, sent(own.steps[0], NOON + HOUR))
    newer = replace(checkout_left(NOON + 5 * HOUR), digest="n" * 26)
    both = joined(own, newer, [PHONE], NOON + 6 * HOUR, campaign=campaign, settings=ANYTIME)
    assert both.checkouts == (own.checkouts[0], "n" * 26)
    assert both.newest_checkout == "n" * 26
    assert [number for number, _ in dues(both)] == [2, 3]


def test_an_end_records_every_planned_step_and_leaves_a_claimed_one_to_its_worker() -> None:
    own = episode_of(checkout_left())
    own = with_step(own, claimed(own.steps[0], "d" * 26, NOON + HOUR))
    over = ended(own, "purchased", NOON + 2 * HOUR)
    assert states(over) == ["claimed", "skipped:purchased", "skipped:purchased"]
    assert over.version == own.version + 1
    assert ended(over, "replied", NOON + DAY) == over
    # Its worker learns that nothing was processed: nothing is planned in an ended episode.
    refused = concluded(over.steps[0], "retry", NOON + 2 * HOUR, do_not_send_after=LIMIT).step
    assert states(with_step(over, refused))[0] == "skipped:purchased"
    delivered = concluded(over.steps[0], "delivered", NOON + 2 * HOUR, do_not_send_after=LIMIT).step
    assert states(with_step(over, delivered))[0] == "sent"
    assert paused(over) == over
    assert replanned(over, campaign_of(), ANYTIME, NOON + 2 * HOUR) == over


def test_one_step_is_gated_at_a_time() -> None:
    own = episode_of(checkout_left())
    assert due_step(own, NOON + HOUR - MINUTE) is None
    first = due_step(own, NOON + HOUR)
    assert first == own.steps[0]
    assert next_due(own) == NOON + HOUR
    held = with_step(own, claimed(own.steps[0], "d" * 26, NOON + HOUR))
    assert due_step(held, NOON + 2 * DAY) is None
    assert next_due(held) == LEASE_ENDS
    assert due_step(paused(own), NOON + HOUR) is None


def test_while_a_step_is_claimed_the_next_one_wakes_nobody() -> None:
    own = with_step(own := episode_of(checkout_left()), replace(own.steps[1], due_at=NOON + HOUR + MINUTE))
    held = with_step(own, claimed(own.steps[0], "d" * 26, NOON + HOUR))

    assert next_due(own) == NOON + HOUR
    assert due_step(held, NOON + HOUR + MINUTE) is None
    assert next_due(held) == LEASE_ENDS


ALL_MOVES = [(old, new) for old in StepState for new in StepState]


@pytest.mark.parametrize(("old", "new"), ALL_MOVES, ids=[f"{old}-{new}" for old, new in ALL_MOVES])
def test_a_step_makes_only_the_listed_moves(old: StepState, new: StepState) -> None:
    step = EpisodeStep(1, old, NOON)
    if new in ALLOWED[old]:
        assert moved(step, new).state is new
    else:
        with pytest.raises(IllegalMove):
            moved(step, new)


def test_a_claim_under_which_nothing_was_sent_is_let_go() -> None:
    mine = claimed(replace(PLANNED, attempts=1), "d" * 26, NOON + HOUR, by="one of two workers")
    free = released(mine)
    assert replace(free, claimed_by=None) == replace(PLANNED, attempts=1)
    with pytest.raises(IllegalMove):
        released(free)


def test_what_a_step_lacks_is_asked_for_three_times_in_all() -> None:
    first = tried_in_vain(PLANNED, NOON + HOUR)
    assert first is not None
    assert (first.state, first.due_at, first.attempts) == (StepState.PLANNED, NOON + HOUR + MINUTE, 1)
    second = tried_in_vain(first, first.due_at)
    assert second is not None
    assert second.due_at == first.due_at + timedelta(minutes=10)
    assert tried_in_vain(second, second.due_at) is None


def test_what_has_ended_stays_ended() -> None:
    final = {state for state in StepState if not ALLOWED[state]}
    assert final == {StepState.SENT, StepState.SKIPPED, StepState.FAILED, StepState.EXPIRED}
    assert ALLOWED[StepState.UNKNOWN] == {StepState.SENT, StepState.FAILED}
    with pytest.raises(IllegalMove):
        concluded(PLANNED, "delivered", NOON, do_not_send_after=LIMIT)
    with pytest.raises(IllegalMove):
        deferred(CLAIMED, NOON)


def test_only_one_of_two_workers_claims() -> None:
    with pytest.raises(IllegalMove):
        claimed(CLAIMED, "d" * 26, NOON + HOUR)


AT = NOON + HOUR


@pytest.mark.parametrize(
    ("outcome", "more", "expected", "flags"),
    [
        ("delivered", {}, ("sent", None, None), set()),
        ("unknown", {}, ("unknown", "unknown", None), set()),
        ("nonsense", {}, ("unknown", "unknown", None), set()),
        ("unknown", {"deduplicates": True}, ("planned", None, AT + MINUTE), set()),
        ("retry", {}, ("planned", None, AT + MINUTE), set()),
        ("retry", {"retry_after": AT + HOUR}, ("planned", None, AT + HOUR), set()),
        ("retry", {"retry_after": AT + 9 * DAY}, ("planned", None, AT + DAY), set()),
        ("retry", {"retry_after": AT + HOUR, "do_not_send_after": AT + HOUR}, ("expired", "too_old", None), set()),
        ("fail_recipient", {"reason": "131050"}, ("failed", "131050", None), {"suppress"}),
        ("fail_recipient", {"reason": "hard_bounce"}, ("failed", "hard_bounce", None), {"suppress"}),
        ("fail_recipient", {"reason": "130472"}, ("failed", "130472", None), set()),
        ("fail_recipient", {"reason": "131049"}, ("planned", None, AT + DAY), {"capped_until"}),
        (
            "fail_recipient",
            {"reason": "131049", "do_not_send_after": AT + DAY},
            ("expired", "too_old", None),
            {"capped_until"},
        ),
        ("fail_message", {"reason": "132000"}, ("failed", "132000", None), set()),
        ("fail_config", {}, ("failed", "fail_config", None), {"alert"}),
        ("gone", {}, ("failed", "gone", None), {"disable_endpoint"}),
    ],
)
def test_what_follows_an_answer(
    outcome: str, more: dict[str, Any], expected: tuple[str, str | None, datetime | None], flags: set[str]
) -> None:
    after_it = concluded(CLAIMED, outcome, AT, **{"do_not_send_after": LIMIT, **more})
    state, reason, due_at = expected
    assert (after_it.step.state, after_it.step.reason) == (state, reason)
    assert due_at is None or after_it.step.due_at == due_at
    assert after_it.step.lease_until is None
    raised = {name for name in Concluded.__dataclass_fields__ if name != "step" and getattr(after_it, name)}
    assert raised == flags


def repeated(outcome: str, times: int, **more: Any) -> list[EpisodeStep]:
    """A step claimed when it is due and answered the same each time."""
    steps = [PLANNED]
    for _ in range(times):
        mine = claimed(steps[-1], "d" * 26, steps[-1].due_at)
        steps.append(concluded(mine, outcome, steps[-1].due_at, **{"do_not_send_after": LIMIT, **more}).step)
    return steps[1:]


def test_three_attempts_in_all() -> None:
    assert [own.state.value for own in repeated("retry", 3)] == ["planned", "planned", "failed"]


def test_a_pause_that_the_receiver_asks_for_is_no_failed_attempt() -> None:
    own = PLANNED
    for _ in range(9):
        mine = claimed(own, "d" * 26, own.due_at)
        later = mine.due_at + HOUR
        own = concluded(mine, "retry", mine.due_at, do_not_send_after=LIMIT, retry_after=later).step
    assert (own.state, own.attempts) == (StepState.PLANNED, 0)


def test_a_receiver_that_asks_for_a_pause_of_nothing_for_ever_is_left_alone_in_the_end() -> None:
    own, waits = PLANNED, []
    while own.state is StepState.PLANNED:
        mine = claimed(own, "d" * 26, own.due_at)
        own = concluded(mine, "retry", mine.due_at, do_not_send_after=LIMIT, retry_after=mine.due_at, reason="429").step
        waits.append((own.due_at - mine.due_at).total_seconds())
    assert waits == [0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 0]
    assert (own.state, own.reason, own.attempts) == (StepState.FAILED, "429", 0)


def test_a_step_that_was_put_off_is_not_planned_for_before_the_receiver_wants_it() -> None:
    asked = AT + 2 * HOUR
    after_it = concluded(CLAIMED, "retry", AT, do_not_send_after=LIMIT, retry_after=asked).step
    assert after_it.put_off
    again = replanned(with_step(episode_of(checkout_left()), after_it), campaign_of(), ANYTIME, AT)
    planned = again.step(after_it.number)
    assert planned is not None
    assert planned.due_at == asked


def test_the_vendors_cap_is_asked_again_at_growing_intervals_until_it_is_too_late() -> None:
    steps = repeated("fail_recipient", 3, reason="131049", do_not_send_after=NOON + 6 * DAY)
    assert [own.state.value for own in steps] == ["planned", "planned", "expired"]
    assert [own.due_at - NOON - HOUR for own in steps[:2]] == [DAY, 3 * DAY]


def test_a_lost_worker_leaves_an_unknown_outcome_that_counts_as_sent() -> None:
    assert lease_lost(CLAIMED, LEASE_ENDS - MINUTE) is None
    assert lease_lost(PLANNED, NOON + DAY) is None
    lost = lease_lost(CLAIMED, NOON + DAY)
    assert lost is not None
    assert (lost.state, lost.reason) == (StepState.UNKNOWN, "lease_lost")
    assert lost.state.counts_as_sent
    # A status event may still settle it.
    assert moved(lost, StepState.SENT).state is StepState.SENT


def test_a_retry_keeps_its_pause_when_the_episode_is_planned_again() -> None:
    campaign = campaign_of()
    own = episode_of(checkout_left(), campaign)
    mine = claimed(own.steps[0], "d" * 26, NOON + HOUR)
    tried = concluded(mine, "retry", NOON + HOUR, do_not_send_after=LIMIT).step
    again = replanned(with_step(own, tried), campaign, ANYTIME, NOON + HOUR)
    assert again.steps[0].due_at == after(minutes=61)
    assert replace(again.steps[0], attempts=0) == replace(tried, attempts=0)
