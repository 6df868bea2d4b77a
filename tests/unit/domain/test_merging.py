"""The merge rule: later payloads add and replace, and never erase what was captured."""

from datetime import timedelta

import pytest

from shared.domain.change import NO_ORDER, Signal
from shared.domain.checkout import Checkout, Status
from shared.domain.transitions import Effect, Mark, apply, event_digest
from tests.unit.domain.sessions import NOON, after, arrival, begun, cart_of, flat, folded, told

PHONE, EMAIL, PROVINCE = "customer.phone", "customer.email", "shipping_address.province"


def merged(*changes: tuple[float, object]) -> Checkout:
    """Changes as (minutes after noon, change), each arriving at its own time."""
    return folded([(change, after(minutes=at)) for at, change in changes])[-1].checkout  # type: ignore[misc]


def test_a_later_payload_without_a_field_does_not_erase_it() -> None:
    own = merged(
        (0, told(leaves={PHONE: "+917777788888"}, cart=cart_of())),
        (1, told(at=after(minutes=1), leaves={EMAIL: "a@shop.example"})),
    )
    assert own.leaves == {PHONE: "+917777788888", EMAIL: "a@shop.example"}
    assert own.cart == cart_of()


def test_a_later_payload_replaces_what_it_names() -> None:
    own = merged((0, told(leaves={"stage": "begun"})), (1, told(at=after(minutes=1), leaves={"stage": "paying"})))
    assert own.text("stage") == "paying"


def test_a_stale_payload_fills_gaps_and_replaces_nothing() -> None:
    steps = folded(
        [
            (told(at=after(minutes=5), leaves={"stage": "paying"}, cart=cart_of(900)), after(minutes=5)),
            (told(leaves={"stage": "begun", PHONE: "+917777788888"}, cart=cart_of(100)), after(minutes=6)),
        ]
    )
    assert steps[-1].effect is Effect.STALE
    assert steps[-1].checkout.leaves == {"stage": "paying", PHONE: "+917777788888"}
    assert steps[-1].checkout.cart == cart_of(900)


def test_a_stale_payload_brings_the_cart_that_nobody_sent_before() -> None:
    own = merged((5, told(at=after(minutes=5))), (6, told(cart=cart_of(100))))
    assert own.cart == cart_of(100)


def test_a_name_and_its_code_move_together() -> None:
    own = merged(
        (0, told(leaves={PROVINCE: ("Gujarat", "GJ")})),
        (1, told(at=after(minutes=1), leaves={PROVINCE: ("Goa", None)})),
    )
    assert own.pair(PROVINCE) == ("Goa", None)


def test_the_cart_is_one_snapshot() -> None:
    own = merged(
        (0, told(cart=cart_of(63_000, "Brownie", 3))), (1, told(at=after(minutes=1), cart=cart_of(9_900, "Blondie")))
    )
    assert own.cart == cart_of(9_900, "Blondie")


def test_an_event_that_compares_with_no_other_fills_gaps_only() -> None:
    own = merged((0, told(leaves={"stage": "begun"})), (9, told(order_key=NO_ORDER, leaves={"stage": "x", EMAIL: "e"})))
    assert own.leaves == {"stage": "begun", EMAIL: "e"}
    assert own.order_key == begun(told(leaves={"stage": "begun"})).order_key


def test_a_test_checkout_stays_one() -> None:
    assert merged((0, told(test=True)), (1, told(at=after(minutes=1)))).test


def test_an_event_id_seen_before_is_a_duplicate_whatever_the_body() -> None:
    first = begun(told(event_id="evt-1"))
    again = apply(first, told(at=after(minutes=3), event_id="evt-1"), arrival(after(minutes=3)))
    assert (again.effect, again.checkout) == (Effect.DUPLICATE, first)
    assert event_digest("evt-1") in first.event_digests
    assert len(event_digest("evt-1")) == 8


def test_without_event_ids_only_the_last_body_is_a_duplicate() -> None:
    a, b = flat(3, leaves={"stage": "a"}), flat(3, leaves={"stage": "b"})
    minutes = (0, 3, 6)
    effects = [own.effect for own in folded([(x, after(minutes=m)) for m, x in zip(minutes, (a, a, b), strict=True)])]
    assert effects == [Effect.CREATED, Effect.DUPLICATE, Effect.MERGED]
    back = folded([(x, after(minutes=m)) for m, x in zip(minutes, (a, b, a), strict=True)])[-1]
    assert back.effect is Effect.MERGED
    assert back.checkout.text("stage") == "a"


@pytest.mark.parametrize(("minutes", "effect"), [(1.0, Effect.STALE), (2.0, Effect.STALE), (2.1, Effect.MERGED)])
def test_a_lower_stage_is_a_late_webhook_for_two_minutes_and_then_a_shopper_who_went_back(
    minutes: float, effect: Effect
) -> None:
    steps = folded([(flat(5), NOON), (flat(2, leaves={"stage": "address"}), after(minutes=minutes))])
    assert steps[-1].effect is effect


def test_an_event_with_an_untrustworthy_time_counts_by_its_arrival() -> None:
    for own_time in (after(days=-8), after(minutes=6)):
        own = apply(None, told(at=own_time), arrival()).checkout
        assert own.last_activity_at == NOON
    assert apply(None, told(at=after(minutes=5)), arrival()).checkout.last_activity_at == after(minutes=5)


def test_the_feed_hears_of_every_merge_but_not_of_a_duplicate_or_after_a_purchase() -> None:
    same = told(at=after(minutes=1), leaves={"stage": "x"})
    steps = folded(
        [
            (told(), NOON),
            (same, after(minutes=1)),
            (same, after(minutes=2)),
            (told(Signal.PURCHASED, after(minutes=3)), after(minutes=3)),
            (told(at=after(minutes=4)), after(minutes=4)),
        ],
        feed=True,
    )
    assert [own.mark for own in steps] == [Mark.UPDATED, Mark.UPDATED, None, Mark.COMPLETED, None]
    assert [own.checkout.last_update for own in steps] == [1, 2, 2, 2, 2]


def test_the_idle_time_in_force_at_the_last_event_counts() -> None:
    from dataclasses import replace

    settings = replace(arrival().settings, idle_after=timedelta(hours=1))
    own = apply(begun(), told(at=after(minutes=1)), arrival(after(minutes=1), settings)).checkout
    assert own.idle_ms == 3_600_000
    assert own.status is Status.OPEN
