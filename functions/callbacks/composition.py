"""What the callbacks function is made of, once per process."""

import contextlib
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.destinations.status import Status
from shared.domain.checkout import Checkout
from shared.domain.identity import Identity
from shared.domain.ids import EpisodeId
from shared.domain.suppression import EndReason
from shared.store.activities import ActivityStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.deliveries import DeliveryRecord
from shared.store.early_reports import EarlyReportStore
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.store.shoppers import ShopperStore
from shared.store.table import ConditionFailed
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.campaigns.suppress import Suppressions
from shared.workflows.delivering.report_subjects import ReportingEndpoints, ReportSubjects
from shared.workflows.delivering.status_reports import StatusReports
from shared.workflows.recovery.facts import FACTS_OF, FactRecorder

if TYPE_CHECKING:
    from shared.delivery.send_pool import SendPool

_CONFIRMED_WITHIN = timedelta(seconds=5)


class EpisodesHear:
    """A step's delivered and read messages are counted; a reply ends the episode: a person is answering now.

    One that quotes no message of ours is an answer where the shopper's open episode has sent one.
    """

    def __init__(self, stores: Stores) -> None:
        """Over the stores of the process."""
        table = stores.table
        self._table = table
        self._episodes = EpisodeStore(table)
        self._merchants = MerchantStore(table)
        self._facts = FactRecorder(FactStore(table), self._episodes, ActivityStore(table), now)

    def reported(self, delivery: DeliveryRecord, checkout: Checkout | None, status: Status, at: datetime) -> None:
        """Hear of a report about a campaign step."""
        if delivery.episode_id is None or delivery.step is None:
            return
        episode_id = EpisodeId(delivery.episode_id)
        if status is Status.REPLIED:
            self._end(episode_id)
        kind = FACTS_OF.get(status)
        episode = self._episodes.get(episode_id) if kind is not None else None
        merchant = self._merchants.get(delivery.merchant_id) if episode is not None else None
        if kind is None or episode is None or merchant is None or checkout is None:
            return
        self._facts.reported(kind, episode, delivery.step, checkout, merchant.value, delivery.endpoint_id, at)

    def replied(self, who: Identity) -> None:
        """Hear of a shopper's message that quotes none of ours."""
        record = ShopperStore(self._table).get_many([who])[who]
        episode = None if record.episode_id is None else self._episodes.get(record.episode_id)
        if episode is not None and any(own.state.counts_as_sent for own in episode.steps):
            self._end(episode.id)

    def _end(self, episode_id: EpisodeId) -> None:
        with contextlib.suppress(ConditionFailed):  # it has ended already
            self._table.update(EpisodeStore.ended(episode_id, EndReason.REPLIED, now()))


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


def public_url() -> str:
    """What public addresses begin with: some vendors sign the whole address."""
    return _stores().environment.public_url


@cache
def _pool() -> "SendPool":
    from shared.delivery.send_pool import SendPool  # a request in ten thousand needs it

    environment = _stores().environment
    return SendPool(allow_loopback=environment.local, own=environment.own_address)


def _confirm(address: str) -> None:
    """Call a vendor's address. Raises VendorUnavailable unless it answers 2xx: the vendor asks again."""
    from shared.delivery.exchange import OutboundRequest

    (result,) = _pool().send_all([OutboundRequest(address, method="GET", timeout=_CONFIRMED_WITHIN)])
    if result.answer is None or not 200 <= result.answer.status_code < 300:
        raise VendorUnavailable


class VendorUnavailable(Exception):
    """A vendor did not answer the call it asked for."""


@cache
def status_reports() -> StatusReports:
    """Vendors' reports."""
    stores = _stores()
    table = stores.table
    return StatusReports(
        endpoints=ReportingEndpoints(EndpointStore(table), stores.cipher),
        subjects=ReportSubjects(
            stores.deliveries, VendorMessageStore(table), EarlyReportStore(table), stores.checkouts, stores.hasher
        ),
        deliveries=stores.deliveries,
        activities=ActivityStore(table),
        suppressions=Suppressions(table, ShopperStore(table), EpisodeStore(table), now),
        hears=EpisodesHear(stores),
        confirm=_confirm,
        now=now,
    )
