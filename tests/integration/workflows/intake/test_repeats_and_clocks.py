"""Repeats of a purchase and clocks that run ahead must not harm what came after them."""

from datetime import timedelta

import pytest

from shared.domain.change import Signal
from shared.domain.checkout import Order
from shared.domain.episode import EpisodeStatus
from shared.domain.identity import IdentityKind
from shared.domain.ids import EpisodeId
from shared.domain.settings import Settings
from shared.domain.shopper import together
from shared.domain.transitions import Arrival
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperStore
from shared.workflows.intake.purchase import purchases_over
from tests.integration.shop import MERCHANT, SOURCE, Shop
from tests.unit.domain.sessions import told

PHONE = "+917777788888"


def an_order_is_told(shop: Shop, session: str, ago: timedelta) -> None:
    """A backfill, or a provider that sends late, tells of an order the shopper placed so long ago."""
    at = shop.now - ago
    change = told(Signal.PURCHASED, at, external_id=session, order=Order(session, at), leaves={"customer.phone": PHONE})
    purchases_over(shop.stores).record(change, Arrival(MERCHANT, SOURCE, "flexype", shop.now, Settings()))


def rests_until(shop: Shop) -> timedelta | None:
    """How long from now on the shopper is left in peace after their orders."""
    identity = shop.stores.hasher.identity(MERCHANT, IdentityKind.PHONE, PHONE)
    known = together(own.memory for own in ShopperStore(shop.table).get_many([identity]).values())
    return None if known.cooldown_until is None else known.cooldown_until - shop.now


def test_an_older_order_that_is_told_late_does_not_shorten_the_rest_after_a_newer_one(shop: Shop) -> None:
    an_order_is_told(shop, "bought-now", timedelta())
    an_order_is_told(shop, "bought-before", timedelta(days=3))
    assert rests_until(shop) == timedelta(days=1)


@pytest.mark.parametrize(
    ("bought", "then"),
    [
        (timedelta(days=2), EpisodeStatus.ACTIVE),
        (timedelta(minutes=31), EpisodeStatus.ENDED),
        (timedelta(minutes=5), EpisodeStatus.ENDED),
    ],
)
def test_an_order_of_before_the_cart_that_is_told_late_does_not_end_its_episode(
    shop: Shop, bought: timedelta, then: EpisodeStatus
) -> None:
    shop.abandon("since", user={"phone_no": "7777788888", "dial_code": "91", "address": {}})
    shop.settle()
    opened = EpisodeId(shop.checkout("since").episode_id or "")

    an_order_is_told(shop, "before", bought)
    shop.settle()

    episode = EpisodeStore(shop.table).get(opened)
    assert episode is not None
    assert episode.status is then
    assert shop.checkout("since").status.value == ("abandoned" if then is EpisodeStatus.ACTIVE else "superseded")
    identity = shop.stores.hasher.identity(MERCHANT, IdentityKind.PHONE, PHONE)
    holds = ShopperStore(shop.table).get_many([identity])[identity].episode_id
    assert holds == (opened if then is EpisodeStatus.ACTIVE else None)


def test_a_purchase_that_is_told_again_does_not_end_the_episode_begun_since(shop: Shop) -> None:
    shop.webhook(session="first", session_state="COMPLETED")
    shop.settle()
    shop.wait(hours=2)
    shop.abandon("second")
    shop.settle()
    opened = EpisodeId(shop.checkout("second").episode_id or "")
    assert opened

    shop.webhook(session="first", session_state="COMPLETED", total_payable=601)
    shop.settle()

    episode = EpisodeStore(shop.table).get(opened)
    assert episode is not None
    assert episode.status is EpisodeStatus.ACTIVE
    assert shop.checkout("second").status.value == "abandoned"


def test_a_shopper_who_bought_elsewhere_is_called_off_to_whoever_heard_of_the_abandonment(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned")
    shop.abandon("left")
    shop.settle()
    shop.deliver()
    shop.webhook(session="bought", session_state="COMPLETED")
    shop.settle()
    shop.deliver()
    assert [own["type"] for own in shop.told()] == ["checkout.abandoned", "checkout.superseded"]


@pytest.mark.parametrize(
    ("later_by_the_clocks", "status", "heard"),
    [(1.27, "superseded", []), (-0.23, "abandoned", ["checkout.abandoned"])],
)
def test_a_purchase_elsewhere_counts_for_a_session_that_by_the_clocks_began_before_it(
    shop: Shop, later_by_the_clocks: float, status: str, heard: list[str]
) -> None:
    """FlexyPe tells no times: 1.27 s after a session began, a host whose clock is 1.5 s behind hears of a purchase.

    Nobody can tell that from a new cart begun after a purchase. The shopper hears nothing of it either way: whoever
    bought is left in peace for the merchant's cooldown.
    """
    shop.endpoint("checkout.abandoned")
    shop.webhook(session="left")
    shop.wait(seconds=later_by_the_clocks)
    shop.webhook(session="bought", session_state="COMPLETED")
    shop.settle()
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    shop.deliver()
    assert shop.checkout("left").status.value == status
    assert [own["type"] for own in shop.told()] == heard
