"""Scheduled campaigns: what a run starts, once, however often it is asked and wherever it is interrupted."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import functions.campaign.handler as campaign_function
from functions.campaign import composition
from shared.aws import clients
from shared.aws.campaign_queue import RunMessage, read_message
from shared.domain.campaign import Campaign, CampaignId, CampaignStep, Trigger, Window
from shared.domain.checkout import Reason, Status
from shared.domain.episode import Episode
from shared.domain.identity import IdentityKind
from shared.domain.ids import EpisodeId
from shared.domain.instants import to_ms
from shared.store import keys
from shared.store.campaign_runs import RunStore
from shared.store.campaigns import CampaignStore
from shared.store.checkouts import CheckoutStore
from shared.store.episodes import EpisodeStore
from shared.store.table import StoreRefused, StoreUnavailable
from shared.store.writes import Update
from shared.workflows.campaigns import run_page
from tests.integration.account import onlookers_client
from tests.integration.conftest import Stage
from tests.integration.plain_source import PlainSource
from tests.integration.shop import SESSION, Invocation, Shop, aws_event
from tests.unit.domain.sessions import MERCHANT

WINDOW = Window(modified_after=timedelta(days=1), modified_before=timedelta(minutes=10))
CAMPAIGN = CampaignId("cmp_1")


class NoTime:
    """A Lambda context at the end of its time."""

    def get_remaining_time_in_millis(self) -> int:
        return 1_000


@pytest.fixture(autouse=True)
def _deployed(shop: Shop, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The campaign function's own environment."""
    monkeypatch.setenv("SCHEDULE_GROUP", stage.schedule_group)
    monkeypatch.setenv("SCHEDULER_ROLE_ARN", "arn:aws:iam::123456789012:role/scheduler")
    monkeypatch.setenv("CAMPAIGN_RUNS_QUEUE_ARN", stage.campaign_runs_arn)
    monkeypatch.setenv("CAMPAIGN_RUNS_QUEUE_URL", stage.campaign_runs_url)
    made = (composition._stores, composition.schedules, composition.runner)
    for cached in made:
        cached.cache_clear()
    yield
    for cached in made:
        cached.cache_clear()


@pytest.fixture
def campaign(shop: Shop) -> Campaign:
    """Every hour, for carts left alone for ten minutes to a day: one message an hour after the run."""
    made = Campaign(
        id=CAMPAIGN,
        merchant_id=MERCHANT,
        version=1,
        name="Hourly",
        created_at=shop.now,
        trigger=Trigger("schedule", "rate(1 hour)", None, WINDOW),
        criteria={"field": "total", "op": "gte", "value": "500"},
        steps=(CampaignStep(timedelta(hours=1), shop.endpoint().id),),
        activated_at=shop.now,
    )
    CampaignStore(shop.table).create(made)
    return made


def fire(shop: Shop, *, context: Any = None, **changed: Any) -> dict[str, Any]:
    """Scheduler's message arrives as SQS hands it over; what the function answers."""
    body = {"merchant_id": MERCHANT, "campaign_id": CAMPAIGN, "fired_at": shop.now.isoformat(), "revision": 1}
    return handle(shop, json.dumps(body | changed), context)


def handle(shop: Shop, body: str, context: Any = None) -> dict[str, Any]:
    record = {"messageId": "m1", "body": body, "attributes": {"SentTimestamp": str(to_ms(shop.now))}}
    return campaign_function.handler({"Records": [record]}, context or Invocation())


def another_shopper(shop: Shop, number: int) -> None:
    """A cart of a shopper of its own."""
    user = {"phone_no": f"98765{number:05d}", "dial_code": "91"}
    shop.webhook(session=f"session-{number}", user=user)


def counts(shop: Shop) -> dict[str, int]:
    """The outcomes of the run that fired now."""
    found = RunStore(shop.table).counts(CAMPAIGN, shop.now)
    assert found is not None
    return dict(found[1])


def episodes(shop: Shop) -> list[Episode]:
    """Every episode there is."""
    ids = {EpisodeId(row["pk"][2:]) for row in shop.rows() if row["pk"].startswith("P#")}
    return list(EpisodeStore(shop.table).get_many(ids).values())


def test_an_open_cart_becomes_abandoned_and_its_episode_counts_from_the_run(shop: Shop, campaign: Campaign) -> None:
    shop.webhook()
    shop.wait(minutes=20)
    assert fire(shop) == {"batchItemFailures": []}
    own = shop.checkout()
    assert (own.status, own.reason, own.abandoned_at) == (Status.ABANDONED, Reason.INCOMPLETE, shop.now)
    (episode,) = episodes(shop)
    assert (episode.campaign_id, episode.campaign_version, episode.anchor) == (CAMPAIGN, 1, shop.now)
    assert [(step.number, step.due_at) for step in episode.steps] == [(1, shop.now + timedelta(hours=1))]
    shop.settle()
    (after,) = episodes(shop)
    assert (after.id, after.campaign_id, shop.checkout().episode_id) == (episode.id, CAMPAIGN, episode.id)
    assert shop.checkout().announced is not None, "the abandonment is told as every other"
    assert counts(shop) == {"started": 1}


@pytest.mark.parametrize("identifier", ["phone", "email", "customer"])
def test_a_shopper_is_reached_by_whatever_was_left(shop: Shop, campaign: Campaign, identifier: str) -> None:
    PlainSource(shop).begins("theirs", identifier)
    shop.wait(minutes=20)
    fire(shop)

    (episode,) = episodes(shop)
    assert [own.kind.value for own in episode.identities] == [identifier]


def test_what_a_run_starts_is_the_doing_of_the_shoppers_last_webhook(shop: Shop, campaign: Campaign) -> None:
    shop.webhook()
    shop.wait(minutes=20)
    fire(shop)

    (episode,) = episodes(shop)
    assert episode.correlation_id == aws_event("webhook")["requestContext"]["requestId"]


def test_an_abandoned_cart_keeps_its_episode_which_becomes_the_campaigns(shop: Shop, campaign: Campaign) -> None:
    shop.webhook()
    shop.wait(minutes=31)
    shop.sweep()
    shop.settle()
    (before,) = episodes(shop)
    assert before.campaign_id is None
    shop.wait(minutes=5)
    fire(shop)
    (after,) = episodes(shop)
    assert (after.id, after.campaign_id, after.anchor) == (before.id, CAMPAIGN, shop.now)


@pytest.mark.parametrize(("waited", "expected"), [(5, {}), (9, {}), (10, {"started": 1}), (24 * 60 + 1, {})], ids=str)
def test_a_run_looks_only_into_its_window(
    shop: Shop, campaign: Campaign, waited: int, expected: dict[str, int]
) -> None:
    shop.webhook()
    shop.wait(minutes=waited)
    fire(shop)
    assert counts(shop) == expected


def test_a_cart_that_does_not_meet_the_criteria_is_left_alone(shop: Shop, campaign: Campaign) -> None:
    store = CampaignStore(shop.table)
    found = store.get(MERCHANT, CAMPAIGN)
    assert found is not None
    store.revise(found, replace(campaign, criteria={"field": "total", "op": "gte", "value": "100000"}))
    shop.webhook()
    shop.wait(minutes=20)
    fire(shop)
    assert (shop.checkout().status, counts(shop), episodes(shop)) == (Status.OPEN, {}, [])


def test_without_a_window_an_open_cart_is_left_to_its_shopper_for_its_idle_time(shop: Shop, campaign: Campaign) -> None:
    store = CampaignStore(shop.table)
    found = store.get(MERCHANT, CAMPAIGN)
    assert found is not None
    store.revise(found, replace(campaign, trigger=replace(campaign.trigger, window=None)))
    shop.webhook()
    shop.wait(minutes=29)
    fire(shop)
    assert counts(shop) == {}
    shop.wait(minutes=1)
    fire(shop)
    assert counts(shop) == {"started": 1}


def test_the_same_message_twice_and_the_next_run_start_nothing_twice(shop: Shop, campaign: Campaign) -> None:
    shop.webhook()
    shop.wait(minutes=20)
    fire(shop)
    before = episodes(shop)
    fire(shop)
    assert episodes(shop) == before
    shop.wait(hours=1)
    fire(shop)
    assert counts(shop) == {"already_running": 1}
    assert episodes(shop) == before


def test_a_shopper_who_bought_elsewhere_is_left_in_peace(shop: Shop, campaign: Campaign) -> None:
    shop.webhook()
    shop.wait(minutes=1)
    shop.webhook(session="other-device", session_state="COMPLETED")
    shop.wait(minutes=20)
    fire(shop)
    assert (counts(shop), shop.checkout().status) == ({"purchased": 1}, Status.OPEN)


def run_without_time(shop: Shop) -> list[RunMessage]:
    """Fire, and let every message do no more than a page; those that followed the first."""
    fire(shop, context=NoTime())
    followed: list[RunMessage] = []
    while bodies := shop_queue(shop):
        (body,) = bodies
        followed.append(read_message(body, shop.now))
        handle(shop, body, NoTime())
    return followed


def test_a_run_that_runs_out_of_time_goes_on_where_it_was(
    shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page, "_PAGE", 2)
    for number in range(5):
        another_shopper(shop, number)
    shop.wait(minutes=20)
    assert len(run_without_time(shop)) + 1 == 3
    assert sum(counts(shop).values()) == 5
    assert all(shop.checkout(f"session-{number}").status is Status.ABANDONED for number in range(5))


@pytest.mark.long
def test_the_messages_of_a_long_run_are_counted_from_the_first(
    shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_page, "_PAGE", 1)
    for number in range(8):
        another_shopper(shop, number)
    shop.wait(minutes=20)
    hops = [own.hops for own in run_without_time(shop)]
    assert hops == list(range(1, len(hops) + 1))
    assert len(hops) in {7, 8}, "one a page: without time, a message does no more"
    assert sum(counts(shop).values()) == 8


def test_a_crash_in_the_middle_of_a_page_starts_the_rest_and_nothing_twice(
    shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        another_shopper(shop, number)
    shop.wait(minutes=20)
    starter = composition.runner()._starter
    start: Callable[..., str] = starter.start_episode
    calls = itertools.count(1)

    def failing_once(*given: Any) -> str:
        if next(calls) == 2:
            raise StoreUnavailable("for the moment")
        return start(*given)

    monkeypatch.setattr(starter, "start_episode", failing_once)
    message = RunMessage(MERCHANT, CAMPAIGN, shop.now)
    assert fire(shop) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert handle(shop, message.text()) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}, "its lease still runs"
    fired_at = shop.now
    shop.wait(minutes=4)
    assert handle(shop, message.text()) == {"batchItemFailures": []}
    assert [own.campaign_id for own in episodes(shop)] == [CAMPAIGN] * 3
    found = RunStore(shop.table).counts(CAMPAIGN, fired_at)
    assert found is not None
    assert found[0] == "finished"
    assert found[1]["done_before"] == 2


def test_a_paused_campaign_does_not_run(shop: Shop, campaign: Campaign) -> None:
    store = CampaignStore(shop.table)
    found = store.get(MERCHANT, CAMPAIGN)
    assert found is not None
    store.restate(found, "paused", shop.now)
    shop.webhook()
    shop.wait(minutes=20)
    assert fire(shop) == {"batchItemFailures": []}
    assert (shop.checkout().status, episodes(shop)) == (Status.OPEN, [])


def test_an_orphaned_schedule_ends_when_it_fires(shop: Shop, campaign: Campaign, stage: Stage) -> None:
    settle = composition.schedules().settle
    settle(MERCHANT, CAMPAIGN)
    client = clients.scheduler()
    assert len(client.list_schedules(GroupName=stage.schedule_group)["Schedules"]) == 1
    shop.table.delete_all([(f"M#{MERCHANT}", f"CMP#{CAMPAIGN}")])  # erased together with its merchant's partition
    assert fire(shop) == {"batchItemFailures": []}
    assert client.list_schedules(GroupName=stage.schedule_group)["Schedules"] == []


def test_the_repair_makes_the_schedule_that_its_writer_could_not(shop: Shop, campaign: Campaign, stage: Stage) -> None:
    assert campaign_function.handler({"repair": True}, None) == {"settled": 1}
    assert campaign_function.handler({"repair": True}, None) == {"settled": 0}
    (schedule,) = clients.scheduler().list_schedules(GroupName=stage.schedule_group)["Schedules"]
    assert schedule["Name"] == f"{MERCHANT}-{CAMPAIGN}"


def test_a_schedule_that_does_not_fill_in_its_time_fired_in_the_minute_it_was_sent(
    shop: Shop, campaign: Campaign
) -> None:
    shop.webhook()
    shop.wait(minutes=20, seconds=7)
    fire(shop, fired_at="<aws.scheduler.scheduled-time>")
    minute = shop.now.replace(second=0, microsecond=0)
    found = RunStore(shop.table).counts(CAMPAIGN, minute)
    assert found is not None
    assert shop.checkout(SESSION).status is Status.ABANDONED


def test_a_message_that_is_no_run_comes_back_until_it_is_a_dead_letter(shop: Shop) -> None:
    assert handle(shop, "[]") == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def shop_queue(shop: Shop) -> list[str]:
    """What the function enqueued to go on."""

    sqs = onlookers_client("sqs")
    url = sqs.get_queue_url(QueueName="campaign-runs")["QueueUrl"]
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [message["Body"] for message in found]


def test_a_row_that_cannot_be_read_costs_the_run_no_other_checkout(shop: Shop, campaign: Campaign) -> None:
    for number in range(4):
        another_shopper(shop, number)
    who = shop.stores.hasher.of_checkout(shop.checkout("session-1"))[IdentityKind.PHONE]
    for key, odd in ((keys.checkout(shop.digest("session-0")), "st"), (keys.identity(who), "po")):
        shop.table.update(Update(key, set={odd: "teleported"}))
    shop.wait(minutes=20)
    assert fire(shop) == {"batchItemFailures": []}
    assert counts(shop) == {"started": 2}
    assert shop.checkout("session-1").status is Status.OPEN, "the record may hold an opt-out"


def test_a_checkout_that_the_table_never_takes_is_counted_and_the_run_ends(
    shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        another_shopper(shop, number)
    shop.wait(minutes=20)
    original = CheckoutStore.replace

    def refusing(self: CheckoutStore, old: Any, *arguments: Any) -> None:
        if old.external_id == "session-1":
            raise StoreRefused("ItemTooLarge")
        original(self, old, *arguments)

    monkeypatch.setattr(CheckoutStore, "replace", refusing)
    assert fire(shop) == {"batchItemFailures": []}
    assert counts(shop) == {"started": 2, "defect:ItemTooLarge": 1}


def test_a_run_that_never_ends_is_ended_and_says_so(
    shop: Shop, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_page, "_PAGE", 1)
    for session in ("one", "two"):
        shop.webhook(session=session)
    shop.wait(minutes=20)
    last = RunMessage(MERCHANT, CAMPAIGN, shop.now, hops=500)
    handle(shop, last.text(), NoTime())
    found = RunStore(shop.table).counts(CAMPAIGN, shop.now)
    assert found is not None
    assert found[0] == "too_long"
    assert '"SetAside":[1.0]' in capsys.readouterr().out, "an alarm tells"
