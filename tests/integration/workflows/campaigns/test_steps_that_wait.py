"""Campaign steps whose endpoint is slow, or whose rate is used up: each comes back by itself, and is sent once."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.aws.queues import StepMessage, read_message
from shared.domain.breaker import HEALTHY
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.episode import Episode
from shared.domain.ids import EpisodeId, MerchantId
from shared.domain.merchant import Endpoint
from shared.domain.settings import Settings
from shared.domain.step_state import StepState
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.health import HealthStore
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.unit.domain.sessions import NOON

pytestmark = pytest.mark.long

HOUR = timedelta(hours=1)


def due_steps(shop: Shop, endpoint: Endpoint, count: int) -> list[str]:
    """So many shoppers walked away an hour ago; the messages that the sweep sends for them."""
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    settings = Settings(quiet_hours=None, consent="unknown_allowed", holdout_percent=0)
    merchants.replace(replace(stored.value, settings=settings), stored.version)
    CampaignStore(shop.table).create(
        Campaign(
            id=CampaignId("cmp_1"),
            merchant_id=MERCHANT,
            version=1,
            name="Come back",
            created_at=NOON,
            steps=(CampaignStep(HOUR, endpoint.id),),
            activated_at=NOON,
        )
    )
    for number in range(count):
        shop.webhook(session=f"session-{number}", user=stranger(number))
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    shop.wait(minutes=31)
    assert shop.sweep() == {"step_queued": count}
    return shop.queued()


def step_of(shop: Shop, number: int = 0) -> StepState:
    episodes = EpisodeStore(shop.table)
    found = episodes.get(EpisodeId(shop.checkout(f"session-{number}").episode_id or ""))
    assert isinstance(found, Episode)
    return found.steps[0].state


@pytest.fixture
def endpoint(shop: Shop) -> Endpoint:
    return shop.endpoint("checkout.recovered", rate_limit={"max": 4, "per": 10_000})


def test_a_step_whose_rate_is_used_up_comes_back_at_its_place(shop: Shop, endpoint: Endpoint) -> None:
    bodies = due_steps(shop, endpoint, 10)
    handled = Counter[str]()
    arrived = []
    for _ in range(30):
        handled.update(str(read_message(body).episode_id) for body in bodies)  # type: ignore[union-attr]
        before = len(shop.sent)
        for body in bodies:  # moto lets two threads at once win the same conditional write
            assert shop.deliver([body]) == []
        arrived += [shop.now] * (len(shop.sent) - before)
        shop.wait(seconds=1)
        bodies = shop.queued()
    assert len(arrived) == 10
    assert max(handled.values()) == 2
    assert max(Counter(arrived).values()) == 4
    assert arrived[-1] - arrived[0] == timedelta(seconds=20)
    assert {step_of(shop, number) for number in range(10)} == {StepState.SENT}


def test_a_lost_message_of_a_step_that_has_a_place_is_found_by_the_sweep(shop: Shop, endpoint: Endpoint) -> None:
    bodies = due_steps(shop, endpoint, 5)
    shop.deliver(bodies)
    shop.wait(seconds=20)
    (lost,) = shop.queued()
    assert isinstance(read_message(lost), StepMessage)
    shop.wait(minutes=16)
    assert shop.sweep() == {"step_queued": 1}
    shop.deliver()
    assert len(shop.sent) == 5


def test_a_step_for_a_slow_endpoint_goes_by_the_slow_lane_before_it_is_claimed(shop: Shop, endpoint: Endpoint) -> None:
    (body,) = due_steps(shop, endpoint, 1)
    HealthStore(shop.table).replace(endpoint.id, replace(HEALTHY, slow_since=shop.now), shop.now)
    assert shop.deliver([body]) == []
    assert shop.sent == []
    assert step_of(shop) is StepState.PLANNED
    assert shop.deliver(shop.slow()) == []
    assert len(shop.sent) == 1
    assert step_of(shop) is StepState.SENT


def test_moved_twice_a_step_is_sent_once(shop: Shop, endpoint: Endpoint) -> None:
    """The move's answer was lost: both messages arrive."""
    (body,) = due_steps(shop, endpoint, 1)
    HealthStore(shop.table).replace(endpoint.id, replace(HEALTHY, slow_since=shop.now), shop.now)
    shop.deliver([body])
    shop.deliver([body])
    for moved in shop.slow():
        assert shop.deliver([moved]) == []
    assert len(shop.sent) == 1


def test_a_place_is_good_for_its_own_step_alone() -> None:
    message = StepMessage(EpisodeId("epi_1"), MERCHANT, step=2, place=NOON, slow=True)
    assert read_message(message.text()) == message
    assert read_message('{"episode_id":"epi_1","merchant_id":"mer_1","place":1}') == StepMessage(
        EpisodeId("epi_1"), MerchantId("mer_1")
    )
