"""The dispatch function.

Temporary errors are raised after the rest of the batch is done: the whole batch comes again and repeats nothing. A
record that no retry can make readable is kept whole in the bucket and does not block its shard.
"""

import json
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from functions.dispatch.poison import PoisonKeeper
from shared.aws import clients
from shared.aws.environment import Environment
from shared.aws.queues import QueueUnavailable
from shared.aws.stores import Stores, now
from shared.store.activities import ActivityStore
from shared.store.campaigns import CampaignStore
from shared.store.configuration import EndpointStore, MerchantStore
from shared.store.coupons import CouponStore
from shared.store.episodes import EpisodeStore
from shared.store.events import EventStore
from shared.store.facts import FactStore
from shared.store.shoppers import ShopperStore
from shared.store.table import StoreUnavailable, from_stream
from shared.workflows.campaigns.episode_coupons import EpisodeCoupons
from shared.workflows.recovery.announce import Announcer, MalformedRecord
from shared.workflows.recovery.facts import FactRecorder

logger = Logger(service="dispatch")
TEMPORARY = (StoreUnavailable, QueueUnavailable, ClientError, BotoCoreError)


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def _announcer() -> Announcer:
    stores = _stores()
    return Announcer(
        table=stores.table,
        checkouts=stores.checkouts,
        shoppers=ShopperStore(stores.table),
        episodes=EpisodeStore(stores.table, stores.environment.due_shards),
        events=EventStore(stores.table),
        deliveries=stores.deliveries,
        merchants=MerchantStore(stores.table),
        endpoints=EndpointStore(stores.table),
        campaigns=CampaignStore(stores.table),
        activities=ActivityStore(stores.table),
        facts=facts_of(stores),
        queues=stores.queues,
        hasher=stores.hasher,
        codes=stores.keys.recovery_codes(),
        public_url=stores.environment.public_url,
    )


def facts_of(stores: Stores) -> FactRecorder:
    """Records what is counted."""
    table = stores.table
    coupons = EpisodeCoupons(CampaignStore(table), CouponStore(table))
    return FactRecorder(FactStore(table), EpisodeStore(table), ActivityStore(table), now, coupons)


@cache
def _poison() -> PoisonKeeper:
    return PoisonKeeper(_stores().bucket, clients.sqs(), _stores().environment.variable("DEAD_LETTERS_QUEUE_URL"))


def handler(event: dict[str, Any], context: object) -> dict[str, list[Any]]:  # noqa: ARG001 - Lambda's signature
    """Tell every marked record of a batch."""
    announcer = _announcer()
    announcer.begin()
    temporary: list[Exception] = []
    for record in event.get("Records", []):
        try:
            outcome = announcer.announce(_image(record), now())
        except TEMPORARY as error:
            logger.warning("record_failed", event_id=record.get("eventID"), error=type(error).__name__)
            temporary.append(error)
        except Exception as poison:  # a defect must not block the shard: kept whole, alarmed, replayable
            level = "malformed" if isinstance(poison, MalformedRecord) else "defect"
            logger.exception("record_poison", event_id=record.get("eventID"), kind=level)
            try:
                _poison().keep(record, poison)
            except TEMPORARY as error:
                temporary.append(error)
        else:
            logger.info("record_told", event_id=record.get("eventID"), outcome=outcome)
    if temporary:
        raise ExceptionGroup(f"{len(temporary)} records failed for now", temporary)
    return {"batchItemFailures": []}


def _image(record: dict[str, Any]) -> dict[str, Any]:
    """The new image of a stream record as plain values. Raises MalformedRecord."""
    try:
        return from_stream(record["dynamodb"]["NewImage"])
    except (KeyError, ValueError, TypeError, AttributeError) as malformed:
        raise MalformedRecord(json.dumps(sorted(record))) from malformed
