"""Repeats of a purchase and clocks that run ahead must not harm what came after them."""

import pytest

from shared.domain.episode import EpisodeStatus
from shared.domain.ids import EpisodeId
from shared.store.episodes import EpisodeStore
from tests.integration.shop import Shop


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
