"""What checkouts name: the episodes, orders and identifiers that an erasure finds by them, and by nothing else.

Read attribute by attribute, so that a row nobody can decode any more still names what it can.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.domain import planning
from shared.domain.identity import Identity, IdentityKind
from shared.domain.ids import EpisodeId, MerchantId, SourceId
from shared.store import keys
from shared.store.checkout_item import from_item, identities_of
from shared.store.table import Table
from shared.store.writes import Item, ItemKey

UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, zlib.error)
"""What decoding a row raises that is not of the shape this code knows."""


def episodes_of(row: Mapping[str, Any]) -> list[ItemKey]:
    """The episodes that a checkout is or was in."""
    former = row.get("epw")
    named = {row.get("epi"), *(former if isinstance(former, set) else ())}
    return [keys.episode(EpisodeId(own)) for own in sorted(filter(None, named)) if isinstance(own, str)]


def orders_of(row: Mapping[str, Any]) -> Iterator[ItemKey]:
    """Where an order that ended the checkout may lie: under its own id, or under the checkout's."""
    source_id, order = SourceId(str(row.get("src"))), row.get("or")
    if isinstance(order, Mapping) and isinstance(order.get("id"), str):
        yield keys.order(source_id, f"id:{order['id']}")
    if isinstance(row.get("xid"), str):
        yield keys.order(source_id, f"checkout:{row['xid']}")


def identities_in(row: Mapping[str, Any], merchant_id: MerchantId) -> Iterator[Identity]:
    """The identifiers that an episode's or an order's row names."""
    who = row.get("who")
    for kind, mac in who.items() if isinstance(who, Mapping) else ():
        if kind in set(IdentityKind) and isinstance(mac, str):
            yield Identity(merchant_id, IdentityKind(kind), mac)


def hanging_on(table: Table, checkouts: Iterable[Item], merchant_id: MerchantId) -> set[ItemKey]:
    """Rows without an entry of their own in the list index that go with these checkouts."""
    rows = list(checkouts)
    wanted = {key for row in rows for key in (*episodes_of(row), *_begun_by(row), *orders_of(row))}
    found = table.rows_of(wanted)
    who = {one for row in rows for one in identities_of(row, merchant_id).values()}
    who |= {one for row in found.values() for one in identities_in(row, merchant_id)}
    found |= table.rows_of(map(keys.identity, who))
    return {key for key, row in found.items() if "lp" not in row and row.get("mer", merchant_id) == merchant_id}


def _begun_by(row: Item) -> Iterator[ItemKey]:
    """The episode that telling of the checkout begins with, whether or not its worker came to name it."""
    try:
        checkout = from_item(row)
        if checkout.abandoned_at is not None:
            yield keys.episode(planning.own_episode(checkout, checkout.abandoned_at))
    except UNREADABLE:
        return
