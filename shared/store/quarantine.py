"""Quarantine rows: where a body that was not understood lies, and why. The bytes themselves are in the bucket."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.ids import MerchantId, QuarantineId, SourceId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Delete, Item, Put, Update

KEPT_FOR = timedelta(days=30)
UNDERSTOOD = frozenset({"accepted", "duplicate", "ignored"})
"""What a replay makes of a body that is understood by now: a record's ``replay_status``."""
_LIST = "quarantine"
_PLACE = re.compile(r"([0-9]{15})(qrn_[0-9A-Za-z]{26})")


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """One authentic body that was not understood. ``event`` is the event name from the URL, where it had one.

    ``headers`` are those a replay may need, none that proves the sender; ``correlation_id`` is the webhook's request.
    """

    id: QuarantineId
    merchant_id: MerchantId
    source_id: SourceId
    provider: str
    reason: str
    object_key: str
    size: int
    received_at: datetime
    event: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed_at: datetime | None = None
    replay_status: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class QuarantineRemains:
    """A row as an erasure finds it, readable or not; ``text`` is all that it says."""

    id: QuarantineId
    source_id: SourceId | None
    object_key: str | None
    text: str


class QuarantineStore:
    """Quarantine rows by id and by merchant."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def add(self, record: QuarantineRecord) -> None:
        """Write a row; the same body of the same source is the same row."""
        try:
            self._table.put(Put(_item(record), Attr("pk").not_exists()))
        except ConditionFailed:
            return

    def get(self, quarantine_id: QuarantineId) -> QuarantineRecord | None:
        """The row, or None. Whoever acts for a merchant must compare ``merchant_id``."""
        item = self._table.get(keys.quarantine(quarantine_id))
        return None if item is None else _record(item)

    def listed(
        self, merchant_id: MerchantId, *, limit: int, start: Item | None
    ) -> tuple[list[QuarantineRecord], Item | None]:
        """One page of the merchant's quarantine, newest first, and where the next begins."""
        condition = Key("lp").eq(keys.list_partition(merchant_id, _LIST))
        page = self._table.query(condition, index=keys.LIST_INDEX, limit=limit, start=start, forward=False)
        rows = self._table.batch_get((item["pk"], item["sk"]) for item in page.items)
        wanted = [(item["pk"], item["sk"]) for item in page.items]
        found = (rows[key] for key in wanted if key in rows)
        return list(self._table.readable(found, _record)), page.next_key

    def remains(
        self, merchant_id: MerchantId, *, limit: int, start: Item | None
    ) -> tuple[list[QuarantineRemains], Item | None]:
        """As ``listed``, for an erasure: rows past their time and unreadable ones too."""
        condition = Key("lp").eq(keys.list_partition(merchant_id, _LIST))
        page = self._table.query(condition, index=keys.LIST_INDEX, limit=limit, start=start, forward=False)
        rows = self._table.rows_of((item["pk"], item["sk"]) for item in page.items)
        return [_remains(row) for row in rows.values() if row.get("mer") == merchant_id], page.next_key

    def erase(self, merchant_id: MerchantId, own: QuarantineRemains, body_digest: str | None, now: datetime) -> None:
        """Remove the row; the same body, should it come again within 30 days, is not kept."""
        if own.source_id is not None and body_digest is not None:
            pk, sk = keys.erased_body(own.source_id, body_digest)
            listed = keys.owned(merchant_id, pk)
            self._table.put(Put({"pk": pk, "sk": sk, **listed, "ttl": to_ms(now + KEPT_FOR) // 1000}))
        self.delete(own.id)

    def was_erased(self, source_id: SourceId, body_digest: str) -> bool:
        """Whether this body of the source was erased."""
        return self._table.get(keys.erased_body(source_id, body_digest)) is not None

    def replayed(self, quarantine_id: QuarantineId, at: datetime, status: str) -> None:
        """Note what a replay made of it; a row that is gone stays gone."""
        values = {"ra": to_ms(at), "rs": status}
        try:
            self._table.update(Update(keys.quarantine(quarantine_id), set=values, condition=Attr("pk").exists()))
        except ConditionFailed:
            return

    def delete(self, quarantine_id: QuarantineId) -> None:
        """Remove the row."""
        self._table.delete(Delete(keys.quarantine(quarantine_id)))


def place_of(key: Item) -> str:
    """A page's end as a text that names no merchant."""
    return f"{key['ls']}{key['pk'].removeprefix('Q#')}"


def read_place(merchant_id: MerchantId, place: str) -> Item | None:
    """The page's end behind a place, always in the asking merchant's list; None for what is no place."""
    parts = _PLACE.fullmatch(place)
    if parts is None:
        return None
    pk, sk = keys.quarantine(QuarantineId(parts[2]))
    return {"pk": pk, "sk": sk, "lp": keys.list_partition(merchant_id, _LIST), "ls": parts[1]}


def _item(record: QuarantineRecord) -> Item:
    pk, sk = keys.quarantine(record.id)
    item: Item = {
        "pk": pk,
        "sk": sk,
        "mer": record.merchant_id,
        "src": record.source_id,
        "pr": record.provider,
        "why": record.reason,
        "s3": record.object_key,
        "size": record.size,
        "ca": to_ms(record.received_at),
        "ev": record.event,
        "hd": dict(record.headers) or None,
        "cid": record.correlation_id,
        "lp": keys.list_partition(record.merchant_id, _LIST),
        "ls": f"{to_ms(record.received_at):015d}",
        "ttl": to_ms(record.received_at + KEPT_FOR) // 1000,
    }
    return {name: value for name, value in item.items() if value is not None}


def _record(item: Item) -> QuarantineRecord:
    return QuarantineRecord(
        id=QuarantineId(item["pk"].removeprefix("Q#")),
        merchant_id=MerchantId(item["mer"]),
        source_id=SourceId(item["src"]),
        provider=item["pr"],
        reason=item["why"],
        object_key=item["s3"],
        size=int(item["size"]),
        received_at=from_ms(int(item["ca"])),
        event=item.get("ev"),
        headers=item.get("hd", {}),
        replayed_at=from_ms(int(item["ra"])) if "ra" in item else None,
        replay_status=item.get("rs"),
        correlation_id=item.get("cid"),
    )


def _remains(item: Item) -> QuarantineRemains:
    source_id, object_key = item.get("src"), item.get("s3")
    return QuarantineRemains(
        id=QuarantineId(item["pk"].removeprefix("Q#")),
        source_id=SourceId(source_id) if isinstance(source_id, str) else None,
        object_key=object_key if isinstance(object_key, str) else None,
        text="\n".join(str(value) for value in item.values()),
    )
