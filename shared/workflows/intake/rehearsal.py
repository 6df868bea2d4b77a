"""A webhook of nobody, taken in as any other and written nowhere: what the first real one needs is then loaded."""

from datetime import datetime
from typing import Any

from shared.aws.sealing import seal, unseal
from shared.aws.stores import Stores
from shared.domain.ids import MerchantId, SourceId, derived_ulid
from shared.domain.merchant import SourceCredentials, SourceSettings
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival
from shared.providers import registry
from shared.providers.provider import SourceContext, WebhookRequest
from shared.store.checkouts import CheckoutStore
from shared.store.table import Table
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.purchase import purchases_over

_BODY = b"""{"external_id": "rehearsal", "status": "open", "currency": "INR", "updated_at": "2026-01-01T00:00:00Z",
"customer": {"email": "nobody@example.com", "phone": "098470 12345"}, "checkout_url": "https://shop.example.com/c",
"items": [{"product_id": 1, "title": "Tea", "quantity": 2, "unit_price": "249.50"}], "totals": {"total": "539.00"}}"""


class _Nowhere:
    """A table's client that takes every update and keeps none."""

    def update_item(self, **_: Any) -> dict[str, Any]:
        """It is written."""
        return {}


def rehearse(stores: Stores, now: datetime) -> None:
    """Load every provider, and read, merge, open and write as a webhook makes it; no call to AWS but for the keys."""
    for name in registry.names():
        registry.provider(name)
    unseal(seal(b"", 0, bytes(32), "", ""), bytes(32), "", "")
    source_id = SourceId("src_" + derived_ulid(now, registry.PLAIN))
    arrival = Arrival(
        MerchantId("mer_" + derived_ulid(now, registry.PLAIN)), source_id, registry.PLAIN, now, Settings()
    )
    request = WebhookRequest({}, {}, _BODY, now)
    context = SourceContext(SourceSettings(), SourceCredentials(), currency="INR", country="IN", hosts=frozenset())
    provider = registry.provider(registry.PLAIN)
    nowhere: Any = _Nowhere()
    checkouts = CheckoutStore(Table(nowhere, "nowhere"), stores.hasher, stores.environment.due_shards)
    merger = Merger(checkouts, purchases_over(stores))
    for change in provider.normalise(provider.read(request, context), request, context).changes:
        merger.merge(change, arrival)
