"""Orders: each purchase once. A new row carries the outbox mark: dispatch then settles the shopper's other carts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from boto3.dynamodb.conditions import Attr

from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import MerchantId, SourceId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.writes import Item, ItemKey, Put, Update

ORDER_MARK = "ordered"


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """A purchase, the checkout it ended and the shopper's identifiers known with it."""

    merchant_id: MerchantId
    source_id: SourceId
    order_id: str
    checkout_digest: str
    bought_at: datetime
    identities: tuple[Identity, ...]
    correlation_id: str | None = None


def order_put(record: OrderRecord, now: datetime, kept_for: timedelta) -> Put:
    """The order row, only where the order is new."""
    pk, sk = keys.order(record.source_id, record.order_id)
    item: Item = {
        "pk": pk,
        "sk": sk,
        **keys.owned(record.merchant_id, pk),
        "mer": record.merchant_id,
        "src": record.source_id,
        "oid": record.order_id,
        "chk": record.checkout_digest,
        "at": to_ms(record.bought_at),
        "who": {identity.kind.value: identity.mac for identity in record.identities},
        **({} if record.correlation_id is None else {"cid": record.correlation_id}),
        "tr": 1,
        "te": ORDER_MARK,
        "ttl": to_ms(now + kept_for) // 1000,
    }
    return Put(item, Attr("pk").not_exists())


def order_noted(record: OrderRecord, now: datetime, kept_for: timedelta) -> Put:
    """The entry with its checkout by which the checkout's erasure finds an order that the checkout does not name."""
    pk, sk = keys.order_of_checkout(record.checkout_digest, keys.order(record.source_id, record.order_id))
    return Put({"pk": pk, "sk": sk, "ttl": to_ms(now + kept_for) // 1000})


def order_forgotten(key: ItemKey) -> Update:
    """Of an order row only that there was one, and when: not whose, nor what its provider calls it."""
    gone = ("tr", "te")
    return Update(key, set={"who": {}, "oid": "erased"}, remove=gone, condition=Attr("pk").exists())


def read_order(item: Item) -> OrderRecord:
    """The order of a row or of a stream image made plain."""
    merchant_id = MerchantId(item["mer"])
    return OrderRecord(
        merchant_id=merchant_id,
        source_id=SourceId(item["src"]),
        order_id=item["oid"],
        checkout_digest=item["chk"],
        bought_at=from_ms(int(item["at"])),
        identities=tuple(Identity(merchant_id, IdentityKind(kind), mac) for kind, mac in sorted(item["who"].items())),
        correlation_id=item.get("cid"),
    )
