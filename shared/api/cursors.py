"""Opaque cursors: taken only as they were given out, by the list and the filters they were given out for.

A place in a list becomes a key of the table. A made-up one is refused here, so that no store meets a place that its
list cannot have. A cursor holds a place in a list, never whose list it is.
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shared.api.problems import invalid_parameter
from shared.domain.ids import digest

_MAC_BYTES = 12
LONGEST_CURSOR = 512
_NO_FILTERS: Mapping[str, Any] = {}


type Proof = Callable[[bytes], str]
"""A keyed hash in hex of what a cursor says."""


def signed(raw: bytes, proof: Proof) -> str:
    """The text of a cursor that says ``raw``: the same makes the same."""
    return base64.urlsafe_b64encode(_short(proof(raw)) + raw).decode().rstrip("=")


def said(text: str, longest: int, proof: Proof) -> bytes | None:
    """What a cursor says; None for one that was not given out here, or is longer than ``longest``."""
    try:
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True) if len(text) <= longest else b""
    except (binascii.Error, ValueError):
        return None
    given, says = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    return says if says and hmac.compare_digest(given, _short(proof(says))) else None


def _short(mac: str) -> bytes:
    return bytes.fromhex(mac)[:_MAC_BYTES]


class Cursors:
    """The cursors of one list."""

    def __init__(self, mac: Callable[[bytes], str], operation: str, longest: int = LONGEST_CURSOR) -> None:
        """``mac`` makes keyed hashes in hex under the stage's key; ``operation`` names the list."""
        self._longest = longest
        self._mac = mac
        self._operation = operation

    def encode(self, place: str, filters: Mapping[str, Any] = _NO_FILTERS) -> str:
        """The cursor for a place in the list that the filters select."""
        return signed(place.encode(), partial(self._proof, filters))

    def decode(self, cursor: str | None, filters: Mapping[str, Any] = _NO_FILTERS) -> str | None:
        """The place behind a cursor. Raises Problem 422 for one that was not given out for these filters."""
        if cursor is None:
            return None
        place = said(cursor, self._longest, partial(self._proof, filters))
        if place is None:
            raise invalid_parameter("cursor", "not a cursor of this list with these filters")
        return place.decode()

    def page[T](
        self, rows: Sequence[T], place: Callable[[T], str], limit: int, cursor: str | None
    ) -> tuple[list[T], str | None]:
        """One page of rows whose places rise, and the cursor of the next."""
        after = self.decode(cursor)
        rest = [row for row in rows if after is None or place(row) > after]
        shown = rest[:limit]
        return shown, self.encode(place(shown[-1])) if len(rest) > limit else None

    def _proof(self, filters: Mapping[str, Any], place: bytes) -> str:
        named = (part for name, value in sorted(filters.items()) if value is not None for part in (name, str(value)))
        return self._mac(digest(self._operation, *named) + place)
