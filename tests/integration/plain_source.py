"""A source of the shop's own that posts checkouts in the plain form, by whichever identifier a test is about."""

import json
from typing import Any

from shared.domain.checkout import Checkout
from shared.domain.ids import SourceId, checkout_digest
from shared.domain.merchant import Source, SourceCredentials
from shared.store.configuration import SourceStore
from tests.integration.shop import MERCHANT, Shop, aws_event
from tests.unit.domain.sessions import NOON

PLAIN_SOURCE = SourceId("src_01KAHJ000000000000000P1A1N")
IDENTIFIERS: dict[str, dict[str, Any]] = {
    "phone": {"customer": {"phone": "+919847012345"}},
    "email": {"customer": {"email": "asha@example.com"}},
    "customer": {"customer": {"id": "42"}},
    "cart": {"cart_id": "cart-1"},
}
"""Parts of a body that name a shopper by one identifier, and by no other."""
_TOKEN = "t" * 20
_CART = {"currency": "INR", "items": [{"title": "Tea", "quantity": 1, "unit_price": "539.00"}]}


class PlainSource:
    """The source; its bodies arrive through ingest."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        sealed = shop.stores.cipher.seal_source(PLAIN_SOURCE, MERCHANT, SourceCredentials(url_token=_TOKEN))
        SourceStore(shop.table).create(Source(PLAIN_SOURCE, MERCHANT, "custom", NOON, sealed=sealed))

    def posts(self, **body: Any) -> None:
        """It posts this, and it is taken."""
        event = aws_event("webhook")
        event |= {"pathParameters": {"source_id": PLAIN_SOURCE}, "queryStringParameters": {"token": _TOKEN}}
        event["body"] = json.dumps(_CART | body)
        status, answer = self._shop.posted(event)
        assert (status, answer["status"]) == (200, "accepted"), answer

    def begins(self, name: str, identifier: str) -> None:
        """A shopper begins a checkout."""
        self.posts(external_id=name, status="open", **IDENTIFIERS[identifier])

    def buys(self, name: str | None, identifier: str) -> None:
        """A shopper buys, in a session of that name or in one that the shop does not name."""
        named = {} if name is None else {"external_id": name}
        self.posts(**named, status="completed", order={"id": "1001"}, **IDENTIFIERS[identifier])

    def checkout(self, name: str) -> Checkout:
        """The checkout as it stands."""
        found = self._shop.stores.checkouts.get(checkout_digest(MERCHANT, PLAIN_SOURCE, name))
        assert found is not None
        return found
