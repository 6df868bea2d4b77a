"""The webhooks of the description: what endpoints of kind ``webhook`` are sent, by event type.

Their bodies are the types by which events are built (``shared.domain.announcement``).
"""

from typing import Any, Final

from functions.merchant_api.answers import Bodies
from shared.domain.announcement import (
    CheckoutEventJson,
    CustomerErasedJson,
    EndpointEventJson,
    EventType,
    StepEventJson,
)

_SUMMARIES: Final = {
    EventType.UPDATED: "Something about a checkout changed; its creation counts",
    EventType.ABANDONED: "A checkout was abandoned; with `data.step` it is a campaign's message to send",
    EventType.SUPERSEDED: "A checkout that was told gave way: to a newer one, or the shopper bought elsewhere",
    EventType.RECOVERED: "A checkout was bought after its abandonment",
    EventType.COMPLETED: "A checkout was bought without one",
    EventType.REVERSED: "Something was taken back of the order: cancelled, refunded or returned",
    EventType.DISCARDED: "The merchant discarded a checkout",
    EventType.EXPIRED: "A checkout was abandoned for so long that nothing more comes of it",
    EventType.CUSTOMER_ERASED: "A customer was erased: delete what you keep of these",
    EventType.ENDPOINT_DISABLED: "Another endpoint of the merchant's was disabled",
    EventType.ENDPOINT_TEST: "A test, asked for by the merchant",
}
_OTHERS: Final[dict[EventType, tuple[Any, ...]]] = {
    EventType.ABANDONED: (CheckoutEventJson, StepEventJson),
    EventType.CUSTOMER_ERASED: (CustomerErasedJson,),
    EventType.ENDPOINT_DISABLED: (EndpointEventJson,),
    EventType.ENDPOINT_TEST: (EndpointEventJson,),
}
BODIES: Final = (CheckoutEventJson, StepEventJson, CustomerErasedJson, EndpointEventJson)
"""The types of all bodies."""
_HEADERS: Final = [
    {
        "name": name,
        "in": "header",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }
    for name, description in (
        ("webhook-id", "The event's id: the same for every endpoint and every attempt."),
        ("webhook-timestamp", "The seconds since 1970 of this attempt."),
        ("webhook-signature", "Standard Webhooks: `v1,<base64>`, several with blanks between."),
    )
]
_ANSWERS: Final = {
    "2XX": {"description": "Taken."},
    "410": {"description": "The endpoint wants nothing more: it is disabled."},
    "default": {"description": "Not taken: it comes again, later and later."},
}


def webhooks(bodies: Bodies) -> dict[str, Any]:
    """By event type; ``bodies`` knows ``BODIES``."""
    return {own.value: {"post": _webhook(own, bodies)} for own in EventType}


def _webhook(event_type: EventType, bodies: Bodies) -> dict[str, Any]:
    choices = [bodies.schema(body) for body in _OTHERS.get(event_type, (CheckoutEventJson,))]
    whole = choices[0] if len(choices) == 1 else {"anyOf": choices}
    schema = {"allOf": [whole, {"properties": {"type": {"const": event_type.value}}}]}
    first, second = event_type.value.split(".")
    return {
        "operationId": f"on{first.capitalize()}{second.capitalize()}",
        "summary": _SUMMARIES[event_type],
        "tags": ["Webhooks"],
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": _ANSWERS,
    }
