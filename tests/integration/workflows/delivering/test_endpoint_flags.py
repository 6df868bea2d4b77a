"""What ingest is told of the merchant's endpoints: the flags that stand in the merchant's row."""

from collections.abc import Callable

from shared.domain.ids import MerchantId
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.table import Table
from shared.workflows.delivering.endpoint_setup import refresh_flags
from tests.integration.shop import MERCHANT, Shop

OWN = MerchantId(MERCHANT)


class Telling(MerchantStore):
    """Merchants, with what ingest was told (feed, raw); ``meanwhile`` happens once, right before it is written."""

    def __init__(self, table: Table, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(table)
        self.told: list[tuple[bool, bool]] = []
        self._meanwhile = meanwhile

    def flag(self, merchant_id: MerchantId, *, feed: bool, raw: bool) -> None:
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        self.told.append((feed, raw))
        super().flag(merchant_id, feed=feed, raw=raw)


def stored(shop: Shop) -> tuple[bool, bool]:
    found = MerchantStore(shop.table).get(OWN)
    assert found is not None
    return found.value.feed, found.value.raw


def test_what_stands_already_is_not_written_again(shop: Shop) -> None:
    merchants, endpoints = Telling(shop.table), EndpointStore(shop.table)
    shop.endpoint("checkout.updated")
    refresh_flags(merchants, endpoints, OWN)
    shop.endpoint("checkout.abandoned")
    refresh_flags(merchants, endpoints, OWN)

    assert (merchants.told, stored(shop)) == ([(True, False)], (True, False))


def test_of_two_changes_at_once_both_are_told(shop: Shop) -> None:
    endpoints = EndpointStore(shop.table)
    shop.endpoint("checkout.abandoned", payload="provider")

    def another_change() -> None:
        shop.endpoint("checkout.updated")
        refresh_flags(MerchantStore(shop.table), endpoints, OWN)
        assert stored(shop) == (True, True)

    merchants = Telling(shop.table, another_change)
    refresh_flags(merchants, endpoints, OWN)

    assert (merchants.told, stored(shop)) == ([(False, True), (True, True)], (True, True))
