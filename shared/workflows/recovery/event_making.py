"""The event of a transition: its bytes made once, put if absent, so that every run of dispatch sends the same."""

import json
from datetime import datetime

from shared.domain.announcement import EventType, do_not_send_after, envelope, messaging_verdict
from shared.domain.episode import Episode
from shared.domain.ids import event_id
from shared.domain.recovery_link import ShopperLinks
from shared.domain.transitions import retention_end
from shared.store import keys
from shared.store.checkouts import CheckoutStore
from shared.store.events import EventRecord, EventStore
from shared.store.expiry import emptied
from shared.store.table import ConditionFailed, StoreUnavailable, Table
from shared.workflows.delivering.payloads import payloads
from shared.workflows.recovery.audience import Audience, Hearers
from shared.workflows.recovery.known_shopper import KnownShoppers
from shared.workflows.recovery.outbox import Transition


class EventMaker:
    """Makes events. The id is derived from the transition, so that it is the same at a retry."""

    def __init__(
        self, table: Table, events: EventStore, checkouts: CheckoutStore, shoppers: KnownShoppers, links: ShopperLinks
    ) -> None:
        """Share the stores of one process."""
        self._table = table
        self._events = events
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._links = links

    def made(
        self, transition: Transition, audience: Audience, hearers: Hearers, episode: Episode | None, now: datetime
    ) -> EventRecord:
        """The event with the gate's verdict at ``now``, in every format that the hearers asked for but templates."""
        checkout, settings, event_type = transition.checkout, audience.merchant.settings, transition.event_type
        own_id = event_id(transition.at, checkout.digest, checkout.version, event_type)
        body = envelope(
            own_id,
            event_type,
            transition.at,
            checkout,
            recovery_url=self._links.back(checkout.digest),
            episode=episode,
            messaging=messaging_verdict(
                checkout,
                settings,
                now,
                merchant_zone=audience.merchant.timezone,
                merchant_country=audience.merchant.country,
                episode=episode,
                shopper=self._shoppers.memory(checkout),
            ),
            settings=settings,
        )
        asked = payloads(hearers.values(), transition.raw)
        return EventRecord(
            id=own_id,
            type=event_type.value,
            at=transition.at,
            merchant_id=checkout.merchant_id,
            checkout_digest=checkout.digest,
            version=checkout.version,
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
            endpoint_ids=tuple(hearers),
            do_not_send_after=(do_not_send_after(checkout, settings) if event_type is EventType.ABANDONED else None),
            expires_at=checkout.kept_until or retention_end(checkout, settings),
            bodies=asked.bodies,
            formats=asked.formats,
            problems=asked.problems,
            correlation_id=transition.correlation_id,
        )

    def told(self, transition: Transition) -> EventRecord | None:
        """The event that an earlier run has written of this transition."""
        return self._events.get(transition.checkout.digest, transition.checkout.version)

    def put(self, event: EventRecord, now: datetime) -> EventRecord | None:
        """The event as it is stored: this one, or the one that an earlier run has written.

        None where its checkout was erased meanwhile: the erasure may have listed the checkout's events before this one.
        """
        try:
            self._table.put(self._events.new(event))
        except ConditionFailed:
            event = self._stored(event)
        current = self._checkouts.get(event.checkout_digest)
        if current is None or current.erased:
            self._table.put(emptied(keys.event(event.checkout_digest, event.version), now))
            return None
        return event

    def _stored(self, event: EventRecord) -> EventRecord:
        """The event an earlier run has written: its bytes are the ones that go out."""
        stored = self._events.get(event.checkout_digest, event.version)
        if stored is None:
            raise StoreUnavailable("the event vanished")
        return stored
