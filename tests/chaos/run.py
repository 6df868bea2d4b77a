"""One run: a market, shoppers with known ends, one window for each kind of fault, a calm, and the books."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from infra.local.shop import FlexyPeSession, Shop
from tests.chaos.books import Finding, Ledger, findings
from tests.chaos.deeds import Deeds
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.ledger import Rows, ledger
from tests.chaos.providers import SHOPIFY_SECRET
from tests.chaos.proxy import Fired, Proxy
from tests.chaos.shoppers import FIRST_STEP, IDLE, SECOND_STEP, Journal, Market, Shopper, drawn
from tests.chaos.stage import Stage
from tests.chaos.vendors import Vendors

_SETTINGS = {
    "idle_after": f"PT{IDLE:.0f}S",
    "payment_pending_after": f"PT{IDLE:.0f}S",
    "quiet_hours": None,
    "consent": "unknown_allowed",
    "holdout_percent": 0,
    "min_step_gap": "PT0S",
}
_FEED = ["checkout.abandoned", "checkout.recovered", "checkout.completed", "checkout.superseded", "checkout.updated"]
_MOST_AT_ONCE = 60
_SECONDS_PER_CHECKOUT = 0.4
_SHORTEST_WINDOW = 1.5
_SWEEP_EVERY = 1.0
_DEED_EVERY = 1.0
_SETTLED_WITHIN = 240.0
_JUMPS = 14
_A_MOMENT = 5.0
_LOOK_AHEAD = timedelta(minutes=65)
"""What is due so soon is waited for, by putting the clocks forward; later there are only ends of horizons."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``window``: seconds for which each kind of fault is played, together with one other."""

    seed: int
    checkouts: int
    window: float

    @classmethod
    def of(cls, seed: int, checkouts: int, window: float | None = None) -> "Plan":
        """By default the shoppers come at a pace that a small machine can follow."""
        return cls(seed, checkouts, window or max(checkouts * _SECONDS_PER_CHECKOUT / len(FAULTS), _SHORTEST_WINDOW))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    plan: Plan
    books: Ledger
    findings: list[Finding]
    fired: list[Fired]
    deeds: list[str]
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
        self._names: dict[str, str] = {}
        self._offset = 0.0
        self._began = time.monotonic()

    def play(self) -> Outcome:
        """The whole run."""
        log = self._stage.folder / "proxy.log"
        with (
            Vendors(self._plan.seed) as vendors,
            Proxy(self._stage.engine_url, log) as proxy,
            self._opened(vendors, proxy) as markets,
        ):
            deeds = Deeds(self._stage, [own.shop.id for own in markets], Random(f"{self._plan.seed} deeds"))
            self._storm(markets, proxy, deeds)
            self._say(f"faults are over after {self._since():.0f} s")
            settling = time.monotonic()
            rows = self._settle(markets, vendors)
            settled = time.monotonic() - settling
            books = ledger(self._stage, rows, self._journal, vendors, self._names, self._now())
            fired = proxy.fired()
            seconds = self._since()
        return Outcome(self._plan, books, findings(books), fired, deeds.done, seconds, settled)

    @contextmanager
    def _opened(self, vendors: Vendors, proxy: Proxy) -> Iterator[list[Market]]:
        """The markets, made while nothing fails, on a stage that is put behind the proxy then."""
        self._stage.as_deployed()
        markets = self._markets(vendors)
        with self._stage.behind(proxy.url):
            self._say(f"{self._since():5.0f} s  the markets are open")
            yield markets

    def _storm(self, markets: list[Market], proxy: Proxy, deeds: Deeds) -> None:
        """Shoppers come evenly over all windows; the last ones' stories end in the calm."""
        random = Random(f"{self._plan.seed} storm")
        faults = random.sample(FAULTS, len(FAULTS))
        stories = drawn(random, self._plan.checkouts)
        whole = self._plan.window * len(faults)
        with ThreadPoolExecutor(_MOST_AT_ONCE) as threads, self._ticking():
            told = self._come(threads, markets, stories, whole)
            for at, fault in enumerate(faults):
                lasting = [own for own in faults[: max(at - 1, 0)] if own.lasts]
                self._window(proxy, deeds, random, (fault, faults[at - 1], *lasting))
            proxy.play([])
            deeds.end()
            self._stage.set_clocks({})
            for own in told:
                own.result()

    def _window(self, proxy: Proxy, deeds: Deeds, random: Random, faults: tuple[Fault, ...]) -> None:
        """One kind of fault and, beside it, the one before and those that last."""
        ends = time.monotonic() + self._plan.window
        self._say(f"{self._since():5.0f} s  {faults[0].name}")
        proxy.play([rule for own in faults for rule in own.played(random)])
        for function in faults[0].kills:
            self._stage.kill_worker(random, function)
        named = [own.deed for own in faults[:2] if own.deed is not None]
        while time.monotonic() < ends:
            for own in named:
                deeds.begin(own)
            time.sleep(min(_DEED_EVERY, max(ends - time.monotonic(), 0)))
        if "clocks" in named:
            self._stage.set_clocks({})

    def _come(
        self, threads: ThreadPoolExecutor, markets: list[Market], stories: list[str], whole: float
    ) -> list[Future[None]]:
        """Every shopper at a time of their own."""
        began = time.monotonic()
        told = []

        def live(number: int, story: str, at: float) -> None:
            time.sleep(max(began + at - time.monotonic(), 0))
            random = Random(f"{self._plan.seed} shopper {number}")
            Shopper(number, random.choice(markets), self._journal, random).live(story)

        for number, story in enumerate(stories):
            told.append(threads.submit(live, number, story, whole * number / len(stories)))
        return told

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """The schedule's tick, each second instead of each minute."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(_SWEEP_EVERY):
                self._stage.sweep()

        thread = threading.Thread(target=tick)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _settle(self, markets: list[Market], vendors: Vendors) -> Rows:
        """Wait, and put the clocks forward, until nothing is on its way and nothing falls due soon."""
        deadline = time.monotonic() + _SETTLED_WITHIN
        merchants = [own.shop.id for own in markets]
        for number in count():
            self._drain(markets, vendors, deadline)
            vendors.calm = True  # what is on its way still met their moods
            rows = Rows(self._stage, merchants)
            soon = [own for own in rows.due_times() if own <= self._now() + _LOOK_AHEAD]
            if not soon or number >= _JUMPS or time.monotonic() > deadline:
                return rows
            ahead = max((max(soon) - self._now()).total_seconds(), 0) + 1
            self._say(f"{len(soon)} rows are due within {ahead:.0f} s: the clocks are put forward")
            self._offset += ahead
            self._stage.set_clocks({"*": self._offset})
        raise AssertionError

    def _drain(self, markets: list[Market], vendors: Vendors, deadline: float) -> None:
        """Sweep, then wait until the stream is worked off and the queues are empty."""
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            swept = self._stage.sweep()
            self._stream_is_through(markets[0], vendors, deadline)
            emptied = self._queues_are_empty(min(deadline, time.monotonic() + _A_MOMENT))
            still = swept is not None and not any(swept["outcomes"].values()) and emptied
            quiet = quiet + 1 if still else 0

    def _queues_are_empty(self, until: float) -> bool:
        while any(own for name, own in self._stage.waiting().items() if "dead" not in name):
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def _stream_is_through(self, market: Market, vendors: Vendors, deadline: float) -> None:
        """A last shopper buys: once the feed has heard of it, the stream holds nothing older."""
        phone = f"8{Random().randrange(10**8, 10**9)}"
        told = FlexyPeSession(market.shop, market.sources["flexype"], phone).post("COMPLETED").json()
        while time.monotonic() < deadline:
            heard = {own.checkout_id for own in vendors.received() if own.taken}
            if told.get("checkout_id") in heard:
                return
            time.sleep(0.05)

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset)

    def _markets(self, vendors: Vendors) -> list[Market]:
        """Two merchants: one at FlexyPe and Shopify with two BSPs, one with a shop of its own, a BSP and a hook."""
        return [self._first(vendors), self._second(vendors)]

    def _first(self, vendors: Vendors) -> Market:
        shop = Shop(self._stage.stack, _SETTINGS)
        sources = {
            "flexype": shop.source(),
            "shopify": shop.source("shopify", credentials={"secret": SHOPIFY_SECRET}),
        }
        self._feed(shop, vendors, "one")
        steps = [
            self._step(self._bsp(shop, vendors, "gupshup", "one-gupshup"), FIRST_STEP, "id", 1),
            self._step(self._bsp(shop, vendors, "360dialog", "one-360dialog"), SECOND_STEP, "name", 2),
        ]
        shop.call("POST", "/v1/campaigns", json={"name": "Come back", "steps": steps})
        return Market(shop, sources)

    def _second(self, vendors: Vendors) -> Market:
        shop = Shop(self._stage.stack, _SETTINGS)
        sources = {"flexype": shop.source(), "custom": shop.source("custom")}
        self._feed(shop, vendors, "two")
        self._feed(shop, vendors, "two-bsp", ["checkout.abandoned", "checkout.recovered"])
        hook = self._feed(shop, vendors, "two-steps", ["checkout.recovered"])
        steps = [
            {"after": f"PT{FIRST_STEP:.0f}S", "endpoint_id": hook},
            self._step(self._bsp(shop, vendors, "aisensy", "two-aisensy"), SECOND_STEP, "campaign", 2),
        ]
        shop.call("POST", "/v1/campaigns", json={"name": "Come back", "steps": steps})
        return Market(shop, sources)

    def _feed(self, shop: Shop, vendors: Vendors, name: str, types: list[str] | None = None) -> str:
        settings = {"retry_schedule": ["PT1S"] * 8, "timeout": "PT6S"}
        made = shop.endpoint(f"{vendors.url}/feed/{name}", types or _FEED, settings=settings)
        self._names[made["id"]] = name
        endpoint_id: str = made["id"]
        return endpoint_id

    def _bsp(self, shop: Shop, vendors: Vendors, kind: str, name: str) -> str:
        settings: dict[str, Any] = {
            "bearer_token": "a-token",
            "base_url": f"{vendors.url}/send/{name}",
            "timeout": "PT2S",
        }
        if kind == "gupshup":
            settings |= {"source": "917834811114", "app_name": "SweetShop"}
        made = shop.call("POST", "/v1/endpoints", json={"kind": kind, "settings": settings})
        self._names[made["id"]] = name
        endpoint_id: str = made["id"]
        return endpoint_id

    @staticmethod
    def _step(endpoint_id: str, after: float, named: str, number: int) -> dict[str, Any]:
        return {"after": f"PT{after:.0f}S", "endpoint_id": endpoint_id, "template": {named: f"step_{number}"}}
