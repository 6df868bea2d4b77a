"""Due checkouts: abandoned, superseded, expired, or looked at again later."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from shared.workflows.recovery.sweep_outcome import Failed, Outcome, Unreadable

_THREADS = 16


@dataclass(frozen=True, slots=True)
class _Due:
    """A due checkout: its row, itself, and what names its shopper."""

    row: DueRow
    checkout: Checkout
    identities: tuple[Identity, ...]


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

    def sweep(self, page: list[DueRow], now: datetime) -> Iterator[Outcome]:
        """Move one page; the outcome of each row. A row that cannot be read costs no other row anything."""
        found = self._checkouts.get_readable(_digest(row) for row in page)
        yield from (Failed(row, Unreadable()) for row in page if _digest(row) not in found)
        due = [
            _Due(row, own, tuple(self._hasher.of_checkout(own).values()))
            for row in page
            if (own := found.get(_digest(row))) is not None and own.due_at is not None and own.due_at <= now
        ]
        records = self._shoppers.get_readable(one for own in due for one in own.identities)
        yield from self._threads.map(lambda own: self._outcome(own, records, now), due)

    def _outcome(self, due: _Due, records: ShopperRecords, now: datetime) -> Outcome:
        try:
            if any(one not in records for one in due.identities):
                # The record may hold a purchase.
                raise Unreadable
            settings = self._settings_of(due.checkout.merchant_id)
            return self._move(due.checkout, now, settings, self._bought_at(due, records, now))
        except Exception as error:  # noqa: BLE001 - this row's alone
            return Failed(due.row, error)

    def _bought_at(self, due: _Due, records: ShopperRecords, now: datetime) -> datetime | None:
        """When the shopper bought what settles the checkout; an identifier of everybody settles nothing."""
        purchases = [
            at
            for one in due.identities
            if (at := records[one].purchased_at) is not None
            and bought_elsewhere(due.checkout, at)
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


def _digest(row: DueRow) -> str:
    return row.key[0].removeprefix("C#")
