"""The simulator: what a campaign would have sent, when, and why not otherwise."""

from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import pytest

from shared.domain.campaign import Campaign, CampaignId, CampaignStep, Trigger, Window
from shared.domain.checkout import Checkout, Reason, Status
from shared.domain.consent import Channel
from shared.domain.coupon import CouponRule
from shared.domain.gate import REASONS
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EndpointId
from shared.domain.merchant import Merchant
from shared.domain.settings import QuietHours, Settings
from shared.domain.shopper import UNKNOWN_SHOPPER, Shopper
from shared.domain.simulation import NOT_IN_WINDOW, NOTHING_IN_CART, Setting, Simulated, StepTarget, simulate
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
) -> Simulated:
    merchant = Merchant(MERCHANT, "A shop", (), "IN", "INR", "Asia/Kolkata", NOON, settings)
    target = StepTarget(Channel.WHATSAPP, refused=refused)
    setting = Setting(merchant, lambda _: target, lambda _: codes, now)
    return simulate(over, own, identities, shopper, setting)


def told(simulated: Simulated) -> list[tuple[str, datetime, str | None]]:
    return [(own.outcome, own.at, own.reason) for own in simulated.steps]


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
