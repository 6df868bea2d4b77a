"""Erasing a customer from what nobody understood: it is searched for the contact, and dropped whole.

Quarantined bodies first by their rows, which also hold headers, then by the objects, for a crash may have kept bytes
without a row. Poison records last: those that tell no checkout.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime

from shared.aws.quarantine_bucket import BodyGone, QuarantineBucket
from shared.domain.contact_search import ContactSearch
from shared.domain.ids import MerchantId
from shared.store.quarantine import QuarantineRemains, QuarantineStore, place_of, read_place

_PAGE = 50
type Reached = Callable[[str | None, int], None]
"""Told how many were dropped since the last time, and the place from which another call may go on.

None where rows, or objects, end. It may end the work by raising.
"""
_OBJECTS = "bodies:"
"""Before a place among the objects; any other is one among the rows."""


class QuarantinedBodies:
    """The bodies of one merchant at a time."""

    def __init__(
        self, rows: QuarantineStore, bucket: Callable[[], QuarantineBucket], now: Callable[[], datetime]
    ) -> None:
        """``bucket`` is made at first need; ``now`` is the clock."""
        self._rows = rows
        self._bucket = bucket
        self._now = now

    def drop(
        self,
        merchant_id: MerchantId,
        search: ContactSearch,
        cursor: str | None,
        reached: Reached,
    ) -> None:
        """Drop everything that names one of the contacts. Raises ClientError for what is there and cannot be read."""
        if cursor is None or not cursor.startswith(_OBJECTS):
            self._drop_rows(merchant_id, search, cursor, reached)
            cursor = None
        self._drop_objects(merchant_id, search, None if cursor is None else cursor.removeprefix(_OBJECTS), reached)
        for path, record in self._bucket().unplaced_poison(merchant_id):
            if search.found_in(record):
                self._bucket().delete_poison(path)

    def _drop_rows(
        self,
        merchant_id: MerchantId,
        search: ContactSearch,
        cursor: str | None,
        reached: Reached,
    ) -> None:
        start = None if cursor is None else read_place(merchant_id, cursor)
        while True:
            found, start = self._rows.remains(merchant_id, limit=_PAGE, start=start)
            dropped = sum(self._drop_row(merchant_id, own, search) for own in found)
            reached(None if start is None else place_of(start), dropped)
            if start is None:
                return

    def _drop_row(self, merchant_id: MerchantId, own: QuarantineRemains, search: ContactSearch) -> bool:
        body = None if own.object_key is None else self._body(own.object_key)
        if not (search.found_in(own.text.encode()) or (body is not None and search.found_in(body))):
            return False
        # The body last: a call that breaks off before finds it again, with its row or among the objects.
        self._rows.erase(merchant_id, own, None if body is None else hashlib.sha256(body).hexdigest(), self._now())
        if own.object_key is not None:
            self._bucket().delete_body(own.object_key)
        return True

    def _drop_objects(
        self,
        merchant_id: MerchantId,
        search: ContactSearch,
        after: str | None,
        reached: Reached,
    ) -> None:
        while keys := self._bucket().bodies_of(merchant_id, _PAGE, after):
            after = keys[-1]
            named = [key for key in keys if (body := self._body(key)) is not None and search.found_in(body)]
            for key in named:
                self._bucket().delete_body(key)
            reached(f"{_OBJECTS}{after}" if len(keys) == _PAGE else None, len(named))

    def _body(self, key: str) -> bytes | None:
        """The bytes; None where the bucket has dropped them before the table its row."""
        try:
            return self._bucket().body(key)
        except BodyGone:
            return None
