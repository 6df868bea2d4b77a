"""What an endpoint would be sent about a stored checkout: its request's body, with no secret in it. Nothing is sent.

The endpoint's credentials are not opened: in their place stand words of ours, which the answer hides again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.destinations import registry
from shared.destinations.destination import Delivery, Unsendable
from shared.destinations.liquid import TemplateError, on_behalf_of
from shared.domain.announcement import CheckoutEventJson, EventType, envelope, messaging_verdict
from shared.domain.checkout import Checkout
from shared.domain.ids import event_id
from shared.domain.merchant import Endpoint, EndpointCredentials, Merchant
from shared.domain.recovery_link import ShopperLinks
from shared.workflows.delivering.attempts import target_of
from shared.workflows.delivering.endpoint_setup import Draft, draft_of, first_secret, secret_names, with_contents
from shared.workflows.delivering.refusals import Invalid
from shared.workflows.delivering.templated import rendered

HIDDEN = "***"
_STAND_IN = "kept-secret-by-checkback-here"
_LIQUID = "/settings/payload/liquid"


@dataclass(frozen=True, slots=True)
class Shown:
    """A request's body and its media type; or why there would be none."""

    body: str | None
    content_type: str | None
    reason: str | None = None


class PayloadPreview:
    """Shows what endpoints would be sent. One per process."""

    def __init__(self, links: Callable[[], ShopperLinks], now: Callable[[], datetime]) -> None:
        """``links`` makes shoppers' ways back; ``now`` is the clock."""
        self._links = links
        self._now = now

    def shown(self, endpoint: Endpoint, draft: Draft, checkout: Checkout, merchant: Merchant) -> Shown:
        """What the abandonment of the checkout would look like at the endpoint, were it as drafted.

        Raises Invalid where a webhook's template makes no JSON of this checkout.
        """
        facts = self._facts(checkout, merchant)
        credentials = EndpointCredentials()

        def sealed(own: EndpointCredentials) -> bytes:
            nonlocal credentials
            credentials = own
            return b""

        drafted = with_contents(endpoint, draft, sealed, first_secret())
        kind, now = registry.destination(endpoint.kind), self._now()
        target = target_of(drafted, credentials, now)
        asked = drafted.settings.get("payload")
        if asked == "provider":
            return Shown(None, None, "provider_payload")
        event = str(facts["id"])
        with on_behalf_of(merchant.id):
            try:
                body = json.dumps(facts, ensure_ascii=False, separators=(",", ":")).encode()
                if isinstance(asked, dict):
                    body = rendered(asked, facts, event, EventType.ABANDONED, now)
                delivery = Delivery("dlv_preview", event, EventType.ABANDONED, now, body, facts)
                request = kind.build(delivery, target)
            except TemplateError as wrong:
                raise Invalid([(_LIQUID, str(wrong))]) from None
            except Unsendable as unsendable:
                return Shown(None, None, unsendable.reason)
            except ValueError:
                return Shown(None, None, "unusable endpoint")
        types = {name.lower(): value for name, value in request.headers.items()}
        text = request.body.decode(errors="replace").replace(_STAND_IN, HIDDEN)
        return Shown(text, types.get("content-type"))

    def _facts(self, checkout: Checkout, merchant: Merchant) -> CheckoutEventJson:
        now, settings = self._now(), merchant.settings
        verdict = messaging_verdict(
            checkout, settings, now, merchant_zone=merchant.timezone, merchant_country=merchant.country
        )
        return envelope(
            event_id(now, checkout.digest, checkout.version, EventType.ABANDONED),
            EventType.ABANDONED,
            now,
            checkout,
            recovery_url=self._links().back(checkout.digest),
            episode=None,
            messaging=verdict,
            settings=settings,
        )


def without_secrets(endpoint: Endpoint) -> Draft:
    """The endpoint as it stands, to be drafted on, with words of ours where its secrets are."""
    hidden = {name: _STAND_IN for name in endpoint.secret_settings if name in secret_names(endpoint.kind)}
    credentials = EndpointCredentials(
        bearer_token=hidden.pop("bearer_token", None),
        headers=dict.fromkeys(endpoint.header_names, _STAND_IN),
        settings=hidden,
    )
    return draft_of(endpoint, credentials)
