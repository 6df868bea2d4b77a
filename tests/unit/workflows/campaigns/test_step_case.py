"""What is read for a step, and when there is nothing to read it for."""

from dataclasses import replace

import pytest

from shared.aws.queues import StepMessage
from shared.aws.stores import now
from shared.domain.consent import Channel
from shared.domain.ids import EpisodeId, MerchantId
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore
from shared.store.writes import Delete
from shared.workflows.campaigns.step_case import Erased, NothingDue
from tests.unit.workflows.campaigns.due_steps import VISIBILITY, DueSteps


def test_everything_the_gate_looks_at_is_there(stage: DueSteps) -> None:
    own = stage.due()
    case = stage.case(own)
    assert (case.episode, case.step) == (stage.episode(own), stage.step(own))
    assert (case.campaign.id, case.planned, case.campaign_active) == (own.campaign.id, own.campaign.steps[0], True)
    assert (case.checkout.digest, case.merchant) == (own.checkout.digest, own.merchant)
    assert case.endpoint == own.endpoint
    assert set(case.records) == set(own.identities)
    assert case.delivery_id == stage.case(own).delivery_id


def test_another_merchants_message_about_it_says_nothing(stage: DueSteps) -> None:
    own = stage.due()
    cases = stage.sender._cases
    assert cases.read(StepMessage(own.message.episode_id, MerchantId("mer_other"))) == NothingDue("step_unknown")
    assert cases.read(StepMessage(EpisodeId("epi_none"), own.merchant.id)) == NothingDue("step_unknown")


def test_a_claimed_step_is_nobodys_to_read(stage: DueSteps) -> None:
    own = stage.due()
    stage.claim(own)
    assert stage.sender._cases.read(own.message) == NothingDue("step_not_due")


def test_a_step_is_not_due_before_its_time(stage: DueSteps) -> None:
    own = stage.due()
    stage.wait(-VISIBILITY)
    assert stage.sender._cases.read(own.message) == NothingDue("step_not_due")


def test_without_its_checkout_the_episode_has_nothing_to_say(stage: DueSteps) -> None:
    own = stage.due()
    stage.table.delete(Delete((f"C#{own.checkout.digest}", "C")))
    assert stage.sender._cases.read(own.message) == Erased(stage.episode(own))


def test_a_deleted_endpoint_and_a_paused_campaign_are_part_of_the_case(stage: DueSteps) -> None:
    own = stage.due()
    EndpointStore(stage.table).delete(own.merchant.id, own.endpoint.id)
    campaigns = CampaignStore(stage.table)
    found = campaigns.get(own.merchant.id, own.campaign.id)
    assert found is not None
    campaigns.restate(found, "paused", now())
    case = stage.case(own)
    assert (case.endpoint, case.campaign_active) == (None, False)


def test_identifiers_the_checkout_learnt_later_are_read_too(stage: DueSteps) -> None:
    own = stage.due()
    learnt = replace(
        own.checkout, leaves={**own.checkout.leaves, "customer.id": "c-1"}, version=own.checkout.version + 1
    )
    stage.stores.checkouts.replace(own.checkout, learnt, None, own.merchant.settings)
    case = stage.case(own)
    assert len(case.records) == len(own.identities) + 1
    assert set(case.episode.identities) == set(own.identities)


@pytest.mark.parametrize(("kind", "channel"), [("webhook", None), ("interakt_event", Channel.WHATSAPP)])
def test_the_channel_is_the_kinds_where_it_has_one(stage: DueSteps, kind: str, channel: Channel | None) -> None:
    assert stage.case(stage.due(kind=kind)).channel is channel
