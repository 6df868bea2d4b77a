"""The bodies that merchants' templates make of an event: rendered before the first attempt, then kept.

To one endpoint every attempt carries the same bytes, and a template may have been edited in between. So they are
written down, with the event and once, before anything is sent: whoever comes second takes what is there. They go when
the event goes.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.delivery.outcome import Outcome
from shared.destinations.destination import Delivery, Unsendable
from shared.destinations.liquid import TemplateError, TemplateLimit, TemplatesUnavailable, present, render_json
from shared.destinations.message import TEMPLATE_LIMIT, TEMPLATES_UNAVAILABLE, variables
from shared.domain.instants import parse_instant
from shared.domain.merchant import Endpoint
from shared.store.events import TEMPLATE, EventRecord, EventStore, TooLarge
from shared.workflows.delivering.payloads import TOO_LARGE

TEMPLATE_ERROR = "template_error"


class TemplatedBodies:
    """Makes and keeps the bodies of endpoints with a template. One per process."""

    def __init__(self, events: EventStore) -> None:
        """Share the store of one process."""
        self._events = events

    @staticmethod
    def is_missing(event: EventRecord, endpoint: Endpoint) -> bool:
        """Whether the endpoint's body is still to be made."""
        return event.formats.get(endpoint.id) == TEMPLATE and endpoint.id not in event.frozen

    def made(self, event: EventRecord, endpoint: Endpoint) -> bytes:
        """The endpoint's body, kept from now on; where another worker was faster, that one's.

        An endpoint that has dropped its template since the event was told gets the envelope, then and ever after.

        Raises:
            Unsendable: the template makes none (``template_error``, ``template_limit``, ``payload_too_large``).
            EventGone: the event was erased meanwhile.
        """
        asked = endpoint.settings.get("payload")
        body = _rendered(asked, event) if isinstance(asked, Mapping) else event.body
        try:
            return self._events.freeze(event, endpoint.id, body)
        except TooLarge:
            raise Unsendable(Outcome.FAIL_MESSAGE, TOO_LARGE) from None


def rendered(asked: Mapping[str, Any], facts: Mapping[str, Any], event_id: str, event_type: str, at: datetime) -> bytes:
    """What a template makes of an event. Raises TemplateError, TemplateLimit and TemplatesUnavailable."""
    delivery = Delivery(id="", message_id=event_id, event_type=event_type, attempted_at=at, facts=facts)
    return render_json(str(asked.get("liquid", "")), {**variables(delivery), "event": present(facts)})


def _rendered(asked: Mapping[str, Any], event: EventRecord) -> bytes:
    facts: dict[str, Any] = json.loads(event.body)
    at = parse_instant(facts["timestamp"])
    if at is None:
        raise ValueError("an envelope has a timestamp")
    try:
        return rendered(asked, facts, event.id, event.type, at)
    except TemplateLimit:
        raise Unsendable(Outcome.FAIL_MESSAGE, TEMPLATE_LIMIT) from None
    except TemplateError:
        raise Unsendable(Outcome.FAIL_MESSAGE, TEMPLATE_ERROR) from None
    except TemplatesUnavailable:
        raise Unsendable(Outcome.RETRY, TEMPLATES_UNAVAILABLE) from None
