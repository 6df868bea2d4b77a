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
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from infra.local.receiver import Receiver
from infra.local.shop import FlexyPeSession, Shop, engine_arguments

EVENT = "checkout.updated"
EVERY = 0.5
"""Seconds between two webhooks of a merchant; the noisy one posts as often."""
COUNT = 120
"""A minute for each measurement: whatever the stack does by the minute is in all."""
LONGEST = 30.0
WORKERS = 12


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
        # As merchants have it: what falls silent within the measurement would be load of another kind.
        self._shop = Shop(stack, {"idle_after": "PT30M"})
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


def beside(stack: dict[str, Any], neighbour: Receiver, first: int, merchant: Merchant, receiver: Receiver) -> Times:
    """The merchant's times while another one is sent as many events."""
    noisy, over = Merchant(stack, f"{neighbour.url}/neighbour", first), threading.Event()

    def floods() -> None:
        while not over.is_set():
            noisy.post()
            over.wait(EVERY)

    flood = threading.Thread(target=floods, daemon=True)
    flood.start()
    try:
        return measured(merchant, receiver, COUNT)
    finally:
        over.set()
        flood.join()
        noisy.close()


def started(stack: dict[str, Any]) -> None:
    """As many workers of deliver as its lanes use: how long the engine takes to start one says nothing of AWS."""
    client = boto3.client("lambda", **engine_arguments(stack))
    empty = {"FunctionName": stack["functions"]["deliver"], "Payload": b'{"Records": []}'}
    with ThreadPoolExecutor(WORKERS) as threads:
        for answer in [threads.submit(client.invoke, **empty) for _ in range(WORKERS)]:
            answer.result()


def main() -> int:
    """Print the figures; 1 where the hanging neighbour costs more than twice the time, or anything was lost."""
    folder = Path(os.environ.get("LOCAL_DIR") or ".local")
    stack = json.loads((folder / "stack.json").read_text())
    over = threading.Event()

    def hangs(_: str, __: int) -> int:
        over.wait(10 * LONGEST)
        return 200

    with ExitStack() as stage:
        good, well, bad = (stage.enter_context(Receiver(*own)) for own in ((), (), (hangs,)))
        stage.callback(over.set)
        merchant = Merchant(stack, f"{good.url}/good", 0)
        stage.callback(merchant.close)
        started(stack)
        measured(merchant, good, 5)  # every function has started
        alone = measured(merchant, good, COUNT)
        quiet = beside(stack, well, 30_000, merchant, good)
        hung = beside(stack, bad, 60_000, merchant, good)
    ratio, lost = hung.p95 / alone.p95, alone.lost + quiet.lost + hung.lost
    print(f"alone: {alone}")
    print(f"beside a merchant whose endpoint answers: {quiet}; p95 {quiet.p95 / alone.p95:.2f}x")
    print(f"beside a merchant whose endpoint hangs: {hung}; p95 {ratio:.2f}x (bar: 2x)")
    print(f"{3 * COUNT} events, {lost} lost")
    return 0 if ratio <= 2 and not lost else 1


if __name__ == "__main__":
    raise SystemExit(main())
