"""``POST /v1/endpoints/{id}/test``: an ``endpoint.test`` event through the normal path."""

from shared.aws.stores import Stores, now
from shared.domain.merchant import Endpoint
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryRecord
from shared.workflows.delivering.endpoint_events import EndpointEvents


class EndpointTests:
    """Sends test events."""

    def __init__(self, events: EndpointEvents) -> None:
        """``events`` tells endpoints about endpoints."""
        self._events = events

    def send(self, endpoint: Endpoint, ulid: str) -> DeliveryRecord:
        """Make the test event of this name for this endpoint alone and enqueue it. Raises QueueUnavailable."""
        return self._events.test(endpoint, ulid)


def test_events(stores: Stores) -> EndpointTests:
    """The sender over a process's stores."""
    return EndpointTests(
        EndpointEvents(stores.table, EndpointStore(stores.table), stores.deliveries, stores.queues.fresh, now)
    )


test_events.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test
