"""A run of a scheduled campaign: pages through the merchant's open and abandoned checkouts and starts episodes.

An open checkout first becomes abandoned, through the same transition as at its deadline. A run goes on where it was
left, after a crash or when its time is up; each checkout is claimed once per run.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from shared.aws.campaign_queue import CampaignQueue, RunMessage
from shared.aws.faults import code_of, is_temporary
from shared.aws.set_aside import count_set_aside
from shared.domain.campaign import Campaign
from shared.domain.checkout import Checkout
from shared.domain.deadline import bought_elsewhere
from shared.domain.merchant import Merchant
from shared.store.campaign_runs import Run, RunStore
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import StaleVersion
from shared.store.configuration import MerchantStore
from shared.workflows.campaigns.run_page import RunPages, Taken
from shared.workflows.campaigns.schedules import CampaignSchedules

LEASE = timedelta(minutes=3)
"""Longer than the function may run: a lease that has run out has no worker."""
MOST_HOPS = 500
"""Messages of one run, of a minute and a half each: one that is longer ends, and its row says so."""
DEFECT = "defect"
_THREADS = 8


class StartsEpisodes(Protocol):
    """What starts an episode for an abandoned checkout."""

    def start_episode(self, checkout: Checkout, campaign: Campaign, now: datetime) -> str:
        """Start it, its steps counted from ``now``; answers a word for what came of it. A repeat changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a message: ``finished``, ``goes_on``, or why there is no run; and the checkouts by outcome."""

    outcome: str
    counts: dict[str, int] = field(default_factory=dict)


class CampaignRunner:
    """Runs scheduled campaigns. One per process."""

    def __init__(
        self,
        *,
        campaigns: CampaignStore,
        merchants: MerchantStore,
        pages: RunPages,
        runs: RunStore,
        schedules: CampaignSchedules,
        starter: StartsEpisodes,
        queue: CampaignQueue,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process."""
        self._campaigns = campaigns
        self._merchants = merchants
        self._pages = pages
        self._runs = runs
        self._schedules = schedules
        self._starter = starter
        self._queue = queue
        self._now = now

    def run(self, message: RunMessage, out_of_time: Callable[[], bool] = lambda: False) -> Ran:
        """Do one message's share of a run; more of it is enqueued. Raises RunTaken, and what the stores raise."""
        found = self._campaigns.get(message.merchant_id, message.campaign_id)
        if message.revision is not None and (found is None or found.version != message.revision):
            # The schedule is not the campaign's any more: an orphan ends here.
            self._schedules.settle(message.merchant_id, message.campaign_id)
        merchant = self._merchants.get(message.merchant_id)
        if found is None or merchant is None or found.value.trigger.type != "schedule":
            return Ran("no_such_campaign")
        if not found.value.active:
            return Ran("campaign_paused")
        run = self._runs.begin(message.merchant_id, message.campaign_id, message.fired_at, self._now(), LEASE)
        if run is None:
            return Ran("finished_before")
        return self._through(run, found.value, merchant.value, message, out_of_time)

    def _through(
        self, run: Run, campaign: Campaign, merchant: Merchant, message: RunMessage, out_of_time: Callable[[], bool]
    ) -> Ran:
        """Page after page, until the list or the time is over."""
        while True:
            page = self._pages.read(campaign, merchant, run.fired_at, run.cursor)
            self._page(run, campaign, merchant, page.taken)
            if page.ends_at is None:
                self._runs.save(run, finished="finished")
                return Ran("finished", run.counts)
            run.cursor = page.ends_at
            if not self._campaigns.is_active(campaign.merchant_id, campaign.id):
                self._runs.save(run, finished="campaign_paused")
                return Ran("campaign_paused", run.counts)
            if out_of_time():
                if message.hops >= MOST_HOPS:
                    self._runs.save(run, finished="too_long")
                    count_set_aside("rest of a campaign's run", "too_long", campaign.id)
                    return Ran("too_long", run.counts)
                self._runs.save(run, release=True)
                following = RunMessage(
                    message.merchant_id, message.campaign_id, message.fired_at, hops=message.hops + 1
                )
                self._queue.send(following)
                return Ran("goes_on", run.counts)
            self._runs.save(run)

    def _page(self, run: Run, campaign: Campaign, merchant: Merchant, taken: Sequence[Taken]) -> None:
        """Start what the campaign takes of one page. Raises a temporary failure after the rest of the page."""

        def start(own: Taken) -> str | Exception:
            try:
                return self._start(run, campaign, merchant, own)
            except Exception as failure:  # noqa: BLE001 - one checkout must not stop the run; the count shows it
                return failure if is_temporary(failure) else f"{DEFECT}:{code_of(failure)}"

        with ThreadPoolExecutor(_THREADS) as threads:
            outcomes = list(threads.map(start, taken))
        failures = [own for own in outcomes if isinstance(own, Exception)]
        if failures:
            raise failures[0]
        for outcome in outcomes:
            run.count(str(outcome))

    def _start(self, run: Run, campaign: Campaign, merchant: Merchant, taken: Taken) -> str:
        now = self._now()
        if not self._runs.claim(run, taken.checkout.digest, now):
            return "done_before"
        outcome = self._started(campaign, merchant, taken, now)
        self._runs.done(run, taken.checkout.digest)
        return outcome

    def _started(self, campaign: Campaign, merchant: Merchant, taken: Taken, now: datetime) -> str:
        if not taken.shopper:
            return "no_contact"
        if any(bought_elsewhere(taken.checkout, own.purchased_at) for own in taken.shopper):
            return "purchased"
        try:
            abandoned = self._pages.abandoned(taken.checkout, merchant, now)
        except StaleVersion:
            return "shopper_active"
        return self._starter.start_episode(abandoned, campaign, now)
