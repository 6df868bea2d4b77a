"""After a restore every campaign's schedule is made what the campaign says, note or no note."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

import functions.campaign.handler as campaign_function
from functions.campaign import composition
from infra.operations.reconcile_schedules import reconcile
from shared.aws import clients
from shared.aws.schedules import CampaignSchedule, EventBridgeSchedules, ScheduleRefused
from shared.domain.campaign import Campaign, CampaignId, CampaignStep, Trigger, Window
from shared.domain.ids import MerchantId, TokenId
from shared.store.campaigns import CampaignStore
from shared.store.configuration import MerchantStore, TokenRecord
from tests.integration.conftest import Stage
from tests.integration.shop import MERCHANT, Invocation, Shop

NEW_ROLE, NEW_QUEUE = "arn:aws:iam::123456789012:role/made-anew", "arn:aws:sqs:ap-south-1:123456789012:made-anew"


@pytest.fixture(autouse=True)
def _deployed(shop: Shop, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The campaign function of a service stack that was made anew: other queue, other role."""
    monkeypatch.setenv("SCHEDULE_GROUP", stage.schedule_group)
    monkeypatch.setenv("SCHEDULER_ROLE_ARN", NEW_ROLE)
    monkeypatch.setenv("CAMPAIGN_RUNS_QUEUE_ARN", NEW_QUEUE)
    monkeypatch.setenv("CAMPAIGN_RUNS_QUEUE_URL", stage.campaign_runs_url)
    made = (composition._stores, composition.schedules, composition.reconciliation)
    for cached in made:
        cached.cache_clear()
    yield
    for cached in made:
        cached.cache_clear()


def campaign(shop: Shop, number: int, *, merchant: MerchantId = MERCHANT, expression: str = "rate(1 hour)") -> str:
    """A scheduled campaign that stands in the table without a note, as after a restore."""
    made = Campaign(
        id=CampaignId(f"cmp_{number}"),
        merchant_id=merchant,
        version=1,
        name="Hourly",
        created_at=shop.now,
        trigger=Trigger("schedule", expression, None, Window()),
        criteria={},
        steps=(CampaignStep(shop.merchant.settings.min_step_gap, shop.endpoint().id),),
        activated_at=shop.now,
    )
    store = CampaignStore(shop.table)
    store.create(made)
    store.settled(merchant, made.id, 1)
    return f"{merchant}-{made.id}"


def schedules(stage: Stage) -> dict[str, Mapping[str, Any]]:
    client = clients.scheduler()
    names = [own["Name"] for own in client.list_schedules(GroupName=stage.schedule_group)["Schedules"]]
    return {name: client.get_schedule(Name=name, GroupName=stage.schedule_group) for name in names}


def ask(event: Mapping[str, Any]) -> Any:
    return campaign_function.handler(dict(event), Invocation())


class Hurried:
    """A Lambda context with time for so many merchants."""

    def __init__(self, merchants: int) -> None:
        self._left = merchants

    def get_remaining_time_in_millis(self) -> int:
        self._left -= 1
        return 60_000 if self._left >= 0 else 1_000


def other_merchants(shop: Shop, count: int) -> list[MerchantId]:
    found = []
    for number in range(count):
        merchant_id = MerchantId(f"mer_other{number:02d}")
        token = TokenRecord(TokenId(f"tok_{number}"), merchant_id, f"hash-{number}", shop.now)
        MerchantStore(shop.table).create(replace(shop.merchant, id=merchant_id), token)
        found.append(merchant_id)
    return found


def test_what_was_restored_has_its_schedule_again(shop: Shop, stage: Stage) -> None:
    name = campaign(shop, 1)
    assert schedules(stage) == {}

    assert reconcile(ask) == (1, [])

    assert schedules(stage)[name]["ScheduleExpression"] == "rate(1 hour)"


def test_schedules_that_outlived_the_service_stack_lead_to_the_new_queue(shop: Shop, stage: Stage) -> None:
    name = campaign(shop, 1)
    clients.scheduler().create_schedule(
        Name=name,
        GroupName=stage.schedule_group,
        ScheduleExpression="rate(5 days)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:sqs:ap-south-1:123456789012:gone", "RoleArn": "arn:aws:iam::123456789012:role/gone"},
    )

    assert reconcile(ask) == (1, [])

    made = schedules(stage)[name]
    assert made["ScheduleExpression"] == "rate(1 hour)"
    assert (made["Target"]["Arn"], made["Target"]["RoleArn"]) == (NEW_QUEUE, NEW_ROLE)


@pytest.mark.long
def test_of_every_merchant_however_many_and_however_often_the_time_runs_out(shop: Shop, stage: Stage) -> None:
    names = {campaign(shop, number, merchant=own) for number, own in enumerate(other_merchants(shop, 30))}
    answers: list[Any] = []

    def ask_hurried(event: Mapping[str, Any]) -> Any:
        answers.append(campaign_function.handler(dict(event), Hurried(7)))
        return answers[-1]

    settled, failed = reconcile(ask_hurried)

    assert (settled, failed) == (30, [])
    assert set(schedules(stage)) == names
    assert len(answers) == 4


def test_one_that_cannot_be_settled_is_named_and_holds_up_no_other(
    shop: Shop, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = campaign(shop, 1), campaign(shop, 2)
    put = EventBridgeSchedules.put

    def refusing(self: EventBridgeSchedules, schedule: CampaignSchedule) -> None:
        if schedule.name == bad:
            raise ScheduleRefused("no such zone any more")
        put(self, schedule)

    monkeypatch.setattr(EventBridgeSchedules, "put", refusing)

    assert reconcile(ask) == (1, [bad])
    assert set(schedules(stage)) == {good}


def test_a_function_with_hardly_any_time_gets_through_all_the_same(shop: Shop, stage: Stage) -> None:
    names = {campaign(shop, number, merchant=own) for number, own in enumerate(other_merchants(shop, 3))}

    assert reconcile(lambda event: campaign_function.handler(dict(event), Hurried(0))) == (3, [])
    assert set(schedules(stage)) == names
