"""Dispatch: turns committed transitions into events and deliveries.

A committed write that carries the outbox mark IS the fact; everything here may run any number of times for it and
ends the same: ids are derived, rows are put if absent, a fact that is no longer true is dropped by its condition.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.domain import campaign as campaigns
from shared.domain import planning
from shared.domain.announcement import (
    EventType,
    Messaging,
    do_not_send_after,
    envelope,
    messaging_verdict,
)
from shared.domain.campaign import Campaign, CampaignId
from shared.domain.checkout import Activity, Checkout, Status
from shared.domain.deadline import bought_elsewhere, floor_of, replaced, superseded, superseded_mark
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.holdout import in_holdout
from shared.domain.identity import SHOPPER_KINDS, Identity, IdentityHasher
from shared.domain.ids import EndpointId, EpisodeId, MerchantId, event_id
from shared.domain.instants import to_rfc3339
from shared.domain.merchant import Endpoint, Merchant
from shared.domain.recovery_link import RecoveryCodes
from shared.domain.settings import Settings
from shared.domain.shopper import together
from shared.domain.step_state import StepState
from shared.domain.suppression import EndReason
from shared.domain.transitions import Mark, retention_end
from shared.store.activities import ActivityStore
from shared.store.checkout_item import RAW, from_item
from shared.store.checkouts import SHARED_IDENTIFIER, CheckoutStore, StaleVersion
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.deliveries import DeliveryStatus, DeliveryStore
from shared.store.episodes import EpisodeMoved, EpisodeStore
from shared.store.events import EventRecord, EventStore
from shared.store.orders import ORDER_MARK, OrderRecord, read_order
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.table import (
    ConditionFailed,
    Item,
    StoreUnavailable,
    Table,
    TransactionCancelled,
    Write,
)
from shared.workflows.delivering.attempts import delivery_of
from shared.workflows.delivering.payloads import passes, payloads
from shared.workflows.recovery.facts import FactRecorder

_ROUNDS = 5
due_of = planning.due_of


class MalformedRecord(ValueError):
    """A stream record that no retry can make readable."""


class Campaigns(Protocol):
    """Campaigns as dispatch needs them."""

    def active(self, merchant_id: MerchantId) -> list[Campaign]:
        """The merchant's active campaigns that an abandonment triggers, each at its newest version."""
        ...

    def version(self, merchant_id: MerchantId, campaign_id: CampaignId, version: int) -> Campaign | None:
        """A campaign as it stood at a version."""
        ...


@dataclass(frozen=True, slots=True)
class _Audience:
    """A merchant and its endpoints, read once per batch."""

    merchant: Merchant
    endpoints: tuple[Endpoint, ...]
    campaigns: tuple[Campaign, ...]


class Announcer:
    """Tells committed transitions. One per process; ``begin`` starts a batch."""

    def __init__(
        self,
        *,
        table: Table,
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        episodes: EpisodeStore,
        events: EventStore,
        deliveries: DeliveryStore,
        merchants: MerchantStore,
        endpoints: EndpointStore,
        campaigns: Campaigns,
        activities: ActivityStore,
        facts: FactRecorder,
        queues: DeliveryQueues,
        hasher: IdentityHasher,
        codes: RecoveryCodes,
        public_url: str,
    ) -> None:
        """Share the stores of one process; ``public_url`` is what recovery links begin with."""
        self._table = table
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._episodes = episodes
        self._events = events
        self._deliveries = deliveries
        self._merchants = merchants
        self._endpoints = endpoints
        self._campaigns = campaigns
        self._activities = activities
        self._facts = facts
        self._queues = queues
        self._hasher = hasher
        self._codes = codes
        self._public_url = public_url
        self._audiences: dict[MerchantId, _Audience | None] = {}

    def begin(self) -> None:
        """Forget what the last batch read: an endpoint registered since must hear."""
        self._audiences.clear()

    def announce(self, image: Item, now: datetime) -> str:
        """Tell one marked image; returns the outcome for the log. Raises MalformedRecord for what is none of ours."""
        fact = _fact_of(image)
        if isinstance(fact, OrderRecord):
            return self._settle_others(fact, now)
        checkout, mark = fact
        audience = self._audience(checkout.merchant_id)
        if audience is None:
            return "merchant_gone"
        raw: bytes | None = image.get(RAW)
        if mark is Mark.ABANDONED:
            return self._abandoned(checkout, raw, audience, now)
        return self._told(checkout, mark, raw, audience, now)

    def _told(self, checkout: Checkout, mark: Mark, raw: bytes | None, audience: _Audience, now: datetime) -> str:
        """A fact that stays true: its event, put if absent, and its deliveries."""
        event_type = EventType(mark.event_type)
        if mark is Mark.REOPENED:
            self._pause(checkout, now)
        self._facts.record_facts(checkout, mark, audience.merchant, None)
        recipients = self._subscribed(event_type, checkout, audience, now)
        if mark in {Mark.REOPENED, Mark.SUPERSEDED} and checkout.announced is not None:
            recipients |= self._told_before(checkout, audience)
        if not recipients:
            return f"{mark}:nobody"
        current = self._checkouts.get(checkout.digest)
        if current is None or current.erased:
            return f"{mark}:erased"
        episode = self._episodes.get(EpisodeId(checkout.episode_id)) if checkout.episode_id else None
        event = self._event(checkout, event_type, audience, recipients, episode, raw, now)
        try:
            self._table.put(self._events.new(event))
        except ConditionFailed:
            event = self._stored(event)
        self._deliver(event, (own for own in recipients.values() if own.id in event.endpoint_ids))
        return str(mark)

    def _subscribed(
        self, event_type: EventType, checkout: Checkout, audience: _Audience, now: datetime
    ) -> dict[EndpointId, Endpoint]:
        """Who subscribed to the type and wants this checkout; what follows an abandonment follows who received it."""
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

    def _told_before(self, checkout: Checkout, audience: _Audience) -> dict[EndpointId, Endpoint]:
        """Whoever received the abandonment also receives what calls it off."""
        told = self._events.get(checkout.digest, checkout.announced or 0)
        ids = told.endpoint_ids if told else ()
        return {own.id: own for own in audience.endpoints if own.id in ids}

    def _abandoned(self, checkout: Checkout, raw: bytes | None, audience: _Audience, now: datetime) -> str:
        """Announce an abandonment in one transaction that fails if it is not true any more."""
        recipients = self._subscribed(EventType.ABANDONED, checkout, audience, now)
        shopper = self._shopper_of(checkout)
        for _ in range(_ROUNDS):
            records = self._personal(self._shoppers.get_many(shopper), checkout, now)
            bought_at = _last_purchase(records)
            if bought_at is not None and bought_elsewhere(checkout, bought_at):
                return self._superseded(checkout, bought_at, audience, now)
            episode, episode_writes = self._episode(checkout, records, audience, now)
            ids = episode.id if episode else None
            event = self._event(checkout, EventType.ABANDONED, audience, recipients, episode, raw, now)
            writes: list[Write] = [
                self._events.new(event),
                self._checkouts.announced(checkout, ids),
                *(self._shoppers.joined(own, ids, floor_of(checkout), now) for own in records.values() if ids),
                *episode_writes,
            ]
            try:
                self._table.transact(writes)
            except TransactionCancelled as cancelled:
                refused = [own.failed_condition for own in cancelled.reasons]
                if refused[0]:
                    event = self._stored(event)
                    break
                if refused[1]:
                    return "moved_on"
            else:
                break
        else:
            raise StoreUnavailable("the shopper's records kept changing")
        self._deliver(event, (own for own in recipients.values() if own.id in event.endpoint_ids))
        self._facts.record_facts(checkout, Mark.ABANDONED, audience.merchant, episode)
        if episode is not None:
            self._note_planned(checkout, episode, audience.merchant.settings)
        for digest in episode.checkouts if episode else ():
            if digest != checkout.digest:
                self._replaced(digest, audience, now)
        return "abandoned"

    def _note_planned(self, checkout: Checkout, episode: Episode, settings: Settings) -> None:
        """The messages ahead, on the timeline: the same entries however often the abandonment is told."""
        for step in episode.steps:
            if step.state is StepState.PLANNED:
                detail: dict[str, str | int] = {"step": step.number, "due_at": to_rfc3339(step.due_at)}
                detail |= {"campaign_id": episode.campaign_id or ""}
                entry = Activity(_transition_instant(checkout, EventType.ABANDONED), "SCHEDULED", detail)
                self._activities.add(checkout.digest, entry, retention_end(checkout, settings))

    def _replaced(self, digest: str, audience: _Audience, now: datetime) -> None:
        """An older abandoned checkout of the episode gives way to the newer one; one that moved on is left alone."""
        for _ in range(_ROUNDS):
            older = self._checkouts.get(digest)
            if older is None or older.status is not Status.ABANDONED:
                return
            try:
                self._checkouts.replace(older, replaced(older, now), superseded_mark(older), audience.merchant.settings)
            except StaleVersion:
                continue
            return
        raise StoreUnavailable("the older checkout kept changing")

    def _episode(
        self, checkout: Checkout, records: dict[Identity, ShopperRecord], audience: _Audience, now: datetime
    ) -> tuple[Episode | None, list[Write]]:
        """The episode to open or join, planned; an anonymous checkout has none. Of two open ones the older stays."""
        if not records:
            return None, []
        settings = audience.merchant.settings
        held = {own.episode_id for own in records.values() if own.episode_id is not None}
        if checkout.episode_id is not None:
            # Its identifiers may have changed since: the episode it is in stays its own.
            held.add(EpisodeId(checkout.episode_id))
        known = self._episodes.get_many(held)
        alive = sorted((own for own in known.values() if own.status is not EpisodeStatus.ENDED), key=lambda own: own.id)
        if not alive:
            campaign = campaigns.chosen(audience.campaigns, checkout, now)
            holdout = in_holdout(records, settings.holdout_percent)
            opened = planning.opened(checkout, records, now, campaign=campaign, holdout=holdout, settings=settings)
            return opened, [self._episodes.created(opened, now, planning.due_of(opened, settings))]
        oldest, *younger = alive
        identities = {*records, *(one for own in younger for one in own.identities)}
        joined = planning.joined(
            oldest, checkout, identities, now, campaign=self._campaign_of(oldest), settings=settings
        )
        writes: list[Write] = [self._episodes.rewritten(joined, oldest.version, now, planning.due_of(joined, settings))]
        for own in younger:
            writes.append(self._episodes.ended(own.id, EndReason.JOINED, now))
            writes += self._handed_over(own, records, oldest.id)
        return joined, writes

    def _handed_over(self, younger: Episode, records: dict[Identity, ShopperRecord], to: EpisodeId) -> list[Write]:
        """A younger episode's identifiers that the checkout does not carry hold the older one from now on."""
        others = self._shoppers.get_many(own for own in younger.identities if own not in records)
        return [
            self._shoppers.moved(identity, younger.id, to)
            for identity, own in others.items()
            if own.episode_id == younger.id
        ]

    def _campaign_of(self, episode: Episode) -> Campaign | None:
        """The campaign at the version the episode keeps."""
        if episode.campaign_id is None:
            return None
        return self._campaigns.version(episode.merchant_id, CampaignId(episode.campaign_id), episode.campaign_version)

    def _pause(self, checkout: Checkout, now: datetime) -> None:
        """The shopper is back: the episode waits, unless it is about a newer checkout by now."""
        for _ in range(_ROUNDS):
            episode = self._episodes.get(EpisodeId(checkout.episode_id)) if checkout.episode_id else None
            if episode is None or episode.status is not EpisodeStatus.ACTIVE:
                return
            if episode.newest_checkout != checkout.digest:
                return
            waiting = planning.paused(episode)
            audience = self._audience(checkout.merchant_id)
            settings = audience.merchant.settings if audience else Settings()
            try:
                put = self._episodes.rewritten(waiting, episode.version, now, planning.due_of(waiting, settings))
                self._episodes.write(put)
            except EpisodeMoved:
                continue
            return
        raise StoreUnavailable("the episode kept changing")

    def _superseded(self, checkout: Checkout, bought_at: datetime, audience: _Audience, now: datetime) -> str:
        """The shopper bought elsewhere: the checkout as it stands now is settled, unless it moved on by itself."""
        current: Checkout | None = checkout
        for _ in range(_ROUNDS):
            if current is None or not current.status.unfinished or not bought_elsewhere(current, bought_at):
                return "moved_on"
            moved = superseded(current, now)
            try:
                self._checkouts.replace(current, moved, superseded_mark(current), audience.merchant.settings)
            except StaleVersion as stale:
                current = stale.current
            else:
                return "superseded"
        raise StoreUnavailable("the checkout kept changing")

    def _settle_others(self, order: OrderRecord, now: datetime) -> str:
        """A new order: every unfinished checkout that its shopper began before it was bought elsewhere."""
        audience = self._audience(order.merchant_id)
        if audience is None:
            return "merchant_gone"
        settings = audience.merchant.settings
        since = order.bought_at - settings.recovery_horizon - settings.retention
        digests: set[str] = set()
        for identity in order.identities:
            found = self._checkouts.by_identity(identity, since=since)
            if len(found) > SHARED_IDENTIFIER and self._checkouts.is_shared(identity, now):
                continue
            digests |= set(found)
        settled = 0
        for checkout in self._checkouts.get_many(digests - {order.checkout_digest}).values():
            if self._superseded(checkout, order.bought_at, audience, now) == "superseded":
                settled += 1
        return f"ordered:{settled}"

    def _event(
        self,
        checkout: Checkout,
        event_type: EventType,
        audience: _Audience,
        recipients: Mapping[EndpointId, Endpoint],
        episode: Episode | None,
        raw: bytes | None,
        now: datetime,
    ) -> EventRecord:
        """The event, its bytes made once in every format asked for.

        The instant is the transition's, so that the id is the same at a retry.
        """
        settings = audience.merchant.settings
        at = _transition_instant(checkout, event_type)
        own_id = event_id(at, checkout.digest, checkout.version, event_type)
        verdict: Messaging = messaging_verdict(
            checkout,
            settings,
            now,
            merchant_zone=audience.merchant.timezone,
            merchant_country=audience.merchant.country,
            episode=episode,
            shopper=together(own.memory for own in self._shoppers.get_many(self._shopper_of(checkout)).values()),
        )
        body = envelope(
            own_id,
            event_type,
            at,
            checkout,
            recovery_url=f"{self._public_url}/r/{self._codes.code(checkout.digest)}",
            episode=episode,
            messaging=verdict,
            settings=settings,
        )
        made = payloads(recipients.values(), body, raw)
        return EventRecord(
            id=own_id,
            type=event_type.value,
            at=at,
            merchant_id=checkout.merchant_id,
            checkout_digest=checkout.digest,
            version=checkout.version,
            body=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
            endpoint_ids=tuple(recipients),
            do_not_send_after=(do_not_send_after(checkout, settings) if event_type is EventType.ABANDONED else None),
            expires_at=retention_end(checkout, settings),
            bodies=made.bodies,
            formats=made.formats,
            problems=made.problems,
        )

    def _stored(self, event: EventRecord) -> EventRecord:
        """The event an earlier run has written: its bytes are the ones that go out."""
        stored = self._events.get(event.checkout_digest, event.version)
        if stored is None:
            raise StoreUnavailable("the event vanished")
        return stored

    def _deliver(self, event: EventRecord, recipients: Iterable[Endpoint]) -> None:
        """One delivery per endpoint, put if absent, then enqueued; a disabled endpoint's is held."""
        messages = []
        for endpoint in recipients:
            record = delivery_of(event, endpoint)
            if endpoint.id in event.problems:
                record = replace(record, status=DeliveryStatus.FAILED, reason=event.problems[endpoint.id])
            self._deliveries.create(record)
            if record.status is DeliveryStatus.PENDING:
                messages.append(DeliveryMessage(record.id, record.merchant_id))
        self._queues.fresh(messages)

    def _personal(
        self, records: dict[Identity, ShopperRecord], checkout: Checkout, now: datetime
    ) -> dict[Identity, ShopperRecord]:
        """The records without identifiers that name nobody; asked only of those that would decide something."""
        return {
            identity: own
            for identity, own in records.items()
            if not (own.episode_id or bought_elsewhere(checkout, own.purchased_at))
            or not self._checkouts.is_shared(identity, now)
        }

    def _shopper_of(self, checkout: Checkout) -> list[Identity]:
        own = self._hasher.of_checkout(checkout)
        return [identity for kind, identity in own.items() if kind in SHOPPER_KINDS]

    def _audience(self, merchant_id: MerchantId) -> _Audience | None:
        if merchant_id not in self._audiences:
            merchant = self._merchants.get(merchant_id)
            self._audiences[merchant_id] = None
            if merchant is not None:
                endpoints = tuple(own.value for own in self._endpoints.listed(merchant_id))
                active = tuple(self._campaigns.active(merchant_id))
                self._audiences[merchant_id] = _Audience(merchant.value, endpoints, active)
        return self._audiences[merchant_id]


def _fact_of(image: Item) -> OrderRecord | tuple[Checkout, Mark]:
    """What a marked image tells: an order, or a checkout as it stood at its transition."""
    try:
        if image["te"] == ORDER_MARK:
            return read_order(image)
        return replace(from_item(image), version=int(image["tr"])), Mark(image["te"])
    except (KeyError, ValueError, TypeError, IndexError, zlib.error) as malformed:
        raise MalformedRecord(f"{type(malformed).__name__} in a marked record") from malformed


def _last_purchase(records: dict[Identity, ShopperRecord]) -> datetime | None:
    return max((own.purchased_at for own in records.values() if own.purchased_at is not None), default=None)


def _transition_instant(checkout: Checkout, event_type: EventType) -> datetime:
    """When the transition happened, from the image itself."""
    if event_type is EventType.ABANDONED and checkout.abandoned_at is not None:
        return checkout.abandoned_at
    return checkout.updated_at
