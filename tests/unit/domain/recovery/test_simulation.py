"""The simulator: what a campaign would have sent, when, and why not otherwise."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from shared.domain.campaign import Campaign, CampaignId, CampaignStep, Limits, Trigger, Window
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.consent import Channel
from shared.domain.coupon import CouponRule
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.gate import REASONS
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EndpointId, EpisodeId
from shared.domain.merchant import Merchant
from shared.domain.settings import QuietHours, Settings
from shared.domain.shopper import UNKNOWN_SHOPPER, Shopper
from shared.domain.simulation import NOT_IN_WINDOW, NOTHING_IN_CART, Setting, Simulated, StepTarget, simulate
from shared.domain.step_state import EpisodeStep, StepState
from tests.unit.domain.sessions import EMPTY_CART, MERCHANT, NOON, SOURCE, after, cart_of

SETTINGS = Settings(consent="unknown_allowed", holdout_percent=0, quiet_hours=None)
PHONE = Identity(MERCHANT, IdentityKind.PHONE, "mac")
LATER = after(days=10)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def checkout(**changes: Any) -> Checkout:
    """A cart last touched at noon and abandoned half an hour later."""
    made = Checkout(
        merchant_id=MERCHANT,
        source_id=SOURCE,
        provider="flexype",
        external_id="1",
        digest="a" * 26,
        status=Status.ABANDONED,
        version=2,
        order_key="1",
        ordered_at=NOON,
        created_at=NOON,
        updated_at=after(minutes=30),
        last_activity_at=NOON,
        idle_ms=30 * 60_000,
        sequence=2,
        reason=Reason.INCOMPLETE,
        leaves={"customer.phone": "+917777788888"},
        cart=cart_of(),
        first_abandoned_at=after(minutes=30),
        abandoned_at=after(minutes=30),
    )
    return replace(made, **changes)


def campaign(*offsets: timedelta, **changes: Any) -> Campaign:
    """Messages after these offsets."""
    steps = tuple(CampaignStep(offset, EndpointId("ep_1"), channel="whatsapp") for offset in offsets or (HOUR, DAY))
    return replace(Campaign(CampaignId("cmp_1"), MERCHANT, 1, "Come back", NOON, steps=steps), **changes)


def played(
    own: Checkout,
    over: Campaign,
    *,
    now: datetime = LATER,
    shopper: Shopper = UNKNOWN_SHOPPER,
    settings: Settings = SETTINGS,
    identities: tuple[Identity, ...] = (PHONE,),
    refused: str | None = None,
    codes: bool = True,
    others: tuple[Campaign, ...] = (),
    episode: Episode | None = None,
) -> Simulated:
    merchant = Merchant(MERCHANT, "A shop", (), "IN", "INR", "Asia/Kolkata", NOON, settings)
    target = StepTarget(Channel.WHATSAPP, refused=refused)
    setting = Setting(
        merchant, lambda _: target, lambda _: codes, now, {own.id: own for own in others}, lambda _: episode
    )
    return simulate(over, own, identities, shopper, setting)


def told(simulated: Simulated) -> list[tuple[str, datetime, str | None]]:
    return [(own.outcome, own.at, own.reason) for own in simulated.steps]


def test_a_skipped_step_leaves_its_place_in_the_cap_to_the_next() -> None:
    by_mail, by_phone = campaign(HOUR, DAY, limits=Limits(1)).steps
    over = campaign(limits=Limits(1), steps=(replace(by_mail, channel="email"), by_phone))
    merchant = Merchant(MERCHANT, "A shop", (), "IN", "INR", "Asia/Kolkata", NOON, SETTINGS)
    setting = Setting(merchant, lambda step: StepTarget(step.own_channel()), lambda _: True, LATER)
    done = simulate(over, checkout(), (PHONE,), UNKNOWN_SHOPPER, setting)
    assert told(done) == [("skipped", after(hours=1), "no_contact"), ("sent", after(days=1), None)]


def test_steps_are_sent_at_their_offsets_from_the_last_activity() -> None:
    done = played(checkout(), campaign())
    assert (done.started_at, done.reason) == (after(minutes=30), None)
    assert told(done) == [("sent", after(hours=1), None), ("sent", after(days=1), None)]
    assert done.steps[0].channels == ("whatsapp",)


def test_what_lies_ahead_is_planned() -> None:
    assert [own.outcome for own in played(checkout(), campaign(), now=after(hours=2)).steps] == ["sent", "planned"]


def test_a_purchase_ends_what_lies_after_it() -> None:
    bought = checkout(status=Status.RECOVERED, completed_at=after(hours=5), updated_at=after(hours=5))
    assert told(played(bought, campaign())) == [
        ("sent", after(hours=1), None),
        ("skipped", after(days=1), "purchased"),
    ]


def test_quiet_hours_defer_and_say_so() -> None:
    """Noon UTC is 17:30 in India: an offset of seven hours falls into the night."""
    quiet = replace(SETTINGS, quiet_hours=QuietHours(time(21), time(10)))
    (step,) = played(checkout(), campaign(timedelta(hours=7)), settings=quiet).steps
    assert (step.outcome, step.deferred_by) == ("sent", ("outside_window",))
    assert step.at == after(hours=16, minutes=30)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"own": checkout(status=Status.COMPLETED, abandoned_at=None, first_abandoned_at=None)}, "purchased"),
        ({"own": checkout(status=Status.OPEN, abandoned_at=None), "now": after(minutes=10)}, "shopper_active"),
        ({"own": checkout(status=Status.PAYMENT_PENDING), "now": after(minutes=10)}, "payment_pending"),
        ({"own": checkout(status=Status.OPEN, cart=EMPTY_CART)}, NOTHING_IN_CART),
        ({"own": checkout(status=Status.OPEN, cart=cart_of(0))}, "below_minimum_total"),
        ({"own": checkout(), "identities": ()}, "no_contact"),
        ({"own": checkout(), "shopper": Shopper(purchased_at=after(minutes=1))}, "purchased"),
    ],
)
def test_why_it_never_begins(given: dict[str, Any], reason: str) -> None:
    done = played(over=campaign(), **given)
    assert (done.started_at, done.reason, done.steps) == (None, reason, ())


def test_criteria_are_asked_at_the_abandonment() -> None:
    rich = campaign(criteria={"field": "total", "op": "gte", "value": "1000.00"})
    assert played(checkout(), rich).reason == "criteria_not_met"
    fresh = campaign(criteria={"field": "age", "op": "lte", "value": "PT30M"})
    assert played(checkout(), fresh).started_at == after(minutes=30)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"shopper": Shopper(suppressed={Channel.WHATSAPP: "opt_out"})}, "suppressed"),
        ({"settings": replace(SETTINGS, consent="required")}, "no_consent"),
        ({"settings": replace(SETTINGS, holdout_percent=100)}, "holdout"),
        ({"refused": "endpoint_disabled"}, "endpoint_disabled"),
    ],
)
def test_why_every_step_stays_unsent(given: dict[str, Any], reason: str) -> None:
    done = played(checkout(), campaign(), **given)
    assert [(own.outcome, own.reason) for own in done.steps] == [("skipped", reason)] * 2


def test_a_step_too_late_and_one_too_many_are_never_planned() -> None:
    late = played(checkout(), campaign(HOUR, timedelta(days=4)))
    assert told(late)[1] == ("skipped", after(days=4), "too_old")
    many = played(checkout(), campaign(HOUR, timedelta(hours=6), timedelta(hours=12), DAY))
    assert [own.reason for own in many.steps] == [None, None, None, "frequency_cap"]


def test_a_pool_without_codes_is_a_reason_and_a_code_given_is_carried_on() -> None:
    with_codes = campaign(coupon=CouponRule("pool", pool_id="pool_1"))
    assert [own.reason for own in played(checkout(), with_codes, codes=False).steps] == [None, "coupon_unavailable"]
    assert [own.outcome for own in played(checkout(), with_codes).steps] == ["sent", "sent"]


def test_a_message_of_an_earlier_episode_holds_this_one_back() -> None:
    recent = Shopper(last_message_at=after(minutes=-60))
    step = played(checkout(), campaign(HOUR), shopper=recent).steps[0]
    assert (step.at, step.deferred_by) == (after(hours=23), ("frequency_cap",))


def test_a_message_sent_since_belongs_to_what_is_being_played() -> None:
    assert played(checkout(), campaign(HOUR), shopper=Shopper(last_message_at=after(hours=1))).steps[0].reason is None


def test_a_schedule_is_played_as_if_it_ran_now() -> None:
    hourly = campaign(HOUR, trigger=Trigger("schedule", "rate(1 hour)", None, Window(DAY, HOUR)))
    now = after(hours=2)
    done = played(checkout(status=Status.OPEN, abandoned_at=None), hourly, now=now)
    assert (done.started_at, told(done)) == (now, [("planned", now + HOUR, None)])
    assert played(checkout(), hourly, now=after(minutes=59)).reason == NOT_IN_WINDOW
    assert played(checkout(status=Status.DISCARDED), hourly, now=now).reason == "suppressed"


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("trigger", [Trigger(), Trigger("schedule", "rate(1 hour)")])
def test_every_status_has_an_answer_with_known_reasons(status: Status, trigger: Trigger) -> None:
    done = played(checkout(status=status, completed_at=after(hours=2) if status.purchased else None),
                  campaign(trigger=trigger), now=after(hours=3))  # fmt: skip
    known = {*map(str, REASONS), NOT_IN_WINDOW, NOTHING_IN_CART, None}
    assert {done.reason, *(own.reason for own in done.steps)} <= known
    assert (done.started_at is None) == (done.reason is not None)


class TestAnotherCampaign:
    """Of several that fit one takes the shopper; the preview of each says which."""

    RUN = Trigger("schedule", "rate(1 hour)")

    def other(self, name: str = "2", **changes: Any) -> Campaign:
        return campaign(id=CampaignId(f"cmp_{name}"), **{"activated_at": NOON, **changes})

    def held_by(self, holder: Campaign, *steps: EpisodeStep) -> Episode:
        return Episode(
            *(EpisodeId("epi_1"), MERCHANT, EpisodeStatus.ACTIVE, 1, NOON, NOON),
            campaign_id=holder.id,
            campaign_version=1,
            steps=steps,
        )

    @pytest.mark.parametrize(
        ("changes", "taken"),
        [
            ({"priority": 1}, True),
            ({"priority": -1}, False),
            ({"created_at": NOON - DAY}, True),
            ({"created_at": NOON + DAY}, False),
            ({"priority": 1, "status": "paused"}, False),
            ({"priority": 1, "activated_at": NOON + HOUR}, False),
            ({"priority": 1, "criteria": {"field": "total", "op": "gte", "value": "9999"}}, False),
        ],
    )
    def test_the_one_that_outranks_it_takes_an_abandonment(self, changes: dict[str, Any], taken: bool) -> None:
        other = self.other(**changes)
        for over in (campaign(), campaign(trigger=self.RUN)):
            own = played(checkout(), over, others=(over, other))
            assert (own.reason, own.taken_by) == (("another_campaign", other.id) if taken else (None, None))
            assert bool(own.steps) is not taken

    def test_the_campaign_itself_is_no_rival_however_it_was_edited(self) -> None:
        assert played(checkout(), campaign(), others=(self.other("1", priority=9),)).reason is None

    def test_a_run_leaves_an_open_episode_to_whom_it_does_not_outrank(self) -> None:
        run, other = campaign(trigger=self.RUN), self.other(priority=1)
        told = checkout(announced=2)
        planned = EpisodeStep(1, StepState.PLANNED, after(hours=1))

        def taken(holder: Campaign, *steps: EpisodeStep, known: bool = True) -> bool:
            others = (run, holder) if known else (run,)
            return played(told, run, others=others, episode=self.held_by(holder, *steps)).taken_by == holder.id

        assert taken(other, planned)
        assert not taken(replace(other, priority=-1), planned)
        assert taken(replace(other, priority=-1), replace(planned, state=StepState.SENT))
        assert taken(replace(other, priority=-1), replace(planned, attempts=1)), "a message was tried"
        assert not taken(replace(other, status="paused"), planned)
        assert not taken(other, planned, known=False), "it was deleted"
        assert taken(other, replace(planned, state=StepState.CLAIMED), known=False)

    def test_an_abandonment_that_a_higher_run_came_to_is_the_runs(self) -> None:
        run = self.other(trigger=self.RUN, priority=1)
        assert played(checkout(), campaign(), others=(run,)).reason is None, "no run has come"
        own = played(checkout(), campaign(), others=(run,), episode=self.held_by(run))
        assert (own.reason, own.taken_by) == ("another_campaign", run.id)
        assert played(checkout(), campaign(priority=2), others=(run,), episode=self.held_by(run)).reason is None

    def test_what_does_not_fit_at_all_says_so_first(self) -> None:
        other = self.other(priority=1)
        dear = campaign(criteria={"field": "total", "op": "gte", "value": "9999"})
        assert played(checkout(), dear, others=(other,)).reason == "criteria_not_met"
