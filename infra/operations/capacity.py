"""What a stage's settings hold, and what gives first: ``python -m infra.operations.capacity --stage dev 100 1000``.

Arithmetic over the settings in ``cdk.json``, AWS's quotas and the assumptions below, which are named so that they can
be doubted: figures of the load are how shoppers behave, figures of the work what one piece of it takes on AWS. None
was measured on AWS. ``docs/scale.md`` explains the parts and holds the result for three rates.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from infra import concurrency
from infra.stages import Stage, UnusableStageError

CDK_JSON = Path(__file__).parents[2] / "cdk.json"

PARTITION_WRITES = 1_000
"""Write units a second that one partition key takes. Amazon DynamoDB Developer Guide, "Quotas"."""
TABLE_WRITES = 40_000
"""Write units a second of a table, adjustable; the same."""
AT_ONCE = 4_000
"""Write units a second that a new on-demand table takes without having grown; the same, "On-demand capacity mode"."""
ACCOUNT_REQUESTS = 10_000
"""Requests a second of all APIs of an account in a large Region. Amazon API Gateway Developer Guide, "Quotas"."""
ACCOUNT_CONCURRENCY = 1_000
"""Of an account that has asked for nothing special; a new one has 10. AWS Lambda Developer Guide, "Quotas"."""
BATCH = 10
_UNITS = "write units a second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``rate``: webhooks a second. The rest says how shoppers behave: shares of 1, and counts per checkout."""

    rate: float
    webhooks_per_checkout: float = 5
    abandoned: float = 0.7
    rearmed: float = 1
    """How often a checkout is still alive at its deadline."""
    endpoints: float = 2
    """Who hears of each abandonment and purchase."""
    steps: float = 2
    """Messages of campaigns per abandoned checkout."""
    reports: float = 3
    """What a vendor tells of a message: sent, delivered, read."""
    followed: float = 0.3
    """Links followed per message, by shoppers and by scanners of mail."""
    asked: float = 0.1
    """Requests of merchants to the API per webhook: their own pages, searches, exports."""
    largest_merchant: float = 0.2

    @property
    def checkouts(self) -> float:
        """New checkouts a second."""
        return self.rate / self.webhooks_per_checkout

    @property
    def abandonments(self) -> float:
        """A second."""
        return self.checkouts * self.abandoned

    @property
    def purchases(self) -> float:
        """A second."""
        return self.checkouts * (1 - self.abandoned)

    @property
    def deliveries(self) -> float:
        """Events to endpoints a second."""
        return (self.abandonments + self.purchases) * self.endpoints

    @property
    def messages(self) -> float:
        """Campaign steps a second."""
        return self.abandonments * self.steps

    @property
    def status_reports(self) -> float:
        """Requests of vendors a second; some tell several in one."""
        return self.messages * self.reports

    @property
    def links(self) -> float:
        """Recovery links followed a second."""
        return self.messages * self.followed

    @property
    def questions(self) -> float:
        """Requests of merchants a second."""
        return self.rate * self.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Seconds, and write units of table and indexes together.

    Units are what the flows are counted to write (``docs/benchmarks.md``, held to it by ``test_capacity.py``), and one
    more for each write of a checkout of more than 1 KB.
    """

    webhook: float = 0.05
    record: float = 0.08
    """Dispatch of one transition: some ten calls to DynamoDB, one after the other."""
    batch_of_deliveries: float = 0.6
    """Ten at once, with their reading and writing; slow endpoints go by a lane of their own after two seconds."""
    batch_of_messages: float = 1.5
    status_report: float = 0.06
    """Five reads and two writes, one after the other."""
    link: float = 0.05
    question: float = 0.15
    """Most are a page of a list with what hangs on it."""
    rows_per_sweep: float = 150
    """Due rows that one sweep moves in a second, at a third of a processor."""

    first_webhook: int = 5
    repeat: int = 2
    rearm: int = 4
    abandonment: int = 16
    purchase: int = 16
    delivery: int = 2
    message: int = 7
    report_written: int = 2
    link_written: int = 3

    def writes(self, load: Load) -> float:
        """Write units a second."""
        return (
            load.checkouts * (self.first_webhook + self.rearm * load.rearmed)
            + (load.rate - load.checkouts) * self.repeat
            + load.abandonments * self.abandonment
            + load.purchases * self.purchase
            + load.deliveries * self.delivery
            + load.messages * self.message
            + load.status_reports * self.report_written
            + load.links * self.link_written
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Something that can be used up: how much of it the load needs, how much there is, and what moves that."""

    name: str
    needs: float
    has: float
    unit: str
    moved_by: str

    @property
    def used(self) -> float:
        """Of 1."""
        return self.needs / self.has


def parts(stage: Stage, load: Load, work: Work | None = None) -> list[Part]:
    """Everything that the load uses of a stage, what is nearest to its end first."""
    work = work or Work()
    found = [
        *_of_requests(stage, load, work),
        *_of_others(stage, load, work),
        *_of_table(stage, load, work),
        *_of_work(stage, load, work),
    ]
    return sorted(found, key=lambda own: own.used, reverse=True)


def holds(stage: Stage, load: Load) -> float:
    """The webhooks a second at which the first part is used up, by halving: a stream grows with its table."""
    low, high = 0.0, 10.0**7
    for _ in range(60):
        middle = (low + high) / 2
        if parts(stage, replace(load, rate=middle))[0].used <= 1:
            low = middle
        else:
            high = middle
    return low


def _of_requests(stage: Stage, load: Load, work: Work) -> Iterator[Part]:
    largest = load.rate * load.largest_merchant * 60
    yield Part(
        "requests",
        load.rate,
        min(stage.throttle_rate, ACCOUNT_REQUESTS),
        "a second",
        "`throttle_rate`; the account's quota",
    )
    everything = load.rate + load.status_reports + load.links + load.questions
    yield Part("requests of every kind", everything, ACCOUNT_REQUESTS, "a second", "the account's quota")
    yield Part(
        "webhooks of the largest merchant",
        largest,
        stage.webhooks_per_minute_of_merchant,
        "a minute",
        "the merchant's `webhooks_per_minute`; `webhooks_per_minute_of_merchant`",
    )
    yield Part(
        "webhooks of its one source",
        largest,
        stage.webhooks_per_minute_of_source,
        "a minute",
        "the source's `webhooks_per_minute`; `webhooks_per_minute_of_source`",
    )
    yield Part(
        "ingest at work",
        load.rate * work.webhook,
        stage.ingest_concurrency or _account(stage),
        "executions",
        "`ingest_concurrency`",
    )


def _of_others(stage: Stage, load: Load, work: Work) -> Iterator[Part]:
    """What vendors, shoppers and merchants ask. Each route has a throttle of its own, which no other fills."""
    a_fifth = "`throttle_rate`, of which the route has a fifth"
    for name, requests, seconds, rate, moved, share, setting in (
        (
            "status callbacks",
            load.status_reports,
            work.status_report,
            stage.throttle_rate,
            "`throttle_rate`",
            stage.callbacks_concurrency,
            "`callbacks_concurrency`",
        ),
        (
            "recovery links",
            load.links,
            work.link,
            stage.other_routes_rate,
            a_fifth,
            stage.redirect_concurrency,
            "`redirect_concurrency`",
        ),
        (
            "merchants' API",
            load.questions,
            work.question,
            stage.other_routes_rate,
            a_fifth,
            stage.merchant_api_concurrency,
            "`merchant_api_concurrency`",
        ),
    ):
        yield Part(name, requests, rate, "a second", moved)
        yield Part(f"{name} at work", requests * seconds, share or _account(stage), "executions", setting)


def _of_table(stage: Stage, load: Load, work: Work) -> Iterator[Part]:
    yield Part("writes of the table", work.writes(load), TABLE_WRITES, _UNITS, "the table's quota")
    yield Part(
        "writes before the table has grown",
        work.writes(load),
        AT_ONCE,
        _UNITS,
        "warm throughput, once; or growth by no more than twofold in half an hour",
    )
    # An index entry that moves is two writes of the index: out of one place, into another.
    deadlines = load.checkouts * (1 + 2 * load.rearmed + 2)
    yield Part(
        "one shard of deadlines",
        deadlines / stage.due_shards,
        PARTITION_WRITES,
        _UNITS,
        "`due_shards` (64 at most)",
    )
    steps = load.abandonments * 2 * load.steps
    yield Part("one shard of steps", steps / stage.due_shards, PARTITION_WRITES, _UNITS, "`due_shards`")
    listed = load.checkouts * load.largest_merchant * (1 + 2)
    yield Part(
        "list of the largest merchant",
        listed,
        PARTITION_WRITES,
        _UNITS,
        "the merchant's `list_shards` (1 as made)",
    )


def _of_work(stage: Stage, load: Load, work: Work) -> Iterator[Part]:
    rows = load.checkouts * (1 + load.rearmed), load.messages
    # Swept by shard, each kind has a sweep for each of its shards; else one sweep moves all of them.
    needs, sweeps = (max(rows), stage.due_shards) if stage.sweep_by_shard else (sum(rows), 1)
    yield Part("due rows", needs, sweeps * work.rows_per_sweep, "a second", "`sweep_by_shard`, then `due_shards`")
    records = (load.abandonments + load.purchases) * work.record
    yield Part(
        "dispatch at work",
        records,
        min(_stream_shards(work.writes(load)) * stage.dispatch_parallelization, stage.dispatch_concurrency or 10**6),
        "executions",
        "`dispatch_parallelization` (10 at most), `dispatch_concurrency`",
    )
    delivering = load.deliveries / BATCH * work.batch_of_deliveries
    yield Part("deliveries at work", delivering, stage.deliveries_concurrency, "executions", "`deliveries_concurrency`")
    sending = load.messages / BATCH * work.batch_of_messages
    yield Part("campaign steps at work", sending, stage.steps_concurrency, "executions", "`steps_concurrency`")
    asked = load.status_reports * work.status_report + load.links * work.link + load.questions * work.question
    together = asked + load.rate * work.webhook + records + delivering + sending + concurrency.sweep_parts(stage)
    yield Part("all at work", together, _account(stage), "executions", "the account's quota of concurrent executions")


def _account(stage: Stage) -> int:
    return stage.account_concurrency or ACCOUNT_CONCURRENCY


def _stream_shards(writes: float) -> int:
    """A stream has a shard for each partition of its table, an on-demand table no fewer than it begins with."""
    return ceil(max(writes, AT_ONCE) / PARTITION_WRITES)


def table(stage: Stage, loads: Sequence[Load]) -> Iterator[str]:
    """The parts as a Markdown table, a column for each rate: what the last of them wants most stands first."""
    found = [{own.name: own for own in parts(stage, load)} for load in loads]
    rates = " | ".join(f"{load.rate:,.0f}/s" for load in loads)
    yield f"| Part | One unit is | {rates} | Moved by |"
    yield f"| --- | --- | {' | '.join('---' for _ in loads)} | --- |"
    for name, last in found[-1].items():
        shown = " | ".join(f"{own[name].needs:,.0f} of {own[name].has:,.0f}: {own[name].used:.0%}" for own in found)
        yield f"| {name} | {last.unit} | {shown} | {last.moved_by} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the parts and what gives first; 1 where the stage does not hold the highest rate."""
    parser = argparse.ArgumentParser(description="What gives first at so many webhooks a second.")
    parser.add_argument("rates", type=float, nargs="+", metavar="RATE", help="webhooks a second")
    parser.add_argument("--stage", default="production")
    given = parser.parse_args(arguments)
    if min(given.rates) <= 0:
        parser.error("a rate is above zero")
    try:
        stage = Stage.from_context(given.stage, json.loads(CDK_JSON.read_text())["context"]["stages"])
    except UnusableStageError as error:
        sys.exit(f"checkback: {error}")
    loads = [Load(rate=rate) for rate in sorted(given.rates)]
    for load in loads:
        first = parts(stage, load)[0]
        verdict = "holds" if first.used <= 1 else "does not hold"
        sys.stdout.write(
            f"Stage {stage.name} {verdict} {load.rate:,.0f} webhooks/s ({load.checkouts:,.0f} checkouts/s,"
            f" {load.deliveries:,.0f} deliveries/s, {load.messages:,.0f} messages/s): {first.used:.0%} of"
            f" {first.name}.\n"
        )
    first, end = parts(stage, loads[-1])[0], holds(stage, loads[-1])
    sys.stdout.write(f"Bottleneck: {first.name}, used up at {end:,.0f} webhooks/s; moved by {first.moved_by}.\n\n")
    sys.stdout.write("\n".join(table(stage, loads)) + "\n")
    return 0 if first.used <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
