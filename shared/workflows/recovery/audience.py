"""Who hears of a transition: the merchant's endpoints that subscribed to it, and those that were told what it ends."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from shared.domain.announcement import EventType
from shared.domain.campaign import Campaign
from shared.domain.checkout import Checkout
from shared.domain.ids import EndpointId, MerchantId
from shared.domain.merchant import Endpoint, Merchant
from shared.domain.transitions import Mark
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.events import EventStore
from shared.workflows.delivering.payloads import passes
from shared.workflows.recovery.outbox import Transition

type Hearers = dict[EndpointId, Endpoint]
"""The endpoints that hear of one transition, by id."""


class ActiveCampaigns(Protocol):
    """Campaigns as an abandonment chooses among them."""

    def active(self, merchant_id: MerchantId) -> list[Campaign]:
        """The merchant's active campaigns that an abandonment triggers, each at its newest version."""
        ...


@dataclass(frozen=True, slots=True)
class Audience:
    """A merchant, its endpoints and, where they were asked for, its active campaigns; read once per batch."""

    merchant: Merchant
    endpoints: tuple[Endpoint, ...] = ()
    campaigns: tuple[Campaign, ...] = ()


class Audiences:
    """Audiences by merchant. ``begin`` starts a batch."""

    def __init__(
        self, merchants: MerchantStore, endpoints: EndpointStore, campaigns: ActiveCampaigns, events: EventStore
    ) -> None:
        """Share the stores of one process."""
        self._merchants = merchants
        self._endpoints = endpoints
        self._campaigns = campaigns
        self._events = events
        self._read: dict[MerchantId, Audience | None] = {}
        self._active: dict[MerchantId, tuple[Campaign, ...]] = {}

    def begin(self) -> None:
        """Forget what the last batch read: an endpoint registered since must hear."""
        self._read.clear()
        self._active.clear()

    def of(self, merchant_id: MerchantId) -> Audience | None:
        """The merchant's audience, or None where the merchant is gone."""
        if merchant_id not in self._read:
            merchant = self._merchants.get(merchant_id)
            self._read[merchant_id] = None
            if merchant is not None:
                endpoints = tuple(own.value for own in self._endpoints.listed(merchant_id))
                self._read[merchant_id] = Audience(merchant.value, endpoints)
        return self._read[merchant_id]

    def with_campaigns(self, audience: Audience) -> Audience:
        """The same with its campaigns, which an abandonment alone asks for."""
        merchant_id = audience.merchant.id
        if merchant_id not in self._active:
            self._active[merchant_id] = tuple(self._campaigns.active(merchant_id))
        return replace(audience, campaigns=self._active[merchant_id])

    def hearers(self, transition: Transition, audience: Audience, now: datetime) -> Hearers:
        """Who is to hear of it. What calls an abandonment off goes to whoever received that, subscribed or not."""
        hearers = self._subscribed(transition, audience, now)
        if transition.mark in {Mark.REOPENED, Mark.SUPERSEDED} and transition.checkout.announced is not None:
            hearers |= self._told_before(transition.checkout, audience)
        return hearers

    def _subscribed(self, transition: Transition, audience: Audience, now: datetime) -> Hearers:
        """Who subscribed to the type and wants this checkout; what follows an abandonment follows who received it."""
        event_type, checkout = transition.event_type, transition.checkout
        wanting = {own.id: own for own in audience.endpoints if own.wants(event_type)}
        filtered = [own for own in wanting.values() if own.settings.get("filter")]
        if not filtered:
            return wanting
        follows = checkout.announced is not None and event_type not in {EventType.UPDATED, EventType.ABANDONED}
        told = self._told_before(checkout, audience) if follows else {}
        for own in filtered:
            heard = own.id in told if follows and own.wants(EventType.ABANDONED) else passes(own, checkout, now)
            if not heard:
                del wanting[own.id]
        return wanting

    def _told_before(self, checkout: Checkout, audience: Audience) -> Hearers:
        """Whoever received the abandonment."""
        told = self._events.get(checkout.digest, checkout.announced or 0)
        ids = told.endpoint_ids if told else ()
        return {own.id: own for own in audience.endpoints if own.id in ids}
