"""The parts of the sweep, each alone: due checkouts, late retries, the settings they obey."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.settings import Settings
from shared.store import keys
from shared.store.configuration import MerchantStore
from shared.store.due import DueRow, DueStore
from shared.store.resend_jobs import ResendJobStore
from shared.store.shoppers import ShopperStore
from shared.workflows.delivering.resend import Resender
from shared.workflows.recovery.merchant_settings import MerchantSettings
from shared.workflows.recovery.sweep_checkouts import CheckoutSweeper
from shared.workflows.recovery.sweep_retries import RetrySweeper
from tests.integration.conftest import DUE_SHARDS
from tests.integration.shop import MERCHANT, Shop


def due(shop: Shop, kind: str) -> list[DueRow]:
    """Everything of a kind that is due now."""
    store = DueStore(shop.table)
    return [row for shard in range(DUE_SHARDS) for page in store.pages(kind, shard, shop.now) for row in page.rows]


@pytest.fixture
def checkouts(shop: Shop) -> CheckoutSweeper:
    settings_of = MerchantSettings(MerchantStore(shop.table)).of
    return CheckoutSweeper(shop.stores.checkouts, ShopperStore(shop.table), shop.stores.hasher, settings_of)


def test_a_row_that_was_moved_since_it_was_seen_is_left_alone(shop: Shop, checkouts: CheckoutSweeper) -> None:
    shop.webhook()
    shop.wait(minutes=31)
    seen = due(shop, keys.CHECKOUT_KIND)
    assert list(checkouts.sweep(seen, shop.now)) == ["abandoned"]
    assert list(checkouts.sweep(seen, shop.now)) == []


def test_settings_are_read_once_and_obeyed_from_the_next_sweep_on(shop: Shop) -> None:
    settings = MerchantSettings(MerchantStore(shop.table))
    assert settings.of(MERCHANT) == shop.merchant.settings
    stored = MerchantStore(shop.table).get(MERCHANT)
    assert stored is not None
    changed = replace(shop.merchant.settings, recovery_horizon=timedelta(days=2))
    MerchantStore(shop.table).replace(replace(stored.value, settings=changed), stored.version)
    assert settings.of(MERCHANT) == shop.merchant.settings
    settings.begin()
    assert settings.of(MERCHANT) == changed


def test_a_merchant_that_is_gone_leaves_the_defaults(shop: Shop) -> None:
    MerchantStore(shop.table).delete(MERCHANT)
    assert MerchantSettings(MerchantStore(shop.table)).of(MERCHANT) == Settings()


def test_a_late_retry_is_enqueued_by_one_sweep_alone(shop: Shop) -> None:
    from shared.store.deliveries import DeliveryStatus, Recorded

    shop.endpoint()
    shop.abandon()
    shop.settle()
    (delivery,) = shop.deliveries()
    later = Recorded(DeliveryStatus.RETRYING, "refused", next_attempt_at=shop.now + timedelta(hours=1), by_sweep=True)
    assert shop.stores.deliveries.record(delivery, later)
    shop.wait(hours=1)
    resender = Resender(ResendJobStore(shop.table, DUE_SHARDS), shop.stores.deliveries, shop.stores.queues)
    retries = RetrySweeper(shop.stores.deliveries, shop.stores.queues, resender)
    seen = due(shop, keys.RETRY_KIND)
    outcomes = [list(retries.sweep(seen, shop.now, lambda: False)) for _ in range(2)]
    assert outcomes == [["retried"], []]
    assert len(shop.retries()) == 1
