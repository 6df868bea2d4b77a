"""``make bench``: what starting, a webhook and a shopper cost, in one run; written to ``docs/benchmarks.md``.

How many webhooks the local engine takes in is measured where one stands (``make local``, ``LOCAL_DIR``).
``ONLY=flows`` counts the flows and what they cost anew and leaves the rest of the page as it is, ``ONLY=starts``
measures how functions start.
``TIMES`` processes of each kind are started (5), ``PEER=path`` measures another Lambda handler beside ours: a folder
with its packages, whose ``peer.py`` has a ``handler`` that writes one item to the table ``TABLE_NAME``.
"""

import os
import platform
import re
import sys
import sysconfig
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from infra.functions import FUNCTIONS
from tests.bench import cold, dollars, intake
from tests.bench.cold import PROJECT, Start
from tests.bench.flows import TOGETHER, played_anew

PAGE = PROJECT / "docs" / "benchmarks.md"
WIDTH = 120
_INGEST = "functions.ingest.handler"


def main() -> None:
    """Measure, print and write the page."""
    times = int(os.environ.get("TIMES", "5"))
    match os.environ.get("ONLY"):
        case "flows":
            text = with_chapters(PAGE.read_text(), page(_flows()))
        case "starts":
            text = with_chapters(PAGE.read_text(), page(_starts(times)))
        case _:
            text = page([*_head(times), *_starts(times), *_flows(), *_engine()])
    PAGE.write_text(text)
    sys.stderr.write(text)


def page(lines: Iterable[str]) -> str:
    """The lines as a page: what is prose is filled, a row or a heading stays as it is."""
    blocks: list[str] = []
    for is_prose, block in groupby(lines, lambda line: line[:1] not in {"", "#", "|"}):
        told = list(block)
        blocks += [textwrap.fill(" ".join(told), WIDTH, break_on_hyphens=False)] if is_prose else told
    return "\n".join(blocks) + "\n"


def with_chapters(standing: str, chapters: str) -> str:
    """The page with these chapters in the place of its own of the same headings."""
    anew = {own.splitlines()[0]: own.rstrip() for own in re.split(r"(?m)^(?=## )", chapters) if own}
    kept = [own.rstrip() for own in re.split(r"(?m)^(?=## )", standing)]
    return "\n\n".join(anew.get(own.splitlines()[0], own) for own in kept) + "\n"


def _head(times: int) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield f"Written by `make bench` on {datetime.now(UTC):%d %B %Y} ({os.cpu_count()} processors, {platform.machine()},"
    yield f"Python {platform.python_version()}); never by hand. Times are of the process's own processor, the"
    yield "smallest of"
    yield f"{times} processes: a machine that is busy with other work makes them larger, ratios hold. What is"
    yield "counted is the"
    yield "same everywhere: units and calls are held by `tests/bench/ceilings.json`, ingest's bytes by the"
    yield "bundles' tests."
    yield ""


def _starts(times: int) -> Iterator[str]:
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
        bare = cold.started(environment, site, "bare", cold.bare_writes(cold.WARM_CALLS), times=times)
        yield _row("boto3 and one `update_item`", bare, None)
        peer = None
        if path := os.environ.get("PEER"):
            peer = cold.started(environment, Path(path), "peer", cold.bare_writes(1), times=times)
            yield _row(f"peer: {Path(path).name}", peer, None)
        bundle, size = cold.unpacked("ingest", Path(folder))
        every = {}
        for name, event in webhooks.items():
            every[name] = cold.started(environment, bundle, _INGEST, lambda event=event: [event], times=times)
            yield _row(f"ingest, {name}", every[name], size)
        warm = cold.started(
            environment, bundle, _INGEST, cold.first_webhooks(webhooks["flexype"], cold.WARM_CALLS), times=times
        )
        for name in cold.others():
            bundle, size = cold.unpacked(name, Path(folder))
            events = [given["requests"][name]] if name in given["requests"] else []
            module, memory = f"functions.{name}.handler", FUNCTIONS[name].memory_mb
            start = cold.started(environment, bundle, module, lambda own=events: own, times=times, memory_mb=memory)
            yield _row(name, start, size)
    assert warm.warm is not None
    assert bare.warm is not None
    yield ""
    yield f"A warm webhook of FlexyPe that is accepted: {warm.warm * 1000:.2f} ms, {warm.warm / bare.warm:.2f} times a"
    yield f"bare `update_item` ({bare.warm * 1000:.2f} ms; medians of {cold.WARM_CALLS - 1} calls, the smallest of"
    yield f"{times} processes)."
    slowest = max(every.values(), key=lambda own: own.cold_answer)
    yield f"The slowest cold answer of all providers: {slowest.cold_answer * 1000:.0f} ms; Wix gives up after 1,250."
    if peer is not None:
        ratio = (every["flexype"].imported + every["flexype"].first) / (peer.imported + peer.first)
        yield f"Import and first call against the peer's: {ratio:.2f}."
    yield ""


def _row(name: str, start: Start, size: int | None) -> str:
    first = f"{start.first * 1000:.1f} | {start.cold_answer * 1000:.0f}" if start.first else "- | -"
    mib = "-" if size is None else f"{size / 2**20:.1f}"
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


def _engine() -> Iterator[str]:
    stack = intake.standing()
    if stack is None:
        sys.stderr.write("no local engine stands: how many webhooks it takes in is not measured (make local)\n")
        return
    yield ""
    yield "## Through the local engine"
    yield ""
    yield "First webhooks of new shoppers through API, function and table, all on this machine: no figure of AWS."
    yield ""
    yield "| Connections | accepted a second | p50, ms | p95, ms | other answers |"
    yield "| --- | --- | --- | --- | --- |"
    for own in intake.measured(stack):
        waits = f"{own.p50 * 1000:.0f} | {own.p95 * 1000:.0f}"
        yield f"| {own.connections} | {own.accepted:.1f} | {waits} | {own.other} |"


if __name__ == "__main__":
    main()
