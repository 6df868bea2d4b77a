"""The cursor of ``GET /v1/events`` as text: signed, so that only one that was given out is taken.

It holds a place in time and marks of events, never whose they are.
"""

import base64
import binascii
import hmac
from collections.abc import Callable

from shared.api.problems import invalid_parameter
from shared.domain.event_cursor import MARK_BYTES, MOST_GIVEN, EventCursor

_MAC_BYTES = 12
_LONGEST = 2 * MARK_BYTES * MOST_GIVEN
_LABEL = b"GET /v1/events\x00"


class EventCursors:
    """Writes and reads cursors."""

    def __init__(self, mac: Callable[[bytes], str]) -> None:
        """``mac`` makes keyed hashes in hex under the stage's key."""
        self._mac = mac

    def encode(self, cursor: EventCursor) -> str:
        """The text of a cursor: the same cursor makes the same."""
        place = cursor.place.encode()
        raw = bytes([len(place)]) + place + b"".join(sorted(cursor.given))
        return base64.urlsafe_b64encode(self._proof(raw) + raw).decode().rstrip("=")

    def decode(self, text: str) -> EventCursor:
        """The cursor of a text. Raises Problem 422 for one that was not given out here."""
        try:
            padded = text + "=" * (-len(text) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True) if len(text) <= _LONGEST else b""
        except (binascii.Error, ValueError):
            raw = b""
        proof, said = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not said or not hmac.compare_digest(proof, self._proof(said)):
            raise invalid_parameter("after", "not a cursor of this list")
        end = 1 + said[0]
        marks = (said[at : at + MARK_BYTES] for at in range(end, len(said), MARK_BYTES))
        return EventCursor(said[1:end].decode(), frozenset(marks))

    def _proof(self, raw: bytes) -> bytes:
        return bytes.fromhex(self._mac(_LABEL + raw))[:_MAC_BYTES]
