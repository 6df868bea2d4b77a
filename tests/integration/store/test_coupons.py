"""Coupon pools: every code goes out once, a retry gets its own, an empty pool says so."""

from datetime import UTC, datetime

import pytest

from shared.domain.coupon import Allocation
from shared.domain.ids import EpisodeId, MerchantId, PoolId
from shared.store.coupons import CouponPool, CouponStore, PoolExhausted
from shared.store.table import Table

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SHOP, POOL = MerchantId("mer_a"), PoolId("pool_1")


@pytest.fixture
def coupons(table: Table) -> CouponStore:
    """A store with one empty pool."""
    store = CouponStore(table, sleep=lambda _: None)
    store.create(CouponPool(POOL, SHOP, "Winter", NOW))
    return store


def pool_of(coupons: CouponStore) -> CouponPool:
    found = coupons.get(SHOP, POOL)
    assert found is not None
    return found


def test_codes_are_added_once_however_often_they_are_sent(coupons: CouponStore) -> None:
    first = [f"CODE{number}" for number in range(120)]
    assert coupons.add(SHOP, POOL, [*first, *first]) == 120
    assert coupons.add(SHOP, POOL, [*first, "ONE-MORE"]) == 1
    assert (pool_of(coupons).size, pool_of(coupons).left) == (121, 121)


def test_a_step_that_asks_again_gets_its_own_code(coupons: CouponStore) -> None:
    coupons.add(SHOP, POOL, ["A", "B"])
    given = coupons.claim(SHOP, POOL, EpisodeId("epi_1"), 2, NOW)
    assert given == Allocation(2, "A", NOW)
    assert coupons.claim(SHOP, POOL, EpisodeId("epi_1"), 2, NOW) == given
    assert coupons.allocations(EpisodeId("epi_1")) == [given]
    assert pool_of(coupons).claimed == 1


def test_an_empty_pool_is_a_reason_until_codes_are_added(coupons: CouponStore) -> None:
    with pytest.raises(PoolExhausted):
        coupons.claim(SHOP, POOL, EpisodeId("epi_1"), 1, NOW)
    coupons.add(SHOP, POOL, ["A"])
    coupons.claim(SHOP, POOL, EpisodeId("epi_1"), 1, NOW)
    with pytest.raises(PoolExhausted):
        coupons.claim(SHOP, POOL, EpisodeId("epi_2"), 1, NOW)
    coupons.add(SHOP, POOL, ["B"])
    assert coupons.claim(SHOP, POOL, EpisodeId("epi_2"), 1, NOW).code == "B"


def test_another_merchants_pool_is_no_pool(coupons: CouponStore) -> None:
    coupons.add(SHOP, POOL, ["A"])
    assert coupons.get(MerchantId("mer_b"), POOL) is None
    with pytest.raises(PoolExhausted):
        coupons.claim(MerchantId("mer_b"), POOL, EpisodeId("epi_1"), 1, NOW)
    with pytest.raises(PoolExhausted):
        coupons.add(MerchantId("mer_b"), POOL, ["B"])


def test_a_code_drawn_by_two_workers_goes_to_the_first(coupons: CouponStore, table: Table) -> None:
    coupons.add(SHOP, POOL, ["A", "B"])
    late = coupons.draw(SHOP, POOL, EpisodeId("epi_late"), 1, NOW)
    assert coupons.claim(SHOP, POOL, EpisodeId("epi_first"), 1, NOW).code == late.allocation.code == "A"
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        table.transact(late.writes)
    assert coupons.claim(SHOP, POOL, EpisodeId("epi_late"), 1, NOW).code == "B"


def test_a_minted_code_is_kept_once(coupons: CouponStore) -> None:
    episode = EpisodeId("epi_1")
    first = coupons.keep(episode, Allocation(1, "MINT1", NOW), NOW)
    assert coupons.keep(episode, Allocation(1, "MINT2", NOW), NOW) == first


def test_erasure_leaves_no_code(coupons: CouponStore) -> None:
    coupons.add(SHOP, POOL, ["A", "B"])
    coupons.forget(SHOP)
    assert coupons.add(SHOP, POOL, ["A"]) == 1, "nothing is known of the code any more"
