"""Kind ``interakt_template``: an approved WhatsApp template sent through Interakt.

Source: Interakt's Postman documentation (2sA2r7zibM), "Send Template". The merchant's own data come back in status
webhooks as ``callback_data``. There is no idempotency key, so an attempt without a usable answer is never repeated.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.outcome import Attempt
from shared.destinations import interakt
from shared.destinations.destination import Delivery, Endpoint
from shared.destinations.message import country_code_and_number, phone_of
from shared.destinations.vendor_answer import attempt_of
from shared.destinations.whatsapp import message_of
from shared.destinations.whatsapp_template import Shape

SHAPE: Final = Shape(buttons=("url",))


class InteraktTemplateDestination:
    """WhatsApp templates through Interakt."""

    kind: Final = "interakt_template"
    channel: Final = "whatsapp"
    title: Final = "WhatsApp templates through Interakt"
    settings: Final[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            **interakt.CREDENTIALS,
            "template": SHAPE.schema(),
            "campaign_id": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "description": "Interakt's API campaign under which the message is counted.",
            },
        },
        "required": ["bearer_token"],
        "additionalProperties": False,
    }

    def problems(self, endpoint: Endpoint) -> list[tuple[str, str]]:
        """A key that is missing, a template that cannot be filled."""
        return interakt.credential_problems(endpoint) + SHAPE.problems(endpoint)

    def build(self, delivery: Delivery, endpoint: Endpoint) -> OutboundRequest:
        """One template message. Raises Unsendable."""
        message = message_of(delivery, endpoint, SHAPE)
        code, number = country_code_and_number(phone_of(delivery))
        template: dict[str, Any] = {"name": message.name, "languageCode": message.language}
        if message.header is not None:
            template["headerValues"] = [message.header.value]
            if message.header.filename:
                template["fileName"] = message.header.filename
        if message.body:
            template["bodyValues"] = [value for _, value in message.body]
        if message.buttons:
            template["buttonValues"] = {str(button.index): [button.value] for button in message.buttons}
        body: dict[str, Any] = {
            "countryCode": code,
            "phoneNumber": number,
            "callbackData": delivery.id,
            "type": "Template",
            "template": template,
        }
        campaign = endpoint.settings.get("campaign_id")
        return interakt.request(endpoint, interakt.MESSAGES, body | ({"campaignId": str(campaign)} if campaign else {}))

    def classify(self, result: SendResult, endpoint: Endpoint) -> Attempt:
        """By ``result``, whatever the HTTP status."""
        return attempt_of(result, endpoint, interakt.judge, repeatable=False)


destination = InteraktTemplateDestination()
statuses = interakt.InteraktStatuses()
