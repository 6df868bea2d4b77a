"""What is known of a checkout's shopper: the records of the identifiers that name one person."""

from collections.abc import Mapping
from datetime import datetime

from shared.domain.checkout import Checkout
from shared.domain.deadline import bought_elsewhere
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.shopper import Shopper, together
from shared.store.checkouts import CheckoutStore
from shared.store.shoppers import ShopperRecord, ShopperStore

type ShopperRecords = Mapping[Identity, ShopperRecord]


class KnownShoppers:
    """Looks shoppers up by their checkouts."""

    def __init__(self, checkouts: CheckoutStore, shoppers: ShopperStore, hasher: IdentityHasher) -> None:
        """Share the stores of one process."""
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._hasher = hasher

    def memory(self, checkout: Checkout) -> Shopper:
        """All that is remembered of the checkout's identifiers, together."""
        return together(own.memory for own in self._shoppers.get_many(self._identities(checkout)).values())

    def personal(self, checkout: Checkout, now: datetime) -> ShopperRecords:
        """The records without identifiers that name nobody; asked only of those that would decide something."""
        return {
            identity: own
            for identity, own in self._shoppers.get_many(self._identities(checkout)).items()
            if not (own.episode_id or bought_elsewhere(checkout, own.purchased_at))
            or not self._checkouts.is_shared(identity, now)
        }

    def _identities(self, checkout: Checkout) -> list[Identity]:
        return self._hasher.of_shopper(checkout)


def last_purchase(records: ShopperRecords) -> datetime | None:
    """When the shopper last bought anything, anywhere."""
    return max((own.purchased_at for own in records.values() if own.purchased_at is not None), default=None)
