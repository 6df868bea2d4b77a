"""How often a message to a provider's API is handled, and how many follow each other, while it has to wait.

Every message that the pull function sends goes on with a chain; none ever begins a new one. So the bound is ours.
"""

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from shared.aws.pull_queue import ContentMessage, PageMessage, PullMessage, Wanted, read_message
from shared.delivery.exchange import Answer, OutboundRequest, SendResult
from shared.domain.ids import JobId, SourceId, derived_ulid
from shared.domain.instants import EPOCH
from shared.domain.merchant import Source, SourceCredentials
from shared.providers.bigcommerce import BigCommerceApi
from shared.providers.pull import Limit
from shared.providers.shopify import ShopifyApi
from shared.store.api_limits import ApiLimits, Refusal
from shared.store.configuration import SourceStore
from shared.store.jobs import Job, JobStore
from shared.workflows.intake.listed import ListedCheckouts
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.provider_api import ApiClient
from shared.workflows.intake.pull import MOST_HOPS, Puller
from shared.workflows.intake.purchase import purchases_over
from shared.workflows.intake.source_apis import SourceApis
from shared.workflows.intake.sources import SourceDirectory
from tests.integration.shop import MERCHANT, Shop

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
LONGEST_DELAY = timedelta(minutes=15)


class Line:
    """A shop's sources and the queue of what is asked of their providers, in memory; every message is counted.

    Its delays come in whole seconds and end after 15 minutes, as SQS has them.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.waiting: list[tuple[datetime, int, str]] = []
        self.given_up: list[str] = []
        self.handled = Counter[str]()
        self.arrivals: list[datetime] = []
        self.answer = Answer(404)
        self.jobs = JobStore(shop.table)
        self._number = itertools.count()
        purchases = purchases_over(shop.stores)
        merger = Merger(shop.stores.checkouts, purchases)
        client = ApiClient(self.exchange, ApiLimits(shop.table), lambda: shop.now)
        self.puller = Puller(
            apis=SourceApis(SourceDirectory(SourceStore(shop.table), lambda: shop.now), shop.stores.cipher, client),
            merger=merger,
            listed=ListedCheckouts(merger, purchases, shop.stores.checkouts),
            jobs=self.jobs,
            queue=self,  # type: ignore[arg-type]  # stands in for it
            now=lambda: shop.now,
            dice=lambda: 0.5,
        )

    def source(self, provider: str) -> Source:
        source_id = SourceId("src_" + derived_ulid(EPOCH, provider))
        credentials = SourceCredentials(
            secrets=("s" * 24,), api={"access_token": "t", "base_url": "https://api.example"}
        )
        sealed = self.shop.stores.cipher.seal_source(source_id, MERCHANT, credentials)
        source = Source(source_id, MERCHANT, provider, self.shop.now, sealed=sealed)
        SourceStore(self.shop.table).create(source)
        return source

    def job(self, source: Source) -> Job:
        """A backfill whose first page is enqueued."""
        job = Job(
            *(JobId("job_" + derived_ulid(EPOCH, "backfill")), MERCHANT, source.id),
            since=self.shop.now - DAY,
            created_at=self.shop.now,
            updated_at=self.shop.now,
        )
        self.jobs.create(job)
        self.send(PageMessage(job.id, MERCHANT))
        return job

    def contents(self, source: Source, count: int) -> None:
        """So many webhooks pointed to a cart of their own, all at once."""
        for number in range(count):
            wanted = (Wanted("cart", {"cart_id": f"cart-{number}", "store_hash": "ab12cd34ef"}),)
            self.send(ContentMessage(source.id, MERCHANT, wanted, self.shop.now))

    def send(self, message: PullMessage, delay: timedelta = timedelta()) -> None:
        """What the function enqueues lands here."""
        at = self.shop.now + min(max(-(-delay // SECOND) * SECOND, timedelta()), LONGEST_DELAY)
        heapq.heappush(self.waiting, (at, next(self._number), json.dumps(message.as_json())))

    def give_up(self, message: PullMessage, reason: str) -> None:
        """The dead letter queue."""
        self.given_up.append(reason)

    def exchange(self, requests: Sequence[OutboundRequest]) -> list[SendResult]:
        """The provider's side."""
        self.arrivals += [self.shop.now] * len(requests)
        return [SendResult(self.shop.now, self.shop.now, 1, sent=True, answer=self.answer) for _ in requests]

    def play(self, until: datetime | None = None, slow: timedelta = timedelta()) -> None:
        """Work until nothing waits, or until then; ``slow``: how late a message is handled."""
        while self.waiting and (until is None or self.waiting[0][0] <= until):
            at, _, body = heapq.heappop(self.waiting)
            self.shop.clock.move_to(max(at + slow, self.shop.now))
            message = read_message(body)
            subject = f"page {message.page}" if isinstance(message, PageMessage) else str(message.wanted)
            self.handled[subject] += 1
            self.puller.pull(message)


@pytest.fixture
def line(shop: Shop) -> Line:
    return Line(shop)


def busiest(arrivals: list[datetime], span: timedelta) -> int:
    """The most requests in any window of ``span``."""
    return max(sum(first <= own < first + span for own in arrivals) for first in arrivals)


def listed(number: int, *, last: bool) -> Answer:
    """A page of the list, with nothing on it that would take time to store."""
    connection = {"nodes": [], "pageInfo": {"hasNextPage": not last, "endCursor": None if last else f"c{number}"}}
    return Answer(200, {}, json.dumps({"data": {"abandonedCheckouts": connection}}).encode())


@pytest.mark.long
def test_a_backlog_of_contents_comes_back_once_for_each_and_keeps_the_rate(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BigCommerceApi, "limit", Limit(4, SECOND))
    line.contents(line.source("bigcommerce"), 80)
    line.play()

    assert len(line.handled) == 80
    assert max(line.handled.values()) <= 2
    assert busiest(line.arrivals, SECOND) == 4
    assert line.arrivals[-1] - line.arrivals[0] <= 20 * SECOND, "and nearly reaches it"


def test_what_waits_for_hours_comes_back_every_quarter_of_an_hour_and_to_its_place(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BigCommerceApi, "limit", Limit(4, timedelta(hours=1)))
    line.contents(line.source("bigcommerce"), 12)
    line.play()

    assert busiest(line.arrivals, timedelta(minutes=59)) == 4
    assert sorted(line.handled.values()) == [1] * 4 + [5] * 4 + [9] * 4


def test_workers_that_are_always_behind_still_ask(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BigCommerceApi, "limit", Limit(4, SECOND))
    line.contents(line.source("bigcommerce"), 12)
    line.play(slow=MINUTE)

    assert len(line.arrivals) == 12 * 1
    assert max(line.handled.values()) < MOST_HOPS / 2


@pytest.mark.long
def test_a_backfill_of_many_pages_takes_two_messages_a_page_at_most(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ShopifyApi, "limit", Limit(2, SECOND))
    pages = 25
    answers = itertools.count(1)
    job = line.job(line.source("shopify"))
    exchange = line.exchange

    def paged(requests: Sequence[OutboundRequest]) -> list[SendResult]:
        number = next(answers)
        line.answer = listed(number, last=number == pages)
        return exchange(requests)

    monkeypatch.setattr(line.puller._apis._client, "_send_all", paged)
    line.play()

    done = line.jobs.get(job.id)
    assert done is not None
    assert (done.status, done.page) == ("completed", pages)
    assert max(line.handled.values()) <= 2
    assert sum(line.handled.values()) <= 2 * pages
    assert busiest(line.arrivals, SECOND) == 2


@pytest.mark.long
def test_a_provider_that_never_lets_us_in_ends_the_chain(line: Line) -> None:
    """It asks for a pause, again and again, an hour each time."""
    line.answer = Answer(429, {"retry-after": "3600"})
    job = line.job(line.source("shopify"))
    line.contents(line.source("bigcommerce"), 1)
    line.play()

    ended = line.jobs.get(job.id)
    assert ended is not None
    assert (ended.status, ended.reason) == ("failed", "the provider answered 429")
    assert line.given_up == ["the provider answered 429"]
    assert max(line.handled.values()) <= MOST_HOPS


@pytest.fixture
def always_paused(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody always asks for another pause before this one is over."""
    monkeypatch.setattr(ApiLimits, "take", lambda *_: Refusal(line.shop.now + 20 * MINUTE))


@pytest.mark.usefixtures("always_paused")
def test_contents_whose_rate_stays_used_up_are_left_to_a_person_after_two_days(line: Line) -> None:
    began = line.shop.now
    line.contents(line.source("bigcommerce"), 1)
    line.play()

    assert line.given_up == ["the source's rate stayed used up"]
    assert sum(line.handled.values()) <= MOST_HOPS
    assert 2 * DAY <= line.shop.now - began <= 2 * DAY + 20 * MINUTE


@pytest.mark.usefixtures("always_paused")
def test_a_page_whose_rate_stays_used_up_ends_its_job(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_HOPS * LONGEST_DELAY > 2 * DAY
    monkeypatch.setattr("shared.workflows.intake.pull.MOST_HOPS", 20)
    job = line.job(line.source("shopify"))
    line.play()

    ended = line.jobs.get(job.id)
    assert ended is not None
    assert (ended.status, ended.reason) == ("failed", "the source's rate stayed used up")
    assert line.handled == {"page 0": 21}


def test_a_message_that_was_given_up_begins_anew_when_it_is_sent_again(line: Line) -> None:
    tired = ContentMessage(
        *(SourceId("src_1"), MERCHANT, (), line.shop.now), attempts=4, hops=200, place=line.shop.now + MINUTE
    )
    assert read_message(json.dumps(tired.as_json())) == tired
    page = PageMessage(JobId("job_1"), MERCHANT, 3, 7, line.shop.now)
    assert read_message(json.dumps(page.as_json())) == page
    assert "hops" not in PageMessage(JobId("job_1"), MERCHANT).as_json()
