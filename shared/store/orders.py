"""Orders: each purchase once. A new row carries the outbox mark: dispatch then settles the shopper's other carts.

What is taken back of an order is kept in its row, and may be there before the order is: then the row waits for it,
nameless and without a mark. So an order and its refunds can never miss each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.domain.checkout import Checkout
from shared.domain.identity import Identity, IdentityKind, one_of_each_kind
from shared.domain.ids import MerchantId, SourceId
from shared.domain.instants import from_ms, to_ms
from shared.domain.reversal import TakenBack
from shared.store import keys
from shared.store.conditions import Attr, Condition
from shared.store.expiry import emptied
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Put, Update

ORDER_MARK = "ordered"
TAKEN_BACK_MARK = "taken_back"
_FORGOTTEN = "erased"


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
    taken_back: TakenBack | None = None
    revision: int = 0
    """Counts what was taken back; 0 while nothing is."""

    @property
    def forgotten(self) -> bool:
        """Whether its shopper was erased."""
        return self.order_id == _FORGOTTEN


@dataclass(frozen=True, slots=True)
class OrderRow:
    """What stands under an order's key: the order, what is taken back of it, or both."""

    order: OrderRecord | None = None
    taken_back: TakenBack | None = None
    revision: int = 0


NO_ROW = OrderRow()


class OrderStore:
    """Order rows by source and the name of the order."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, source_id: SourceId, order_id: str) -> OrderRow:
        """The row, consistently read."""
        return order_row(self._table.get(keys.order(source_id, order_id)))

    def take_back(self, update: Update) -> OrderRow | None:
        """Write what is taken back; what stands there instead where the row was written meanwhile."""
        try:
            self._table.update(update)
        except ConditionFailed as failed:
            return order_row(failed.old)
        return None


def order_row(item: Item | None) -> OrderRow:
    """What a row, or its absence, says."""
    if item is None:
        return NO_ROW
    order = read_order(item) if "chk" in item else None
    return OrderRow(order, _read_taken_back(item), int(item.get("rn", 0)))


def name_of_order(order_id: str | None, external_id: str) -> str:
    """What names an order: its own id, else the checkout it ends."""
    return f"id:{order_id}" if order_id else f"checkout:{external_id}"


def names_of_order(checkout: Checkout) -> set[str]:
    """The names of the order that the checkout's own row leads to."""
    own = checkout.order.id if checkout.order else None
    return {name_of_order(None, checkout.external_id), name_of_order(own, checkout.external_id)}


def order_put(record: OrderRecord, ends: datetime, waiting: OrderRow = NO_ROW, *, named: bool) -> Put:
    """The order row, only where the order is new and what is taken back of it is as read.

    ``ends``: when its checkout's row goes. ``named``: that names the order, so that an erasure finds it there.
    ``waiting`` is the row as read, without an order yet.
    """
    pk, sk = keys.order(record.source_id, record.order_id)
    item: Item = {
        "pk": pk,
        "sk": sk,
        **({} if named else keys.owned(record.merchant_id, pk)),
        "mer": record.merchant_id,
        "src": record.source_id,
        "oid": record.order_id,
        "chk": record.checkout_digest,
        "at": to_ms(record.bought_at),
        "who": one_of_each_kind(record.identities),
        **({} if record.correlation_id is None else {"cid": record.correlation_id}),
        "tr": 1,
        "te": ORDER_MARK,
        "ttl": to_ms(ends) // 1000,
        **({} if record.taken_back is None else _plain_taken_back(record.taken_back, max(waiting.revision, 1))),
    }
    if waiting.revision == 0:
        return Put(item, Attr("pk").not_exists())
    return Put(item, Attr("chk").not_exists() & Attr("rn").eq(waiting.revision))


def order_moved(record: OrderRecord, now: datetime) -> Put:
    """Nothing in place of a row whose order has come under another name, as long as it is as read."""
    gone = emptied(keys.order(record.source_id, record.order_id), min(record.bought_at, now))
    return Put(gone.item, _as_read(record.revision))


def taken_back(
    key: tuple[SourceId, str],
    row: OrderRow,
    known: TakenBack,
    owner: MerchantId,
    *,
    ends: datetime,
    cause: str | None,
) -> Update:
    """What is now known to be taken back of an order, over the row as read; marked where the order is known.

    A row that waits for its order ``ends`` as the order would.
    """
    order_key = keys.order(*key)
    own = {"mer": owner, "src": key[0], **keys.owned(owner, order_key[0]), "ttl": to_ms(ends) // 1000}
    if row.order is not None:
        own = {}  # it has all of it, or its checkout does
    mark: Mapping[str, Any] = {} if row.order is None else {"tr": row.revision + 1, "te": TAKEN_BACK_MARK}
    there = Attr("chk").not_exists() if row.order is None else Attr("chk").exists()
    return Update(
        order_key,
        set={**_plain_taken_back(known, row.revision + 1), **mark, **({} if cause is None else {"cid": cause})},
        set_if_absent=own,
        condition=there & _as_read(row.revision),
    )


def _as_read(revision: int) -> Condition:
    return Attr("rn").eq(revision) if revision else Attr("rn").not_exists()


def _plain_taken_back(known: TakenBack, revision: int) -> Item:
    plain = {
        "refunds": {name: dict(amounts) for name, amounts in known.refunds.items()} or None,
        "failed": sorted(known.failed) or None,
        "refunded": dict(known.refunded) or None,
        "cancelled": None if known.cancelled_at is None else to_ms(known.cancelled_at),
        "stands": None if known.stands_at is None else to_ms(known.stands_at),
    }
    return {"rb": {name: value for name, value in plain.items() if value is not None}, "rn": revision}


def _read_taken_back(item: Item) -> TakenBack | None:
    if "rb" not in item:
        return None
    plain = item["rb"]
    return TakenBack(
        refunds={name: _read_amounts(amounts) for name, amounts in plain.get("refunds", {}).items()},
        failed=frozenset(plain.get("failed", ())),
        refunded=_read_amounts(plain.get("refunded", {})),
        cancelled_at=from_ms(int(plain["cancelled"])) if "cancelled" in plain else None,
        stands_at=from_ms(int(plain["stands"])) if "stands" in plain else None,
    )


def _read_amounts(plain: Mapping[str, Any]) -> dict[str, int]:
    return {code: int(minor) for code, minor in plain.items()}


def order_noted(record: OrderRecord, ends: datetime) -> Put:
    """The entry with its checkout by which the checkout's erasure finds an order that the checkout does not name."""
    pk, sk = keys.order_of_checkout(record.checkout_digest, keys.order(record.source_id, record.order_id))
    return Put({"pk": pk, "sk": sk, "ttl": to_ms(ends) // 1000})


def order_forgotten(key: ItemKey, owner: MerchantId) -> Update:
    """Of an order row only that there was one, and when: not whose, nor what its provider calls it or its refunds.

    Its checkout does not name it any more, so it is found by itself.
    """
    forgotten = {"who": {}, "oid": _FORGOTTEN, **keys.owned(owner, key[0])}
    return Update(key, set=forgotten, remove=("tr", "te", "rb", "rn"), condition=Attr("pk").exists())


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
        taken_back=_read_taken_back(item),
        revision=int(item.get("rn", 0)),
    )
