"""What was on its way when a merchant was erased arrives afterwards, in any order and twice: it brings nothing back.

Queues keep messages for 14 days, the stream records for one, providers and vendors repeat, links live in mailboxes.
"""

import copy
import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

import functions.campaign.handler as campaign_function
from functions.callbacks.handler import handler as callbacks
from functions.campaign import composition as campaign_composition
from functions.pull.handler import handler as pull
from shared.aws.campaign_queue import RunMessage
from shared.domain.campaign import CampaignId
from shared.domain.instants import to_ms
from shared.store.configuration import EndpointStore
from tests.integration.account import onlookers_client
from tests.integration.api.conftest import Api
from tests.integration.api.test_campaigns import SCHEDULE, a_campaign, schedules
from tests.integration.conftest import Stage
from tests.integration.privacy.scanning import places_of, stage_texts
from tests.integration.privacy.world import CODE, NOTE, World
from tests.integration.shop import MERCHANT, Invocation

pytestmark = pytest.mark.long

BATCH = 10


@dataclass
class Passed:
    """Everything that came to a function while the merchant lived, as it came."""

    deliveries: list[str] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[str] = field(default_factory=list)
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


@pytest.fixture
def passed(world: World, monkeypatch: pytest.MonkeyPatch) -> Passed:
    """From now on each message, record, webhook and link is remembered."""
    seen, shop = Passed(), world.shop

    def remembered[T](kept: list[T], taking: Callable[[Any], Iterable[T]], call: Callable[..., Any]) -> Any:
        def called(given: Any = None, *more: Any, **named: Any) -> Any:
            if given is not None:
                kept.extend(copy.deepcopy(list(taking(given))))
            return call(given, *more, **named)

        return called

    monkeypatch.setattr(shop, "deliver", remembered(seen.deliveries, lambda own: own, shop.deliver))
    monkeypatch.setattr(shop, "dispatch", remembered(seen.records, lambda own: own, shop.dispatch))
    monkeypatch.setattr(shop, "posted", remembered(seen.webhooks, lambda own: [own], shop.posted))
    monkeypatch.setattr(shop, "follow", remembered(seen.links, lambda own: [own], shop.follow))
    bodies = remembered(seen.pulls, lambda own: [each["body"] for each in own["Records"]], pull)
    monkeypatch.setattr("tests.integration.privacy.world.pull", bodies)
    return seen


@pytest.fixture
def _campaigns_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    monkeypatch.setenv("CAMPAIGN_RUNS_QUEUE_URL", stage.campaign_runs_url)
    made = (campaign_composition._stores, campaign_composition.schedules, campaign_composition.runner)
    for cached in made:
        cached.cache_clear()
    yield
    for cached in made:
        cached.cache_clear()


def batches[T](whole: Sequence[T]) -> Iterable[Sequence[T]]:
    return (whole[start : start + BATCH] for start in range(0, len(whole), BATCH))


def about_the_merchant(world: World) -> list[str]:
    """Rows and objects that name the merchant or hold anything that was planted; messages may, until SQS ends them."""
    sought = {*world.values, NOTE, CODE, str(MERCHANT)}
    queues = {url.rpartition("/")[2] for url in onlookers_client("sqs").list_queues()["QueueUrls"]}
    held = ((place, text) for place, text in stage_texts(world.shop.stores) if place not in queues)
    named = places_of(sought, held)
    return sorted({place for own in named.values() for place in own})


def runs(world: World, campaign_id: str, fired: Iterable[datetime]) -> None:
    """Scheduler's messages about a campaign."""
    for at in fired:
        body = RunMessage(MERCHANT, CampaignId(campaign_id), at, revision=1).text()
        record = {"messageId": "m", "body": body, "attributes": {"SentTimestamp": str(to_ms(world.shop.now))}}
        campaign_function.handler({"Records": [record]}, Invocation())


@pytest.mark.usefixtures("_campaigns_run")
def test_whatever_arrives_after_a_merchants_erasure_brings_nothing_back(
    world: World, operator: Api, passed: Passed
) -> None:
    shop = world.shop
    world.lives_on()
    endpoints = [own.value.id for own in EndpointStore(shop.table).listed(MERCHANT)]
    made = world.merchant("POST", "/v1/campaigns", a_campaign(endpoints[0], trigger=SCHEDULE))
    assert made.status == 201, made.text
    campaign_id = made.json["id"]
    runs(world, campaign_id, [shop.now])
    assert str(MERCHANT) in json.dumps(schedules(), default=str)
    assert min(map(len, (passed.deliveries, passed.records, passed.pulls, passed.webhooks, passed.links))) > 0
    live_messages = [*shop.queued("PULLS_QUEUE_URL")]
    stale = [*shop.stream()]
    assert about_the_merchant(world)

    assert operator("DELETE", f"/v1/merchants/{MERCHANT}").status == 204
    shop.wait(minutes=1)
    assert about_the_merchant(world) == []
    assert schedules() == []

    dice = random.Random(7)
    for _again in range(2):
        for kept in (passed.deliveries, passed.records, passed.pulls, passed.webhooks, passed.links):
            dice.shuffle(kept)  # type: ignore[arg-type]
        arrives(world, passed, live_messages, stale)
        runs(world, campaign_id, [shop.now, shop.now - timedelta(hours=1)])
        campaign_function.handler({"repair": True}, Invocation())
        for endpoint_id in endpoints:
            reported(endpoint_id)
        assert world.merchant("GET", "/v1/checkouts").status == 401
        shop.sweep()
        shop.settle()
        shop.wait(minutes=31)
        shop.sweep()
        shop.settle()

    assert about_the_merchant(world) == []
    assert schedules() == []


def arrives(world: World, passed: Passed, pulls: Sequence[str], stale: Sequence[dict[str, Any]]) -> None:
    """All of it, through the functions that it goes to."""
    shop = world.shop
    for event in list(passed.webhooks):
        status, _ = shop.posted(copy.deepcopy(event))
        assert status in {401, 404}
    for records in batches([*passed.records, *stale]):
        shop.dispatch(copy.deepcopy(list(records)))
    for bodies in batches(list(passed.deliveries)):
        shop.deliver(list(bodies))
    for bodies in batches([*passed.pulls, *pulls]):
        pull({"Records": [{"messageId": str(at), "body": body} for at, body in enumerate(bodies)]}, None)
    for code in list(passed.links):
        assert shop.follow(code)[0] == 404


def reported(endpoint_id: str) -> None:
    """A vendor tells of a message that it had taken, by its webhook and by the stage's own topic."""
    event = {
        "pathParameters": {"endpoint_id": endpoint_id},
        "rawPath": f"/callbacks/{endpoint_id}",
        "requestContext": {"http": {"method": "POST"}},
        "headers": {},
        "body": "{}",
    }
    assert callbacks(event, None)["statusCode"] in {401, 404}
