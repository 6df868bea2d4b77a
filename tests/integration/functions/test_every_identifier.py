"""Whichever identifier a shopper left, every function that looks for the shopper's other acts finds them by it."""

import pytest

from shared.domain.checkout import Status
from tests.integration.plain_source import IDENTIFIERS, PlainSource
from tests.integration.shop import Shop

BEGUN, OTHER = "begun", "another-device"
OF_SHOPPERS = [own for own in IDENTIFIERS if own != "cart"]


@pytest.fixture
def source(shop: Shop) -> PlainSource:
    return PlainSource(shop)


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_an_order_that_names_no_checkout_completes_the_shoppers(source: PlainSource, identifier: str) -> None:
    source.begins(BEGUN, identifier)
    source.buys(None, identifier)

    assert source.checkout(BEGUN).status is Status.COMPLETED


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_a_purchase_on_another_device_calls_off_the_checkout(shop: Shop, source: PlainSource, identifier: str) -> None:
    source.begins(BEGUN, identifier)
    source.buys(OTHER, identifier)
    shop.settle()

    assert source.checkout(BEGUN).status is Status.SUPERSEDED


@pytest.mark.parametrize("identifier", IDENTIFIERS)
def test_a_sweep_that_is_faster_than_dispatch_does_not_abandon_it(
    shop: Shop, source: PlainSource, identifier: str
) -> None:
    source.begins(BEGUN, identifier)
    shop.wait(minutes=1)
    source.buys(OTHER, identifier)
    shop.wait(minutes=31)

    assert shop.sweep() == {"superseded": 1}


@pytest.mark.parametrize("identifier", OF_SHOPPERS)
def test_nor_is_an_abandonment_sent_that_was_told_a_moment_before(
    shop: Shop, source: PlainSource, identifier: str
) -> None:
    shop.endpoint("checkout.abandoned")
    source.begins(BEGUN, identifier)
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    waiting = shop.queued()
    source.buys(OTHER, identifier)
    shop.deliver(waiting)

    assert len(waiting) == 1
    assert shop.sent == []
