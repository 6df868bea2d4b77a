"""A shopper who leaves a cart every few days: what one attempt may send is bounded in time, and then another begins."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import IdentityKind
from shared.domain.ids import EpisodeId
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.table import Table
from shared.store.writes import Write
from tests.integration.shop import MERCHANT, SESSION, Shop
from tests.integration.workflows.campaigns.test_campaign_steps import HOUR, campaign, open_all_day

NEXT = ("another", SESSION)


@pytest.fixture
def left(shop: Shop) -> Callable[..., None]:
    """A shopper who left a cart, and got the one message of the campaign about it."""

    def make(criteria: dict[str, Any] | None = None, **settings: Any) -> None:
        open_all_day(shop, **settings)
        campaign(shop, shop.endpoint("checkout.recovered"), HOUR, **({"criteria": criteria} if criteria else {}))
        shop.abandon(user=WHO)
        shop.settle()
        send_what_is_due(shop, minutes=31)
        assert [own["data"]["step"]["index"] for own in shop.told()] == [1]

    return make


WHO = {"dial_code": "91", "phone_no": "7777711111", "email": "one@shop.example", "address": {}}


def send_what_is_due(shop: Shop, **span: float) -> None:
    shop.wait(**span)
    shop.sweep()
    shop.deliver()


def episode(shop: Shop, session: str = SESSION) -> Episode:
    return known(shop, shop.checkout(session).episode_id or "")


def known(shop: Shop, episode_id: str) -> Episode:
    found = EpisodeStore(shop.table).get(EpisodeId(episode_id))
    assert found is not None
    return found


def holders(shop: Shop, *phones: str) -> list[ShopperRecord]:
    """What is kept of the shopper's phones and mail."""
    hasher = shop.stores.hasher
    known = [hasher.identity(MERCHANT, IdentityKind.PHONE, own) for own in phones or ("+917777711111",)]
    known.append(hasher.identity(MERCHANT, IdentityKind.EMAIL, "one@shop.example"))
    return list(ShopperStore(shop.table).get_many(known).values())


def carts_told(shop: Shop) -> list[str]:
    return [own["data"]["checkout"]["id"] for own in shop.told()]


def leave(shop: Shop, session: str, user: dict[str, Any] = WHO) -> list[dict[str, Any]]:
    """Leave that cart; the records that tell of it."""
    shop.abandon(session, user=user, session_state="PHONE_ENTERED")
    return shop.stream()


@pytest.mark.parametrize("session", NEXT, ids=["another cart", "the same cart"])
def test_a_cart_left_after_the_last_ones_time_has_an_episode_and_messages_of_its_own(
    shop: Shop, left: Callable[..., None], session: str
) -> None:
    left()
    first = episode(shop)
    shop.wait(days=5)

    told = leave(shop, session)
    for _ in range(2):
        shop.dispatch(told)

    second = episode(shop, session)
    assert second.id != first.id
    assert (second.status, second.checkouts) == (EpisodeStatus.ACTIVE, (shop.digest(session),))
    before = known(shop, first.id)
    assert (before.status, before.end_reason) == (EpisodeStatus.ENDED, "followed")
    assert [own.state.value for own in before.steps] == ["sent"]
    send_what_is_due(shop, minutes=31)
    send_what_is_due(shop, days=1)
    assert carts_told(shop) == [shop.checkout().id, shop.checkout(session).id]
    assert len(shop.deliveries()) == 2


def test_a_shopper_who_leaves_a_cart_each_week_hears_of_each(shop: Shop, left: Callable[..., None]) -> None:
    left()
    weeks = [f"week-{number}" for number in range(1, 5)]
    for week in weeks:
        shop.wait(days=6)
        shop.dispatch(leave(shop, week))
        send_what_is_due(shop, minutes=31)
    assert carts_told(shop) == [shop.checkout(own).id for own in (SESSION, *weeks)]


@pytest.mark.parametrize("session", NEXT, ids=["another cart", "the same cart"])
def test_a_cart_left_while_the_last_ones_message_could_still_go_out_is_of_the_same_attempt(
    shop: Shop, left: Callable[..., None], session: str
) -> None:
    left()
    first = episode(shop).id
    shop.wait(hours=70)

    shop.dispatch(leave(shop, session))

    assert shop.checkout(session).episode_id == first
    send_what_is_due(shop, days=1)
    assert len(shop.told()) == 1


def test_the_next_attempt_waits_for_the_cooldown_of_the_last_message(shop: Shop, left: Callable[..., None]) -> None:
    left(cooldown=timedelta(days=5, hours=12))
    shop.wait(days=5)
    shop.dispatch(leave(shop, "another"))
    send_what_is_due(shop, minutes=31)
    assert len(shop.told()) == 1
    send_what_is_due(shop, hours=12)
    assert carts_told(shop) == [shop.checkout().id, shop.checkout("another").id]


def test_an_attempt_that_sent_nothing_takes_up_the_next_cart(shop: Shop) -> None:
    open_all_day(shop)
    campaign(shop, shop.endpoint("checkout.recovered"), HOUR)
    shop.abandon()
    shop.settle()
    first = episode(shop)
    shop.wait(days=5)  # no sweep came
    shop.abandon("another")
    shop.settle()

    assert shop.checkout("another").episode_id == first.id
    send_what_is_due(shop, minutes=31)
    assert carts_told(shop) == [shop.checkout("another").id]


@pytest.mark.parametrize("bought", [{"phone_no": "7777711111"}, {"email": "one@shop.example"}], ids=["phone", "mail"])
def test_a_purchase_under_what_only_the_last_attempt_knew_ends_the_next_one(
    shop: Shop, left: Callable[..., None], bought: dict[str, str]
) -> None:
    """The next cart has the phone alone; the shopper buys by mail."""
    left()
    shop.wait(days=5)
    shop.abandon("another", user={**WHO, "email": None})
    shop.settle()
    second = episode(shop, "another")
    assert second.id != episode(shop).id
    assert {own.episode_id for own in holders(shop)} == {second.id}

    shop.webhook(session="elsewhere", session_state="COMPLETED", user={"dial_code": "91", "address": {}, **bought})

    assert known(shop, second.id).end_reason == "purchased"
    send_what_is_due(shop, hours=1)
    assert len(shop.told()) == 1


def test_the_next_cart_fits_no_campaign_and_has_an_episode_all_the_same(shop: Shop, left: Callable[..., None]) -> None:
    left(criteria={"field": "total", "op": "gte", "value": "500"})
    first = episode(shop)
    shop.wait(days=5)
    shop.abandon("another", user=WHO, total_payable=10, session_state="PHONE_ENTERED")
    shop.settle()

    second = episode(shop, "another")
    assert (second.campaign_id, second.status) == (None, EpisodeStatus.ACTIVE)
    assert known(shop, first.id).end_reason == "followed"
    assert {own.episode_id for own in holders(shop)} == {second.id}


def test_a_cart_of_the_last_attempts_time_that_is_told_at_the_same_moment_keeps_its_shopper(
    shop: Shop, left: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was left in time, with another phone, and told late: right before the next cart's episode is written."""
    left()
    shop.wait(hours=70)
    late = leave(shop, "late", {**WHO, "phone_no": "7777722222"})
    shop.wait(hours=50)
    told = leave(shop, "another")
    written = Table.transact

    def last_to_read(table: Table, writes: Sequence[Write]) -> None:
        monkeypatch.setattr(Table, "transact", written)
        shop.dispatch(late)
        written(table, writes)

    monkeypatch.setattr(Table, "transact", last_to_read)
    shop.dispatch(told)

    own = episode(shop)
    assert own.status is EpisodeStatus.ACTIVE
    assert own.checkouts == tuple(map(shop.digest, (SESSION, "late", "another")))
    assert {one.episode_id for one in holders(shop, "+917777711111", "+917777722222")} == {own.id}
