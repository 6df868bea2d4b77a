"""Coupon pools: single-use codes, each given to one step of one episode.

Codes are numbered without gaps; claiming one moves the pool's ``next`` on and writes the step's allocation in one
transaction, so that no code goes out twice and a retry finds its own. Codes are stored as they are: they end up
printed in messages, and a key service call per message would protect nothing. The API never shows them again.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from functools import partial

from shared.domain.campaign import MOST_STEPS
from shared.domain.coupon import Allocation
from shared.domain.ids import EpisodeId, MerchantId, PoolId
from shared.domain.instants import from_ms, to_ms
from shared.store import keys
from shared.store.conditions import Attr, Key
from shared.store.table import ConditionFailed, StoreUnavailable, Table, TransactionCancelled
from shared.store.writes import Item, Put, Update, Write

_KEPT_FOR = timedelta(days=120)
"""Longer than an episode's row, which is the allocation's."""
_CHUNK = 49
"""Two rows per code and the pool's: a transaction holds 100 writes."""
_FORGOTTEN_AT_ONCE = 500
_ENDLESS = 36_500.0
"""Days: what lasts longer than a century does not run out."""
_ROUNDS = 12
_WAIT = 0.02


class PoolExhausted(Exception):
    """Every code of the pool is given out, or there is no such pool."""


@dataclass(frozen=True, slots=True)
class CouponPool:
    """A pool: ``size`` codes were added, those before number ``next`` are given out.

    ``day`` is the last (UTC) on which any was, ``day_first`` the number of that day's first; ``before`` and
    ``before_first`` are those of the last day before it. They cost no write: each draw rewrites the row anyway.
    """

    id: PoolId
    merchant_id: MerchantId
    name: str
    created_at: datetime
    size: int = 0
    next: int = 1
    day: date | None = None
    day_first: int = 1
    before: date | None = None
    before_first: int = 1

    @property
    def claimed(self) -> int:
        """How many codes are given out."""
        return self.next - 1

    @property
    def left(self) -> int:
        """How many codes remain."""
        return self.size - self.claimed

    def per_day(self, now: datetime) -> float:
        """The pace: codes given out a day, since yesterday began (UTC)."""
        today = now.astimezone(UTC).date()
        yesterday = today - timedelta(days=1)
        if self.day not in {today, yesterday}:
            return 0.0
        first = self.before_first if self.day == today and self.before == yesterday else self.day_first
        elapsed = now - datetime.combine(yesterday, clock_time(), UTC)
        return (self.next - first) / (elapsed / timedelta(days=1))

    def runs_out_at(self, now: datetime) -> datetime | None:
        """When the last code goes at this pace; None where none is left, none goes, or not within a lifetime."""
        pace = self.per_day(now)
        days = self.left / pace if pace > 0 else _ENDLESS
        return now + timedelta(days=days) if 0 < days < _ENDLESS else None

    def given_at(self, now: datetime) -> dict[str, str | int]:
        """What the row says once another code is given out."""
        today = now.astimezone(UTC).date()
        given: dict[str, str | int] = {"next": self.next + 1}
        if self.day is None or self.day < today:
            given |= {"day": today.isoformat(), "df": self.next}
            if self.day is not None:
                given |= {"bd": self.day.isoformat(), "bf": self.day_first}
        return given


@dataclass(frozen=True, slots=True)
class Draw:
    """A code about to be given out: ``writes`` give it, all or nothing, and may join a larger transaction."""

    allocation: Allocation
    writes: tuple[Write, ...]


class CouponStore:
    """Pools of a merchant and the codes given out. ``sleep`` waits between rounds; tests replace it."""

    def __init__(self, table: Table, sleep: Callable[[float], None] = time.sleep) -> None:
        """Share one table per process."""
        self._table = table
        self._sleep = sleep

    def create(self, pool: CouponPool) -> None:
        """Write a new, empty pool."""
        pk, sk = keys.coupon_pool(pool.merchant_id, pool.id)
        row: Item = {"pk": pk, "sk": sk, "name": pool.name, "ca": to_ms(pool.created_at), "size": 0, "next": 1}
        self._table.put(Put(row, Attr("pk").not_exists() | Attr("size").eq(0)))

    def get(self, merchant_id: MerchantId, pool_id: PoolId) -> CouponPool | None:
        """The merchant's pool, or None."""
        item = self._table.get(keys.coupon_pool(merchant_id, pool_id))
        return None if item is None else _pool(merchant_id, item)

    def listed(self, merchant_id: MerchantId) -> list[CouponPool]:
        """The merchant's pools, oldest first."""
        condition = Key("pk").eq(keys.merchant(merchant_id)) & Key("sk").begins_with(keys.POOL_PREFIX)
        found = self._table.query_all(condition, consistent=True)
        return list(self._table.readable(found, partial(_pool, merchant_id)))

    def add(self, merchant_id: MerchantId, pool_id: PoolId, codes: Iterable[str]) -> int:
        """Add what the pool does not hold yet; returns how many that were. A repeat after a crash adds the rest.

        Raises PoolExhausted where there is no such pool, StoreUnavailable when other imports keep coming between.
        """
        wanted = list(dict.fromkeys(codes))
        added = 0
        for start in range(0, len(wanted), _CHUNK):
            added += self._add(merchant_id, pool_id, wanted[start : start + _CHUNK])
        return added

    def allocations(self, episode_id: EpisodeId) -> list[Allocation]:
        """The codes given to an episode's steps so far."""
        wanted = [keys.coupon_allocation(episode_id, step) for step in range(1, MOST_STEPS + 1)]
        found = self._table.batch_get(wanted)
        return [_allocation(found[key]) for key in wanted if key in found]

    def draw(
        self,
        merchant_id: MerchantId,
        pool_id: PoolId,
        episode_id: EpisodeId,
        step: int,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> Draw:
        """The next code for the step, and the writes that give it. Raises PoolExhausted.

        The first write is the pool's (it fails when another worker took that code: draw again), the second the
        allocation's (it fails when the step has one already: read it).
        """
        pool = self.get(merchant_id, pool_id)
        if pool is None or pool.left <= 0:
            raise PoolExhausted
        row = self._table.get(keys.coupon_code(pool_id, pool.next))
        if row is None:
            raise StoreUnavailable("the pool counts a code it does not hold")
        allocation = Allocation(step, row["code"], now, expires_at)
        taken = Update(
            keys.coupon_pool(merchant_id, pool_id), set=pool.given_at(now), condition=Attr("next").eq(pool.next)
        )
        return Draw(allocation, (taken, self.given(episode_id, allocation, now)))

    @staticmethod
    def given(episode_id: EpisodeId, allocation: Allocation, now: datetime) -> Put:
        """The allocation as a piece of a transaction, only where the step has none (minted codes too)."""
        pk, sk = keys.coupon_allocation(episode_id, allocation.step)
        row: Item = {
            "pk": pk,
            "sk": sk,
            "n": allocation.step,
            "code": allocation.code,
            "at": to_ms(allocation.at),
            "ttl": to_ms(now + _KEPT_FOR) // 1000,
        }
        if allocation.expires_at is not None:
            row["exp"] = to_ms(allocation.expires_at)
        return Put(row, Attr("pk").not_exists())

    def claim(
        self,
        merchant_id: MerchantId,
        pool_id: PoolId,
        episode_id: EpisodeId,
        step: int,
        now: datetime,
        expires_at: datetime | None = None,
    ) -> Allocation:
        """Give the step a code, or the one it was given before.

        Raises PoolExhausted, and StoreUnavailable when other workers kept taking codes at the same time.
        """
        for attempt in range(_ROUNDS):
            stored = self._allocated(episode_id, step)
            if stored is not None:
                return stored
            draw = self.draw(merchant_id, pool_id, episode_id, step, now, expires_at)
            try:
                self._table.transact(draw.writes)
            except TransactionCancelled:
                self._sleep(random.uniform(0.5, 1.0) * _WAIT * 2 ** min(attempt, 5))  # noqa: S311 - jitter
            else:
                return draw.allocation
        raise StoreUnavailable("other workers kept taking the pool's codes")

    def keep(self, episode_id: EpisodeId, allocation: Allocation, now: datetime) -> Allocation:
        """Write down a code that was minted for the step; answers the one that stands there."""
        try:
            self._table.put(self.given(episode_id, allocation, now))
        except ConditionFailed as failed:
            return _allocation(failed.old) if failed.old else allocation
        return allocation

    def forget(self, merchant_id: MerchantId, check: Callable[[], None] = lambda: None) -> None:
        """Delete the codes of all the merchant's pools, for erasure; the pools go with the merchant's partition.

        ``check`` is asked between pieces; it may end the work by raising.
        """
        for _, entry in self._table.keys_of(keys.merchant(merchant_id), prefix=keys.POOL_PREFIX):
            partition = keys.coupon_code(PoolId(entry.removeprefix(keys.POOL_PREFIX)), 0)[0]
            while doomed := self._table.keys_of(partition, limit=_FORGOTTEN_AT_ONCE):
                self._table.delete_all(doomed)
                check()

    def _allocated(self, episode_id: EpisodeId, step: int) -> Allocation | None:
        item = self._table.get(keys.coupon_allocation(episode_id, step))
        return None if item is None else _allocation(item)

    def _add(self, merchant_id: MerchantId, pool_id: PoolId, codes: Sequence[str]) -> int:
        for attempt in range(_ROUNDS):
            pool = self.get(merchant_id, pool_id)
            if pool is None:
                raise PoolExhausted
            hashes = {code: hashlib.sha256(code.encode()).hexdigest()[:32] for code in codes}
            known = self._table.batch_get(keys.coupon_known(pool_id, own) for own in hashes.values())
            fresh = [code for code in codes if keys.coupon_known(pool_id, hashes[code]) not in known]
            if not fresh:
                return 0
            try:
                self._table.transact(_import(pool, [(code, hashes[code]) for code in fresh]))
            except TransactionCancelled:
                self._sleep(random.uniform(0.5, 1.0) * _WAIT * 2 ** min(attempt, 5))  # noqa: S311 - jitter
            else:
                return len(fresh)
        raise StoreUnavailable("other imports kept coming between")


def _import(pool: CouponPool, codes: Sequence[tuple[str, str]]) -> list[Write]:
    size = pool.size + len(codes)
    grown = Update(
        keys.coupon_pool(pool.merchant_id, pool.id), set={"size": size}, condition=Attr("size").eq(pool.size)
    )
    writes: list[Write] = [grown]
    for number, (code, code_hash) in enumerate(codes, start=pool.size + 1):
        for key, more in (
            (keys.coupon_code(pool.id, number), {"code": code}),
            (keys.coupon_known(pool.id, code_hash), {}),
        ):
            writes.append(Put({"pk": key[0], "sk": key[1], **more}, Attr("pk").not_exists()))
    return writes


def _pool(merchant_id: MerchantId, item: Item) -> CouponPool:
    return CouponPool(
        id=PoolId(item["sk"].removeprefix(keys.POOL_PREFIX)),
        merchant_id=merchant_id,
        name=item["name"],
        created_at=from_ms(int(item["ca"])),
        size=int(item["size"]),
        next=int(item["next"]),
        day=date.fromisoformat(item["day"]) if "day" in item else None,
        day_first=int(item.get("df", 1)),
        before=date.fromisoformat(item["bd"]) if "bd" in item else None,
        before_first=int(item.get("bf", 1)),
    )


def _allocation(item: Item) -> Allocation:
    expires_at = from_ms(int(item["exp"])) if "exp" in item else None
    return Allocation(int(item["n"]), item["code"], from_ms(int(item["at"])), expires_at)
