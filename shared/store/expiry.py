"""Rows past their TTL: DynamoDB takes them away within days, not at once, and until then every read still shows them.

Here they are gone. A read leaves them out, and a write treats them as it treats nothing: a condition that holds where
there is no row holds over an expired one, any other fails. So no caller needs to know that expired rows exist.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.store.conditions import Attr, Condition
from shared.store.writes import ItemKey, Put

TTL = "ttl"


def expired(item: Mapping[str, Any], now: int) -> bool:
    """Whether the row's time is over at ``now`` (seconds); what is no number ends nothing, here as for DynamoDB."""
    ends = item.get(TTL)
    return isinstance(ends, int | Decimal) and ends <= now


def emptied(key: ItemKey, now: datetime) -> Put:
    """The write after which there is nothing at the key, for functions that may not delete."""
    return Put({"pk": key[0], "sk": key[1], TTL: int(now.timestamp()) - 1})


def alive(now: int) -> Condition:
    """That the row's time is not over; holds where there is none."""
    return Attr(TTL).not_exists() | Attr(TTL).gt(now)


def holds_for_nothing(condition: Condition | None) -> bool:
    """Whether a condition holds where there is no row, by DynamoDB's rules."""
    if condition is None:
        return True
    match condition.operator:
        case "AND":
            return all(map(holds_for_nothing, condition.parts))
        case "OR":
            return any(map(holds_for_nothing, condition.parts))
        case "NOT":
            return not holds_for_nothing(condition.parts[0])
        case operator:
            # What compares with an attribute that is absent is false; that it is unlike something is true.
            return operator in {"attribute_not_exists", "<>"}


def replacing(condition: Condition | None, now: int) -> Condition | None:
    """The condition of a write that leaves nothing of the row (or only looks at it), where an expired row is none."""
    if condition is None:
        return None
    if holds_for_nothing(condition):
        return condition | Attr(TTL).lte(now)
    return condition & alive(now)


def changing(condition: Condition | None, now: int) -> Condition:
    """The condition of a write that keeps what it does not name: over an expired row it fails, whatever it says."""
    return alive(now) if condition is None else condition & alive(now)
