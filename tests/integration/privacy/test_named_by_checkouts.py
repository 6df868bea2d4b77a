"""Episodes, orders and identifiers that only a checkout names: found by it as long as they are kept, whatever happens.

What its shopper does changes the names a checkout holds, a merchant changes how long it is kept, an erasure takes the
names away. Whatever then has no entry of its own in the list index must still be named by a row that outlives it.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from shared.store import keys
from shared.store.configuration import MerchantStore
from shared.store.table import Table
from shared.store.writes import Delete, Item, ItemKey, Update
from shared.workflows.privacy.hanging import hanging_on
from shared.workflows.privacy.merchant_erasure import Clock, MerchantErasure
from tests.integration.shop import MERCHANT, Shop, stranger
from tests.integration.workflows.privacy import test_erasure_races as races
from tests.integration.workflows.privacy.test_erasure_races import erase

HANGING = ("P#", "O#", "I#")


class Aged:
    """The table once everything that ends before an instant is gone."""

    def __init__(self, rows: Iterable[Item], instant: int) -> None:
        self.rows = {(own["pk"], own["sk"]): own for own in rows if own.get("ttl", instant) >= instant}

    def rows_of(self, wanted: Iterable[ItemKey]) -> dict[ItemKey, Item]:
        return {key: self.rows[key] for key in wanted if key in self.rows}


def hanging(shop: Shop) -> list[dict[str, Any]]:
    """Rows that an erasure finds by checkouts or by themselves, while their time is not over."""
    rows = [row for row in shop.rows() if row["pk"].startswith(HANGING) and row["sk"] in {"P", "O", "I"}]
    return [row for row in rows if "ttl" not in row or row["ttl"] > shop.now.timestamp()]


def lost(shop: Shop) -> list[ItemKey]:
    """Rows that a merchant's erasure would not find at the end of their time, or before."""
    found: list[ItemKey] = []
    for row in (own for own in hanging(shop) if "lp" not in own):
        aged = Aged(shop.rows(), int(row["ttl"]))
        checkouts = [own for key, own in aged.rows.items() if key[1] == "C"]
        if (row["pk"], row["sk"]) not in hanging_on(cast("Table", aged), checkouts, MERCHANT):
            found.append((row["pk"], row["sk"]))
    return found


def erase_merchant(shop: Shop) -> None:
    """The merchant's erasure, whole."""
    waits = Clock(lambda: 0.0, lambda _: None)
    erasure = MerchantErasure(shop.table, shop.stores.bucket, lambda *_: None, lambda: shop.now, waits)
    assert erasure.erase(shop.merchant)


def kept_for(shop: Shop, **settings: Any) -> None:
    """The merchant changes how long checkouts are kept, and the caches of functions have heard of it."""
    store = MerchantStore(shop.table)
    stored = store.get(MERCHANT)
    assert stored is not None
    store.replace(replace(stored.value, settings=replace(stored.value.settings, **settings)), stored.version)
    shop.wait(seconds=6)


@pytest.fixture(autouse=True)
def _heard(shop: Shop) -> None:
    shop.endpoint("checkout.abandoned", "checkout.recovered", "checkout.completed", "checkout.superseded")


@pytest.fixture(autouse=True)
def _whom(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first shopper is the one whose erasure is asked for."""
    monkeypatch.setattr(races, "PHONE", "+917777000001")


def left(shop: Shop, number: int = 1, phone: int = 1, **said: Any) -> None:
    """A shopper walks away and it is told."""
    shop.abandon(f"visit-{number}", user=stranger(phone), **said)
    shop.settle()


def bought(shop: Shop, number: int = 1, phone: int = 1) -> None:
    """A shopper buys."""
    shop.wait(minutes=1)
    shop.webhook(session=f"visit-{number}", user=stranger(phone), session_state="COMPLETED")
    shop.settle()


def test_nothing_of_a_shopper_who_left_and_bought_stands_in_the_list_but_the_checkout_and_its_events(
    shop: Shop,
) -> None:
    left(shop)
    bought(shop)

    assert {row["pk"][:2] for row in hanging(shop)} == set(HANGING)
    assert [row["pk"] for row in hanging(shop) if "lp" in row] == []
    assert max(row["ttl"] for row in hanging(shop)) == shop.table.get(keys.checkout(shop.digest("visit-1")))["ttl"]
    assert lost(shop) == []


def test_what_an_identifier_did_before_another_took_its_place_is_found(shop: Shop) -> None:
    phones = [*range(1, 6), 1, 3]
    for phone in phones:
        left(shop, phone=phone)

    assert len([row for row in hanging(shop) if row["pk"].startswith("I#")]) == 5
    assert lost(shop) == []
    erase_merchant(shop)
    assert hanging(shop) == []


def test_an_episode_that_was_over_before_the_next_began_is_found(shop: Shop) -> None:
    left(shop)
    shop.wait(days=8)
    shop.sweep()
    shop.settle()
    left(shop, session_state="PAYMENT_LOADED")

    assert len([row for row in hanging(shop) if row["pk"].startswith("P#")]) == 2
    assert lost(shop) == []
    erase(shop)
    assert [row["who"] for row in hanging(shop) if row["pk"].startswith("P#")] == [{}, {}]
    assert lost(shop) == []
    erase_merchant(shop)
    assert hanging(shop) == []


def test_a_merchant_that_keeps_checkouts_shorter_from_now_on_leaves_nothing_behind(shop: Shop) -> None:
    kept_for(shop, retention=timedelta(days=90))
    left(shop, 1)
    left(shop, 2, phone=2)
    bought(shop, 2, phone=2)
    ends = int(shop.table.get(keys.checkout(shop.digest("visit-1")))["ttl"])
    kept_for(shop, retention=timedelta(days=7))

    shop.webhook(session="visit-1", user=stranger(1))
    shop.webhook(session="visit-1", user=stranger(1), session_state="PAYMENT_LOADED")
    shop.webhook(session="visit-2", user=stranger(2))
    shop.settle()

    assert int(shop.table.get(keys.checkout(shop.digest("visit-1")))["ttl"]) == ends
    assert lost(shop) == []


def test_a_checkout_that_names_nothing_is_kept_as_long_as_the_merchant_says_now(shop: Shop) -> None:
    kept_for(shop, retention=timedelta(days=90))
    shop.webhook()
    kept_for(shop, retention=timedelta(days=7))
    shop.webhook(session_state="PAYMENT_LOADED")

    row = shop.table.get(keys.checkout(shop.digest()))
    assert int(row["ttl"]) == int((shop.now + timedelta(days=14)).timestamp())


def test_a_purchase_whose_rest_outlasts_its_checkout_is_remembered_by_itself(shop: Shop) -> None:
    kept_for(shop, recovery_horizon=timedelta(days=1), retention=timedelta(days=7), cooldown=timedelta(days=30))
    bought(shop)

    (row,) = [own for own in hanging(shop) if own["pk"].startswith("I#")]
    assert "lp" in row
    assert int(row["ttl"]) == int((shop.now + timedelta(days=90)).timestamp())


def test_what_a_worker_wrote_before_it_died_is_found(shop: Shop) -> None:
    """It told of an abandonment and came no further than the shopper's records."""
    left(shop)
    nameless = Update(keys.checkout(shop.digest("visit-1")), remove=("epi", "ann"))
    shop.table.update(nameless)

    assert lost(shop) == []


def test_rows_of_an_older_release_are_found_by_their_own_entries(shop: Shop) -> None:
    left(shop)
    bought(shop)
    for row in hanging(shop):
        listed = keys.owned(MERCHANT, row["pk"])
        shop.table.update(Update((row["pk"], row["sk"]), set=listed | {"ttl": int(row["ttl"]) + 10**6}))
        shop.table.delete(Delete(keys.checkout(shop.digest("visit-1"))))

    erase_merchant(shop)
    assert hanging(shop) == []


def test_identifiers_that_only_an_erased_shoppers_order_and_episode_named_are_found(shop: Shop) -> None:
    left(shop, phone=2)
    left(shop, phone=1)
    bought(shop, phone=1)
    erase(shop)

    assert lost(shop) == []
    erase_merchant(shop)
    assert hanging(shop) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(16))
def test_whatever_shoppers_and_merchant_do_nothing_is_lost(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    days = [7, 30, 90]

    def settings() -> None:
        kept_for(
            shop,
            retention=timedelta(days=chance.choice(days)),
            recovery_horizon=timedelta(days=chance.choice([1, 7, 30])),
            cooldown=timedelta(days=chance.choice([0, 1, 30])),
        )

    def webhook(**said: Any) -> None:
        shop.wait(minutes=1)
        shop.webhook(session=f"visit-{chance.randint(1, 3)}", user=stranger(chance.randint(1, 3)), **said)

    deeds: list[Callable[[], object]] = [
        webhook,
        webhook,
        lambda: webhook(session_state="COMPLETED"),
        lambda: shop.wait(minutes=31),
        lambda: shop.wait(days=chance.choice([1, 4, 8])),
        shop.sweep,
        shop.settle,
        shop.settle,
        settings,
    ]
    for turn in range(60):
        chance.choice(deeds)()
        if turn % 10 == 9:
            shop.settle()
            assert lost(shop) == [], turn
    if chance.random() < 0.5:
        erase(shop)
        shop.settle()
        assert lost(shop) == []
    erase_merchant(shop)
    assert hanging(shop) == []
