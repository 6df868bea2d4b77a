"""``make bench``: what starting, a webhook and a shopper cost, in one run; written to ``docs/benchmarks.md``.

``ONLY="flows sweep"`` measures these chapters anew (``starts``, ``flows``, ``deliveries``, ``intake``, ``sweep``) and
leaves the rest of the page as it is. ``intake`` and ``sweep`` play on the local engine that stands in ``LOCAL_DIR``,
else on one of their own, which ends with them. ``TIMES`` processes of each kind are started (5). ``PEER=path`` measures
another Lambda handler beside ours: a folder with its packages, whose ``peer.py`` has a ``handler`` that writes to the
table ``TABLE_NAME``, and, if it wants another event than an order's, an ``event.json``.
"""

import os
import platform
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from infra.functions import FUNCTIONS
from tests.bench import cold, deliveries, dollars, engine, idle_sweep, intake, sweep
from tests.bench.cold import PROJECT, Start
from tests.bench.flows import TOGETHER, played_anew
from tests.bench.pages import chosen, page, with_chapters

PAGE = PROJECT / "docs" / "benchmarks.md"
_INGEST = "functions.ingest.handler"
SWEPT = (10_000, 1_000, 9)
"""Due, open, and sweeps at once."""


def main() -> None:
    """Measure, print and write the page."""
    wanted = chosen(os.environ.get("ONLY", ""), CHAPTERS)
    with engine.of_an_engine(needed=not wanted or not _OF_THE_ENGINE.isdisjoint(wanted)):
        lines = [line for name, lines in CHAPTERS.items() if not wanted or name in wanted for line in lines()]
    text = with_chapters(PAGE.read_text(), page(lines)) if wanted else page([*_head(), *lines])
    PAGE.write_text(text)
    sys.stderr.write(text)


def _head() -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield f"Written by `make bench` on {datetime.now(UTC):%d %B %Y} ({os.cpu_count()} processors, {platform.machine()},"
    yield f"Python {platform.python_version()}); never by hand. Times are of the process's own processor, the"
    yield "smallest of"
    yield f"{_times()} processes: a machine that is busy with other work makes them larger, ratios hold. What is"
    yield "counted is the"
    yield "same everywhere: units and calls are held by `tests/bench/ceilings.json`, ingest's bytes by the"
    yield "bundles' tests."
    yield ""


def _load() -> str:
    return f"The machine's load when this began: {os.getloadavg()[0]:.1f}."


def _times() -> int:
    return int(os.environ.get("TIMES", "5"))


def _starts() -> Iterator[str]:
    times = _times()
    yield "## Starting"
    yield ""
    yield "Each bundle alone in a new process; AWS is moto behind a port, in another. `first` is the first call, `cold"
    yield "answer` the import and the first call at the share of a processor that the function's memory buys (512 MB,"
    yield "of the API, `console` and `reading` 1,024); waits for AWS come on top. First comes a webhook of the"
    yield "provider, a list of checkouts (`merchant_api`), the first page of who is signed in (`console`), a"
    yield "query of Shopify's (`reading`); what queues, streams and clocks call is only imported."
    yield ""
    yield "| Function | import, ms | first, ms | cold answer, ms | modules, imported | at the end | MiB unpacked |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    with cold.a_stage() as given, tempfile.TemporaryDirectory() as folder:
        environment, webhooks = given["environment"], given["webhooks"]
        site = Path(sysconfig.get_paths()["purelib"])
        bare = cold.started(environment, site, "bare", cold.bare_writes(1), times=times)
        yield _row("boto3 and one `update_item`", bare, None)
        peer = None
        if path := os.environ.get("PEER"):
            peer = cold.started(environment, Path(path), "peer", cold.peers_event(Path(path)), times=times)
            yield _row(f"peer: {Path(path).name}", peer, None)
        bundle, size = cold.unpacked("ingest", Path(folder))
        every = {}
        for name, event in webhooks.items():
            every[name] = cold.started(environment, bundle, _INGEST, lambda event=event: [event], times=times)
            yield _row(f"ingest, {name}", every[name], size)
        turns = list(cold.warm_in_turns(environment, site, bundle, webhooks["flexype"], times=times))
        for name in cold.others():
            bundle, size = cold.unpacked(name, Path(folder))
            events = [given["requests"][name]] if name in given["requests"] else []
            module, memory = f"functions.{name}.handler", FUNCTIONS[name].memory_mb
            start = cold.started(environment, bundle, module, lambda own=events: own, times=times, memory_mb=memory)
            yield _row(name, start, size)
    yield ""
    yield from _warm(turns)
    slowest = max(every.values(), key=lambda own: own.cold_answer)
    yield f"The slowest cold answer of all providers: {slowest.cold_answer * 1000:.0f} ms; Wix gives up after 1,250."
    brought = sorted(every["flexype"].packages.items(), key=lambda own: -own[1])
    yield f"Who brings ingest's {every['flexype'].modules_imported} modules:"
    yield ", ".join(f"{name} {count}" for name, count in brought if count > 1) + ", others one each."
    yield f"boto3's process alone has {bare.modules_imported}."
    if peer is not None:
        ratio = (every["flexype"].imported + every["flexype"].first) / (peer.imported + peer.first)
        yield f"Import and first call against the peer's: {ratio:.2f}."
    yield ""


def _warm(turns: list[cold.Warm]) -> Iterator[str]:
    middle = sorted(turns, key=lambda own: own.webhook / own.bare)[len(turns) // 2]
    many = f"medians of {cold.WARM_CALLS - 1} calls, the middle of {len(turns)} turns of a process each"
    yield f"A warm webhook of FlexyPe that is accepted: {middle.webhook * 1000:.2f} ms,"
    yield f"{middle.webhook / middle.bare:.2f} times a bare `update_item` ({middle.bare * 1000:.2f} ms; {many}). Of it"
    yield f"{middle.library * 1000:.2f} ms, {middle.library / middle.bare:.2f} times the bare call, are botocore"
    yield "writing the same request by our client: some forty attributes under a condition, where the bare one has a"
    yield "single text of 1.5 KB."


def _row(name: str, start: Start, size: int | None) -> str:
    first = f"{start.first * 1000:.1f} | {start.cold_answer * 1000:.0f}" if start.first else "- | -"
    mib = "-" if size is None else format(size / 2**20, ".1f")
    return f"| {name} | {start.imported * 1000:.0f} | {first} | {start.modules_imported} | {start.modules} | {mib} |"


def _flows() -> Iterator[str]:
    flows = {name: bill.counted() for name, bill in played_anew().items()}
    yield "## What a shopper's flows write and call"
    yield ""
    yield "Counted from every call, as DynamoDB's guide counts units (`tests/bench/units.py`); `make flows` shows them"
    yield "row by row. One merchant with one endpoint, a cart of one item; the process has its keys."
    yield ""
    yield "| Flow | table | indexes | read | calls |"
    yield "| --- | --- | --- | --- | --- |"
    for name, own in flows.items():
        calls = ", ".join(f"{count} {call}" for call, count in own["calls"].items())
        yield f"| {name} | {own['table']:g} | {own['indexes']:g} | {own['reads']:g} | {calls} |"
    cost = dollars.of_a_session(flows)
    yield ""
    yield "## In dollars"
    yield ""
    yield f"Of a million webhooks ({dollars.PRICES['region']}, {dollars.PRICES['of']}; `tests/bench/prices.json`):"
    yield f"sessions of {dollars.WEBHOOKS} webhooks, {dollars.ABANDONED:.0%} abandoned, {cost.session_writes:.1f} write"
    yield "units each. Times of functions are assumed (`tests/bench/dollars.py`), nothing of them is measured"
    yield "on AWS. What"
    yield "an idle stage costs is on [deploy.md](deploy.md)."
    yield ""
    yield "| Paid for | USD |"
    yield "| --- | --- |"
    for part, price in cost.parts.items():
        yield f"| {part} | {price:.2f} |"
    yield f"| all | **{cost.total:.2f}** |"
    yield ""
    alone, together = (dollars.of_the_feed(flows, many).total for many in (1, TOGETHER))
    yield f"A million deliveries of `checkout.updated` to an endpoint that hears every update: {alone:.2f} where each"
    yield f"comes alone, {together:.2f} where {TOGETHER} come at once, beside the webhooks they tell of."


def _deliveries() -> Iterator[str]:
    yield ""
    yield "## Deliveries"
    yield ""
    yield f"{deliveries.BURST} deliveries at once to {deliveries.ENDPOINTS} endpoints that answer at once, then"
    yield f"{deliveries.RATE:g} a second for {deliveries.SECONDS:g} seconds, alone and beside an endpoint that hangs"
    yield f"and is sent {deliveries.HUNG:g} a second; from acceptance to receipt, and how many had not arrived after"
    yield f"{deliveries.PATIENCE:g} seconds (alone + beside). Ours: deliverer, breaker and guarded client in one"
    yield "process, 20 workers as threads, moto's table. The other is PyPI's, as it comes, with its relay in a second"
    yield "process: on SQLite, which allows one relay, and a relay delivers one after the other and looks each second."
    yield "Both to the same receiver, on the same machine: no figure of AWS."
    yield _load()
    yield ""
    yield from deliveries.table(list(deliveries.by_name()))


def _sweep() -> Iterator[str]:
    yield ""
    yield "## Sweeps"
    yield ""
    yield "One sweep of everything where nothing is due, on moto (2 shards; three queries a shard):"
    yield ""
    yield "| Open | calls | read units | entries looked at | moved |"
    yield "| --- | --- | --- | --- | --- |"
    for own in idle_sweep.measured_anew():
        calls = ", ".join(f"{count} {call}" for call, count in own.calls.items())
        yield f"| {own.still_open:,} | {calls} | {own.reads:g} | {own.rows} | {own.moved} |"
    stack = engine.standing()
    bench, load = sweep.Bench(stack), _load()
    with bench.alone():
        came = sweep.measured(bench, *SWEPT)
    yield ""
    yield f"{came.due:,} due in one minute beside {came.still_open:,} open on the local engine, which looks through all"
    yield f"of its table for each query; a sweep for each shard and one of everything across them, at once. {load}"
    yield ""
    yield "| Shard | moved | sweeps | of which failed | seconds |"
    yield "| --- | --- | --- | --- | --- |"
    for shard in came.shards:
        moved = f"{shard.outcomes['abandoned']:,} | {shard.invocations} | {shard.failed}"
        yield f"| {shard.shard} | {moved} | {shard.seconds:.1f} |"
    sweeps = sum(own.invocations for own in came.shards) + 1
    yield f"| all | {came.told:,} | {sweeps} | {came.failed} | {came.seconds:.1f} |"
    yield ""
    yield "What became of the rows: " + ", ".join(f"{count:,} {what}" for what, count in came.found.items()) + "."


def _engine() -> Iterator[str]:
    yield ""
    yield "## Through the local engine"
    yield ""
    yield "First webhooks of new shoppers through API, function and table, all on this machine, its workers started"
    yield "beforehand: no figure of AWS."
    yield _load()
    yield ""
    yield "| Connections | accepted a second | p50, ms | p95, ms | other answers |"
    yield "| --- | --- | --- | --- | --- |"
    for own in intake.measured(engine.standing()):
        waits = f"{own.p50 * 1000:.0f} | {own.p95 * 1000:.0f}"
        yield f"| {own.connections} | {own.accepted:.1f} | {waits} | {own.other} |"


CHAPTERS: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "starts": _starts,
    "flows": _flows,
    "deliveries": _deliveries,
    "intake": _engine,
    "sweep": _sweep,
}
"""By the name that ``ONLY`` has for each. Those of the engine are last: the sweep fills its table."""
_OF_THE_ENGINE = frozenset({"intake", "sweep"})

if __name__ == "__main__":
    main()
