"""The awkward cases of checkout recovery, one test per row: how others stumble, and what happens here."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.campaign import chosen
from shared.domain.cart import Cart, Totals
from shared.domain.change import Signal
from shared.domain.checkout import Reason, Status
from shared.domain.consent import Channel
from shared.domain.criteria import matches, parse
from shared.domain.deadline import at_deadline
from shared.domain.gate import Defer, EndEpisode, Refusal, Replan, Send, Skip, gate
from shared.domain.money import Money, total_of
from shared.domain.planning import ended, joined, with_step
from shared.domain.settings import Settings
from shared.domain.shopper import Shopper
from shared.domain.suppression import EndReason
from shared.domain.transitions import Mark, apply
from tests.unit.domain.recovery.episodes import (
    ANYTIME,
    DAY,
    HOUR,
    LEAVES,
    PHONE,
    campaign_of,
    checkout_left,
    episode_of,
    facts_of,
    sent,
    without,
)
from tests.unit.domain.sessions import MERCHANT, NOON, after, arrival, begun, cart_of, told


@pytest.mark.parametrize("minutes_after_leaving", [-5, 0, 31, 59])
def test_bought_in_another_checkout_device_or_provider(minutes_after_leaving: int) -> None:
    """Any order that matches the shopper ends the episode, even while the cart still stands abandoned."""
    checkout = replace(checkout_left(), created_at=NOON - HOUR)
    bought = Shopper(purchased_at=after(minutes=minutes_after_leaving))
    assert gate(facts_of(checkout=checkout, shopper=bought)) == EndEpisode(Refusal.PURCHASED)


def test_bought_elsewhere_before_a_late_webhook_told_of_the_activity() -> None:
    """Active at noon, bought elsewhere at half past, and only at one the webhook of noon arrives."""
    late = replace(checkout_left(), created_at=after(hours=1))
    facts = facts_of(NOON + 2 * HOUR, checkout=late, shopper=Shopper(purchased_at=after(minutes=30)))
    assert gate(facts) == EndEpisode(Refusal.PURCHASED)


@pytest.mark.parametrize("order_first", [True, False])
def test_the_order_event_arrives_before_or_after_the_checkouts_update(order_first: bool) -> None:
    """Completion wins whatever the order of arrival."""
    update, order = told(at=NOON, cart=cart_of()), told(Signal.PURCHASED, after(minutes=5))
    first, second = (order, update) if order_first else (update, order)
    one = apply(None, first, arrival(after(minutes=6))).checkout
    both = apply(one, second, arrival(after(minutes=7))).checkout
    assert both.status is Status.COMPLETED
    assert gate(facts_of(checkout=both)) == EndEpisode(Refusal.PURCHASED)


def test_two_checkouts_abandoned() -> None:
    """The newest replaces the contents in the same episode; the counter carries on; the older one is not told again."""
    older, newer = checkout_left(), replace(checkout_left(NOON + 2 * HOUR), digest="n" * 26)
    episode = episode_of(older)
    episode = with_step(episode, sent(episode.steps[0], NOON + HOUR))
    both = joined(episode, newer, [PHONE], NOON + 3 * HOUR, campaign=campaign_of(), settings=ANYTIME)
    about_older = facts_of(NOON + 26 * HOUR, checkout=older, episode=both, step=2)
    assert gate(about_older) == Replan()
    assert gate(replace(about_older, checkout=newer)) == Send((Channel.WHATSAPP,))
    assert [own.number for own in both.steps] == [1, 2, 3]


def test_abandons_again_next_week() -> None:
    """A new episode, after the cooldown; until then it waits."""
    again = checkout_left(NOON + 7 * DAY)
    facts = facts_of(NOON + 7 * DAY + HOUR, checkout=again, episode=episode_of(again))
    assert gate(replace(facts, shopper=Shopper(last_message_at=NOON + 2 * DAY))) == Send((Channel.WHATSAPP,))
    recent = Shopper(last_message_at=NOON + 6 * DAY + 2 * HOUR)
    assert gate(replace(facts, shopper=recent)) == Defer(NOON + 7 * DAY + 2 * HOUR, Refusal.FREQUENCY_CAP)


def test_clicked_but_did_not_pay() -> None:
    """A click is no fact the gate knows: the later steps go on."""
    episode = episode_of(checkout_left())
    episode = with_step(episode, sent(episode.steps[0], NOON + HOUR))
    assert gate(facts_of(NOON + DAY, episode=episode, step=2)) == Send((Channel.WHATSAPP,))


def test_replied_to_the_message() -> None:
    """Automation ends at once, and every planned step says why."""
    over = ended(episode_of(checkout_left()), EndReason.REPLIED, NOON + HOUR)
    assert {own.reason for own in over.steps} == {"replied"}
    assert isinstance(gate(facts_of(NOON + DAY, episode=over, step=2)), EndEpisode)


def test_on_hold_cash_on_delivery_or_bank_transfer() -> None:
    """An order placed is a purchase, paid or not."""
    placed = apply(begun(), told(Signal.PURCHASED, after(minutes=5)), arrival(after(minutes=5))).checkout
    assert placed.status is Status.COMPLETED


def test_the_payments_success_arrives_late() -> None:
    """Waiting for the payment, then two hours more, and nothing is sent that a late success would belie."""
    paying = apply(begun(), told(Signal.PAYMENT_STARTED, after(minutes=1)), arrival(after(minutes=1))).checkout
    due = at_deadline(paying, after(minutes=31), Settings(), None)
    assert due is not None
    unresolved = due.checkout
    assert (unresolved.status, unresolved.reason) == (Status.ABANDONED, Reason.PAYMENT_UNRESOLVED)
    known = replace(unresolved, leaves=LEAVES)
    facts = facts_of(after(minutes=60), checkout=known)
    assert gate(facts) == Defer(after(minutes=151), Refusal.PAYMENT_PENDING)
    assert gate(replace(facts, now=after(minutes=151))) == Send((Channel.WHATSAPP,))


def test_the_phone_appears_only_in_a_later_update() -> None:
    """Contact is checked when it is needed: the step after the update has one."""
    anonymous = without(checkout_left(), "customer.phone")
    assert gate(facts_of(checkout=anonymous)) == Skip(Refusal.NO_CONTACT)
    assert gate(facts_of(NOON + DAY, checkout=checkout_left(), step=2)) == Send((Channel.WHATSAPP,))


def test_an_item_was_removed_or_its_price_changed() -> None:
    """The campaign looks at the latest snapshot, at every hand-over."""
    campaign = campaign_of(criteria={"field": "total", "op": "gte", "value": "500"})
    cheaper = replace(checkout_left(), cart=cart_of(40_000))
    assert gate(facts_of(campaign=campaign)) == Send((Channel.WHATSAPP,))
    assert gate(facts_of(campaign=campaign, checkout=cheaper)) == Skip(Refusal.CRITERIA_NOT_MET)


def test_currencies() -> None:
    """Minor units as shown to the shopper, compared in their own currency, never added to another's."""
    assert total_of([Money(100, "INR"), Money(100, "USD")]) is None
    dinar = replace(checkout_left(), cart=Cart("KWD", totals=Totals(total=Money(1_500, "KWD"))))
    assert matches(parse({"field": "total", "op": "eq", "value": "1.5"})[0], dinar, NOON)


def test_card_testing_bots() -> None:
    """Not contacted, whatever else is true."""
    assert gate(facts_of(quarantined=True)) == Skip(Refusal.QUARANTINED)


def test_a_campaign_is_edited_or_paused_mid_episode() -> None:
    """The episode keeps its version; a pause acts at once."""
    episode = episode_of(checkout_left(), campaign_of(version=3))
    assert (episode.campaign_id, episode.campaign_version) == (campaign_of().id, 3)
    edited = campaign_of(5 * HOUR, version=4)
    assert (
        joined(
            episode, checkout_left(), [PHONE], NOON, campaign=campaign_of(version=3), settings=ANYTIME
        ).campaign_version
        == 3
    )
    assert edited.version != episode.campaign_version
    assert gate(facts_of(episode=episode, campaign_active=False)) == Skip(Refusal.CAMPAIGN_PAUSED)


def test_first_activation_leaves_old_carts_alone() -> None:
    checkout = checkout_left()
    assert chosen([campaign_of(activated_at=after(minutes=31))], checkout, NOON + DAY) is None
    assert chosen([campaign_of(activated_at=after(minutes=29))], checkout, NOON + DAY) is not None


def test_an_anonymous_cart_is_counted_but_never_a_message() -> None:
    bare = without(checkout_left(), "customer.phone", "customer.email")
    assert gate(facts_of(checkout=bare, channel=None)) == Skip(Refusal.NO_CONTACT)


def test_abandoned_and_told_is_what_opens_an_episode() -> None:
    """Detection comes late, the clock of the steps does not move."""
    due = at_deadline(begun(told(cart=cart_of(), leaves=LEAVES)), NOON + 5 * HOUR, Settings(), None)
    assert due is not None
    assert due.mark is Mark.ABANDONED
    own = episode_of(due.checkout)
    assert own.merchant_id == MERCHANT
    assert own.started_at == NOON + 5 * HOUR
    assert own.anchor == NOON
    assert own.steps[0].due_at == NOON + HOUR
    assert gate(facts_of(NOON + 5 * HOUR, checkout=due.checkout, episode=own)) == Send((Channel.WHATSAPP,))
    assert own.steps[1].due_at - own.steps[0].due_at == timedelta(hours=23)
