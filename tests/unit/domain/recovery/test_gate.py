"""The gate: one case per reason, in the order of the list; what each makes of a step; total over its inputs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import criteria
from shared.domain.announcement import messaging_verdict
from shared.domain.checkout import Checkout, LeafValue, Reason, Status
from shared.domain.consent import Channel
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.gate import (
    REASONS,
    CloseChannel,
    Decision,
    Defer,
    EndEpisode,
    GateFacts,
    Refusal,
    Replan,
    Send,
    Skip,
    gate,
)
from shared.domain.money import Money
from shared.domain.planning import ended, paused, with_step
from shared.domain.settings import QuietHours, Settings
from shared.domain.shopper import Shopper
from tests.unit.domain.recovery.episodes import (
    ANYTIME,
    DAY,
    HOUR,
    campaign_of,
    checkout_left,
    episode_of,
    facts_of,
    sent,
    without,
)
from tests.unit.domain.sessions import NOON, cart_of

MINUTE = timedelta(minutes=1)
NIGHT = replace(ANYTIME, quiet_hours=QuietHours(start=Settings().quiet_hours.start, end=Settings().quiet_hours.end))  # type: ignore[union-attr]  # the default has quiet hours
TEN_PM_IN_INDIA = datetime(2026, 11, 21, 16, 30, tzinfo=UTC)
TEN_AM_IN_INDIA = datetime(2026, 11, 22, 4, 30, tzinfo=UTC)
EXPENSIVE, _ = criteria.parse({"field": "total", "op": "gte", "value": "1000"})
US_PHONE: dict[str, LeafValue] = {"customer.phone": "+12025550123", "shipping_address.country": ("United States", "US")}


def in_status(status: Status, reason: Reason | None = None) -> Checkout:
    return replace(checkout_left(), status=status, reason=reason)


def after_first_step(at: datetime, channel: str = "whatsapp") -> Episode:
    episode = episode_of(checkout_left())
    return with_step(episode, sent(episode.steps[0], at, channel))


def ended_by(reason: str) -> Episode:
    return ended(episode_of(checkout_left()), reason, NOON + HOUR)


CASES: list[tuple[str, dict[str, Any], Decision]] = [
    ("nothing speaks against it", {}, Send((Channel.WHATSAPP,))),
    ("the campaign is paused", {"campaign_active": False}, Skip(Refusal.CAMPAIGN_PAUSED)),
    ("held out", {"episode": episode_of(checkout_left(), holdout=True)}, Skip(Refusal.HOLDOUT)),
    ("the step went out", {"episode": after_first_step(NOON + HOUR)}, Skip(Refusal.ALREADY_SENT)),
    ("recovered", {"checkout": in_status(Status.RECOVERED)}, EndEpisode(Refusal.PURCHASED)),
    ("completed", {"checkout": in_status(Status.COMPLETED)}, EndEpisode(Refusal.PURCHASED)),
    ("bought elsewhere since", {"shopper": Shopper(purchased_at=NOON + MINUTE)}, EndEpisode(Refusal.PURCHASED)),
    (
        "superseded by a purchase elsewhere",
        {"checkout": in_status(Status.SUPERSEDED, Reason.PURCHASED_ELSEWHERE)},
        EndEpisode(Refusal.PURCHASED),
    ),
    ("its episode ended by a purchase", {"episode": ended_by("purchased")}, EndEpisode(Refusal.PURCHASED)),
    (
        "paying right now",
        {"checkout": in_status(Status.PAYMENT_PENDING)},
        Defer(NOON + HOUR + MINUTE, Refusal.PAYMENT_PENDING),
    ),
    (
        "a payment nobody resolved, held for two hours",
        {"checkout": in_status(Status.ABANDONED, Reason.PAYMENT_UNRESOLVED)},
        Defer(NOON + timedelta(minutes=150), Refusal.PAYMENT_PENDING),
    ),
    (
        "a newer checkout in the episode",
        {"episode": replace(episode_of(checkout_left()), checkouts=(checkout_left().digest, "n" * 26))},
        Replan(),
    ),
    ("superseded with nothing newer", {"checkout": in_status(Status.SUPERSEDED)}, Skip(Refusal.SUPERSEDED)),
    ("joined into an older episode", {"episode": ended_by("joined")}, EndEpisode(Refusal.SUPERSEDED)),
    ("free samples", {"checkout": checkout_left(cart=cart_of(0))}, Skip(Refusal.BELOW_MINIMUM_TOTAL)),
    (
        "less than the merchant finds worth a message",
        {"settings": replace(ANYTIME, minimum_total=(Money(63_001, "INR"),))},
        Skip(Refusal.BELOW_MINIMUM_TOTAL),
    ),
    (
        "back at the checkout",
        {"checkout": in_status(Status.OPEN), "now": NOON + 10 * MINUTE},
        Defer(NOON + 30 * MINUTE, Refusal.SHOPPER_ACTIVE),
    ),
    (
        "the episode waits for its shopper",
        {"episode": paused(episode_of(checkout_left()))},
        Defer(NOON + HOUR + MINUTE, Refusal.SHOPPER_ACTIVE),
    ),
    (
        "busy with another cart",
        {"other_activity_at": NOON + 50 * MINUTE},
        Defer(NOON + 80 * MINUTE, Refusal.SHOPPER_ACTIVE),
    ),
    ("three days have passed", {"now": NOON + 3 * DAY}, EndEpisode(Refusal.TOO_OLD)),
    ("expired", {"checkout": in_status(Status.EXPIRED)}, EndEpisode(Refusal.TOO_OLD)),
    ("no phone", {"checkout": without(checkout_left(), "customer.phone")}, Skip(Refusal.NO_CONTACT)),
    ("a card tester", {"quarantined": True}, Skip(Refusal.QUARANTINED)),
    (
        "opted out",
        {"shopper": Shopper(suppressed={Channel.WHATSAPP: "opt_out"})},
        CloseChannel((Channel.WHATSAPP,)),
    ),
    (
        "the channel was closed before",
        {"episode": replace(episode_of(checkout_left()), closed_channels=frozenset({"whatsapp"}))},
        CloseChannel((Channel.WHATSAPP,)),
    ),
    ("dismissed by the merchant", {"checkout": in_status(Status.DISCARDED)}, EndEpisode(Refusal.SUPPRESSED)),
    ("replied", {"episode": ended_by("replied")}, EndEpisode(Refusal.SUPPRESSED)),
    (
        "never asked",
        {"checkout": without(checkout_left(), "consent.channels.whatsapp")},
        Skip(Refusal.NO_CONSENT),
    ),
    ("WhatsApp to the United States", {"checkout": checkout_left(leaves=US_PHONE)}, Skip(Refusal.REGION_BLOCKED)),
    (
        "a second SMS in the United States",
        {
            "checkout": checkout_left(leaves=US_PHONE),
            "channel": Channel.SMS,
            "episode": after_first_step(NOON + HOUR, "sms"),
            "step": 2,
            "now": NOON + DAY,
        },
        Skip(Refusal.REGION_BLOCKED),
    ),
    (
        "an SMS in the United States after two days",
        {"checkout": checkout_left(leaves=US_PHONE), "channel": Channel.SMS, "now": NOON + 2 * DAY},
        Skip(Refusal.REGION_BLOCKED),
    ),
    (
        "a message of an earlier episode yesterday",
        {"shopper": Shopper(last_message_at=NOON - 20 * HOUR)},
        Defer(NOON + 4 * HOUR, Refusal.FREQUENCY_CAP),
    ),
    (
        "an order not a day ago",
        {"shopper": Shopper(purchased_at=NOON - 12 * HOUR, cooldown_until=NOON + 12 * HOUR)},
        Defer(NOON + 12 * HOUR, Refusal.FREQUENCY_CAP),
    ),
    (
        "the vendor's own cap",
        {"shopper": Shopper(capped=dict.fromkeys(Channel, NOON + DAY))},
        Defer(NOON + DAY, Refusal.FREQUENCY_CAP),
    ),
    (
        "four hours between two steps",
        {"episode": after_first_step(NOON + 22 * HOUR), "step": 2, "now": NOON + DAY},
        Defer(NOON + 26 * HOUR, Refusal.FREQUENCY_CAP),
    ),
    (
        "enough messages for one episode",
        {
            "episode": after_first_step(NOON + HOUR),
            "step": 2,
            "now": NOON + DAY,
            "campaign": replace(campaign_of(), limits=replace(campaign_of().limits, max_per_episode=1)),
        },
        Skip(Refusal.FREQUENCY_CAP),
    ),
    (
        "not a cart the campaign is for",
        {"campaign": campaign_of(criteria={"field": "total", "op": "gte", "value": "1000"})},
        Skip(Refusal.CRITERIA_NOT_MET),
    ),
    ("not a cart the endpoint is for", {"endpoint_filter": EXPENSIVE}, Skip(Refusal.CRITERIA_NOT_MET)),
    ("no code left in the pool", {"coupon_available": False}, Skip(Refusal.COUPON_UNAVAILABLE)),
    (
        "the provider's link has expired",
        {"checkout": checkout_left(leaves={"expires_at": "2026-11-21T12:59:00Z"})},
        Skip(Refusal.LINK_DEAD),
    ),
    (
        "a template that needs a link",
        {"checkout": without(checkout_left(), "checkout_url"), "link_needed": True},
        Skip(Refusal.LINK_DEAD),
    ),
    (
        "night in India",
        {"settings": NIGHT, "now": TEN_PM_IN_INDIA},
        Defer(TEN_AM_IN_INDIA, Refusal.OUTSIDE_WINDOW),
    ),
]


@pytest.mark.parametrize(("story", "changes", "decision"), CASES, ids=[case[0] for case in CASES])
def test_the_gate_decides(story: str, changes: dict[str, Any], decision: Decision) -> None:
    assert gate(facts_of(**changes)) == decision


def test_every_reason_has_its_case_and_they_come_in_the_documented_order() -> None:
    listed = (
        "campaign_paused holdout already_sent purchased payment_pending superseded below_minimum_total shopper_active "
        "too_old no_contact quarantined suppressed no_consent region_blocked frequency_cap criteria_not_met "
        "coupon_unavailable link_dead outside_window"
    )
    assert [own.value for own in REASONS] == listed.split()
    told = [decision.reason for _, _, decision in CASES if decision.reason is not None]
    assert list(dict.fromkeys(told)) == list(REASONS)


BLOCKS: list[tuple[Refusal, dict[str, Any]]] = [
    (Refusal.CAMPAIGN_PAUSED, {"campaign_active": False}),
    (Refusal.PURCHASED, {"shopper": Shopper(purchased_at=NOON + MINUTE)}),
    (Refusal.SHOPPER_ACTIVE, {"other_activity_at": NOON + 50 * MINUTE}),
    (Refusal.QUARANTINED, {"quarantined": True}),
    (Refusal.CRITERIA_NOT_MET, {"endpoint_filter": EXPENSIVE}),
    (Refusal.COUPON_UNAVAILABLE, {"coupon_available": False}),
]


@given(st.sets(st.sampled_from(range(len(BLOCKS))), min_size=1))
def test_of_several_reasons_the_first_in_the_list_is_told(which: set[int]) -> None:
    changes: dict[str, Any] = {}
    for index in which:
        changes |= BLOCKS[index][1]
    assert gate(facts_of(**changes)).reason is BLOCKS[min(which)][0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shopper": Shopper(capped=dict.fromkeys(Channel, NOON + 3 * DAY))}, Refusal.FREQUENCY_CAP),
        ({"shopper": Shopper(cooldown_until=NOON + 4 * DAY)}, Refusal.FREQUENCY_CAP),
        ({"other_activity_at": NOON + 3 * DAY - MINUTE, "now": NOON + 3 * DAY - MINUTE}, Refusal.SHOPPER_ACTIVE),
    ],
)
def test_a_deferral_past_do_not_send_after_drops_the_step(changes: dict[str, Any], reason: Refusal) -> None:
    assert gate(facts_of(**changes)) == Skip(reason)


def test_night_that_lasts_until_do_not_send_after_drops_the_step() -> None:
    campaign = campaign_of(do_not_send_after=timedelta(hours=15))
    decision = gate(facts_of(campaign=campaign, settings=NIGHT, now=TEN_PM_IN_INDIA))
    assert decision == Skip(Refusal.OUTSIDE_WINDOW)


def test_where_the_bsp_chooses_the_channel_the_ones_still_open_are_named() -> None:
    checkout = without(checkout_left(), "consent.channels.sms")
    facts = facts_of(checkout=checkout, channel=None, shopper=Shopper(suppressed={Channel.EMAIL: "complaint"}))
    assert gate(facts) == Send((Channel.WHATSAPP,))
    closed = Shopper(suppressed=dict.fromkeys(Channel, "opt_out"))
    assert gate(replace(facts, shopper=closed)) == CloseChannel((Channel.EMAIL, Channel.SMS, Channel.WHATSAPP))


def test_the_feeds_verdict_is_the_gates_over_any_channel() -> None:
    checkout = checkout_left()
    at = NOON + HOUR
    assert messaging_verdict(checkout, ANYTIME, at).may_send
    held = episode_of(checkout, holdout=True)
    assert messaging_verdict(checkout, ANYTIME, at, episode=held).reason == "holdout"
    assert messaging_verdict(checkout, ANYTIME, at, shopper=Shopper(purchased_at=at)).reason == "purchased"
    assert messaging_verdict(checkout, NIGHT, TEN_PM_IN_INDIA).reason == "outside_window"
    nowhere = without(checkout, "customer.phone", "shipping_address.country")
    assert messaging_verdict(nowhere, NIGHT, TEN_PM_IN_INDIA).may_send
    assert messaging_verdict(nowhere, NIGHT, TEN_PM_IN_INDIA, merchant_zone="Asia/Kolkata").reason == "outside_window"


def test_a_cap_of_one_channel_leaves_the_others_open() -> None:
    """Whoever is not on WhatsApp, or had enough there, may have the reminder by e-mail."""
    capped = Shopper(capped={Channel.WHATSAPP: NOON + 3 * DAY})
    assert gate(facts_of(shopper=capped, channel=Channel.EMAIL)) == Send((Channel.EMAIL,))
    assert gate(facts_of(shopper=capped, channel=None)) == Send((Channel.EMAIL, Channel.SMS))
    until_then = gate(facts_of(shopper=Shopper(capped={Channel.WHATSAPP: NOON + DAY}), channel=Channel.WHATSAPP))
    assert until_then == Defer(NOON + DAY, Refusal.FREQUENCY_CAP)


instants = st.integers(-2_000, 12_000).map(lambda minutes: NOON + minutes * MINUTE)
maybe = st.none() | instants


@given(
    now=instants,
    status=st.sampled_from(Status),
    reason=st.none() | st.sampled_from(Reason),
    episode=st.sampled_from(["none", "active", "paused", "purchased", "replied", "joined", "too_old"]),
    channel=st.none() | st.sampled_from(Channel),
    dropped=st.sets(st.sampled_from(["customer.phone", "customer.email", "checkout_url", "consent.channels.sms"])),
    shopper=st.builds(
        Shopper,
        purchased_at=maybe,
        cooldown_until=maybe,
        last_message_at=maybe,
        capped=st.dictionaries(st.sampled_from(Channel), instants),
        suppressed=st.dictionaries(st.sampled_from(Channel), st.just("opt_out")),
    ),
    night=st.booleans(),
)
def test_every_state_of_affairs_has_a_decision_that_the_rules_allow(
    now: datetime,
    status: Status,
    reason: Reason | None,
    episode: str,
    channel: Channel | None,
    dropped: set[str],
    shopper: Shopper,
    night: bool,
) -> None:
    checkout = replace(without(checkout_left(), *dropped), status=status, reason=reason)
    opened = episode_of(checkout)
    known = {"none": None, "active": opened, "paused": paused(opened)}
    own = known[episode] if episode in known else ended(opened, episode, now)
    facts = GateFacts(
        now=now,
        checkout=checkout,
        settings=NIGHT if night else ANYTIME,
        merchant_zone="Asia/Kolkata",
        episode=own,
        campaign=campaign_of(),
        channel=channel,
        shopper=shopper,
    )
    decision = gate(facts)
    match decision:
        case Send():
            assert status is Status.ABANDONED
            assert now < NOON + 3 * DAY
            assert own is None or own.status is EpisodeStatus.ACTIVE
            assert decision.channels
            assert not set(decision.channels) & set(shopper.suppressed)
        case Defer():
            assert now < decision.until < NOON + 3 * DAY
            assert decision.reason in {
                *(Refusal.PAYMENT_PENDING, Refusal.SHOPPER_ACTIVE, Refusal.FREQUENCY_CAP, Refusal.OUTSIDE_WINDOW),
            }
        case _:
            assert decision.reason in REASONS
