"""Merchants end a checkout by hand: discard it, or say that it was bought."""

import secrets
from collections.abc import Callable
from datetime import datetime

from shared.domain.change import NO_ORDER, CheckoutChange, Signal
from shared.domain.checkout import Activity, Checkout, Order
from shared.domain.dismissal import Finished, discarded
from shared.domain.ids import EpisodeId, digest_of
from shared.domain.merchant import Merchant
from shared.domain.transitions import Arrival, retention_end
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeStore
from shared.store.table import StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Write
from shared.workflows.delivering.refusals import Conflict, NotFound
from shared.workflows.insight.checkout_search import belongs
from shared.workflows.intake.purchase import Purchases

_ROUNDS = 5
_ENDED_BY_DISMISSAL = "dismissed"


class Dismissals:
    """Ends checkouts at the merchant's word, each under the version it was read at."""

    def __init__(
        self,
        table: Table,
        checkouts: CheckoutStore,
        episodes: EpisodeStore,
        purchases: Purchases,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process."""
        self._table = table
        self._checkouts = checkouts
        self._episodes = episodes
        self._purchases = purchases
        self._now = now

    def read(self, merchant: Merchant, checkout_id: str) -> Checkout:
        """The merchant's checkout. Raises NotFound."""
        digest = digest_of(checkout_id)
        checkout = self._checkouts.get(digest) if digest else None
        if checkout is None or not belongs(checkout, merchant, self._now()):
            raise NotFound("There is no such checkout.")
        return checkout

    def discard(self, merchant: Merchant, checkout_id: str) -> Checkout:
        """Discard the checkout; its episode ends where it stands for no other. Raises NotFound, Conflict."""
        for _ in range(_ROUNDS):
            old = self.read(merchant, checkout_id)
            now = self._now()
            try:
                new, mark = discarded(old, now)
            except Finished as finished:
                raise Conflict(str(finished)) from finished
            if mark is None:
                return new
            noted = Activity(now, "discarded", {"by": "merchant"})
            writes: list[Write] = [
                self._checkouts.replacement(old, new, mark, merchant.settings),
                ActivityStore.new(old.digest, noted, retention_end(new, merchant.settings)),
            ]
            episode = self._episodes.get(EpisodeId(old.episode_id)) if old.episode_id else None
            if episode is not None and set(episode.checkouts) <= {old.digest}:
                writes.append(self._episodes.ended(episode.id, _ENDED_BY_DISMISSAL, now))
            try:
                self._table.transact(writes)
            except TransactionCancelled:
                continue
            return new
        raise StoreUnavailable("the checkout kept changing")

    def complete(self, merchant: Merchant, checkout_id: str, order_id: str | None, at: datetime | None) -> Checkout:
        """Record that the checkout was bought, as a purchase webhook would; a repeat changes nothing."""
        checkout = self.read(merchant, checkout_id)
        if checkout.status.purchased:
            return checkout
        now = self._now()
        total = checkout.cart.total() if checkout.cart else None
        change = CheckoutChange(
            external_id=checkout.external_id,
            signal=Signal.PURCHASED,
            order_key=NO_ORDER,
            body_digest=secrets.token_bytes(16),
            order=Order(order_id, at, total),
        )
        arrival = Arrival(
            merchant.id, checkout.source_id, checkout.provider, now, merchant.settings, feed=merchant.feed
        )
        return self._purchases.record(change, arrival).checkout
