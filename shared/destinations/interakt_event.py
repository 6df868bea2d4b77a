"""Kind ``interakt_event``: the checkout as an event on the shopper's timeline at Interakt.

The merchant builds the campaign or workflow there; Interakt decides whether and when it messages. The user is told
before the event, as Interakt asks for. Source: Interakt's Postman documentation, "User Track" and "Event Track". An
event may repeat; it carries ``checkout_id``, ``event_id`` and ``delivery_id`` for a filter.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.outcome import Attempt
from shared.destinations import interakt
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.event_facts import facts_of
from shared.destinations.liquid import present, template_problems
from shared.destinations.message import (
    checkout_of,
    country_code_and_number,
    filled,
    locale_of,
    phone_of,
    variables,
)
from shared.destinations.one_line import clean
from shared.destinations.vendor_answer import attempt_of, mapping
from shared.domain.pointer import pointer

LONGEST_TRAIT: Final = 1000
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 4000}
_TRAITS: Final = {"type": "object", "additionalProperties": _TEXT, "maxProperties": 50}


class InteraktEventDestination:
    """Events for Interakt's campaigns and workflows."""

    kind: Final = "interakt_event"
    channel: Final = "whatsapp"
    title: Final = "Interakt: events for its campaigns and workflows"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            **interakt.CREDENTIALS,
            "template": {
                "type": "object",
                "properties": {
                    "event": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": 100,
                        "description": "The event's name; by default that of its type, like `Checkout Abandoned`.",
                    },
                    "traits": {**_TRAITS, "description": "More traits of the event, each a Liquid template."},
                },
                "additionalProperties": False,
            },
            "user_traits": {**_TRAITS, "description": "More traits of the user, each a Liquid template."},
            "track_user": {
                "type": "boolean",
                "default": True,
                "description": "Create or update the user before each event.",
            },
        },
        "required": ["bearer_token"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key that is missing, a trait that is no template."""
        template = endpoint.settings.get("template")
        if template is not None and not isinstance(template, str | Mapping):
            return [("/settings/template", "an object with event and traits, or the event's name")]
        traits = {
            "/settings/template/traits": mapping(template).get("traits"),
            "/settings/user_traits": endpoint.settings.get("user_traits"),
        }
        found = interakt.credential_problems(endpoint)
        places = (
            (where + pointer(str(name)), source)
            for where, sources in traits.items()
            for name, source in mapping(sources).items()
        )
        return found + template_problems(places, blank=True)

    def prepare(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest | None:
        """The user call: Interakt takes an event only for a user it knows. Repeating it changes nothing."""
        if endpoint.settings.get("track_user") is False:
            return None
        checkout = checkout_of(delivery)
        customer = mapping(checkout.get("customer"))
        name = " ".join(part for part in (customer.get("first_name"), customer.get("last_name")) if part)
        channels = mapping(mapping(checkout.get("consent")).get("channels"))
        opted_in = {"granted": True, "denied": False}.get(str(channels.get("whatsapp")))
        traits = present({"name": name or None, "email": customer.get("email"), "whatsapp_opted_in": opted_in})
        own = mapping(endpoint.settings.get("user_traits"))
        return interakt.request(
            endpoint,
            interakt.USERS,
            {**_who(delivery), "traits": {**traits, **_filled(own, delivery, "user trait")}, "tags": []},
        )

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """The event. Raises Unsendable."""
        template = (delivery.step or {}).get("template") or endpoint.settings.get("template")
        given = mapping(template)
        name = template if isinstance(template, str) else given.get("event")
        return interakt.request(
            endpoint,
            interakt.EVENTS,
            {
                **_who(delivery),
                "event": str(name or _default_name(delivery.event_type)),
                "traits": {**facts_of(delivery), **_filled(mapping(given.get("traits")), delivery, "trait")},
            },
        )

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By ``result``; what is uncertain is tried again, as the event carries its ids."""
        return attempt_of(result, endpoint, interakt.judge, repeatable=True)


destination = InteraktEventDestination()
statuses = interakt.InteraktStatuses()


def _who(delivery: Delivery) -> dict[str, str]:
    code, number = country_code_and_number(phone_of(delivery))
    return {"phoneNumber": number, "countryCode": code}


def _default_name(event_type: str) -> str:
    """``Checkout Abandoned`` for ``checkout.abandoned``."""
    return " ".join(part.capitalize() for part in event_type.replace("_", ".").split("."))


def _filled(sources: Mapping[str, Any], delivery: Delivery, what: str) -> dict[str, str]:
    if not sources:
        return {}
    names, locale = variables(delivery), locale_of(delivery)
    return {
        str(name): clean(filled(str(source), names, f"{what} {name}", locale), LONGEST_TRAIT)
        for name, source in sources.items()
    }
