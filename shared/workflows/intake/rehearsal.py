"""A webhook of nobody, taken in as any other and written nowhere: what the first real one needs is then loaded."""

from contextlib import suppress
from datetime import datetime

from shared.aws import clients
from shared.aws.dry_calls import NO_TABLE, kept_back
from shared.aws.sealing import seal, unseal
from shared.aws.stores import Stores
from shared.domain.ids import MerchantId, SourceId, derived_ulid
from shared.domain.merchant import SourceCredentials, SourceSettings
from shared.domain.settings import Settings
from shared.domain.transitions import Arrival
from shared.providers import registry
from shared.providers.provider import DEFECTS, AuthenticationFailed, NotReadable, SourceContext, WebhookRequest
from shared.store.checkouts import CheckoutStore
from shared.store.table import Table
from shared.workflows.intake.merge import Merger
from shared.workflows.intake.purchase import purchases_over

_BODY = b"""{"external_id": "rehearsal", "status": "open", "currency": "INR", "updated_at": "2026-01-01T00:00:00Z",
"customer": {"email": "nobody@example.com", "phone": "098470 12345"}, "checkout_url": "https://shop.example.com/c",
"items": [{"product_id": 1, "title": "Tea", "quantity": 2, "unit_price": "249.50"}], "totals": {"total": "539.00"}}"""


_TOKEN = b"eyJhbGciOiJSUzI1NiJ9.e30.AAAA"
_NOBODYS_KEY = """\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsHVaeB7Y3L9ExmyziF1Q
ysUezNIF5/i3/AWNYd0tAEdUsGhyaqk7sKAyKqOHSaufb2jEh85rgRCqEMZzXr9I
6PpBF4nwVK+RSkVcDxJM+ljHZO9I/Q9mU94Fx8oGaKs9K780Rg9X7aNL+yN55y4/
VOZLPDnLrkM2pqp1blXfCW1kTPYaAiye3JOmb8nHBBz7Yzo6kJI6hFdRw93Rn7XJ
cPuxeQ8wU3h2Y2KIGSVpzOddYUQnOxAXqCkQKoGYDYte6/4tgwU8PC+MzfcXHwb0
KUtlbmG9tHwQCbGUKfsklCEnLprdVXX+1EAdmL6lrKIOmdJJkB3iAfva+exrBTJj
YQIDAQAB
-----END PUBLIC KEY-----"""
"""Its private half was thrown away."""


def rehearse(stores: Stores, now: datetime) -> None:
    """Load every provider and what checks its proofs; open, read, merge and write; no call to AWS but for the keys."""
    context = SourceContext(
        SourceSettings(), SourceCredentials(("rehearsal",), _NOBODYS_KEY), currency="INR", country="IN"
    )
    for name in registry.names():
        # What checks a proof is loaded by the first one that is checked.
        with suppress(AuthenticationFailed, NotReadable, *DEFECTS):
            registry.provider(name).authenticate(WebhookRequest({}, {}, _TOKEN, now), context)
    unseal(seal(b"", 0, bytes(32), "", ""), bytes(32), "", "")
    source_id = SourceId("src_" + derived_ulid(now, registry.PLAIN))
    arrival = Arrival(
        MerchantId("mer_" + derived_ulid(now, registry.PLAIN)), source_id, registry.PLAIN, now, Settings()
    )
    request = WebhookRequest({}, {}, _BODY, now)
    provider = registry.provider(registry.PLAIN)
    nowhere = Table(clients.dynamodb(), NO_TABLE)
    merger = Merger(CheckoutStore(nowhere, stores.hasher, stores.environment.due_shards), purchases_over(stores))
    with kept_back(clients.dynamodb()):
        nowhere.get(("rehearsal", "rehearsal"))
        for change in provider.normalise(provider.read(request, context), request, context).changes:
            merger.merge(change, arrival)
    _ = stores.pulls  # the queue's client: most carts of some providers are asked for
