"""One run: a market, shoppers with known ends, one window for each kind of fault, a calm, and the books."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from infra.local.shop import FlexyPeSession
from shared.store.sweep_leases import LEASE
from tests.chaos.books import Finding, Ledger, findings
from tests.chaos.deeds import Deeds, Done
from tests.chaos.ledger import Rows, ledger
from tests.chaos.markets import opened
from tests.chaos.proxy import Fired, Proxy
from tests.chaos.shoppers import Journal, Market
from tests.chaos.stage import Stage
from tests.chaos.storm import Plan, Storm
from tests.chaos.vendors import Vendors

_SETTLED_WITHIN = 1200.0
"""Twice what a thousand took on two cores that four had to share: what is cut short looks like a step that hangs."""
_JUMPS = 14
_A_MOMENT = 5.0
_LOOK_AHEAD = timedelta(minutes=65)
"""What is due so soon is waited for, by putting the clocks forward; later there are only ends of horizons."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. ``met``: how often each kind of fault of the storm was met."""

    plan: Plan
    books: Ledger
    findings: list[Finding]
    fired: list[Fired]
    deeds: list[Done]
    met: Counter[str]
    seconds: float
    settled_after: float


class Run:
    """One run on a deployed stage."""

    def __init__(self, stack: dict[str, Any], folder: Path, plan: Plan, say: Callable[[str], None]) -> None:
        """``folder``: the engine's; ``say`` prints a line."""
        self._stage = Stage(stack, folder)
        self._plan = plan
        self._say = say
        self._journal = Journal()
        self._offset = 0.0
        self._began = time.monotonic()

    def play(self) -> Outcome:
        """The whole run. The stage is put behind a proxy, which spoils nothing while the markets are made."""
        log = self._stage.folder / "proxy.log"
        with (
            Vendors(self._plan.seed) as vendors,
            Proxy(self._stage.engine_url, log) as proxy,
            self._stage.behind(proxy.url),
        ):
            with ThreadPoolExecutor(1) as threads:
                warmed = threads.submit(self._stage.warm)
                markets = opened(self._stage.stack, vendors)
                warmed.result()
            self._tell("the markets are open")
            deeds = Deeds(self._stage, markets, self._journal, Random(f"{self._plan.seed} deeds"))
            storm = Storm(self._stage, self._plan, proxy, deeds, self._tell)
            storm.rage(markets, self._journal)
            self._tell("the faults are over")
            self._stage.hand_over_all()
            settling = time.monotonic()
            rows = self._settle(markets, vendors)
            settled = time.monotonic() - settling
            self._tell("all is settled")
            books = ledger(self._stage, rows, self._journal, vendors, markets, self._now())
            met, fired = storm.met(), proxy.fired()
        self._tell("the stage is as it was")
        return Outcome(self._plan, books, findings(books), fired, deeds.done, met, self._since(), settled)

    def _settle(self, markets: list[Market], vendors: Vendors) -> Rows:
        """Wait, and put the clocks forward, until nothing is on its way and nothing falls due soon."""
        deadline = time.monotonic() + _SETTLED_WITHIN
        merchants = [own.shop.id for own in markets]
        # Sweeps that were killed hold their shards so long.
        self._put_forward(LEASE.total_seconds() + 1)
        for number in count():
            self._drain(markets, deadline)
            vendors.calm = True  # what is on its way still met their moods
            rows = Rows(self._stage, merchants)
            soon = [own for own in rows.due_times() if own <= self._now() + _LOOK_AHEAD]
            if not soon or number >= _JUMPS or time.monotonic() > deadline:
                if soon:
                    self._tell(f"NOT settled: {len(soon)} rows are due still, and the run waits no longer")
                return rows
            ahead = max((max(soon) - self._now()).total_seconds(), 0) + 1
            self._tell(f"{len(soon)} rows are due within {ahead:.0f} s: the clocks are put forward")
            self._put_forward(ahead)
        raise AssertionError

    def _put_forward(self, seconds: float) -> None:
        self._offset += seconds
        self._stage.set_clocks({"*": self._offset})

    def _drain(self, markets: list[Market], deadline: float) -> None:
        """Sweep, then wait until the stream is worked off and the queues are empty."""
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            swept = self._stage.sweep()
            repaired = self._stage.invoke("campaign", {"repair": True})
            self._stream_is_through(markets[0], deadline)
            merchants = [own.shop.id for own in markets]
            emptied = self._queues_are_empty(merchants, min(deadline, time.monotonic() + _A_MOMENT))
            asked = emptied and swept is not None and repaired is not None
            still = asked and not any(Rows(self._stage, merchants).due(self._now()))
            quiet = quiet + 1 if still else 0

    def _queues_are_empty(self, merchants: list[str], until: float) -> bool:
        while any(own for name, own in self._stage.waiting(merchants).items() if "dead" not in name):
            if time.monotonic() > until:
                return False
            time.sleep(0.3)
        return True

    def _stream_is_through(self, market: Market, deadline: float) -> None:
        """A last shopper buys: once dispatch has written the event of it, the stream holds nothing older.

        Whether an endpoint takes it is no sign: refused, its next attempt may be minutes off.
        """
        phone = f"8{Random().randrange(10**8, 10**9)}"
        told = FlexyPeSession(market.shop, market.sources["flexype"], phone).post("COMPLETED").json()
        while time.monotonic() < deadline:
            if "checkout_id" in told and self._stage.has_event(told["checkout_id"]):
                return
            time.sleep(0.1)

    def _tell(self, what: str) -> None:
        self._say(f"{self._since():5.0f} s  {what}")

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset)
