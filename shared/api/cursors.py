"""Opaque cursors. Harmless when tampered with: they hold a place in a list, never whose list it is."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.api.problems import invalid_parameter

_TAG_BYTES = 4
_LONGEST = 512


def encode(place: str, filters: Mapping[str, Any]) -> str:
    """The cursor for a place in the list that the filters select."""
    return base64.urlsafe_b64encode(_tag(filters) + place.encode()).decode().rstrip("=")


def decode(cursor: str | None, filters: Mapping[str, Any]) -> str | None:
    """The place behind a cursor. Raises Problem 422 for one that was not given out for these filters."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True) if len(cursor) <= _LONGEST else b""
        tag, place = raw[:_TAG_BYTES], raw[_TAG_BYTES:].decode()
    except (binascii.Error, ValueError):
        tag, place = b"", ""
    if tag != _tag(filters) or not place:
        raise invalid_parameter("cursor", "not a cursor of this list with these filters")
    return place


def page[T](rows: Sequence[T], place: Callable[[T], str], limit: int, cursor: str | None) -> tuple[list[T], str | None]:
    """One page of rows whose places rise, and the cursor of the next."""
    after = decode(cursor, {})
    rest = [row for row in rows if after is None or place(row) > after]
    shown = rest[:limit]
    return shown, encode(place(shown[-1]), {}) if len(rest) > limit else None


def _tag(filters: Mapping[str, Any]) -> bytes:
    text = "\x1f".join(f"{name}={value}" for name, value in sorted(filters.items()) if value is not None)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_TAG_BYTES]
