"""Preview: a campaign played over the merchant's stored checkouts, page by page; nothing is sent or written."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.destinations import registry
from shared.domain import criteria
from shared.domain.campaign import Campaign, CampaignStep
from shared.domain.checkout import Checkout
from shared.domain.consent import Channel
from shared.domain.coupon import CouponRule
from shared.domain.episode import Episode, EpisodeStatus
from shared.domain.identity import IdentityHasher
from shared.domain.ids import EndpointId, EpisodeId
from shared.domain.merchant import Endpoint, Merchant
from shared.domain.shopper import together
from shared.domain.simulation import (
    ENDPOINT_DELETED,
    ENDPOINT_DISABLED,
    Setting,
    Simulated,
    StepTarget,
    simulate,
)
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore
from shared.store.coupons import CouponStore
from shared.store.episodes import EpisodeStore
from shared.store.shoppers import ShopperRecord, ShopperStore
from shared.workflows.insight.checkout_search import CheckoutQuery, CheckoutSearch


@dataclass(frozen=True, slots=True)
class PreviewPage:
    """What would have become of some checkouts, and the place after which the next page begins."""

    simulated: list[Simulated]
    after: str | None


class CampaignPreview:
    """Plays campaigns over stored checkouts."""

    def __init__(
        self,
        search: CheckoutSearch,
        shoppers: ShopperStore,
        endpoints: EndpointStore,
        coupons: CouponStore,
        campaigns: CampaignStore,
        episodes: EpisodeStore,
        hasher: IdentityHasher,
    ) -> None:
        """Share the stores of one process."""
        self._search = search
        self._shoppers = shoppers
        self._endpoints = endpoints
        self._coupons = coupons
        self._campaigns = campaigns
        self._episodes = episodes
        self._hasher = hasher

    def page(
        self, campaign: Campaign, merchant: Merchant, now: datetime, *, days: int, limit: int, after: str | None
    ) -> PreviewPage:
        """One page of the checkouts that were active in the last ``days``, newest first."""
        query = CheckoutQuery(updated_since=now - timedelta(days=days))
        kept, place = self._search.find(merchant, query, now, limit=limit, after=after)
        found = [own for own in kept if not own.sample]
        identities = {own.digest: self._hasher.of_shopper(own) for own in found}
        records = self._shoppers.get_readable(one for several in identities.values() for one in several)
        held = {own.digest: self._held(own, (records.get(one) for one in identities[own.digest])) for own in found}
        episodes = self._episodes.get_readable(one for several in held.values() for one in several)
        open_ones = {digest: _open_of(episodes, several) for digest, several in held.items()}
        setting = self._setting(campaign, merchant, now, lambda own: open_ones[own.digest])
        simulated = []
        for checkout in found:
            own = identities[checkout.digest]
            if any(one not in records for one in own):
                continue
            shopper = together(records[one].memory for one in own)
            simulated.append(simulate(campaign, checkout, own, shopper, setting))
        return PreviewPage(simulated, place)

    @staticmethod
    def _held(checkout: Checkout, records: Iterable[ShopperRecord | None]) -> set[EpisodeId]:
        """The episodes that the checkout or its shopper's identifiers name."""
        named = {own.episode_id for own in records if own is not None and own.episode_id is not None}
        return named if checkout.episode_id is None else {*named, EpisodeId(checkout.episode_id)}

    def _setting(
        self, campaign: Campaign, merchant: Merchant, now: datetime, open_episode: Callable[[Checkout], Episode | None]
    ) -> Setting:
        endpoints = self._endpoints.named(merchant.id, (own.endpoint_id for own in campaign.steps))
        targets = {own.endpoint_id: _target(endpoints.get(own.endpoint_id)) for own in campaign.steps}
        left = {own.id: own.left for own in self._coupons.listed(merchant.id)}

        def target(step: CampaignStep) -> StepTarget:
            own = targets[EndpointId(step.endpoint_id)]
            return own if own.channel is not None else StepTarget(step.own_channel(), own.filter, own.refused)

        def has_code(rule: CouponRule) -> bool:
            # How many codes a pool would have had left at the time is not known: one left now is enough.
            return rule.type != "pool" or any(own == rule.pool_id and count > 0 for own, count in left.items())

        campaigns = {own.value.id: own.value for own in self._campaigns.listed(merchant.id)}
        return Setting(merchant, target, has_code, now, campaigns, open_episode)


def _open_of(episodes: Mapping[EpisodeId, Episode], named: Iterable[EpisodeId]) -> Episode | None:
    """The oldest of the named episodes that is open."""
    found = (episodes[own] for own in named if own in episodes)
    return min((own for own in found if own.status is not EpisodeStatus.ENDED), key=lambda own: own.id, default=None)


def _target(endpoint: Endpoint | None) -> StepTarget:
    if endpoint is None:
        return StepTarget(refused=ENDPOINT_DELETED)
    rules, problems = criteria.parse(dict(endpoint.settings.get("filter") or {}))
    channel = registry.channel(endpoint.kind)
    return StepTarget(
        channel=None if channel is None else Channel(channel),
        filter=criteria.EVERYTHING if problems else rules,
        refused=None if endpoint.active else ENDPOINT_DISABLED,
    )
