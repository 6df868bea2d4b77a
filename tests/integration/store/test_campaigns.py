"""Campaigns in the table: versions that never change, one row as it is now, notes about schedules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.campaign import Campaign, CampaignId, CampaignStep, Limits, Trigger, Window
from shared.domain.coupon import CouponRule
from shared.domain.ids import EndpointId, MerchantId
from shared.store.campaigns import CampaignStore
from shared.store.configuration import VersionConflict, Versioned
from shared.store.table import Table

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SHOP = MerchantId("mer_a")
SCHEDULE = Trigger("schedule", "rate(1 hour)", "Asia/Kolkata", Window(timedelta(days=1), timedelta(hours=1)))


@pytest.fixture
def campaigns(table: Table) -> CampaignStore:
    """The store on an empty table."""
    return CampaignStore(table)


def a_campaign(**changes: Any) -> Campaign:
    """A campaign that uses every field there is."""
    steps = (
        CampaignStep(timedelta(hours=1), EndpointId("ep_1"), {"name": "hello", "parts": [1, 2.5, True, None]}),
        CampaignStep(
            timedelta(days=1), EndpointId("ep_2"), coupon=CouponRule("static", code="BACK10"), channel="whatsapp"
        ),
    )
    campaign = Campaign(
        id=CampaignId("cmp_1"),
        merchant_id=SHOP,
        version=1,
        name="Come back",
        created_at=NOW,
        criteria={"all": [{"field": "total", "op": "gte", "value": "500.00"}, {"not": {"any": []}}]},
        steps=steps,
        limits=Limits(2),
        coupon=CouponRule("pool", pool_id="pool_1"),
        activated_at=NOW,
    )
    return replace(campaign, **changes)


def stored(campaigns: CampaignStore, campaign: Campaign) -> Versioned[Campaign]:
    """The campaign, written and read back."""
    campaigns.create(campaign)
    found = campaigns.get(campaign.merchant_id, campaign.id)
    assert found is not None
    return found


@pytest.mark.parametrize("trigger", [Trigger(), SCHEDULE])
def test_a_campaign_comes_back_as_it_was_written(campaigns: CampaignStore, trigger: Trigger) -> None:
    campaign = a_campaign(trigger=trigger)
    assert stored(campaigns, campaign) == Versioned(campaign, 1)
    assert campaigns.version(SHOP, campaign.id, 1) == campaign


def test_an_edit_makes_a_version_and_leaves_the_older_one(campaigns: CampaignStore) -> None:
    before = stored(campaigns, a_campaign())
    after = campaigns.revise(before, replace(before.value, name="Come back soon"))
    assert (after.value.version, after.version) == (2, 2)
    assert campaigns.get(SHOP, before.value.id) == after
    assert campaigns.version(SHOP, before.value.id, 1) == before.value
    assert campaigns.version(SHOP, before.value.id, 2) == after.value


def test_pausing_acts_at_once_and_makes_no_version(campaigns: CampaignStore) -> None:
    before = stored(campaigns, a_campaign())
    paused = campaigns.restate(before, "paused", NOW)
    assert (paused.value.version, paused.version) == (1, 2)
    assert not campaigns.is_active(SHOP, before.value.id)
    assert campaigns.active(SHOP) == []
    resumed = campaigns.restate(paused, "active", NOW + timedelta(days=1))
    assert campaigns.is_active(SHOP, before.value.id)
    assert resumed.value.activated_at == NOW


def test_the_first_activation_is_remembered(campaigns: CampaignStore) -> None:
    draft = stored(campaigns, a_campaign(status="paused", activated_at=None))
    assert campaigns.restate(draft, "active", NOW + timedelta(days=1)).value.activated_at == NOW + timedelta(days=1)


def test_of_two_edits_at_once_one_wins(campaigns: CampaignStore) -> None:
    before = stored(campaigns, a_campaign())
    campaigns.revise(before, replace(before.value, name="first"))
    with pytest.raises(VersionConflict):
        campaigns.revise(before, replace(before.value, name="second"))
    with pytest.raises(VersionConflict):
        campaigns.restate(before, "paused", NOW)
    with pytest.raises(VersionConflict):
        campaigns.delete(before)


def test_a_deleted_campaign_is_gone_but_its_versions_stay_for_open_episodes(campaigns: CampaignStore) -> None:
    before = stored(campaigns, a_campaign())
    campaigns.delete(before)
    assert campaigns.get(SHOP, before.value.id) is None
    assert not campaigns.is_active(SHOP, before.value.id)
    assert campaigns.listed(SHOP) == []
    assert campaigns.version(SHOP, before.value.id, 1) == before.value


def test_active_names_only_the_own_newest_versions_that_abandonments_start(campaigns: CampaignStore) -> None:
    own = stored(campaigns, a_campaign())
    newest = campaigns.revise(own, replace(own.value, priority=5))
    campaigns.create(a_campaign(id=CampaignId("cmp_2"), trigger=SCHEDULE))
    campaigns.create(a_campaign(id=CampaignId("cmp_3"), status="paused"))
    campaigns.create(a_campaign(id=CampaignId("cmp_4"), merchant_id=MerchantId("mer_b")))
    assert campaigns.active(SHOP) == [newest.value]
    assert campaigns.get(SHOP, CampaignId("cmp_4")) is None


def test_a_write_that_concerns_a_schedule_leaves_a_note_until_it_is_settled(campaigns: CampaignStore) -> None:
    campaigns.create(a_campaign(id=CampaignId("cmp_quiet")))
    first = stored(campaigns, a_campaign(trigger=SCHEDULE))
    assert campaigns.unsettled() == [(SHOP, CampaignId("cmp_1"))]
    campaigns.settled(SHOP, CampaignId("cmp_1"), 1)
    assert campaigns.unsettled() == []
    second = campaigns.restate(first, "paused", NOW)
    campaigns.settled(SHOP, CampaignId("cmp_1"), 1)
    assert campaigns.unsettled() == [(SHOP, CampaignId("cmp_1"))], "the note of a later write stays"
    campaigns.settled(SHOP, CampaignId("cmp_1"), 2)
    third = campaigns.revise(second, replace(second.value, trigger=Trigger()))
    assert campaigns.unsettled() == [(SHOP, CampaignId("cmp_1"))], "a trigger that is no schedule any more"
    campaigns.settled(SHOP, CampaignId("cmp_1"), None)
    campaigns.delete(third)
    assert campaigns.unsettled() == []
