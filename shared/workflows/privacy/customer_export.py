"""Everything that is held about a customer, by one identifier, page by page."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.checkout import Activity, Checkout
from shared.domain.episode import Episode
from shared.domain.identity import Identity, IdentityHasher, IdentityKind
from shared.domain.ids import EpisodeId, delivery_id
from shared.domain.merchant import Merchant
from shared.domain.representation import checkout_json
from shared.store import keys
from shared.store.activities import ActivityStore
from shared.store.checkouts import CheckoutStore
from shared.store.deliveries import DeliveryRecord, DeliveryStore
from shared.store.episodes import EpisodeStore
from shared.store.events import EventStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.workflows.insight.checkout_search import belongs

PAGE = 25
LARGEST = 3_000_000
"""Bytes of checkouts and event bodies in a page of more than one: an answer of a function may hold 6 MB."""


@dataclass(frozen=True, slots=True)
class ExportedEvent:
    """One event as it was told, and its deliveries."""

    body: dict[str, Any]
    deliveries: tuple[DeliveryRecord, ...]


@dataclass(frozen=True, slots=True)
class ExportedCheckout:
    """A checkout with all that hangs on it."""

    checkout: Checkout
    activities: tuple[Activity, ...]
    events: tuple[ExportedEvent, ...]


@dataclass(frozen=True, slots=True)
class Export:
    """One page. ``after`` is the checkout after which the next begins, None at the end."""

    checkouts: tuple[ExportedCheckout, ...]
    episodes: tuple[Episode, ...]
    remembered: tuple[ShopperRecord, ...]
    after: str | None


class CustomerExport:
    """Exports customers of one merchant at a time."""

    def __init__(
        self,
        checkouts: CheckoutStore,
        activities: ActivityStore,
        events: EventStore,
        deliveries: DeliveryStore,
        episodes: EpisodeStore,
        shoppers: ShopperStore,
        hasher: IdentityHasher,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._checkouts = checkouts
        self._activities = activities
        self._events = events
        self._deliveries = deliveries
        self._episodes = episodes
        self._shoppers = shoppers
        self._hasher = hasher
        self._now = now

    def export(self, merchant: Merchant, kind: IdentityKind, value: str, after: str | None) -> Export:
        """One page of everything that carries the identifier, consistently read, newest checkout first."""
        identity = self._hasher.identity(merchant.id, kind, value)
        digests = self._checkouts.by_identity(identity)
        begin = digests.index(after) + 1 if after in digests else 0
        found: list[ExportedCheckout] = []
        place: str | None = None
        size = 0
        for digest in digests[begin:]:
            if len(found) >= PAGE:
                place = found[-1].checkout.digest
                break
            checkout = self._checkouts.get(digest)
            if checkout is None or not belongs(checkout, merchant, self._now()):
                continue
            whole, bytes_read = self._whole(checkout)
            size += bytes_read
            if found and size > LARGEST:
                place = found[-1].checkout.digest
                break
            found.append(whole)
        who: set[Identity] = {identity}
        for own in found:
            who |= set(self._hasher.of_shopper(own.checkout))
        ids = {EpisodeId(own.checkout.episode_id) for own in found if own.checkout.episode_id is not None}
        records = self._shoppers.get_many(sorted(who)).values()
        return Export(
            checkouts=tuple(found),
            episodes=tuple(sorted(self._episodes.get_many(ids).values(), key=lambda own: own.id)),
            remembered=tuple(own for own in records if own.version),
            after=place,
        )

    def _whole(self, checkout: Checkout) -> tuple[ExportedCheckout, int]:
        activities: list[Activity] = []
        after: str | None = None
        while True:
            entries, after = self._activities.page(checkout.digest, limit=200, after=after)
            activities += entries
            if after is None:
                break
        events = self._events.of_checkout(checkout.digest)
        names = {
            own.id: [keys.delivery(delivery_id(own.at, own.id, each), each) for each in own.endpoint_ids]
            for own in events
        }
        deliveries = self._deliveries.get_many(key for several in names.values() for key in several)
        told = tuple(
            ExportedEvent(json.loads(own.body), tuple(deliveries[key] for key in names[own.id] if key in deliveries))
            for own in events
        )
        size = len(json.dumps(checkout_json(checkout, None))) + sum(len(own.body) for own in events)
        return ExportedCheckout(checkout, tuple(activities), told), size
