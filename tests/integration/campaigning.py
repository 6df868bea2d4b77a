"""A campaign of the shop's, whose message nothing but time holds back."""

from dataclasses import replace
from datetime import timedelta

from shared.domain.campaign import Campaign, CampaignId, CampaignStep
from shared.domain.ids import EndpointId
from shared.domain.settings import Settings
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore
from tests.integration.shop import MERCHANT, Shop


def an_hour_after(shop: Shop, endpoint_id: EndpointId) -> None:
    """A message by this endpoint, an hour after each abandonment."""
    merchants = MerchantStore(shop.table)
    stored = merchants.get(MERCHANT)
    assert stored is not None
    settings = Settings(quiet_hours=None, consent="unknown_allowed", holdout_percent=0)
    merchants.replace(replace(stored.value, settings=settings), stored.version)
    made = Campaign(
        id=CampaignId("cmp_1"),
        merchant_id=MERCHANT,
        version=1,
        name="Come back",
        created_at=shop.now,
        steps=(CampaignStep(timedelta(hours=1), endpoint_id),),
        activated_at=shop.now,
    )
    CampaignStore(shop.table).create(made)
