"""A message that a vendor took for the shop, and about which it is going to report."""

from collections.abc import Mapping

from shared.domain.ids import EndpointId, EventId, delivery_id, new_ulid
from shared.domain.merchant import Endpoint, EndpointCredentials
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryRecord, DeliveryStatus
from tests.integration.shop import MERCHANT, Shop


def taken_message(
    shop: Shop, kind: str, settings: Mapping[str, str], endpoint_id: EndpointId | None = None
) -> tuple[Endpoint, DeliveryRecord]:
    """A new endpoint with these secrets, and the delivery of a step about the shop's checkout."""
    named = endpoint_id or EndpointId("ep_" + new_ulid(shop.now))
    sealed = shop.stores.cipher.seal_endpoint(named, MERCHANT, EndpointCredentials(settings=dict(settings)))
    endpoint = Endpoint(named, MERCHANT, kind, shop.now, sealed=sealed)
    EndpointStore(shop.table).create(endpoint)
    checkout = shop.checkout()
    delivery = DeliveryRecord(
        id=delivery_id(shop.now, "step", named),
        endpoint_id=named,
        merchant_id=MERCHANT,
        event_id=EventId("evt_01KAHJ0000000000000000000E"),
        event_type="checkout.abandoned",
        checkout_digest=checkout.digest,
        event_version=checkout.version,
        status=DeliveryStatus.DELIVERED,
        created_at=shop.now,
    )
    shop.stores.deliveries.create(delivery)
    return endpoint, delivery
