"""Repeats of a purchase and clocks that run ahead must not harm what came after them."""

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
