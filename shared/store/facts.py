"""Countable facts, put if absent, and their sums by cohort. There is no counter to fight over.

A cohort's facts go together, 120 days after its day; its sums, written once it is mature, stay. Which cohorts have
facts is written down before the first of them, so that an erasure need not look into every day's partitions.
"""

import contextlib
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from shared.domain.ids import MerchantId
from shared.domain.instants import from_ms, to_ms
from shared.domain.metrics import Fact, FactKind, Sums
from shared.domain.money import Money
from shared.store import keys
from shared.store.conditions import Attr, Condition, Key
from shared.store.table import ConditionFailed, Table
from shared.store.writes import Item, ItemKey, Put

KEPT_FOR = timedelta(days=120)
_ENTRY_KEPT_FOR = KEPT_FOR + timedelta(days=7)
"""Longer than the facts, which DynamoDB may delete some days after their time."""
_MOST_ENTERED = 10_000
_THREADS = 16
_CONTACTABLE = "contactable"
"""In an abandonment's row: that its shopper could be reached, a fact that is mostly known with it."""
_TEXTS = ("episode", "provider", "stage", "campaign", "endpoint", "reason")


class FactStore:
    """Facts and roll-ups of merchants."""

    def __init__(self, table: Table) -> None:
        """Share one table per process."""
        self._table = table
        self._entered: dict[ItemKey, int] = {}

    def add(self, merchant_id: MerchantId, facts: Iterable[Fact]) -> list[Fact]:
        """Write facts, each once; those that were not known."""
        fresh: list[Fact] = []
        made = list(facts)
        abandoned = {own.subject for own in made if own.kind is FactKind.ABANDONED}
        contactable = {own.subject: own for own in made if own.kind is FactKind.CONTACTABLE}
        for fact in made:
            if fact.kind is FactKind.CONTACTABLE and fact.subject in abandoned:
                continue
            with_it = contactable.get(fact.subject) if fact.kind is FactKind.ABANDONED else None
            fresh += self._added(merchant_id, fact, with_it)
        return fresh

    def _added(self, merchant_id: MerchantId, fact: Fact, contactable: Fact | None) -> list[Fact]:
        """``contactable`` stands in the abandonment's row, unless that was written before the shopper could be."""
        both = [fact] if contactable is None else [fact, contactable]
        shards = self._enter(merchant_id, fact.cohort)
        row = _item(merchant_id, fact, shards) | ({} if contactable is None else {_CONTACTABLE: True})
        try:
            self._table.put(Put(row, Attr("pk").not_exists()))
        except ConditionFailed as failed:
            if contactable is None or (failed.old or {}).get(_CONTACTABLE):
                return []
            return self._added(merchant_id, contactable, None)
        return both

    def put_newest(self, merchant_id: MerchantId, fact: Fact, revision: int) -> None:
        """Write a fact whose amount may change, unless it is known as of the same or a later revision."""
        shards = self._enter(merchant_id, fact.cohort)
        newer = Attr("rev").not_exists() | Attr("rev").lt(revision)
        with contextlib.suppress(ConditionFailed):
            self._table.put(Put(_item(merchant_id, fact, shards) | {"rev": revision}, newer))

    def get_many(self, merchant_id: MerchantId, wanted: Iterable[Fact]) -> dict[str, Fact]:
        """The stored facts among those named by kind, cohort, subject and part, by id."""
        found = self._table.batch_get(
            keys.fact(merchant_id, own.cohort, own.id, shards)
            for own in wanted
            for shards in (keys.FACT_SHARDS, keys.FACT_SHARDS_AT_MOST)
        )
        return {own.id: own for own in self._table.readable(found.values(), _fact)}

    def of_cohort(self, merchant_id: MerchantId, cohort: date) -> list[Fact]:
        """Every fact of one day's cohort."""
        return _once(map(self._of_partition, keys.facts(merchant_id, cohort)))

    def of_cohorts(
        self, merchant_id: MerchantId, cohorts: Sequence[date], *, settling: Collection[date] = ()
    ) -> dict[date, list[Fact]]:
        """Every fact of these days, a query for each shard that there is; a day without any is absent.

        Days that have facts are told by their entries, so that the others cost nothing. What is summed for good
        (``settling``) is looked for in all shards that there ever were: an older release, gone back to, writes there.
        """
        if not cohorts:
            return {}
        shards = self._shards_between(merchant_id, min(cohorts), max(cohorts))
        most = keys.FACT_SHARDS_AT_MOST
        found: dict[date, list[list[Fact]]] = {day: [] for day in cohorts if day in shards}
        places = [
            (day, own)
            for day in found
            for own in keys.facts(merchant_id, day, most if day in settling else shards[day])
        ]
        with ThreadPoolExecutor(_THREADS) as threads:
            read = threads.map(self._of_partition, [own for _, own in places])
            for (day, _), facts in zip(places, read, strict=True):
                found[day].append(facts)
        return {day: _once(facts) for day, facts in found.items()}

    def _of_partition(self, partition: str) -> list[Fact]:
        rows = self._table.query_all(Key("pk").eq(partition), consistent=True)
        return [own for facts in self._table.readable(rows, _facts) for own in facts]

    def _shards_between(self, merchant_id: MerchantId, first: date, last: date) -> dict[date, int]:
        """The days that have facts, and in how many shards."""
        low, high = (keys.cohort(merchant_id, own)[1] for own in (first, last))
        entries = self._table.query_all(
            Key("pk").eq(keys.merchant(merchant_id)) & Key("sk").between(low, high), consistent=True
        )
        return {date.fromisoformat(own["sk"].removeprefix(keys.COHORT_PREFIX)): _shards_of(own) for own in entries}

    def in_order(self, merchant_id: MerchantId, cohort: date) -> Iterator[Fact]:
        """Every fact of one day's cohort by id, a page of each partition at a time."""
        partitions = keys.facts(merchant_id, cohort)
        streams = [self._stream(Key("pk").eq(own)) for own in partitions]
        # What stands in the abandonments' rows comes at another place: they are read once more.
        abandonments = [Key("pk").eq(own) & Key("sk").begins_with(f"{FactKind.ABANDONED}#") for own in partitions]
        streams += [self._stream(own, contactable=True) for own in abandonments]
        in_order = heapq.merge(*streams, key=lambda fact: fact.id)
        return (next(same) for _, same in groupby(in_order, key=lambda fact: fact.id))

    def _stream(self, condition: Condition, *, contactable: bool = False) -> Iterator[Fact]:
        """Rows by key: the fact that each is, or the one that stands in it besides."""
        rows = self._table.query_all(condition, consistent=True)
        return (facts[contactable] for facts in self._table.readable(rows, _facts) if len(facts) > contactable)

    def cohorts_of(self, merchant_id: MerchantId) -> list[date]:
        """The days that may have facts, oldest first."""
        entries = self._table.keys_of(keys.merchant(merchant_id), prefix=keys.COHORT_PREFIX)
        return [date.fromisoformat(sk.removeprefix(keys.COHORT_PREFIX)) for _, sk in entries]

    def rolled_up(self, merchant_id: MerchantId, cohorts: Iterable[date]) -> dict[date, dict[str, Sums]]:
        """The stored sums of these days, by dimension; a day without any is absent."""
        found = self._table.batch_get(keys.rollup(merchant_id, own) for own in cohorts)
        return {
            date.fromisoformat(item["sk"]): {name: _sums(plain) for name, plain in item["sums"].items()}
            for item in found.values()
            if "sums" in item
        }

    def roll_up(self, merchant_id: MerchantId, cohort: date, sums: Mapping[str, Sums], now: datetime) -> None:
        """Write a day's sums, whole."""
        pk, sk = keys.rollup(merchant_id, cohort)
        plain = {
            name: {"counts": dict(own.counts), "amounts": {each: dict(by) for each, by in own.amounts.items()}}
            for name, own in sums.items()
        }
        self._table.put(Put({"pk": pk, "sk": sk, "sums": plain, "at": to_ms(now)}))

    def forget_sums(self, merchant_id: MerchantId, cohort: date) -> None:
        """A fact came after the sums were made: they are made again at the next look.

        The row stays, without sums: whoever records facts may not delete.
        """
        pk, sk = keys.rollup(merchant_id, cohort)
        self._table.put(Put({"pk": pk, "sk": sk}))

    def _enter(self, merchant_id: MerchantId, cohort: date) -> int:
        """Write down, once per process, that the day may have facts; in how many shards they are."""
        key = keys.cohort(merchant_id, cohort)
        if key in self._entered:
            return self._entered[key]
        ends = to_ms(_midnight(cohort) + _ENTRY_KEPT_FOR) // 1000
        entry: Item = {"pk": key[0], "sk": key[1], "ttl": ends, "n": keys.FACT_SHARDS}
        try:
            self._table.put(Put(entry, Attr("pk").not_exists()))
        except ConditionFailed as there:
            entry = there.old or entry
        if len(self._entered) >= _MOST_ENTERED:
            self._entered.clear()
        self._entered[key] = shards = _shards_of(entry)
        return shards


def _once(shards: Iterable[Iterable[Fact]]) -> list[Fact]:
    """Each fact once, in whichever rows it stands."""
    return list({own.id: own for facts in shards for own in facts}.values())


def _shards_of(entry: Item) -> int:
    return int(entry.get("n", keys.FACT_SHARDS_AT_MOST))


def facts_end(cohort: date) -> datetime:
    """Until when a cohort's facts are kept."""
    return _midnight(cohort) + KEPT_FOR


def _midnight(cohort: date) -> datetime:
    return datetime.combine(cohort, time(), UTC)


def _item(merchant_id: MerchantId, fact: Fact, shards: int) -> Item:
    pk, sk = keys.fact(merchant_id, fact.cohort, fact.id, shards)
    plain: Item = {
        "pk": pk,
        "sk": sk,
        "kind": fact.kind.value,
        "cohort": fact.cohort.isoformat(),
        "subject": fact.subject,
        "part": fact.part or None,
        "at": to_ms(fact.at),
        "step": fact.step,
        "treated": fact.treated,
        "tier": fact.tier,
        "minor": fact.amount.minor if fact.amount else None,
        "currency": fact.amount.currency if fact.amount else None,
        "ttl": to_ms(facts_end(fact.cohort)) // 1000,
    } | {name: getattr(fact, name) or None for name in _TEXTS}
    return {name: value for name, value in plain.items() if value is not None}


def _fact(item: Item) -> Fact:
    texts = {name: item.get(name) for name in _TEXTS}
    return Fact(
        kind=FactKind(item["kind"]),
        cohort=date.fromisoformat(item["cohort"]),
        subject=item["subject"],
        part=item.get("part", ""),
        at=from_ms(int(item["at"])),
        step=int(item["step"]) if "step" in item else None,
        treated=item.get("treated"),
        tier=int(item["tier"]) if "tier" in item else None,
        amount=Money(int(item["minor"]), item["currency"]) if "minor" in item else None,
        **texts,
    )


def _facts(item: Item) -> tuple[Fact, ...]:
    """The fact of a row, and what stands in it besides."""
    fact = _fact(item)
    return (fact, replace(fact, kind=FactKind.CONTACTABLE)) if item.get(_CONTACTABLE) else (fact,)


def _sums(plain: Mapping[str, Any]) -> Sums:
    return Sums(
        {name: int(count) for name, count in plain["counts"].items()},
        {name: {code: int(minor) for code, minor in by.items()} for name, by in plain["amounts"].items()},
    )
