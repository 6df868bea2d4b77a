"""The storm: shoppers come, and each kind of fault has its window, until a call, a worker or a clock has met it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.chaos.deeds import Deeds
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.proxy import Proxy
from tests.chaos.shoppers import Journal, Market, Shopper, drawn
from tests.chaos.stage import Stage

_MOST_AT_ONCE = 60
_SECONDS_PER_CHECKOUT = 0.4
_SHORTEST_WINDOW = 1.3
_SWEEP_EVERY = 1.0
_DEED_EVERY = 1.0
_TICK = 0.1
_LOOK_EVERY = 0.3
_PROVOKED_EVERY = 3.0
_LAST_STORY = 9.0
"""Seconds before the storm's end after which nobody comes any more: stories take that long."""
_MET_WITHIN = 12.0
"""Seconds for which a window is held open for a fault that nobody has met yet."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``window``: seconds for which each kind of fault is played at least, and once more beside the next one."""

    seed: int
    checkouts: int
    window: float

    @classmethod
    def of(cls, seed: int, checkouts: int, window: float | None = None) -> "Plan":
        """By default the shoppers come at a pace that a small machine can follow."""
        return cls(seed, checkouts, window or max(checkouts * _SECONDS_PER_CHECKOUT / len(FAULTS), _SHORTEST_WINDOW))


class Storm:
    """One storm on a stage that is behind the proxy."""

    def __init__(self, stage: Stage, plan: Plan, proxy: Proxy, deeds: Deeds, say: Callable[[str], None]) -> None:
        """``say`` is told of each window."""
        self._stage = stage
        self._plan = plan
        self._proxy = proxy
        self._deeds = deeds
        self._say = say
        self._random = Random(f"{plan.seed} storm")

    def rage(self, markets: Sequence[Market], journal: Journal) -> None:
        """All windows, then the ends of the last shoppers' stories without faults."""
        faults = self._random.sample(FAULTS, len(FAULTS))
        stories = list(enumerate(drawn(self._random, self._plan.checkouts)))
        told: list[Future[None]] = []
        with ThreadPoolExecutor(_MOST_AT_ONCE) as threads, self._ticking():

            def come(number: int, story: str) -> None:
                random = Random(f"{self._plan.seed} shopper {number}")
                told.append(threads.submit(Shopper(number, random.choice(markets), journal, random, story).live))

            open_for = max(len(faults) - int(_LAST_STORY / self._plan.window), 1)
            before = None
            for at, fault in enumerate(faults):
                first, last = (len(stories) * min(own, open_for) // open_for for own in (at, at + 1))
                self._window(fault, before, come, stories[first:last])
                before = fault
            self._proxy.play([])
            self._deeds.end()
            self._stage.set_clocks({})
            for own in told:
                own.result()

    def met(self) -> Counter[str]:
        """How often each fault was met so far."""
        spoilt = Counter(own.fault for own in self._proxy.fired())
        done = Counter(own.name for own in self._deeds.done)
        died = self._stage.died_at_work()
        return Counter({own.name: spoilt[own.name] + done[own.deed or ""] + died[own.kills or ""] for own in FAULTS})

    def _window(
        self, fault: Fault, before: Fault | None, come: Callable[[int, str], None], shoppers: list[tuple[int, str]]
    ) -> None:
        """One kind of fault and, beside it, the one before; shoppers come evenly while it lasts."""
        began = time.monotonic()
        self._say(fault.name)
        both = [fault] if before is None else [fault, before]
        self._proxy.play([rule for own in both for rule in own.played(self._random, self._plan.window)])
        waiting, looked, acted, provoked, met = list(shoppers), began, 0.0, 0.0, False
        while (lasted := time.monotonic() - began) < self._plan.window or (not met and lasted < _MET_WITHIN):
            while waiting and lasted >= self._plan.window * (1 - len(waiting) / len(shoppers)):
                come(*waiting.pop(0))
            if time.monotonic() - acted >= _DEED_EVERY:
                acted = time.monotonic()
                self._act(both, met=met)
            if not met and time.monotonic() - provoked >= _PROVOKED_EVERY:
                provoked = time.monotonic()
                for deed in fault.provoked_by:
                    self._deeds.begin(deed)
            if not met and time.monotonic() - looked >= _LOOK_EVERY:
                looked = time.monotonic()
                met = self.met()[fault.name] > 0
            time.sleep(_TICK)
        for own in waiting:
            come(*own)
        if "clocks" in {own.deed for own in both}:
            self._stage.set_clocks({})

    def _act(self, faults: Sequence[Fault], *, met: bool) -> None:
        """What is done once more: killing only until it was met, since each worker is two seconds of a core."""
        for own in faults:
            if own.deed is not None and not own.deed.startswith("kill"):
                self._deeds.begin(own.deed)
        killing = faults[0].deed or (f"kill {faults[0].kills}" if faults[0].kills else "")
        if killing.startswith("kill") and not met:
            self._deeds.begin(killing)

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
