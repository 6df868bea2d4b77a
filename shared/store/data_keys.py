"""Versions of the stage's data key, each wrapped by KMS: what is stored opens nothing by itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Put, Update


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """One version, counted from 1. ``resealing``: a rotation made it and is not through yet."""

    version: int
    wrapped: bytes
    made_at: datetime
    resealing: bool = False


class DataKeyStore:
    """The versions there are. None is ever changed or removed: something may still be sealed with it."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, version: int) -> WrappedKey | None:
        """The version, or None."""
        item = self._table.get(keys.data_key(version))
        return None if item is None else unpack(WrappedKey, item)

    def newest(self) -> WrappedKey | None:
        """The newest version, or None where there is none yet."""
        condition = Key("pk").eq(keys.DATA_KEYS)
        found = self._table.query(condition, limit=1, forward=False, consistent=True).items
        return unpack(WrappedKey, found[0]) if found else None

    def among(self, versions: Iterable[int]) -> list[WrappedKey]:
        """Those of these versions that there are, in their order; asks for rows by their keys alone."""
        found = self._table.batch_get(map(keys.data_key, versions))
        return sorted((unpack(WrappedKey, own) for own in found.values()), key=lambda own: own.version)

    def add(self, key: WrappedKey) -> bool:
        """Write a new version; False where there is one of its number already, which stays as it is."""
        pk, sk = keys.data_key(key.version)
        try:
            self._table.put(Put({**pack(key), "pk": pk, "sk": sk}, Attr("pk").not_exists()))
        except ConditionFailed:
            return False
        return True

    def resealed(self, version: int) -> None:
        """The rotation that made the version is through."""
        update = Update(keys.data_key(version), set={"resealing": False}, condition=Attr("pk").exists())
        self._table.update(update)
