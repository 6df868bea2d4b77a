"""A run of a scheduled campaign: pages through the merchant's open and abandoned checkouts and starts episodes.

An open checkout first becomes abandoned, through the same transition as at its deadline. A run goes on where it was
left, after a crash or when its time is up; each checkout is claimed once per run.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.campaign_queue import CampaignQueue, RunMessage
from shared.domain import criteria
from shared.domain.campaign import Campaign
from shared.domain.cart import worth_recovering
from shared.domain.checkout import Checkout, Status
from shared.domain.deadline import bought_elsewhere, given_up
from shared.domain.identity import SHOPPER_KINDS, Identity, IdentityHasher
from shared.domain.merchant import Merchant
from shared.domain.simulation import may_run_over
from shared.domain.transitions import Mark
from shared.store import keys
from shared.store.campaign_runs import Run, RunStore
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import CheckoutStore, StaleVersion
from shared.store.configuration import MerchantStore
from shared.store.listing import CheckoutListing
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.store.table import StoreUnavailable
from shared.workflows.campaigns.schedules import CampaignSchedules
from shared.workflows.insight.checkout_search import belongs

LEASE = timedelta(minutes=3)
"""Longer than the function may run: a lease that has run out has no worker."""
TEMPORARY = (StoreUnavailable, ClientError, BotoCoreError)
DEFECT = "defect"
_PAGE = 50
_THREADS = 8
_TAKEN = (Status.OPEN, Status.ABANDONED)


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
        checkouts: CheckoutStore,
        shoppers: ShopperStore,
        listing: CheckoutListing,
        runs: RunStore,
        schedules: CampaignSchedules,
        starter: StartsEpisodes,
        queue: CampaignQueue,
        hasher: IdentityHasher,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process."""
        self._campaigns = campaigns
        self._merchants = merchants
        self._checkouts = checkouts
        self._shoppers = shoppers
        self._listing = listing
        self._runs = runs
        self._schedules = schedules
        self._starter = starter
        self._queue = queue
        self._hasher = hasher
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
        return self._pages(run, found.value, merchant.value, message, out_of_time)

    def _pages(
        self, run: Run, campaign: Campaign, merchant: Merchant, message: RunMessage, out_of_time: Callable[[], bool]
    ) -> Ran:
        partitions = [
            keys.list_partition(merchant.id, status, shard)
            for status in _TAKEN
            for shard in range(max(merchant.settings.list_shards, 1))
        ]
        since, before = _bounds(campaign, run.fired_at)
        while True:
            listed = self._listing.newest(partitions, since, before, below=run.cursor, limit=_PAGE)
            self._page(run, campaign, merchant, [own.digest for own in listed])
            if len(listed) < _PAGE:
                self._runs.save(run, finished="finished")
                return Ran("finished", run.counts)
            run.cursor = listed[-1].place
            if not self._campaigns.is_active(campaign.merchant_id, campaign.id):
                self._runs.save(run, finished="campaign_paused")
                return Ran("campaign_paused", run.counts)
            if out_of_time():
                self._runs.save(run, release=True)
                self._queue.send(RunMessage(message.merchant_id, message.campaign_id, message.fired_at))
                return Ran("goes_on", run.counts)
            self._runs.save(run)

    def _page(self, run: Run, campaign: Campaign, merchant: Merchant, digests: Sequence[str]) -> None:
        """Start what the campaign takes of one page. Raises a temporary failure after the rest of the page."""
        rules = campaign.rules()
        at = run.fired_at
        found = self._checkouts.get_many(digests).values()
        wanted = [
            own
            for own in found
            if belongs(own, merchant, at)
            and own.status in _TAKEN
            and worth_recovering(own.cart)
            and may_run_over(campaign, own, at)
            and criteria.matches(rules, own, at)
        ]
        shoppers = {own.digest: self._shopper_of(own) for own in wanted}
        records = self._shoppers.get_many(one for several in shoppers.values() for one in several)

        def start(checkout: Checkout) -> str | Exception:
            try:
                return self._start(
                    run, campaign, merchant, checkout, [records[one] for one in shoppers[checkout.digest]]
                )
            except TEMPORARY as failure:
                return failure
            except Exception as defect:  # noqa: BLE001 - one checkout must not stop the run; the count shows it
                return f"{DEFECT}:{type(defect).__name__}"

        with ThreadPoolExecutor(_THREADS) as threads:
            outcomes = list(threads.map(start, wanted))
        failures = [own for own in outcomes if isinstance(own, Exception)]
        if failures:
            raise failures[0]
        for outcome in outcomes:
            run.count(str(outcome))

    def _start(
        self, run: Run, campaign: Campaign, merchant: Merchant, checkout: Checkout, shopper: Sequence[ShopperRecord]
    ) -> str:
        now = self._now()
        if not self._runs.claim(run, checkout.digest, now):
            return "done_before"
        outcome = self._started(campaign, merchant, checkout, shopper, now)
        self._runs.done(run, checkout.digest)
        return outcome

    def _started(
        self,
        campaign: Campaign,
        merchant: Merchant,
        checkout: Checkout,
        shopper: Sequence[ShopperRecord],
        now: datetime,
    ) -> str:
        if not shopper:
            return "no_contact"
        if any(bought_elsewhere(checkout, own.purchased_at) for own in shopper):
            return "purchased"
        if checkout.status is Status.OPEN:
            abandoned = given_up(checkout, now, merchant.settings)
            try:
                self._checkouts.replace(checkout, abandoned, Mark.ABANDONED, merchant.settings)
            except StaleVersion:
                return "shopper_active"
            checkout = abandoned
        return self._starter.start_episode(checkout, campaign, now)

    def _shopper_of(self, checkout: Checkout) -> list[Identity]:
        return [one for kind, one in self._hasher.of_checkout(checkout).items() if kind in SHOPPER_KINDS]


def _bounds(campaign: Campaign, fired_at: datetime) -> tuple[datetime | None, datetime | None]:
    """The activity that a run at ``fired_at`` looks at; the list is read a little wider and filtered exactly."""
    window = campaign.trigger.window
    if window is None:
        return None, None
    since = None if window.modified_after is None else fired_at - window.modified_after
    before = None if window.modified_before is None else fired_at - window.modified_before + timedelta(seconds=1)
    return since, before
