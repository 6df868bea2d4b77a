"""A provider's payload for a merchant's own system, without what we never keep: client addresses, browsers, click ids.

Only for merchants with an endpoint of ``payload: "provider"``. Numbers keep every digit they came with.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from shared.domain.change import CheckoutChange
from shared.providers.payload import CLICK_IDS

LARGEST_KEPT = 128 * 1024
"""Of a compressed payload: it stands beside the checkout in one item."""

_CALLER = frozenset(
    {
        *("ip", "ipaddress", "ipaddr", "ipv4", "ipv6", "clientip", "browserip", "userip", "customerip", "remoteip"),
        *("clientipaddress", "browseripaddress", "useripaddress", "customeripaddress", "remoteaddr", "remoteaddress"),
        *("xforwardedfor", "xrealip", "shopperip", "orderip", "createdfromip", "ipcountry"),
        *("ipaddressv4", "ipaddressv6", "geoipcountry", "geoipcountryiso2"),
        *("useragent", "clientuseragent", "browseruseragent", "customeruseragent", "httpuseragent", "ua"),
    }
)
_NAMES = ("name", "key")
_SPELLING = re.compile(r"[^a-z0-9]")


def with_bodies(
    changes: Iterable[CheckoutChange], payload: Any, *, keep_click_ids: bool = False
) -> tuple[CheckoutChange, ...]:
    """The changes of one payload, each with the body that says it: its part of the payload, else all of it.

    A payload that is about several and not told apart is nobody's own.
    """
    several = tuple(changes)
    whole = payload if len(several) == 1 else None
    bodies = [whole if own.part is None else own.part for own in several]
    return tuple(
        own if body is None else replace(own, raw=provider_body(body, keep_click_ids=keep_click_ids))
        for own, body in zip(several, bodies, strict=True)
    )


def provider_body(payload: Any, *, keep_click_ids: bool = False) -> bytes | None:
    """The payload (parsed, decimals exact) as compressed JSON; None where it is too large or nested too deeply."""
    import simplejson

    try:
        clean = without_private(payload, keep_click_ids=keep_click_ids)
    except RecursionError:
        return None
    text = simplejson.dumps(clean, ensure_ascii=False, separators=(",", ":"), use_decimal=True, default=str)
    packed = zlib.compress(text.encode("utf-8", "replace"), 9)
    return packed if len(packed) <= LARGEST_KEPT else None


def without_private(value: Any, *, keep_click_ids: bool = False) -> Any:
    """``value`` without private members, at any depth: by their names, in name-value pairs, in addresses' queries."""
    dropped = frozenset() if keep_click_ids else CLICK_IDS
    return _clean(value, frozenset(_folded(own) for own in dropped), dropped)


def _clean(value: Any, clicks: frozenset[str], click_ids: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _clean(part, clicks, click_ids) for name, part in value.items() if not _private(str(name), clicks)
        }
    if isinstance(value, list | tuple):
        return [_clean(part, clicks, click_ids) for part in value if not _private_pair(part, clicks)]
    if isinstance(value, str) and "?" in value and click_ids:
        return _without_click_ids(value, click_ids)
    return value


def _private(name: str, clicks: frozenset[str]) -> bool:
    folded = _folded(name)
    return folded in _CALLER or folded in clicks


def _private_pair(part: Any, clicks: frozenset[str]) -> bool:
    """Attributes come as ``[{"name": "fbclid", "value": ...}]`` too."""
    if not isinstance(part, Mapping):
        return False
    return any(isinstance(part.get(own), str) and _private(part[own], clicks) for own in _NAMES)


def _without_click_ids(text: str, click_ids: frozenset[str]) -> str:
    """An address without its click ids; any other text as it is. The rest of the query stays byte for byte."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    pairs = parts.query.split("&")
    kept = [pair for pair in pairs if pair.partition("=")[0].lower() not in click_ids]
    if len(kept) == len(pairs):
        return text
    return urlunsplit(parts._replace(query="&".join(kept)))


def _folded(name: str) -> str:
    return _SPELLING.sub("", name.lower())
