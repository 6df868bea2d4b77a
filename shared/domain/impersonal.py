"""An event without anything of a shopper: ids of ours, states, times and amounts, for whoever counts and need not know.

What is kept is named here; a field that comes to events later is left out until it is named too. Texts that providers
or merchants write are none of it, whatever they are called: anybody's name may stand in them.
"""

from collections.abc import Mapping
from typing import Any, Final

_EVENT: Final = ("id", "type", "timestamp", "sequence", "merchant_id", "do_not_send_after", "messaging")
_CHECKOUT: Final = (
    *("id", "provider", "source_id", "status", "reason", "test", "item_count", "totals", "shop_totals"),
    *("currency_assumed", "created_at", "updated_at", "last_activity_at", "abandoned_at", "completed_at"),
)
_ORDER: Final = ("at", "total", "reversed", "cancelled")
_EPISODE: Final = ("id", "status", "anchor", "started_at", "ended_at", "end_reason")
_ENDPOINT: Final = ("id", "kind", "status", "disabled_reason", "test")
_ERASED: Final = ("checkout_ids", "episode_ids")


def without_person(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event, cut down to what is nobody's own."""
    data: Mapping[str, Any] = event.get("data") or {}
    kept: dict[str, Any] = _only(data, _ERASED)
    for name, fields in (("checkout", _CHECKOUT), ("episode", _EPISODE), ("endpoint", _ENDPOINT)):
        if name in data:
            kept[name] = None if data[name] is None else _only(data[name], fields)
    order = (data.get("checkout") or {}).get("order")
    if kept.get("checkout") is not None:
        kept["checkout"]["order"] = None if order is None else _only(order, _ORDER)
    return {**_only(event, _EVENT), "data": kept}


def _only(whole: Mapping[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: whole[name] for name in fields if name in whole}
