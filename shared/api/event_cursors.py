"""The cursor of ``GET /v1/events`` as text: signed, so that only one that was given out is taken.

It holds a place in time and marks of events. Whose they are is in its signature alone: in strange hands it is none.
"""

from collections.abc import Callable

from shared.api.cursors import said, signed
from shared.api.problems import invalid_parameter
from shared.domain.event_cursor import MARK_BYTES, MOST_GIVEN, EventCursor
from shared.domain.ids import MerchantId

LONGEST_EVENT_CURSOR = 2 * MARK_BYTES * MOST_GIVEN
"""Characters."""
_LABEL = b"GET /v1/events\x00"


class EventCursors:
    """Writes and reads cursors."""

    def __init__(self, mac: Callable[[bytes], str], merchant_id: MerchantId) -> None:
        """``mac`` makes keyed hashes in hex under the stage's key; ``merchant_id`` is whose events are read."""
        self._mac = mac
        self._label = _LABEL + merchant_id.encode() + b"\x00"

    def encode(self, cursor: EventCursor) -> str:
        """The text of a cursor: the same cursor makes the same."""
        place = cursor.place.encode()
        return signed(bytes([len(place)]) + place + b"".join(sorted(cursor.given)), self._proof)

    def decode(self, text: str) -> EventCursor:
        """The cursor of a text. Raises Problem 422 for one that was not given out here, to this merchant."""
        raw = said(text, LONGEST_EVENT_CURSOR, self._proof)
        if raw is None:
            raise invalid_parameter("after", "not a cursor of this list")
        end = 1 + raw[0]
        marks = (raw[at : at + MARK_BYTES] for at in range(end, len(raw), MARK_BYTES))
        return EventCursor(raw[1:end].decode(), frozenset(marks))

    def _proof(self, raw: bytes) -> str:
        return self._mac(self._label + raw)
