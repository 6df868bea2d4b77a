"""The function that puts every event on the stage's bus, where the stage has one.

It reads the table's stream beside dispatch, at its own pace: an outage of the bus holds up nothing but the bus. What an
event's row says when it is first written is the event, whoever wrote it.
"""

import json
import os
from functools import cache
from typing import Any

from shared.aws import clients
from shared.aws.embedded_metrics import count
from shared.aws.event_bus import BusEvent, EventBus
from shared.aws.function_log import function_logger, last_net
from shared.domain.impersonal import without_person
from shared.store.events import read_event
from shared.store.wire import from_stream

logger = function_logger("event_bus")
_EVENT = "E#"


@last_net
def handler(event: dict[str, Any], _context: Any) -> dict[str, list[Any]]:
    """Put a batch of the stream's new events. What cannot be put for now fails the batch: all of it comes again."""
    records = event.get("Records", [])
    found = [own for own in map(_event_of, records) if own is not None]
    refused = bus().put(found)
    for own in refused:
        logger.error("event_refused", subject=own.event.id, error=own.code)
    if refused:
        count("EventsRefused", service="event_bus", about={"event": refused[0].event.id})
    logger.info("events_put", events=len(found) - len(refused))
    return {"batchItemFailures": []}


@cache
def bus() -> EventBus:
    """The stage's bus."""
    return EventBus(clients.events(), os.environ["EVENT_BUS_NAME"])


def _whole() -> bool:
    """Whether the stage says that its bus may know who the shopper is."""
    return os.environ.get("EVENT_BUS_PERSONAL_DATA") == "on"


def _event_of(record: dict[str, Any]) -> BusEvent | None:
    """The event that a record brings; None for what is none, and for one that nobody can read."""
    changed = record.get("dynamodb", {})
    if record.get("eventName") != "INSERT" or not changed.get("Keys", {}).get("sk", {}).get("S", "").startswith(_EVENT):
        return None
    try:
        told = read_event(from_stream(changed["NewImage"]))
        detail = told.body.decode() if _whole() else _cut(told.body)
    except Exception as unreadable:  # noqa: BLE001 - it can be read the next time as little
        logger.error("event_unreadable", record=record.get("eventID"), error=type(unreadable).__name__)
        count("EventsRefused", service="event_bus", about={"record": str(record.get("eventID"))})
        return None
    return BusEvent(told.id, told.type, detail)


def _cut(body: bytes) -> str:
    return json.dumps(without_person(json.loads(body)), ensure_ascii=False, separators=(",", ":"))
