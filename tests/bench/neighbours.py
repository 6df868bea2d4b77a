"""How long a merchant's event takes through the deployed stack, alone and beside a merchant whose endpoint hangs.

On the engine that stands in ``LOCAL_DIR`` (``make local``): its queues run one batch at a time, which makes it harder
than AWS. The clock runs from the answer to the provider's webhook to the event's arrival at the endpoint.
"""

import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop

EVENT = "checkout.updated"
EVERY = 0.5
"""Seconds between two webhooks of a merchant; the noisy one posts as often."""
QUIET, NOISY = 120, 120
"""A minute each: whatever the stack does by the minute is in both."""
LONGEST = 30.0


@dataclass(frozen=True)
class Times:
    """Seconds from a webhook's answer to the event's arrival, and how many never arrived."""

    seconds: list[float]
    lost: int

    @property
    def p95(self) -> float:
        """19 of 20 took no longer."""
        return statistics.quantiles(self.seconds, n=20)[-1]

    def __str__(self) -> str:
        """Median, p95 and the longest, in milliseconds."""
        shown = (statistics.median(self.seconds), self.p95, max(self.seconds))
        return "p50 {:.0f}, p95 {:.0f}, longest {:.0f} ms".format(*(own * 1000 for own in shown))


def phones(first: int) -> Iterator[str]:
    """Shoppers of one merchant."""
    yield from (f"98{own:08d}" for own in range(first, first + 10_000))


class Merchant:
    """A merchant with one endpoint and a stream of shoppers."""

    def __init__(self, stack: dict[str, Any], url: str, first: int) -> None:
        self._shop = Shop(stack)
        self._source = self._shop.source()
        self._shop.endpoint(url, [EVENT])
        self._phones = phones(first)

    def post(self) -> tuple[str, float]:
        """A shopper's first webhook: the checkout, and when the provider had its answer."""
        answer = FlexyPeSession(self._shop, self._source, next(self._phones)).post("ADDRESS_LOADED")
        answer.raise_for_status()
        return str(answer.json()["checkout_id"]), time.time()

    def close(self) -> None:
        """Nobody shops here any more."""
        self._shop.close()


def measured(merchant: Merchant, receiver: Receiver, count: int) -> Times:
    """Post so many webhooks in step, and wait for their events."""
    posted = {}
    for _ in range(count):
        begun = time.monotonic()
        checkout, answered = merchant.post()
        posted[checkout] = answered
        time.sleep(max(0.0, EVERY - (time.monotonic() - begun)))
    arrived: dict[str, float] = {}
    deadline = time.monotonic() + LONGEST
    while len(arrived) < count and time.monotonic() < deadline:
        for own in receiver.events(EVENT):
            arrived.setdefault(own.event["data"]["checkout"]["id"], own.at)
        arrived = {name: at for name, at in arrived.items() if name in posted}
        time.sleep(0.2)
    return Times([max(0.0, at - posted[name]) for name, at in arrived.items()], count - len(arrived))


def main() -> int:
    """Print the figures; 1 where the neighbour costs more than twice the time, or anything was lost."""
    folder = Path(os.environ.get("LOCAL_DIR") or ".local")
    stack = json.loads((folder / "stack.json").read_text())
    over = threading.Event()

    def hangs(_: str, __: int) -> int:
        over.wait(120)
        return 200

    with ExitStack() as stage:
        good, bad = stage.enter_context(Receiver()), stage.enter_context(Receiver(hangs))
        stage.callback(over.set)
        merchant, noisy = Merchant(stack, f"{good.url}/good", 0), Merchant(stack, f"{bad.url}/bad", 50_000)
        stage.callback(merchant.close)
        stage.callback(noisy.close)
        measured(merchant, good, 5)  # every function has started
        quiet = measured(merchant, good, QUIET)

        def floods() -> None:
            while not over.is_set():
                noisy.post()
                over.wait(EVERY)

        flood = threading.Thread(target=floods, daemon=True)
        flood.start()
        beside = measured(merchant, good, NOISY)
        over.set()
        flood.join()
    ratio = beside.p95 / quiet.p95
    print(f"alone: {quiet}; beside a merchant whose endpoint hangs: {beside}; p95 {ratio:.2f}x (bar: 2x)")
    print(f"{QUIET + NOISY} events, {quiet.lost + beside.lost} lost")
    return 0 if ratio <= 2 and not quiet.lost + beside.lost else 1


if __name__ == "__main__":
    raise SystemExit(main())
