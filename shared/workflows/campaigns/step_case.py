"""What is read for a step before anything is decided: the case."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.aws.queues import StepMessage
from shared.destinations import registry
from shared.domain import planning
from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.checkout import Checkout
from shared.domain.consent import Channel
from shared.domain.episode import Episode
from shared.domain.identity import Identity, IdentityHasher
from shared.domain.ids import DeliveryId, EndpointId, EventId, step_delivery_id, step_event_id
from shared.domain.merchant import Endpoint, Merchant
from shared.domain.settings import Settings
from shared.domain.shopper import Shopper, together
from shared.domain.step_state import EpisodeStep
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore

NOT_DUE = "step_not_due"


@dataclass(frozen=True, slots=True)
class StepCase:
    """Everything that was read for one due step. ``endpoint`` is None where it was deleted meanwhile."""

    episode: Episode
    step: EpisodeStep
    planned: CampaignStep
    campaign: Campaign
    campaign_active: bool
    checkout: Checkout
    merchant: Merchant
    endpoint: Endpoint | None
    records: dict[Identity, ShopperRecord]

    @property
    def reports_back(self) -> bool:
        """Whether the vendor tells later what became of the message."""
        try:
            return self.endpoint is not None and registry.statuses(self.endpoint.kind) is not None
        except registry.UnknownKind:
            return False

    @property
    def settings(self) -> Settings:
        """The merchant's rules."""
        return self.merchant.settings

    @property
    def shopper(self) -> Shopper:
        """What is remembered of the shopper, over all identifiers."""
        return together(own.memory for own in self.records.values())

    @property
    def channel(self) -> Channel | None:
        """What it is sent over: what its kind always uses, else what the step names, else the receiver's choice."""
        own = None if self.endpoint is None else registry.channel(self.endpoint.kind)
        return Channel(own) if own is not None else self.planned.own_channel()

    @property
    def endpoint_id(self) -> EndpointId:
        """Where the step goes."""
        return self.planned.endpoint_id

    @property
    def delivery_id(self) -> DeliveryId:
        """The delivery of this step: the same at every attempt."""
        return step_delivery_id(self.episode.started_at, self.episode.id, self.step.number, self.endpoint_id)

    @property
    def subject(self) -> tuple[int, EndpointId]:
        """Which step it is, and where it goes."""
        return self.step.number, self.endpoint_id

    @property
    def event_id(self) -> EventId:
        """What the receiver knows the step's message by: the same at every attempt."""
        return step_event_id(self.episode.started_at, self.episode.id, self.step.number)


@dataclass(frozen=True, slots=True)
class NothingDue:
    """There is no step to send, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Erased:
    """What the step was about is gone; its episode has nothing to say any more."""

    episode: Episode


class StepCases:
    """Reads cases. One per process."""

    def __init__(
        self,
        *,
        episodes: EpisodeStore,
        campaigns: CampaignStore,
        checkouts: CheckoutStore,
        merchants: MerchantStore,
        endpoints: EndpointStore,
        shoppers: ShopperStore,
        hasher: IdentityHasher,
        now: Callable[[], datetime],
    ) -> None:
        """Share the stores of one process; ``now`` is the clock."""
        self._episodes = episodes
        self._campaigns = campaigns
        self._checkouts = checkouts
        self._merchants = merchants
        self._endpoints = endpoints
        self._shoppers = shoppers
        self._hasher = hasher
        self._now = now

    def read(self, message: StepMessage) -> StepCase | NothingDue | Erased:
        """The due step, or the one whose claim was lost, and all that the gate looks at, read consistently."""
        episode = self.episode(message)
        if episode is None:
            return NothingDue("step_unknown")
        step = planning.due_step(episode, self._now()) if message.lost is None else episode.step(message.lost)
        if step is None or episode.campaign_id is None or episode.newest_checkout is None:
            return NothingDue(NOT_DUE)
        campaign_id = CampaignId(episode.campaign_id)
        campaign = self._campaigns.version(episode.merchant_id, campaign_id, episode.campaign_version)
        told = None if message.lost is None else step.checkout  # its shopper may have left another one since
        checkout = self._checkouts.get(told or episode.newest_checkout)
        merchant = self._merchants.get(episode.merchant_id)
        planned = campaign.step(step.number) if campaign else None
        if campaign is None or checkout is None or merchant is None or planned is None:
            return Erased(episode)
        endpoint = self._endpoints.get(episode.merchant_id, planned.endpoint_id)
        return StepCase(
            episode=episode,
            step=step,
            planned=planned,
            campaign=campaign,
            campaign_active=self._campaigns.is_active(episode.merchant_id, campaign_id),
            checkout=checkout,
            merchant=merchant.value,
            endpoint=endpoint.value if endpoint else None,
            records=self._shoppers.get_many({*episode.identities, *self._shopper_of(checkout)}),
        )

    def episode(self, message: StepMessage) -> Episode | None:
        """The merchant's episode that a message is about, consistently read, or None."""
        found = self._episodes.get(message.episode_id)
        return found if found is not None and found.merchant_id == message.merchant_id else None

    def _shopper_of(self, checkout: Checkout) -> list[Identity]:
        """The checkout's own identifiers: it may have learnt some since its episode was opened."""
        return self._hasher.of_shopper(checkout)
