"""How one event changes a checkout: the merge rule and the forward-only status machine.

``apply`` is total: every change has a result for every checkout, and the result depends on nothing else. The store's
one-call write is a shortcut for its commonest row, held to it by a property test.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain import contents
from shared.domain.change import CheckoutChange, Signal, clock_key
from shared.domain.checkout import Checkout, Order, Reason, Status
from shared.domain.ids import MerchantId, SourceId, checkout_digest, digest
from shared.domain.instants import trustworthy
from shared.domain.place import AFTERWARDS, UNORDERED, Place
from shared.domain.settings import Settings


class Effect(StrEnum):
    """What became of an event."""

    CREATED = "created"
    MERGED = "merged"
    STALE = "stale"
    """Older than what is stored: it filled gaps only."""
    DUPLICATE = "duplicate"


class Mark(StrEnum):
    """The outbox mark: what a committed write has to tell. ``event_type`` is what merchants see."""

    UPDATED = "updated"
    REOPENED = "reopened"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded"
    RECOVERED = "recovered"
    COMPLETED = "completed"
    REVERSED = "reversed"
    DISCARDED = "discarded"
    EXPIRED = "expired"

    @property
    def event_type(self) -> str:
        """The contract's event type; a reopening is told as an update."""
        return f"checkout.{Mark.UPDATED if self is Mark.REOPENED else self}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where and when an event arrived, and the rules in force there."""

    merchant_id: MerchantId
    source_id: SourceId
    provider: str
    at: datetime
    settings: Settings
    feed: bool = False
    """Whether the merchant has an endpoint for ``checkout.updated``."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The checkout after an event. ``mark`` is None where there is nothing to tell."""

    checkout: Checkout
    effect: Effect
    mark: Mark | None


def apply(old: Checkout | None, change: CheckoutChange, arrival: Arrival) -> Applied:
    """The checkout after ``change``; ``old`` is None for the first event of a checkout.

    An erased checkout stays as it is: late and repeated webhooks must not bring its shopper's data back.
    """
    if old is not None and old.erased:
        return Applied(old, Effect.DUPLICATE, None)
    applied = _created(change, arrival) if old is None else _applied(old, change, arrival)
    if applied.mark not in {Mark.UPDATED, Mark.REOPENED}:
        return applied
    return replace(applied, checkout=replace(applied.checkout, last_update=applied.checkout.version))


def _applied(old: Checkout, change: CheckoutChange, arrival: Arrival) -> Applied:
    if is_duplicate(old, change):
        return Applied(old, Effect.DUPLICATE, None)
    stale = is_stale(old, change, arrival.at)
    merged = _named(_merge(old, change, arrival), change)
    effect = Effect.STALE if stale else Effect.MERGED
    if change.signal is Signal.PURCHASED and not old.status.purchased:
        return Applied(*_purchase(merged, change, arrival, effect))
    if stale or old.status.purchased:
        late = _settle_late(merged, change, arrival) if old.status.purchased else _dated(merged, change, arrival)
        if change.signal is not Signal.PURCHASED and replace(late, version=old.version) == old:
            return Applied(old, Effect.DUPLICATE, None)
        return Applied(late, effect, Mark.UPDATED if arrival.feed and not old.status.purchased else None)
    moved, mark = _move(merged, change, arrival)
    if mark is None and arrival.feed:
        mark = Mark.UPDATED
    if moved.status is not old.status or mark not in {None, Mark.UPDATED}:
        moved = replace(moved, sequence=moved.version)
    return Applied(moved, effect, mark)


def _named(checkout: Checkout, change: CheckoutChange) -> Checkout:
    """The checkout, its order under its id, which only a later word of the same purchase may have told."""
    known, told = checkout.order or Order(None, None), change.order
    if told is None or told.id is None or known.id is not None or not checkout.status.purchased:
        return checkout
    return replace(checkout, order=replace(known, id=told.id, total=known.total or told.total))


def is_duplicate(old: Checkout, change: CheckoutChange) -> bool:
    """Whether the event was here before: by its own id, or, where it has none, by a body equal to the last one."""
    if change.event_id is not None:
        return event_digest(change.event_id) in old.event_digests
    return old.last_body == change.body_digest


def is_stale(old: Checkout, change: CheckoutChange, arrived_at: datetime) -> bool:
    """Whether the event is older than what is stored; ``arrived_at`` is its first arrival, however late it is merged.

    A key without a value compares with nothing: such an event is stale, and whatever has a key is newer than it.
    """
    if not change.order_key.value:
        return True
    return Place(change.order_key.value, arrived_at).precedes(Place(old.order_key, old.ordered_at))


def event_digest(event_id: str) -> bytes:
    """The 8 bytes by which a checkout remembers a provider's event id."""
    return digest(event_id)[:8]


def activity_at(change: CheckoutChange, arrival: Arrival) -> datetime:
    """When the shopper acted: the event's own time where it can be trusted, else its arrival."""
    if change.order_key.clockless:
        return arrival.at
    own = trustworthy(change.occurred_at, arrival.at, horizon=arrival.settings.recovery_horizon)
    return own or arrival.at


def purchased_at(change: CheckoutChange, arrival: Arrival) -> datetime:
    """When the order was placed: its own time where it can be trusted, else the webhook's arrival."""
    own = change.order.at if change.order else None
    return trustworthy(own, arrival.at, horizon=arrival.settings.recovery_horizon) or arrival.at


def _created(change: CheckoutChange, arrival: Arrival) -> Applied:
    settings = arrival.settings
    acted_at = activity_at(change, arrival)
    fresh = Checkout(
        merchant_id=arrival.merchant_id,
        source_id=arrival.source_id,
        provider=arrival.provider,
        external_id=change.external_id,
        digest=checkout_digest(arrival.merchant_id, arrival.source_id, change.external_id),
        status=Status.OPEN,
        version=1,
        order_key=_place(change, arrival).value,
        ordered_at=arrival.at,
        created_at=arrival.at,
        updated_at=arrival.at,
        last_activity_at=acted_at,
        idle_ms=settings.idle_after // timedelta(milliseconds=1),
        leaves=dict(change.leaves),
        cart=change.cart,
        shape=contents.shape_of(change),
        test=change.test,
        due_at=acted_at + settings.idle_after,
        last_body=change.body_digest,
        event_digests=frozenset() if change.event_id is None else frozenset({event_digest(change.event_id)}),
        shard=list_shard(change, arrival),
    )
    if change.signal is Signal.PURCHASED:
        return Applied(*_purchase(fresh, change, arrival, Effect.CREATED))
    moved, mark = _move(fresh, change, arrival)
    if change.signal is Signal.ENDED:
        return Applied(moved, Effect.CREATED, None)
    if mark is None and arrival.feed:
        mark = Mark.UPDATED
    if moved.status is not Status.OPEN:
        moved = replace(moved, sequence=1)
    return Applied(moved, Effect.CREATED, mark)


def list_shard(change: CheckoutChange, arrival: Arrival) -> int:
    """Which of the merchant's list shards the checkout lies in."""
    return digest(change.external_id)[0] % max(arrival.settings.list_shards, 1)


def _merge(old: Checkout, change: CheckoutChange, arrival: Arrival) -> Checkout:
    """The contents after the event; a later payload never erases what an earlier one captured."""
    acted_at = activity_at(change, arrival)
    afterwards = old.completed_at is not None and old.status.purchased and acted_at > old.completed_at
    newest = not afterwards and not is_stale(old, change, arrival.at)
    place = _place(change, arrival, afterwards=afterwards)
    # Of an event that comes late, only its contents may be news: it arrived before what is here.
    in_time = arrival.at >= old.updated_at
    remembered = old.event_digests
    if change.event_id is not None:
        remembered |= {event_digest(change.event_id)}
    held = contents.merged(old, change, place, newest=newest)
    return replace(
        old,
        version=old.version + 1,
        order_key=place.value if newest else old.order_key,
        ordered_at=place.at if newest else old.ordered_at,
        updated_at=max(old.updated_at, arrival.at),
        last_activity_at=max(old.last_activity_at, acted_at),
        idle_ms=arrival.settings.idle_after // timedelta(milliseconds=1),
        leaves=held.leaves,
        cart=held.cart,
        origins=held.origins,
        shape=held.shape,
        test=old.test or change.test,
        last_body=change.body_digest if in_time else old.last_body,
        event_digests=remembered,
    )


def _place(change: CheckoutChange, arrival: Arrival, *, afterwards: bool = False) -> Place:
    """Where the event stands. One without an order key stands by its own time; one after the purchase behind all."""
    if change.order_key.value and not afterwards:
        return Place(change.order_key.value, arrival.at)
    own = clock_key(change.occurred_at or arrival.at, change.body_digest)
    return Place((AFTERWARDS if afterwards else UNORDERED) + own.value, arrival.at)


def _move(checkout: Checkout, change: CheckoutChange, arrival: Arrival) -> tuple[Checkout, Mark | None]:
    """The status after an event in order; the checkout's contents are merged already."""
    match change.signal:
        case Signal.ABANDONED:
            return _declared_abandoned(checkout, change, arrival)
        case Signal.ENDED:
            if checkout.status in {Status.EXPIRED, Status.DISCARDED, Status.SUPERSEDED}:
                return checkout, None
            return replace(checkout, status=Status.EXPIRED, due_at=None, reason=None), Mark.EXPIRED
        case Signal.PAYMENT_STARTED:
            return _reopened(checkout, Status.PAYMENT_PENDING, None, arrival)
        case Signal.PAYMENT_FAILED:
            return _reopened(checkout, Status.OPEN, Reason.PAYMENT_FAILED, arrival)
        case _:
            reason = checkout.reason if checkout.status is Status.OPEN else None
            return _reopened(checkout, Status.OPEN, reason, arrival)


def _reopened(
    checkout: Checkout, status: Status, reason: Reason | None, arrival: Arrival
) -> tuple[Checkout, Mark | None]:
    """The shopper is (still or again) at the checkout."""
    before = checkout.status
    if before is Status.DISCARDED:
        return checkout, None
    if before is status and status is Status.OPEN:
        return (checkout if reason is checkout.reason else replace(checkout, reason=reason)), None
    wait = arrival.settings.idle_after
    if status is Status.PAYMENT_PENDING:
        wait = arrival.settings.payment_pending_after
    moved = replace(checkout, status=status, reason=reason, due_at=checkout.last_activity_at + wait)
    return moved, None if before in {Status.OPEN, Status.PAYMENT_PENDING} else Mark.REOPENED


def _declared_abandoned(checkout: Checkout, change: CheckoutChange, arrival: Arrival) -> tuple[Checkout, Mark | None]:
    if checkout.status in {Status.ABANDONED, Status.SUPERSEDED, Status.DISCARDED}:
        return _dated(checkout, change, arrival), None
    at = _declared_at(change, arrival) or arrival.at
    return abandoned(checkout, at, Reason.PROVIDER_DECLARED, arrival.settings), Mark.ABANDONED


def _dated(checkout: Checkout, change: CheckoutChange, arrival: Arrival) -> Checkout:
    """The checkout with a declared abandonment on record that moves no status: a later purchase is held to it."""
    at = _declared_late_at(checkout, change, arrival) if change.signal is Signal.ABANDONED else None
    if at is None:
        return checkout
    return replace(
        checkout,
        first_abandoned_at=min(checkout.first_abandoned_at or at, at),
        abandoned_at=max(checkout.abandoned_at or at, at),
    )


def abandoned(checkout: Checkout, at: datetime, reason: Reason, settings: Settings) -> Checkout:
    """The checkout as abandoned at ``at``; due again when its recovery horizon ends."""
    return replace(
        checkout,
        status=Status.ABANDONED,
        reason=reason,
        first_abandoned_at=checkout.first_abandoned_at or at,
        abandoned_at=at,
        due_at=at + settings.recovery_horizon,
    )


def _declared_at(change: CheckoutChange, arrival: Arrival) -> datetime | None:
    """The provider's own time of abandonment, where it can be trusted."""
    own = change.abandoned_at or change.occurred_at
    return trustworthy(own, arrival.at, horizon=arrival.settings.recovery_horizon)


def _declared_late_at(checkout: Checkout, change: CheckoutChange, arrival: Arrival) -> datetime | None:
    """The time of an abandonment that is merged late: without a time of its own, that of its first arrival."""
    came_late = change.order_key.clockless and arrival.at < checkout.updated_at
    return _declared_at(change, arrival) or (arrival.at if came_late else None)


def _purchase(
    checkout: Checkout, change: CheckoutChange, arrival: Arrival, effect: Effect
) -> tuple[Checkout, Effect, Mark]:
    """An order was placed: recovered when an abandonment precedes it inside the horizon, else completed."""
    bought_at = purchased_at(change, arrival)
    declared = trustworthy(change.abandoned_at, arrival.at, horizon=2 * arrival.settings.recovery_horizon)
    first = checkout.first_abandoned_at or declared
    last = checkout.abandoned_at or declared
    recovered = precedes((first, last, declared), bought_at, arrival.settings.recovery_horizon)
    settled = replace(
        checkout,
        status=Status.RECOVERED if recovered else Status.COMPLETED,
        reason=None,
        sequence=checkout.version,
        first_abandoned_at=first,
        abandoned_at=last,
        completed_at=bought_at,
        order=change.order,
        due_at=None,
    )
    return settled, effect, Mark.RECOVERED if recovered else Mark.COMPLETED


def precedes(abandonments: tuple[datetime | None, ...], bought_at: datetime, horizon: timedelta) -> bool:
    """Whether one of the abandonments lies before the purchase and inside the horizon."""
    return any(at is not None and at <= bought_at <= at + horizon for at in abandonments)


def _settle_late(checkout: Checkout, change: CheckoutChange, arrival: Arrival) -> Checkout:
    """Word of an abandonment that arrives after the purchase it precedes: recovered, without a second event."""
    if change.signal is not Signal.ABANDONED or checkout.completed_at is None:
        return checkout
    at = _declared_late_at(checkout, change, arrival)
    if at is None or not precedes((at,), checkout.completed_at, arrival.settings.recovery_horizon):
        return checkout
    return replace(
        checkout,
        status=Status.RECOVERED,
        first_abandoned_at=checkout.first_abandoned_at or at,
        abandoned_at=checkout.abandoned_at or at,
    )


def retention_end(checkout: Checkout, settings: Settings) -> datetime:
    """When the row may go: last activity, horizon and retention together."""
    return checkout.last_activity_at + settings.recovery_horizon + settings.retention


def row_end(checkout: Checkout, settings: Settings) -> datetime:
    """When the checkout's row goes, once written. With an order or an episode never sooner than it was to before.

    An erasure finds those by the checkout that names them, also where the merchant has shortened its retention since.
    """
    ends = retention_end(checkout, settings)
    names_others = checkout.episode_id is not None or checkout.order is not None
    return ends if checkout.kept_until is None or not names_others else max(ends, checkout.kept_until)
