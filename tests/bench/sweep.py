"""Many checkouts due in one minute, beside many more that are open, on the engine that stands in ``LOCAL_DIR``.

``python -m tests.bench.sweep --due 10000 --open 10000``: rows are written into the table as the store writes them,
then each shard is swept by an invocation of its own, all at once, and once more by one that sweeps everything, as ticks
do that overlap. Ends with 1 where a row was not moved, was moved twice, or an open one was touched. ``--beside`` leaves
the stage's own sweeps and dispatch at work; without it they stand still, so that the figures are the sweep's. Its
workers are started beforehand: the engine takes seconds to unpack each.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import batched
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from infra.local.shop import FlexyPeSession, Shop, engine_arguments
from shared.aws.environment import Environment
from shared.aws.stores import Stores, now
from shared.domain.checkout import Checkout, Status
from shared.domain.ids import checkout_digest
from shared.store import keys
from shared.store.checkout_item import to_item
from shared.store.configuration import MerchantStore
from shared.store.wire import to_wire

IDLE = timedelta(minutes=30)
WRITERS = 4
_BATCH = 25


@dataclass(frozen=True, slots=True)
class Swept:
    """What the sweeps of one shard came to; ``seconds`` until nothing of it was left.

    ``failed``: sweeps that raised, as one does after the rest where AWS did not answer for a row; what those moved is
    not told.
    """

    shard: int
    seconds: float
    invocations: int
    failed: int
    outcomes: Counter[str]


class Bench:
    """A stage full of checkouts of one merchant."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack
        arguments = engine_arguments(stack)
        patient = Config(read_timeout=330, max_pool_connections=32, retries={"total_max_attempts": 1})
        self._lambda = boto3.client("lambda", config=patient, **arguments)
        self._events = boto3.client("events", **arguments)
        name = stack["functions"]["sweep"]
        variables = self._lambda.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        self.shards = int(variables["DUE_SHARDS"])
        os.environ |= variables | {
            "AWS_ENDPOINT_URL": stack["engine_url"],
            "AWS_ACCESS_KEY_ID": stack["aws"]["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": stack["aws"]["secret_access_key"],
            "AWS_REGION": stack["region"],
            "AWS_DEFAULT_REGION": stack["region"],
        }
        self._stores = Stores(Environment.read(variables))
        self._dynamodb = boto3.client("dynamodb", config=patient, **arguments)
        self._seeded: dict[str, bool] = {}
        self._version = 0

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Neither the clock nor the stream starts anything meanwhile."""
        rules = [own["Name"] for own in self._events.list_rules()["Rules"] if "Sweep" in own["Name"]]
        dispatch = self._stack["functions"]["dispatch"]
        found = self._lambda.list_event_source_mappings(FunctionName=dispatch)["EventSourceMappings"]
        mappings = [own["UUID"] for own in found]
        for rule in rules:
            self._events.disable_rule(Name=rule)
        for uuid in mappings:
            self._lambda.update_event_source_mapping(UUID=uuid, Enabled=False)
        try:
            yield
        finally:
            for rule in rules:
                self._events.enable_rule(Name=rule)
            for uuid in mappings:
                self._lambda.update_event_source_mapping(UUID=uuid, Enabled=True)

    def seed(self, due: int, still_open: int) -> float:
        """A merchant's first checkout by its webhook, and so many like it as rows; the seconds it took."""
        shop = Shop(self._stack, {"idle_after": "PT30M"})
        session = FlexyPeSession(shop, shop.source(), "7777788888")
        session.post("ADDRESS_LOADED").raise_for_status()
        (first,) = shop.call("GET", "/v1/checkouts")["data"]
        shop.close()
        model = self._stores.checkouts.get(first["id"].removeprefix("chk_"))
        merchant = MerchantStore(self._stores.table).get(model.merchant_id) if model is not None else None
        assert model is not None
        assert merchant is not None
        self._version = model.version
        began = time.monotonic()
        items = (
            to_item(own, self._stores.hasher.of_checkout(own), merchant.value.settings, self.shards)
            for own in self._checkouts(model, due, still_open)
        )
        self._write(items)
        return time.monotonic() - began

    def _checkouts(self, model: Checkout, due: int, still_open: int) -> Iterator[Checkout]:
        """The due ones fell due within the last minute."""
        at = now()
        for number in range(due + still_open):
            is_due = number < due
            external = f"bench-{number}"
            digest = checkout_digest(model.merchant_id, model.source_id, external)
            active = at - IDLE - timedelta(minutes=1) * number / due if is_due else at
            self._seeded[digest] = is_due
            yield replace(
                model,
                external_id=external,
                digest=digest,
                created_at=active,
                updated_at=active,
                ordered_at=active,
                last_activity_at=active,
                due_at=active + IDLE,
                leaves={**model.leaves, "customer.phone": f"+9198{number:08d}"},
            )

    def _write(self, items: Iterator[dict[str, Any]]) -> None:
        def put(batch: list[dict[str, Any]]) -> None:
            left: Any = {self._stack["table"]: [{"PutRequest": {"Item": to_wire(own)}} for own in batch]}
            while left:
                left = self._dynamodb.batch_write_item(RequestItems=left).get("UnprocessedItems")

        with ThreadPoolExecutor(WRITERS) as threads:
            batch: list[dict[str, Any]] = []
            under_way = []
            for item in items:
                batch.append(item)
                if len(batch) == _BATCH:
                    under_way.append(threads.submit(put, batch))
                    batch = []
            under_way.append(threads.submit(put, batch)) if batch else None
            for own in under_way:
                own.result()

    def sweep(self, at_once: int) -> tuple[float, list[Swept], Counter[str]]:
        """So many sweeps at once: one for each shard, and one of everything across them.

        Seconds, what came of each shard, and what the other moved.
        """
        began = time.monotonic()
        with ThreadPoolExecutor(at_once) as threads:
            other = threads.submit(self._invoked, {})
            shards = [threads.submit(self._shard, shard) for shard in range(self.shards)]
            done = [own.result() for own in shards]
            across = Counter[str]((other.result() or {"outcomes": {"failed": 1}})["outcomes"])
        return time.monotonic() - began, done, across

    def warm(self, at_once: int) -> None:
        """Start as many workers as are needed at once."""
        with ThreadPoolExecutor(at_once) as threads:
            list(threads.map(self._invoked, [{}] * at_once))

    def _shard(self, shard: int) -> Swept:
        """One shard, until a sweep of it neither moved anything nor met another at it."""
        began, outcomes, invocations, failed = time.monotonic(), Counter[str](), 0, 0
        while True:
            told = self._invoked({"kind": keys.CHECKOUT_KIND, "shard": shard})
            invocations += 1
            if told is None:
                failed += 1
                continue
            outcomes.update(told["outcomes"])
            if not told["outcomes"] and not told["unfinished"] and self._left(shard) == 0:
                return Swept(shard, time.monotonic() - began, invocations, failed, outcomes)
            if not told["outcomes"]:
                time.sleep(0.5)  # another sweep holds it

    def _left(self, shard: int) -> int:
        queue = {"S": keys.CHECKOUT_KIND + str(shard)}
        at = {"N": str(int(now().timestamp() * 1000))}
        answer = self._dynamodb.query(
            TableName=self._stack["table"],
            IndexName=keys.DUE_INDEX,
            KeyConditionExpression="dq = :queue AND da <= :at",
            ExpressionAttributeValues={":queue": queue, ":at": at},
            Select="COUNT",
            Limit=100,
        )
        return int(answer["Count"])

    def _invoked(self, event: dict[str, Any]) -> dict[str, Any] | None:
        """What a sweep tells; None where it raised, which the next makes good."""
        name = self._stack["functions"]["sweep"]
        answer = self._lambda.invoke(FunctionName=name, Payload=json.dumps(event).encode())
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        return None if "FunctionError" in answer else told

    def found(self) -> Counter[str]:
        """What became of the rows that were written, in words; each is got by its key, for the engine scans slowly."""
        came: Counter[str] = Counter()
        for digests in batched(self._seeded, _BATCH * 4, strict=False):
            read = self._stores.checkouts.get_readable(digests)
            came.update(verdict(own, self._version, is_due=self._seeded[digest]) for digest, own in read.items())
        came["lost"] = len(self._seeded) - sum(came.values())
        return +came


def verdict(checkout: Checkout, version: int, *, is_due: bool) -> str:
    """What became of a checkout that was written with this version; only a move makes a sequence."""
    if not is_due:
        untouched = checkout.status is Status.OPEN and checkout.version == version
        return "open as before" if untouched else "open, but touched"
    if checkout.status is not Status.ABANDONED:
        return f"due, but {checkout.status.value}"
    return "moved once" if checkout.sequence == version + 1 else "moved more than once"


def main(arguments: list[str] | None = None) -> int:
    """Seed, sweep, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--due", type=int, default=10_000)
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=9, help="sweeps; the engine scans its table for each query")
    parser.add_argument("--beside", action="store_true", help="leave the stage's own sweeps and dispatch at work")
    given = parser.parse_args(arguments)
    bench = Bench(json.loads((Path(os.environ.get("LOCAL_DIR", ".local")) / "stack.json").read_text()))
    if given.beside:
        return report(bench, given.due, given.open, given.at_once, alone=False)
    with bench.alone():
        return report(bench, given.due, given.open, given.at_once, alone=True)


@dataclass(frozen=True, slots=True)
class Moved:
    """What sweeps at once came to: ``seconds`` of all together, and what was ``found`` of the rows afterwards."""

    due: int
    still_open: int
    written: float
    seconds: float
    shards: list[Swept]
    across: Counter[str]
    found: Counter[str]

    @property
    def told(self) -> int:
        """What the sweeps say they moved."""
        return sum(own.outcomes["abandoned"] for own in self.shards) + self.across["abandoned"]

    @property
    def failed(self) -> int:
        """Sweeps that raised; what those moved is not told."""
        return sum(own.failed for own in self.shards) + self.across["failed"]

    @property
    def right(self) -> bool:
        """All were moved, and once, and no open one was touched."""
        return self.found == Counter({"moved once": self.due, "open as before": self.still_open})


def measured(bench: Bench, due: int, still_open: int, at_once: int) -> Moved:
    """Seed, sweep and look."""
    bench.warm(at_once)
    written = bench.seed(due, still_open)
    seconds, shards, across = bench.sweep(at_once)
    return Moved(due, still_open, written, seconds, shards, across, bench.found())


def report(bench: Bench, due: int, still_open: int, at_once: int, *, alone: bool) -> int:
    """0 where all was moved, and once."""

    def say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    came = measured(bench, due, still_open, at_once)
    say(f"{due:,} due and {still_open:,} open: written in {came.written:.1f} s")
    for own in came.shards:
        say(
            f"shard {own.shard}: {own.outcomes['abandoned']:,} moved by {own.invocations} sweeps, {own.failed} of which"
            f" failed and were made good, {own.seconds:.1f} s"
        )
    say(f"the sweep of everything beside them: {dict(came.across)}")
    say(f"together: {due:,} in {came.seconds:.1f} s, {due / came.seconds:,.0f} a second; told of {came.told:,}")
    say(f"found: {dict(came.found)}")
    all_told = came.failed or came.told == due
    return 0 if came.right and (all_told or not alone) else 1


if __name__ == "__main__":
    sys.exit(main())
