"""Configuration: merchants, their tokens, sources and endpoints. Every read of one merchant stays in its partition."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from shared.domain.ids import EndpointId, MerchantId, SourceId, TokenId
from shared.domain.instants import from_ms, to_ms
from shared.domain.merchant import Endpoint, Merchant, Source
from shared.store import keys
from shared.store.codec import pack, unpack
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Delete, Item, ItemKey, Put, Update

_ALL_MERCHANTS = "MERCHANTS"
_FORMER_KEPT_FOR = timedelta(days=31)
"""Longer than anything that hangs on an endpoint or a source."""


class VersionConflict(Exception):
    """The row changed since it was read, or is gone."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A merchant token as stored: only its hash, never itself."""

    id: TokenId
    merchant_id: MerchantId
    token_hash: str
    created_at: datetime
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Versioned[T]:
    """A configuration object and the version it was read at (the API's ETag)."""

    value: T
    version: int


class MerchantStore:
    """Merchants by id, and all of them for the operator."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, merchant_id: MerchantId) -> Versioned[Merchant] | None:
        """The merchant, or None; one that is being erased is gone."""
        item = self._table.get(keys.profile(merchant_id))
        return None if item is None or "closed_at" in item else _versioned(Merchant, item)

    def standing(self, merchant_id: MerchantId) -> Versioned[Merchant] | None:
        """The merchant, also while it is being erased, or None."""
        item = self._table.get(keys.profile(merchant_id))
        return None if item is None else _versioned(Merchant, item)

    def create(self, merchant: Merchant, token: TokenRecord) -> None:
        """Write a new merchant with its first token, all or nothing."""
        entry = {"pk": _ALL_MERCHANTS, "sk": merchant.id}
        profile = _row(keys.profile(merchant.id), merchant)
        self._table.transact([Put(profile, _AS_MADE), Put(entry), *_token_puts(token)])

    def replace(self, merchant: Merchant, version: int) -> None:
        """Write the merchant over the version it was read at. Raises VersionConflict."""
        _replace(self._table, keys.profile(merchant.id), merchant, version)

    def flag(self, merchant_id: MerchantId, *, feed: bool, raw: bool) -> None:
        """Say what ingest must keep for the merchant's endpoints; the merchant's own version stays."""
        flags = {"feed": feed, "raw": raw}
        condition = Attr("pk").exists()
        self._table.update(Update(keys.profile(merchant_id), set=flags, condition=condition))

    def listed(self, limit: int, after: str | None) -> tuple[list[Merchant], str | None]:
        """One page of all merchants by id, and the id after which the next page begins."""
        start = {"pk": _ALL_MERCHANTS, "sk": after} if after else None
        page = self._table.query(Key("pk").eq(_ALL_MERCHANTS), limit=limit, start=start)
        ids = [MerchantId(item["sk"]) for item in page.items]
        rows = self._table.batch_get(keys.profile(merchant_id) for merchant_id in ids)
        present = (rows[keys.profile(own)] for own in ids if keys.profile(own) in rows)
        after_page = page.next_key["sk"] if page.next_key else None
        return list(self._table.readable(present, partial(unpack, Merchant))), after_page

    def close(self, merchant_id: MerchantId, now: datetime) -> datetime:
        """The merchant's erasure begins: from now on it is gone for all but that. Returns when it was closed first.

        Raises ConditionFailed where there is no such merchant any more.
        """
        key = keys.profile(merchant_id)
        self._table.update(Update(key, set_if_absent={"closed_at": to_ms(now)}, condition=Attr("pk").exists()))
        item = self._table.get(key)
        return now if item is None else from_ms(int(item["closed_at"]))

    def list_shards(self, merchant_id: MerchantId) -> int:
        """How many shards the merchant's lists have, also while it is being erased. There were never more."""
        found = self.standing(merchant_id)
        return 1 if found is None else max(found.value.settings.list_shards, 1)

    def delete(self, merchant_id: MerchantId) -> None:
        """Remove everything in the merchant's partition; the profile, by which an erasure is gone on with, last."""
        profile = keys.profile(merchant_id)
        self._table.delete_all(key for key in self._table.keys_of(profile[0]) if key != profile)
        self._table.delete_all([(_ALL_MERCHANTS, str(merchant_id))])
        self._table.delete_all([profile])


class TokenStore:
    """Merchant tokens by hash."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def merchant_of(self, token_hash: str) -> MerchantId | None:
        """Whose token has this hash, or None."""
        item = self._table.get(keys.token(token_hash))
        return MerchantId(item["merchant_id"]) if item else None

    def create(self, token: TokenRecord) -> None:
        """Write a new token."""
        self._table.transact(_token_puts(token))

    def listed(self, merchant_id: MerchantId) -> list[TokenRecord]:
        """The merchant's living tokens, oldest first."""
        return [unpack(TokenRecord, item) for item in _entries(self._table, merchant_id, "TOK#")]

    def delete(self, token: TokenRecord) -> None:
        """Revoke a token."""
        entry = (keys.merchant(token.merchant_id), f"TOK#{token.id}")
        self._table.transact([Delete(keys.token(token.token_hash)), Delete(entry)])


class SourceStore:
    """Sources by their own id (ingest) and by merchant (API)."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, source_id: SourceId) -> Versioned[Source] | None:
        """The source, or None. Whoever acts for a merchant must compare ``merchant_id``."""
        item = self._table.get(keys.source(source_id))
        return None if item is None else _versioned(Source, item)

    def with_merchant(self, source_id: SourceId) -> tuple[Source, Merchant] | None:
        """The source and its merchant, as ingest needs them; None when either is gone."""
        source = self.get(source_id)
        if source is None:
            return None
        merchant = MerchantStore(self._table).get(source.value.merchant_id)
        return None if merchant is None else (source.value, merchant.value)

    def create(self, source: Source) -> None:
        """Write a new source."""
        pk, sk = keys.source_entry(source.merchant_id, source.id)
        row = _row(keys.source(source.id), source)
        self._table.transact([Put(row, _AS_MADE), Put({"pk": pk, "sk": sk})])

    def replace(self, source: Source, version: int) -> None:
        """Write the source over the version it was read at. Raises VersionConflict."""
        _replace(self._table, keys.source(source.id), source, version)

    def reseal(self, source: Source, version: int) -> None:
        """Write how its credentials are sealed, nothing else; version and ETag stay. Raises VersionConflict."""
        _reseal(self._table, keys.source(source.id), source, version)

    def listed(self, merchant_id: MerchantId) -> list[Versioned[Source]]:
        """The merchant's sources, oldest first."""
        ids = self.ids(merchant_id)
        rows = self._table.batch_get(keys.source(source_id) for source_id in ids)
        present = (rows[keys.source(own)] for own in ids if keys.source(own) in rows)
        return list(self._table.readable(present, partial(_versioned, Source)))

    def ids(self, merchant_id: MerchantId) -> list[SourceId]:
        """The ids of all the merchant's sources, which are not read."""
        return [SourceId(own) for own in entry_ids(self._table, merchant_id, "SRC#")]

    def delete(self, source: Source) -> None:
        """Remove the source; its checkouts stay."""
        entry = keys.source_entry(source.merchant_id, source.id)
        self._table.transact([Delete(keys.source(source.id)), Delete(entry), _former(source.merchant_id, source.id)])


class EndpointStore:
    """Endpoints of a merchant."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table

    def get(self, merchant_id: MerchantId, endpoint_id: EndpointId) -> Versioned[Endpoint] | None:
        """The merchant's endpoint, or None."""
        item = self._table.get(keys.endpoint(merchant_id, endpoint_id))
        return None if item is None else _versioned(Endpoint, item)

    def create(self, endpoint: Endpoint) -> None:
        """Write a new endpoint."""
        row = _row(keys.endpoint(endpoint.merchant_id, endpoint.id), endpoint)
        pk, sk = keys.endpoint_owner(endpoint.id)
        owner = {"pk": pk, "sk": sk, "merchant_id": endpoint.merchant_id}
        self._table.transact([Put(row, _AS_MADE), Put(owner)])

    def owned(self, endpoint_id: EndpointId) -> Endpoint | None:
        """The endpoint by its id alone, for a vendor's call that names nothing else."""
        owner = self._table.get(keys.endpoint_owner(endpoint_id))
        found = None if owner is None else self.get(MerchantId(owner["merchant_id"]), endpoint_id)
        return None if found is None else found.value

    def replace(self, endpoint: Endpoint, version: int) -> None:
        """Write the endpoint over the version it was read at. Raises VersionConflict."""
        _replace(self._table, keys.endpoint(endpoint.merchant_id, endpoint.id), endpoint, version)

    def reseal(self, endpoint: Endpoint, version: int) -> None:
        """Write how its credentials are sealed, nothing else; version and ETag stay. Raises VersionConflict."""
        _reseal(self._table, keys.endpoint(endpoint.merchant_id, endpoint.id), endpoint, version)

    def disable(self, merchant_id: MerchantId, endpoint_id: EndpointId, reason: str) -> bool:
        """Stop sending to the endpoint; False where that was so already, or it is gone."""
        update = Update(
            keys.endpoint(merchant_id, endpoint_id),
            set={"status": "disabled", "disabled_reason": reason},
            add={"version": 1},
            condition=Attr("status").eq("active"),
        )
        try:
            self._table.update(update)
        except ConditionFailed:
            return False
        return True

    def listed(self, merchant_id: MerchantId) -> list[Versioned[Endpoint]]:
        """The merchant's endpoints, oldest first."""
        found = _entries(self._table, merchant_id, "EP#")
        return list(self._table.readable(found, partial(_versioned, Endpoint)))

    def named(self, merchant_id: MerchantId, endpoint_ids: Iterable[EndpointId]) -> dict[EndpointId, Endpoint]:
        """Those of the merchant's endpoints that have these ids, however many it has beside them."""
        rows = self._table.batch_get(keys.endpoint(merchant_id, endpoint_id) for endpoint_id in endpoint_ids)
        found = self._table.readable(rows.values(), partial(unpack, Endpoint))
        return {endpoint.id: endpoint for endpoint in found}

    def ids(self, merchant_id: MerchantId) -> list[EndpointId]:
        """The ids of all the merchant's endpoints, which are not read."""
        return [EndpointId(own) for own in entry_ids(self._table, merchant_id, "EP#")]

    def delete(self, merchant_id: MerchantId, endpoint_id: EndpointId) -> None:
        """Remove the endpoint."""
        owner = Delete(keys.endpoint_owner(endpoint_id))
        own = Delete(keys.endpoint(merchant_id, endpoint_id))
        self._table.transact([own, owner, _former(merchant_id, endpoint_id)])


def _former(merchant_id: MerchantId, of_id: str) -> Put:
    """What its merchant's erasure finds the rest by: deliveries and the like outlive their endpoint."""
    pk, sk = keys.former(merchant_id, of_id)
    return Put({"pk": pk, "sk": sk, "ttl": to_ms(datetime.now(UTC) + _FORMER_KEPT_FOR) // 1000})


_AS_MADE: Final = Attr("pk").not_exists() | (Attr("version").eq(1) & Attr("closed_at").not_exists())
"""Not there yet, or made by the same request before, whose end nobody saw: ids are random, or the request's own."""


def _token_puts(token: TokenRecord) -> list[Put]:
    pk, sk = keys.token(token.token_hash)
    lookup = {"pk": pk, "sk": sk, "merchant_id": token.merchant_id, "id": token.id}
    entry = _row((keys.merchant(token.merchant_id), f"TOK#{token.id}"), token)
    same = Attr("pk").not_exists() | Attr("id").eq(token.id)
    return [Put(lookup, same), Put(entry, same)]


def _entries(table: Table, merchant_id: MerchantId, prefix: str) -> list[Item]:
    condition = Key("pk").eq(keys.merchant(merchant_id)) & Key("sk").begins_with(prefix)
    return list(table.query_all(condition, consistent=True))


def entry_ids(table: Table, merchant_id: MerchantId, prefix: str) -> list[str]:
    """What follows the prefix in the sort keys of a merchant's rows, oldest first; the rows themselves are not read."""
    return [sk.removeprefix(prefix) for _, sk in table.keys_of(keys.merchant(merchant_id), prefix=prefix)]


def _row(key: ItemKey, value: Any) -> Item:
    return {**pack(value), "pk": key[0], "sk": key[1], "version": 1}


def _versioned[T](kind: type[T], item: Item) -> Versioned[T]:
    return Versioned(unpack(kind, item), int(item["version"]))


def _replace(table: Table, key: ItemKey, value: Any, version: int) -> None:
    row = _row(key, value) | {"version": version + 1}
    try:
        table.put(Put(row, Attr("version").eq(version) & Attr("closed_at").not_exists()))
    except ConditionFailed as failed:
        raise VersionConflict from failed


def _reseal(table: Table, key: ItemKey, owner: Source | Endpoint, version: int) -> None:
    try:
        table.update(Update(key, set={"sealed": owner.sealed}, condition=Attr("version").eq(version)))
    except ConditionFailed as failed:
        raise VersionConflict from failed
