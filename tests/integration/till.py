"""A source of any provider at the shop: its webhooks are taken in as authentic, without a proof."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.domain.checkout import Checkout
from shared.domain.ids import SourceId, checkout_digest, new_ulid
from shared.domain.merchant import Source, SourceSettings
from shared.providers.provider import WebhookRequest
from shared.store.configuration import SourceStore
from shared.workflows.intake.receive import Receipt, receiver_over
from tests.integration.shop import MERCHANT, Shop

EVENTS = Path(__file__).parents[2] / "events"


class Till:
    """One source, and what its provider posts to it."""

    def __init__(self, shop: Shop, provider: str = "custom", **settings: Any) -> None:
        """Connect the source."""
        self.shop = shop
        self.provider = provider
        self.source_id = SourceId("src_" + new_ulid(shop.now))
        own = SourceSettings(**settings)
        SourceStore(shop.table).create(Source(self.source_id, MERCHANT, provider, shop.now, settings=own))
        self._receiver = receiver_over(shop.stores)

    def posts(self, body: Any, headers: Mapping[str, str] | None = None, *, event: str | None = None) -> Receipt:
        """One webhook arrives now."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        request = WebhookRequest(lower, {}, raw, self.shop.now, event)
        return self._receiver.replay(self.source_id, request)

    def sample(self, name: str) -> Any:
        """``events/<provider>/<name>.json``, parsed anew."""
        return json.loads((EVENTS / self.provider / f"{name}.json").read_text())

    def checkout(self, external_id: str) -> Checkout:
        """The checkout as it stands."""
        found = self.shop.stores.checkouts.get(checkout_digest(MERCHANT, self.source_id, external_id))
        assert found is not None
        return found

    def orders(self) -> list[dict[str, Any]]:
        """Every order's row, without those that only wait for theirs."""
        return [own for own in living(self.shop) if own["pk"].startswith("O#") and "chk" in own]


def living(shop: Shop) -> list[dict[str, Any]]:
    """Every row but configuration whose time is not over."""
    return [own for own in shop.rows() if not shop.table.expired(own)]
