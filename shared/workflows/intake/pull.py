"""What must be asked from a provider's API: contents that a webhook only points to, and pages of a backfill.

Every message may come more than once and repeats nothing: contents and pages merge by their own order, a page's turn is
claimed in the job's row. Temporary failures come back after growing delays; what a person must mend is given up to the
dead letter queue, from where it can be sent again.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.aws.faults import AWS_ERRORS, code_of, is_temporary
from shared.aws.pull_queue import ContentMessage, PageMessage, PullMessage, PullQueue, content_message
from shared.aws.set_aside import count_set_aside
from shared.domain.change import CheckoutChange
from shared.domain.ids import SourceId
from shared.domain.transitions import Arrival
from shared.providers.privacy import with_bodies
from shared.providers.provider import DEFECTS, NotUnderstood, Pull
from shared.providers.pull import ApiPage, BackfillQuery, PullFailed, TryLater, content_of, json_of
from shared.store.jobs import Job, JobCounts, JobStore
from shared.workflows.intake.listed import ListedCheckouts
from shared.workflows.intake.merge import Merger, arrival_at
from shared.workflows.intake.provider_api import Busy
from shared.workflows.intake.source_apis import AskedSource, SourceApis

ATTEMPTS = 9
"""Over about an hour: the delays double from 10 seconds to 15 minutes."""
_FIRST_DELAY = timedelta(seconds=10)
_LONGEST_DELAY = timedelta(minutes=15)
_LONGEST_WAIT_FOR_RATE = timedelta(days=2)
MOST_HOPS = 250
"""Messages of one content, or of one page. Two days of waiting are 192 of a quarter of an hour each; Lambda is told to
let this chain be, so that the bound is ours."""
_BEHIND = 20
"""Hops after which a missed place is used nevertheless: where our workers are behind, their pace is the limit."""
_RATE_STAYED_USED_UP = "the source's rate stayed used up"
LEASE = timedelta(minutes=3)
"""Longer than the function may run, shorter than a message stays hidden."""
MOST_PAGES = 5_000
_SOURCE_GONE = "the source is gone"


class Outcome(StrEnum):
    """What became of a message."""

    MERGED = "merged"
    """Contents are merged, or a page is."""
    NOTHING = "nothing"
    """The provider has nothing to tell (gone, anonymous), or the source is gone."""
    LATER = "later"
    GIVEN_UP = "given_up"
    REPEATED = "repeated"
    """A late copy of a page's message, or one whose job has ended."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """The outcome, why, and of which source, for the log."""

    outcome: Outcome
    reason: str | None = None
    source_id: SourceId | None = None


class Puller:
    """Works off pull messages. One per process, shared by its threads."""

    def __init__(
        self,
        *,
        apis: SourceApis,
        merger: Merger,
        listed: ListedCheckouts,
        jobs: JobStore,
        queue: PullQueue,
        now: Callable[[], datetime],
        dice: Callable[[], float] = random.random,
    ) -> None:
        """``now`` is the clock, ``dice`` spreads retries."""
        self._apis = apis
        self._merger = merger
        self._listed = listed
        self._jobs = jobs
        self._queue = queue
        self._now = now
        self._dice = dice

    def pull(self, message: PullMessage) -> Pulled:
        """Work one message off. Raises StoreUnavailable, QueueUnavailable: SQS brings the message again."""
        return self._page(message) if isinstance(message, PageMessage) else self._content(message)

    def _content(self, message: ContentMessage) -> Pulled:
        try:
            asked = self._apis.find(message.source_id)
            if asked is None:
                return Pulled(Outcome.NOTHING, _SOURCE_GONE, message.source_id)
            # As of the asking: what changes after it is pulled again, and must not lose to a slow answer.
            asked_at = self._now()
            changes = self._contents(asked, message, asked_at)
        except Busy as busy:
            return self._postponed(message, busy)
        except TryLater as later:
            return self._retried(message, later)
        except (PullFailed, NotUnderstood) as failed:
            self._queue.give_up(message, str(failed))
            return Pulled(Outcome.GIVEN_UP, str(failed), message.source_id)
        if not changes:
            return Pulled(Outcome.NOTHING, "nothing to tell", message.source_id)
        arrival = arrival_at(asked_at, asked.source, asked.merchant)
        try:
            self._merger.merge_all(self._while_it_stands(message.source_id, changes), arrival)
        except PullFailed as gone:
            return Pulled(Outcome.NOTHING, str(gone), message.source_id)
        return Pulled(Outcome.MERGED, None, message.source_id)

    def _while_it_stands(self, source_id: SourceId, changes: Iterable[CheckoutChange]) -> Iterator[CheckoutChange]:
        """The changes, for as long as their source is there. Raises PullFailed when it is gone."""
        for change in changes:
            if not self._apis.stands(source_id):
                raise PullFailed(_SOURCE_GONE)
            yield change

    def _contents(self, asked: AskedSource, message: ContentMessage, at: datetime) -> list[CheckoutChange]:
        """What all that the webhook points to says together, as of ``at``."""
        pulls = [Pull(own.kind, own.reference) for own in message.wanted]
        requests = [asked.api.content(pull, asked.context) for pull in pulls]
        answers = self._apis.ask(asked, requests, self._place(message))
        contents = [content_of(answer) for answer in answers]
        said = (
            _with_bodies(asked.api.read_content(content, pull, at, asked.context).changes, content, asked)
            for content, pull in zip(contents, pulls, strict=True)
        )
        changes = combined(change for one in said for change in one)
        return [replace(own, correlation_id=message.correlation_id) for own in changes]

    def _place(self, message: PullMessage) -> datetime | None:
        """The place that the message brings back."""
        if message.place is None or message.hops < _BEHIND:
            return message.place
        return max(message.place, self._now())

    def _postponed(self, message: ContentMessage, busy: Busy) -> Pulled:
        """No attempt was made; but a message that waited for days is not kept going."""
        if self._now() - message.asked_at > _LONGEST_WAIT_FOR_RATE or message.hops >= MOST_HOPS:
            self._queue.give_up(message, _RATE_STAYED_USED_UP)
            return Pulled(Outcome.GIVEN_UP, _RATE_STAYED_USED_UP, message.source_id)
        self._queue.send(message.postponed(_reserved(busy)), self._until(busy))
        return Pulled(Outcome.LATER, "the source's rate is used up", message.source_id)

    def _until(self, busy: Busy) -> timedelta:
        """How long to wait. Without a place, spread: all that waited for the same pause would meet again at its end."""
        return busy.until - self._now() + (timedelta(0) if busy.reserved else timedelta(seconds=5 * self._dice()))

    def _retried(self, message: ContentMessage, later: TryLater) -> Pulled:
        again = message.again()
        if again.attempts >= ATTEMPTS:
            self._queue.give_up(message, later.reason)
            return Pulled(Outcome.GIVEN_UP, later.reason, message.source_id)
        self._queue.send(again, self._delay(again.attempts, later.after))
        return Pulled(Outcome.LATER, later.reason, message.source_id)

    def _delay(self, attempts: int, asked: timedelta | None) -> timedelta:
        """Growing, jittered, never before the provider's own wish (SQS holds 15 minutes at most; the rate row more)."""
        grown: timedelta = min(_FIRST_DELAY * 2 ** (attempts - 1), _LONGEST_DELAY)
        return max(grown * (0.75 + 0.5 * self._dice()), asked or timedelta(0))

    def _page(self, message: PageMessage) -> Pulled:
        """The next page of a job, whose turn only one worker has at a time."""
        job = self._jobs.get(message.job_id)
        if job is None or not job.live:
            return Pulled(Outcome.REPEATED, "the job has ended")
        if message.page < job.page and job.announced == job.page:
            return Pulled(Outcome.REPEATED, "the page's successor is on its way", job.source_id)
        if not self._jobs.claim(job, self._now(), LEASE):
            return Pulled(Outcome.REPEATED, "another worker has the turn", job.source_id)
        job = replace(job, status="running")
        waits: str | None = None
        place: datetime | None = None
        try:
            after, delay = self._turn(job, self._place(message))
        except Busy as busy:
            after, delay, waits, place = job, self._until(busy), str(busy), _reserved(busy)
        except TryLater as later:
            waits = later.reason
            after, delay = self._failing(job, later.reason), self._delay(job.attempts + 1, later.after)
        except (PullFailed, NotUnderstood) as failed:
            after, delay = self._ended(job, str(failed)), timedelta(0)
        hops = message.hops + 1 if after.page == job.page else 0
        if after.live and hops > MOST_HOPS:
            after = self._ended(after, _RATE_STAYED_USED_UP)
        after = replace(after, updated_at=self._now())
        if not self._jobs.save(after, job.page):
            return Pulled(Outcome.REPEATED, "another worker took the turn over", job.source_id)
        if after.live:
            self._queue.send(PageMessage(job.id, job.merchant_id, after.page, hops, place), delay)
        self._jobs.turned(after)
        if after.status == "failed":
            return Pulled(Outcome.GIVEN_UP, after.reason, job.source_id)
        return Pulled(Outcome.MERGED if after.page > job.page else Outcome.LATER, waits, job.source_id)

    def _turn(self, job: Job, place: datetime | None) -> tuple[Job, timedelta]:
        """The job after one more page. Raises Busy, TryLater, PullFailed, NotUnderstood."""
        asked = self._apis.find(job.source_id)
        if asked is None:
            raise PullFailed(_SOURCE_GONE)
        query = BackfillQuery(job.since, job.filters)
        request = asked.api.page(query, job.cursor, asked.context)
        asked_at = self._now()
        (answer,) = self._apis.ask(asked, [request], place)
        page = _read(asked, json_of(answer), query, job.cursor, asked_at)
        if page.next_cursor is not None and page.next_cursor == job.cursor:
            raise PullFailed("the provider repeats a cursor")
        if job.page >= MOST_PAGES:
            raise PullFailed(f"more than {MOST_PAGES} pages")
        counts = job.counts.plus(self._merged(page, job, asked, asked_at))
        after = replace(job, page=job.page + 1, cursor=page.next_cursor, attempts=0, counts=counts)
        if page.next_cursor is None:
            after = replace(after, status="completed", finished_at=self._now())
        return after, timedelta(0)

    def _merged(self, page: ApiPage, job: Job, asked: AskedSource, asked_at: datetime) -> JobCounts:
        """What became of a page's checkouts; what must be asked further is sent to be asked."""
        arrival = arrival_at(asked_at, asked.source, asked.merchant)
        counts = JobCounts(read=len(page.normalised.changes) + len(page.unread), refused=len(page.unread))
        for reason in page.unread:
            count_set_aside("listed checkout", reason, job.id)
        for change in self._while_it_stands(job.source_id, _with_bodies(page.normalised.changes, None, asked)):
            counts = counts.plus(self._one(change, job, asked, arrival))
        for pull in page.normalised.pulls:
            wanted = [(pull.kind, pull.reference)]
            self._queue.send(content_message(job.source_id, job.merchant_id, wanted, self._now(), job.id))
        return counts

    def _one(self, change: CheckoutChange, job: Job, asked: AskedSource, arrival: Arrival) -> JobCounts:
        """What became of one checkout. One that will never be stored holds up neither its page nor its job."""
        try:
            return self._listed.merge(replace(change, correlation_id=job.id), asked, arrival, since=job.since)
        except (*AWS_ERRORS, *DEFECTS) as failure:
            if is_temporary(failure):
                raise
            count_set_aside("listed checkout", code_of(failure), job.id)
            return JobCounts(refused=1)

    def _failing(self, job: Job, reason: str) -> Job:
        """The job after a failed attempt at its page; too many in a row end it."""
        if job.attempts + 1 >= ATTEMPTS:
            return self._ended(job, reason)
        return replace(job, attempts=job.attempts + 1, reason=reason)

    def _ended(self, job: Job, reason: str) -> Job:
        return replace(job, status="failed", reason=reason, finished_at=self._now())


def _reserved(busy: Busy) -> datetime | None:
    return busy.until if busy.reserved else None


def _read(asked: AskedSource, content: Any, query: BackfillQuery, cursor: str | None, at: datetime) -> ApiPage:
    """The page. Raises NotUnderstood, TryLater, PullFailed, also for a defect of ours: the job ends, and says so."""
    try:
        return asked.api.read_page(content, query, cursor, at, asked.context)
    except DEFECTS as defect:
        raise PullFailed(f"the page cannot be read: {type(defect).__name__}") from defect


def _with_bodies(changes: Iterable[CheckoutChange], content: Any, asked: AskedSource) -> list[CheckoutChange]:
    """The changes, with what the API said as the provider's body where an endpoint asks for it.

    Contents of a cart are a body of it; a customer, or word that the cart is closed, is none.
    """
    said = [replace(own, bodiless=own.cart is None) for own in changes]
    if not asked.merchant.raw:
        return said
    keep = asked.context.settings.keep_click_ids
    return [own if own.bodiless else with_bodies([own], content, keep_click_ids=keep)[0] for own in said]


def combined(changes: Iterable[CheckoutChange]) -> list[CheckoutChange]:
    """One change per checkout out of what several contents say of it: newer over older, together.

    A message told from half of it (the cart without the contact) would go out too early.
    """
    by_checkout: dict[str, list[CheckoutChange]] = {}
    for change in changes:
        by_checkout.setdefault(change.external_id, []).append(change)
    return [_together(own) for own in by_checkout.values()]


def _together(changes: list[CheckoutChange]) -> CheckoutChange:
    ordered = sorted(changes, key=lambda own: own.order_key.value)
    newest = ordered[-1]
    leaves = {name: value for own in ordered for name, value in own.leaves.items()}
    told = next((own for own in reversed(ordered) if own.cart is not None), newest)
    return replace(newest, leaves=leaves, cart=told.cart, raw=told.raw, bodiless=told.bodiless)
