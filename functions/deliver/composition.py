"""What the deliver function is made of, once per process."""

from datetime import timedelta
from functools import cache

from functions.deliver.metrics import count_disabled
from shared.aws.environment import Environment
from shared.aws.queues import DeliveryMessage
from shared.aws.stores import Stores, now
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.health import HealthStore
from shared.workflows.deliver import Deliverer
from shared.workflows.endpoint_events import EndpointEvents
from shared.workflows.endpoint_health import EndpointHealth


@cache
def _stores() -> Stores:
    return Stores(Environment.read())


@cache
def _endpoint_events() -> EndpointEvents:
    stores = _stores()

    def enqueue(messages: list[DeliveryMessage]) -> None:
        # This function may send to the retry queue alone.
        stores.queues.retry([(message, timedelta(0)) for message in messages])

    return EndpointEvents(stores.table, EndpointStore(stores.table), stores.deliveries, enqueue, now)


def _disable(endpoint: Endpoint, reason: str) -> None:
    if _endpoint_events().disable(endpoint, reason):
        count_disabled(reason)


@cache
def health() -> EndpointHealth:
    """Breakers and rate limits."""
    return EndpointHealth(HealthStore(_stores().table), _disable, now)


@cache
def deliverer() -> Deliverer:
    """Delivers events of the feed."""
    stores = _stores()
    return Deliverer(
        table=stores.table,
        deliveries=stores.deliveries,
        health=health(),
        disable=_disable,
        queues=stores.queues,
        cipher=stores.cipher,
        now=now,
    )
