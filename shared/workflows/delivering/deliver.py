"""Delivery of a batch: truth first, then all sends at once, then what came of each.

At every attempt, first or late, a consistent read decides whether the event is still true. A webhook is delivered at
least once: every attempt carries the same id and the same bytes. Whatever is not sent says why.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from shared.aws.credential_cipher import CredentialCipher
from shared.aws.embedded_metrics import count
from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.outcome import Attempt, Outcome
from shared.delivery.retry import DEFAULT_SCHEDULE, GaveUp, RetrySchedule, plan_retry
from shared.destinations import registry
from shared.destinations.destination import Delivery, Destination, Unsendable
from shared.destinations.destination import Endpoint as Target
from shared.domain.breaker import Wait
from shared.domain.ids import EndpointId
from shared.domain.merchant import Endpoint
from shared.store import keys
from shared.store.codec import unpack
from shared.store.deliveries import DeliveryRecord, DeliveryStatus, DeliveryStore, Recorded
from shared.store.events import EventGone, EventRecord, read_event
from shared.store.vendor_messages import VendorMessageStore
from shared.store.writes import ItemKey
from shared.workflows.delivering.attempts import attempt_json, target_of, unwritten_of
from shared.workflows.delivering.batch import (
    TEMPORARY,
    Begun,
    First,
    Handled,
    Prepared,
    Unwritten,
    alone,
    given_back,
    read_together,
)
from shared.workflows.delivering.endpoint_health import EndpointHealth
from shared.workflows.delivering.lanes import QUICK, may_be_cut, was_cut
from shared.workflows.delivering.templated import TemplatedBodies
from shared.workflows.delivering.together import Joint
from shared.workflows.delivering.truth import DeliveryTruth, Rows
from shared.workflows.delivering.waiting import Waiting, place_of

TOLD_WITHIN = timedelta(minutes=10)
"""From the fact to its first attempt. Whatever endpoints do, or merchants limit, comes after it."""
_GIVEN_BACK = Handled("failed", retry_message=True)


@dataclass(frozen=True, slots=True)
class _Due:
    """A delivery whose attempt is to be made now."""

    position: int
    message: DeliveryMessage
    delivery: DeliveryRecord
    event: EventRecord
    endpoint: Endpoint
    target: Target
    kind: Destination


class Deliverer:
    """Delivers batches of messages. One per process: connections are kept between batches."""

    def __init__(
        self,
        *,
        truth: DeliveryTruth,
        deliveries: DeliveryStore,
        health: EndpointHealth,
        disable: Callable[[Endpoint, str], object],
        messages: VendorMessageStore,
        queues: DeliveryQueues,
        cipher: CredentialCipher,
        now: Callable[[], datetime],
    ) -> None:
        """``now`` is the clock; ``disable`` switches an endpoint off for a reason and tells whom it concerns."""
        self._true = truth
        self._deliveries = deliveries
        self._health = health
        self._disable = disable
        self._messages = messages
        self._waiting = Waiting(deliveries, queues, now)
        self._cipher = cipher
        self._now = now
        self._templated = TemplatedBodies(truth.events)

    def prepare(self, messages: Sequence[DeliveryMessage]) -> list[Begun]:
        """What each message asks for, in order: an attempt to make now, or what became of it without one.

        Raises nothing for what befalls a single message: that one is given back.
        """
        handled: list[Begun | None] = [None] * len(messages)
        for own in self._admitted(messages, handled):
            handled[own.position] = alone(self._begun, own)
        return [own or _GIVEN_BACK for own in handled]

    def _begun(self, own: _Due) -> Begun:
        """The attempt, at once or as one whose request is written beside the others: a template may take its time."""
        if not registry.takes_events(own.endpoint.kind) or self._templated.is_missing(own.event, own.endpoint):
            return Unwritten(partial(self._prepared, own), own.endpoint.merchant_id)
        return self._prepared(own)

    def _prepared(self, own: _Due) -> Handled | Prepared:
        try:
            delivery = self._delivery(own)
            request = own.kind.build(delivery, own.target)
            preparing = registry.preparing(own.kind)
            first = preparing.prepare(delivery, own.target) if preparing else None
        except EventGone:
            return self._over(own.delivery, Recorded(DeliveryStatus.SKIPPED, "erased"))
        except ValueError as unusable:
            return self._unsent(own.delivery, unusable)
        joining = registry.joining(own.kind)
        joint = Joint(joining, own.target) if joining else None
        if not own.message.slow and may_be_cut(own.kind, own.target):
            request = replace(request, timeout=min(request.timeout, QUICK))
            return Prepared(request, partial(self._conclude_quick, own, request), joint=joint)
        told_first = First(first, partial(self._refused_first, own)) if first else None
        return Prepared(request, partial(self._conclude, own), own.endpoint, told_first, joint)

    def _unsent(self, record: DeliveryRecord, unusable: ValueError) -> Handled:
        """No request can be made of the delivery."""
        if isinstance(unusable, Unsendable):
            if unusable.outcome is Outcome.RETRY:
                return Handled(unusable.reason, retry_message=True)
            reason = unusable.reason
        else:
            reason = f"unusable endpoint: {unusable}"
        self._deliveries.record(record, Recorded(DeliveryStatus.FAILED, reason))
        return Handled("failed")

    def _admitted(self, messages: Sequence[DeliveryMessage], handled: list[Begun | None]) -> Iterator[_Due]:
        """The attempts that breaker and rate limit let through; the others are put off, no attempt used up."""
        due, rows = self._due(messages, handled)
        by_endpoint: dict[EndpointId, list[_Due]] = {}
        aside = [own for own in due if not own.message.slow and self._health.is_slow(own.endpoint.id, rows)]
        for own, moved in zip(aside, self._moved_aside(aside), strict=True):
            handled[own.position] = moved
        for own in due:
            if handled[own.position] is None:
                by_endpoint.setdefault(own.endpoint.id, []).append(own)
        for several in by_endpoint.values():
            try:
                places = [place_of(own.message, self._now()) for own in several]
                verdicts = self._health.admit([own.endpoint for own in several], rows, places)
            except Exception as error:  # noqa: BLE001 - the other endpoints' attempts are made
                for own in several:
                    handled[own.position] = given_back(error)
                continue
            for own, wait in zip(several, verdicts, strict=True):
                if wait is None:
                    yield own
                else:
                    handled[own.position] = self._put_off(own, wait)

    def _moved_aside(self, several: Sequence[_Due]) -> list[Handled]:
        """By the slow lane, no attempt used up."""
        try:
            self._waiting.move_aside([(own.delivery, own.message) for own in several])
        except TEMPORARY as error:
            return [Handled(f"not_moved:{type(error).__name__}", retry_message=True)] * len(several)
        return [Handled("moved:endpoint_slow")] * len(several)

    def _put_off(self, due: _Due, wait: Wait) -> Handled:
        """Later, no attempt used up."""
        try:
            self._waiting.put_off(due.delivery, due.message, wait)
        except TEMPORARY as error:
            return Handled(f"not_put_off:{type(error).__name__}", retry_message=True)
        return Handled(f"put_off:{wait.reason}")

    def _refused_first(self, due: "_Due", result: SendResult) -> Handled | None:
        """The attempt's end where the vendor refused what it must be told first; None to go on."""
        accepted = due.kind.classify(result, due.target).outcome is Outcome.DELIVERED
        return None if accepted else self._conclude(due, result)

    def _conclude_quick(self, due: "_Due", request: OutboundRequest, result: SendResult) -> Handled:
        """As ``_conclude``; an attempt that was cut short is made again by the slow lane: same id, same bytes."""
        if not was_cut(request, due.target, result):
            return self._conclude(due, result)
        self._health.observe_cut(due.endpoint, result)
        (moved,) = self._moved_aside([replace(due, message=replace(due.message, place=None))])
        return moved

    def _conclude(self, due: "_Due", result: SendResult) -> Handled:
        """Classify the answer and record it.

        It was sent: when it cannot be recorded only this message comes back, or the whole batch would be sent again.
        """
        attempt = due.kind.classify(result, due.target)
        self._health.observe(due.endpoint, result, attempt.outcome)
        try:
            return self._concluded(due, result, attempt)
        except TEMPORARY as error:
            return Handled(f"unrecorded:{type(error).__name__}", retry_message=True)

    def _due(self, messages: Sequence[DeliveryMessage], handled: list[Begun | None]) -> tuple[list[_Due], Rows]:
        """The deliveries to attempt now and the rows that say so; every other message gets its outcome here."""
        records, unread = read_together(self._records, dict(enumerate(messages)))
        open_messages: dict[int, DeliveryRecord] = {}
        for position, message in enumerate(messages):
            if position in unread:
                continue
            record = records.get(keys.delivery(message.delivery_id, message.endpoint_id)) or unwritten_of(message)
            early = self._settled(message, record)
            if early is not None or record is None:
                handled[position] = early or Handled("unknown_delivery")
            elif record.key not in {own.key for own in open_messages.values()}:
                open_messages[position] = record
            else:
                handled[position] = Handled("repeated")
        rows, unread_facts = read_together(self._facts, open_messages)
        for position, error in (unread | unread_facts).items():
            handled[position] = given_back(error)
        due = []
        for position, record in open_messages.items():
            if position in unread_facts:
                continue
            decided = alone(self._decided, position, messages[position], record, rows)
            if isinstance(decided, _Due):
                due.append(decided)
            else:
                handled[position] = decided
        return due, rows

    def _records(self, messages: Sequence[DeliveryMessage]) -> dict[ItemKey, DeliveryRecord]:
        return self._deliveries.get_many(keys.delivery(own.delivery_id, own.endpoint_id) for own in messages)

    def _settled(self, message: DeliveryMessage, record: DeliveryRecord | None) -> Handled | None:
        """Messages that ask for no attempt: answered ones, foreign ones, and repeats of an earlier attempt."""
        if record is None or record.merchant_id != message.merchant_id:
            return Handled("unknown_delivery")
        if not record.status.waiting:
            return Handled(f"settled:{record.status}")
        if record.attempt_count == message.attempt_count:
            return None
        next_at = record.next_attempt_at if record.attempt_count == message.attempt_count + 1 else None
        if next_at is not None and record.due_at is None:
            # The attempt was recorded, but the message came back: its successor may not have been enqueued. One in the
            # due index is the sweep's business.
            try:
                self._waiting.follow_again(record, message, next_at)
            except TEMPORARY as error:
                return Handled(f"not_enqueued:{type(error).__name__}", retry_message=True)
        return Handled("repeated")

    def _facts(self, records: Sequence[DeliveryRecord]) -> Rows:
        return self._true.rows(records, lambda own: self._health.key(own.endpoint_id))

    def _decided(self, position: int, message: DeliveryMessage, record: DeliveryRecord, rows: Rows) -> _Due | Handled:
        """The delivery as one to attempt now, or what is recorded instead."""
        decided = self._truth(position, message, record, rows)
        if isinstance(decided, _Due):
            return decided
        if record.unwritten and record.event_key not in rows:
            return Handled(f"{decided.status}:{decided.reason}")  # erased: no row is begun of it
        return self._over(record, decided)

    def _over(self, record: DeliveryRecord, decided: Recorded) -> Handled:
        """The delivery ended or put aside without an attempt."""
        self._deliveries.record(record, decided)
        return Handled(f"{decided.status}:{decided.reason}")

    def _truth(self, position: int, message: DeliveryMessage, record: DeliveryRecord, rows: Rows) -> _Due | Recorded:
        """Whether the delivery's attempt is made now, and if not, what is recorded instead."""
        endpoint_row = rows.get(keys.endpoint(record.merchant_id, record.endpoint_id))
        event_row = rows.get(record.event_key)
        if endpoint_row is None:
            return Recorded(DeliveryStatus.SKIPPED, "endpoint_deleted")
        endpoint = unpack(Endpoint, endpoint_row)
        if not endpoint.active:
            return Recorded(DeliveryStatus.HELD, "endpoint_disabled")
        event = None if event_row is None else read_event(event_row)
        if event is None or event.merchant_id != record.merchant_id:
            return Recorded(DeliveryStatus.SKIPPED, "erased")
        if endpoint.id in event.problems:
            return Recorded(DeliveryStatus.FAILED, event.problems[endpoint.id])
        stale = self._true.staleness(event, record, rows)
        if stale is not None:
            return Recorded(DeliveryStatus.SKIPPED, stale)
        if event.do_not_send_after is not None and self._now() >= event.do_not_send_after:
            return Recorded(DeliveryStatus.EXPIRED, "too_old")
        if _untouched(message, record) and self._now() - event.at > TOLD_WITHIN:
            count("ToldLate", service="deliver", about={"delivery": record.id})
        target = target_of(endpoint, self._cipher.endpoint(endpoint), self._now())
        return _Due(position, message, record, event, endpoint, target, registry.destination(endpoint.kind))

    def _delivery(self, due: _Due) -> Delivery:
        """Raises Unsendable and EventGone where a template's body cannot be had."""
        missing = self._templated.is_missing(due.event, due.endpoint)
        body = self._templated.made(due.event, due.endpoint) if missing else due.event.body_for(due.endpoint.id)
        return Delivery(
            id=due.delivery.id,
            message_id=due.event.id,
            event_type=due.event.type,
            attempted_at=self._now(),
            body=body,
            facts={} if registry.takes_events(due.endpoint.kind) else json.loads(due.event.body),
        )

    def _concluded(self, due: _Due, result: SendResult, attempt: Attempt) -> Handled:
        """Record the attempt; then, where another follows, enqueue it."""
        outcome = self._recorded(due, result, attempt)
        if attempt.vendor_message_id is not None:
            self._messages.remember(due.endpoint.id, attempt.vendor_message_id, due.delivery.id, self._now())
        if attempt.outcome is Outcome.GONE:
            self._disable(due.endpoint, "gone")
        if not self._deliveries.record(due.delivery, outcome):
            return Handled("repeated")
        if due.delivery.unwritten and attempt.response_body:
            self._forget_words_of_the_erased(due.delivery)
        if outcome.next_attempt_at is not None and not outcome.by_sweep:
            self._waiting.follow(due.delivery, due.message, outcome.next_attempt_at)
        return Handled(outcome.status.value)

    def _forget_words_of_the_erased(self, record: DeliveryRecord) -> None:
        """An erasure that came between finds no row that was begun after it; what it takes first is the event."""
        if self._true.events.get(record.checkout_digest, record.event_version) is None:
            self._deliveries.erase([record.key])

    def _recorded(self, due: _Due, result: SendResult, attempt: Attempt) -> Recorded:
        shown = attempt_json(result, attempt, None)
        if attempt.outcome is Outcome.DELIVERED:
            return Recorded(DeliveryStatus.DELIVERED, None, shown)
        if attempt.outcome is not Outcome.RETRY:
            return Recorded(DeliveryStatus.FAILED, attempt.reason or attempt.outcome.value, shown)
        now = self._now()
        plan = plan_retry(
            attempts_made=due.delivery.attempt_count + 1,
            now=now,
            random=random.random,
            schedule=_schedule(due.endpoint),
            retry_after=attempt.retry_after,
            do_not_send_after=due.event.do_not_send_after,
        )
        if plan.at is None:
            if plan.gave_up is GaveUp.TOO_LATE:
                return Recorded(DeliveryStatus.EXPIRED, "too_old", shown)
            return Recorded(DeliveryStatus.FAILED, attempt.reason, shown)
        shown = attempt_json(result, attempt, plan.at)
        by_sweep = self._waiting.by_sweep(due.message, plan.at)
        return Recorded(DeliveryStatus.RETRYING, attempt.reason, shown, plan.at, by_sweep=by_sweep)


def _untouched(message: DeliveryMessage, record: DeliveryRecord) -> bool:
    """Whether nobody attempted, postponed or asked for the delivery again: if it is late, we are."""
    put_off = message.hops or message.attempt_count or message.place is not None
    return not put_off and record.next_attempt_at is None and record.due_at is None


def _schedule(endpoint: Endpoint) -> RetrySchedule:
    """The endpoint's own schedule (milliseconds before attempts 2 to n), else the default."""
    own = endpoint.settings.get("retry_schedule")
    if own is None:
        return DEFAULT_SCHEDULE
    return RetrySchedule(tuple(timedelta(milliseconds=int(delay)) for delay in own))
