"""Calling checkouts off: the shopper bought elsewhere, or a newer cart took their place."""

from datetime import datetime

from shared.domain.checkout import Checkout, Status
from shared.domain.deadline import bought_elsewhere, replaced, superseded, superseded_mark
from shared.domain.settings import Settings
from shared.store.checkouts import SHARED_IDENTIFIER, CheckoutStore, StaleVersion
from shared.store.orders import OrderRecord
from shared.store.table import StoreUnavailable

_ROUNDS = 5


class Superseder:
    """Supersedes checkouts. Whoever wrote one meanwhile is read again; one that moved on is left alone."""

    def __init__(self, checkouts: CheckoutStore) -> None:
        """Share the store of one process."""
        self._checkouts = checkouts

    def settle_others(self, order: OrderRecord, settings: Settings, now: datetime) -> int:
        """A new order: every unfinished checkout that its shopper began before it was bought elsewhere. How many."""
        since = order.bought_at - settings.recovery_horizon - settings.retention
        digests: set[str] = set()
        for identity in order.identities:
            found = self._checkouts.by_identity(identity, since=since)
            if len(found) > SHARED_IDENTIFIER and self._checkouts.is_shared(identity, now):
                continue
            digests |= set(found)
        others = self._checkouts.get_readable(digests - {order.checkout_digest}).values()
        cause = order.correlation_id
        return sum(self.settle(checkout, order.bought_at, settings, now, cause) for checkout in others)

    def settle(
        self, checkout: Checkout, bought_at: datetime, settings: Settings, now: datetime, cause: str | None = None
    ) -> bool:
        """The shopper bought elsewhere: the checkout as it stands now is called off; False where it moved on.

        ``cause``: the purchase's correlation id.

        Raises StoreUnavailable when others kept writing it.
        """
        current: Checkout | None = checkout
        for _ in range(_ROUNDS):
            if current is None or not current.status.unfinished or not bought_elsewhere(current, bought_at):
                return False
            moved = superseded(current, now)
            try:
                self._checkouts.replace(current, moved, superseded_mark(current), settings, cause=cause)
            except StaleVersion as stale:
                current = stale.current
            else:
                return True
        raise StoreUnavailable("the checkout kept changing")

    def give_way(
        self, digest: str, settings: Settings, now: datetime, cause: str | None = None, *, to: Checkout | None = None
    ) -> None:
        """An older abandoned checkout of the episode gives way to the newer one; one that moved on is left alone.

        ``cause``: the newer one's correlation id. ``to``: the newer one, where the older may have been left again after
        it by now: once that is told, it is the older one that stays.

        Raises StoreUnavailable when others kept writing it.
        """
        for _ in range(_ROUNDS):
            older = self._checkouts.get(digest)
            if older is None or older.status is not Status.ABANDONED:
                return
            if to is not None and _is_yet_to_replace(older, to):
                return
            try:
                self._checkouts.replace(older, replaced(older, now), superseded_mark(older), settings, cause=cause)
            except StaleVersion:
                continue
            return
        raise StoreUnavailable("the older checkout kept changing")


def _is_yet_to_replace(older: Checkout, newer: Checkout) -> bool:
    """Whether the older one was left once more after the newer, and that is yet to be told."""
    if older.announced == older.sequence or older.abandoned_at is None or newer.abandoned_at is None:
        return False
    return older.abandoned_at > newer.abandoned_at
