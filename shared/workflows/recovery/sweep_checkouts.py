"""Due checkouts: abandoned, superseded, expired, or looked at again later."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from shared.domain.checkout import Checkout
from shared.domain.deadline import at_deadline, bought_elsewhere
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.settings import Settings
from shared.store.checkouts import CheckoutStore, StaleVersion
from shared.store.due import DueRow
from shared.store.shoppers import ShopperStore
from shared.workflows.recovery.known_shopper import ShopperRecords
from shared.workflows.recovery.merchant_settings import SettingsOf

_THREADS = 16


class CheckoutSweeper:
    """Moves due checkouts, a page of them side by side, each by one conditional write."""

    def __init__(
        self, checkouts: CheckoutStore, shoppers: ShopperStore, hasher: IdentityHasher, settings_of: SettingsOf
    ) -> None:
        """Share the stores of one process."""
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._hasher = hasher
        self._settings_of = settings_of
        self._threads = ThreadPoolExecutor(_THREADS)

    def sweep(self, page: list[DueRow], now: datetime) -> Iterator[str | Exception]:
        """Move one page; the outcome of each, or what it failed by."""
        found = self._checkouts.get_many(row.key[0].removeprefix("C#") for row in page)
        due = [own for own in found.values() if own.due_at is not None and own.due_at <= now]
        settings = {merchant_id: self._settings_of(merchant_id) for merchant_id in {own.merchant_id for own in due}}
        identities = {own.digest: list(self._hasher.of_checkout(own).values()) for own in due}
        records = self._shoppers.get_many(one for several in identities.values() for one in several)

        def move(checkout: Checkout) -> str:
            bought_at = self._bought_at(checkout, identities[checkout.digest], records, now)
            return self._move(checkout, now, settings[checkout.merchant_id], bought_at)

        for moved in [self._threads.submit(move, own) for own in due]:
            failure = moved.exception()
            if failure is not None and not isinstance(failure, Exception):
                raise failure
            yield failure or moved.result()

    def _bought_at(
        self, checkout: Checkout, identities: list[Identity], records: ShopperRecords, now: datetime
    ) -> datetime | None:
        """When the shopper bought what settles the checkout; an identifier of everybody settles nothing."""
        purchases = [
            at
            for one in identities
            if (at := records[one].purchased_at) is not None
            and bought_elsewhere(checkout, at)
            and not self._checkouts.is_shared(one, now)
        ]
        return max(purchases, default=None)

    def _move(self, checkout: Checkout, now: datetime, settings: Settings, bought_at: datetime | None) -> str:
        """One conditional write; whoever wrote the checkout meanwhile wins and the next sweep looks again."""
        after = at_deadline(checkout, now, settings, bought_at)
        if after is None:
            return "not_due"
        try:
            self._checkouts.replace(checkout, after.checkout, after.mark, settings)
        except StaleVersion:
            return "moved_on"
        if after.checkout.status is checkout.status:
            return "rearmed"
        return after.checkout.status.value
