"""Which code each step of an episode carried, for whoever compares an order's codes with ours."""

from collections.abc import Mapping

from shared.aws.stores import Stores, now
from shared.domain import coupon
from shared.domain.campaign import CampaignId
from shared.domain.episode import Episode
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.coupons import CouponStore
from shared.store.episodes import EpisodeStore
from shared.store.facts import FactStore
from shared.workflows.recovery.facts import FactRecorder


class EpisodeCoupons:
    """The codes of an episode's steps: allocated ones, and the campaign's static ones."""

    def __init__(self, campaigns: CampaignStore, coupons: CouponStore) -> None:
        """Share the stores of one process."""
        self._campaigns = campaigns
        self._coupons = coupons

    def __call__(self, episode: Episode) -> Mapping[int, str]:
        """By step number; a step without a code is absent."""
        if episode.campaign_id is None:
            return {}
        known = self._campaigns.version(episode.merchant_id, CampaignId(episode.campaign_id), episode.campaign_version)
        if known is None:
            return {}
        given = {own.step: own.code for own in self._coupons.allocations(episode.id)}
        codes: dict[int, str] = {}
        for number, step in enumerate(known.steps, start=1):
            rule = coupon.rule_of(number, step.coupon, known.coupon)
            if rule is None:
                continue
            earlier = [code for own, code in sorted(given.items()) if own <= number]
            code = rule.code if rule.type == "static" else (earlier[-1] if earlier else None)
            if code is not None:
                codes[number] = code
        return codes


def fact_recorder_over(stores: Stores) -> FactRecorder:
    """What records facts over a process's stores, and knows the codes that steps carried."""
    table = stores.table
    coupons_of = EpisodeCoupons(CampaignStore(table), CouponStore(table))
    return FactRecorder(FactStore(table), EpisodeStore(table), ActivityStore(table), now, coupons_of)
