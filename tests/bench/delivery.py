"""Measures delivery in one process: the real deliverer, breaker and guarded client, over real HTTP, several workers.

Not the deployed ones: the table is moto's, the queues are lists in memory (delays kept, no fair queue, which makes it
harder), and each worker is a thread where Lambda has a process. ``make bench-delivery`` prints the figures.
"""

import asyncio
import base64
import heapq
import itertools
import re
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
from moto import mock_aws

from shared.aws.queues import DeliveryMessage, DeliveryQueues
from shared.delivery.send_pool import SendPool
from shared.domain.identity import IdentityHasher
from shared.domain.ids import EndpointId, MerchantId, new_ulid
from shared.domain.merchant import Endpoint, EndpointCredentials, SigningSecret
from shared.store.checkouts import CheckoutStore
from shared.store.configuration import EndpointStore
from shared.store.deliveries import DeliveryStore
from shared.store.health import HealthStore
from shared.store.table import Table
from shared.store.vendor_messages import VendorMessageStore
from shared.workflows.delivering.batch import send_prepared
from shared.workflows.delivering.deliver import Deliverer
from shared.workflows.delivering.endpoint_events import EndpointEvents
from shared.workflows.delivering.endpoint_health import EndpointHealth
from shared.workflows.delivering.truth import DeliveryTruth
from tests.integration.conftest import create_table

FRESH_WORKERS, RETRY_WORKERS, SLOW_WORKERS = 10, 5, 5
"""As a stage has them by default."""
BATCH = 10
NEIGHBOURS, RATE, NOISE = 49, 0.15, 10
"""Merchants beside the noisy one, events a second of each, and how many times as much the noisy one sends."""
HANG_SECONDS = 15.0
QUIET_SECONDS, NOISY_SECONDS = 20.0, 60.0
_NUMBER = re.compile(rb'"number":"(\w+)"')
_SECRET = SigningSecret("whsec_" + base64.b64encode(b"b" * 24).decode())


def now() -> datetime:
    return datetime.now(UTC)


class Receiver:
    """Merchants' endpoints on one port: the path says after how many seconds they answer.

    ``arrived``: when each came first, by the ``number`` in its body, else by its ``webhook-id``.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.port = 0

        async def start() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()

        def run() -> None:
            self._loop.create_task(start())
            self._loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        ready.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
                headers = {name.lower(): value for name, _, value in lines}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                numbered = _NUMBER.search(body)
                self.arrived.setdefault(numbered[1].decode() if numbered else headers["webhook-id"], time.monotonic())
                await asyncio.sleep(float(head.split(" ")[1].strip("/")))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def url(self, seconds: float) -> str:
        return "/".join((f"http://127.0.0.1:{self.port}", str(seconds)))


@dataclass
class Queue:
    """A queue with delays; messages that come back are visible again at once."""

    items: list[tuple[float, int, DeliveryMessage]] = field(default_factory=list)
    lock: threading.Condition = field(default_factory=threading.Condition)
    number: "itertools.count[int]" = field(default_factory=itertools.count)

    def put(self, message: DeliveryMessage, delay: timedelta = timedelta(0)) -> None:
        with self.lock:
            heapq.heappush(self.items, (time.monotonic() + delay.total_seconds(), next(self.number), message))
            self.lock.notify()

    def take(self) -> list[DeliveryMessage]:
        with self.lock:
            self.lock.wait_for(lambda: bool(self.items) and self.items[0][0] <= time.monotonic(), timeout=0.05)
            batch: list[DeliveryMessage] = []
            while self.items and self.items[0][0] <= time.monotonic() and len(batch) < BATCH:
                batch.append(heapq.heappop(self.items)[2])
            return batch


class Queues:
    """The queues, as the deliverer needs them."""

    def __init__(self) -> None:
        self.deliveries, self.retries, self.slow = Queue(), Queue(), Queue()

    def retry(self, messages: Sequence[tuple[DeliveryMessage, timedelta]]) -> None:
        for message, delay in messages:
            queue = self.slow if message.slow else self.retries
            queue.put(message, -(-delay // timedelta(seconds=1)) * timedelta(seconds=1))


class OpenCipher:
    """Every endpoint has the same secret: KMS is not what is measured."""

    def endpoint(self, _: Endpoint) -> EndpointCredentials:
        return EndpointCredentials((_SECRET,))


class Harness:
    """Endpoints, queues and workers over one table."""

    def __init__(self) -> None:
        client = boto3.client("dynamodb", region_name="ap-south-1")
        name = f"bench-{new_ulid(now())}"
        create_table(client, name)
        self.table = Table(client, name)
        self.receiver = Receiver()
        self.queues = Queues()
        self.endpoints = EndpointStore(self.table)
        self.deliveries = DeliveryStore(self.table, 8)
        self.events = EndpointEvents(self.table, self.endpoints, self.deliveries, self._fresh, now)
        self.stopped = threading.Event()
        self.sent_at: dict[str, float] = {}
        self.unique = itertools.count()

    def _fresh(self, messages: list[DeliveryMessage]) -> None:
        for message in messages:
            self.queues.deliveries.put(message)

    def endpoint(self, seconds: float) -> Endpoint:
        merchant = MerchantId("mer_" + new_ulid(now()))
        own = Endpoint(EndpointId("ep_" + new_ulid(now())), merchant, "webhook", now(), url=self.receiver.url(seconds))
        self.endpoints.create(own)
        return own

    def send(self, endpoint: Endpoint) -> str:
        record = self.events.test(endpoint, str(next(self.unique)))
        self.sent_at[record.event_id] = time.monotonic()
        return record.event_id

    def deliverer(self) -> tuple[Deliverer, EndpointHealth]:
        health = EndpointHealth(HealthStore(self.table), self.events.disable, now)
        hasher = IdentityHasher(b"k" * 32)
        deliverer = Deliverer(
            truth=DeliveryTruth(self.table, CheckoutStore(self.table, hasher, 2), hasher, now),
            deliveries=self.deliveries,
            health=health,
            disable=self.events.disable,
            messages=VendorMessageStore(self.table),
            queues=cast("DeliveryQueues", self.queues),
            cipher=cast("Any", OpenCipher()),
            now=now,
        )
        return deliverer, health

    def worker(self, queue: Queue) -> None:
        deliverer, health = self.deliverer()
        with SendPool(allow_loopback=True) as pool:
            while not self.stopped.is_set():
                batch = queue.take()
                if batch:
                    results = send_prepared(deliverer.prepare(batch), pool.send_all, health)
                    for message, result in zip(batch, results, strict=True):
                        if result.retry_message:
                            queue.put(message)

    def start(self) -> None:
        queues = self.queues
        workers = ((queues.deliveries, FRESH_WORKERS), (queues.retries, RETRY_WORKERS), (queues.slow, SLOW_WORKERS))
        for queue, count in workers:
            for _ in range(count):
                threading.Thread(target=self.worker, args=(queue,), daemon=True).start()

    def play(self, rates: Sequence[tuple[Endpoint, float]], seconds: float) -> list[tuple[Endpoint, str]]:
        """Send evenly at these rates for so long; what was sent."""
        begin = time.monotonic()
        due = [(begin + (number % 17) / 17 / rate, number, rate) for number, (_, rate) in enumerate(rates)]
        heapq.heapify(due)
        sent = []
        while due[0][0] < begin + seconds:
            at, number, rate = heapq.heappop(due)
            time.sleep(max(at - time.monotonic(), 0))
            sent.append((rates[number][0], self.send(rates[number][0])))
            heapq.heappush(due, (at + 1 / rate, number, rate))
        return sent

    def latencies(self, events: Sequence[str]) -> list[float]:
        arrived = self.receiver.arrived
        return [arrived[own] - self.sent_at[own] for own in events if own in arrived]


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def one_batch_of_slow_endpoints() -> float:
    """Seconds a warm worker takes for one batch to ten endpoints that each take one second."""
    harness = Harness()
    deliverer, health = harness.deliverer()
    with SendPool(allow_loopback=True) as pool:
        took = 0.0
        for seconds in (0.0, 1.0):
            for own in [harness.endpoint(seconds) for _ in range(BATCH)]:
                harness.send(own)
            batch = harness.queues.deliveries.take()
            begin = time.monotonic()
            results = send_prepared(deliverer.prepare(batch), pool.send_all, health)
            took = time.monotonic() - begin
            if [own.outcome for own in results] != ["delivered"] * BATCH:
                raise RuntimeError(f"not all were delivered: {results}")
    return took


@dataclass(frozen=True)
class Neighbours:
    """The others' p95 without and with the noisy merchant, in seconds, and what was lost."""

    quiet: float
    noisy: float
    sent: int
    lost: int
    breaker_trips: int


def noisy_neighbour() -> Neighbours:
    """One of 50 merchants hangs with ten times the traffic: what the 49 others notice."""
    harness = Harness()
    others = [harness.endpoint(0.0) for _ in range(NEIGHBOURS)]
    noisy = harness.endpoint(HANG_SECONDS + 5)
    harness.start()
    rates = [(own, RATE) for own in others]
    harness.play(rates, 5)
    quiet = harness.play(rates, QUIET_SECONDS)
    loud = harness.play([*rates, (noisy, RATE * NOISE)], NOISY_SECONDS)
    theirs = [event for endpoint, event in loud if endpoint is not noisy]
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and len(harness.latencies(theirs)) < len(theirs):
        time.sleep(0.1)
    harness.stopped.set()
    return Neighbours(
        quiet=p95(harness.latencies([event for _, event in quiet])),
        noisy=p95(harness.latencies(theirs)),
        sent=len(theirs),
        lost=len(theirs) - len(harness.latencies(theirs)),
        breaker_trips=HealthStore(harness.table).get(noisy.id).trips,
    )


def main() -> int:
    """Print the figures; 1 where a bar is missed."""
    with mock_aws():
        batch = one_batch_of_slow_endpoints()
        print(f"ten endpoints of 1 s, one batch: {batch:.2f} s (bar: under 1.5 s)", flush=True)
        found = noisy_neighbour()
    print(
        f"noisy neighbour, in one process, {FRESH_WORKERS}+{RETRY_WORKERS} workers, no fair queue:"
        f" p95 of the others {found.quiet * 1000:.0f} ms quiet, {found.noisy * 1000:.0f} ms beside it"
        f" ({found.noisy / found.quiet:.2f}x, bar: 2x); {found.sent} sent, {found.lost} lost;"
        f" the breaker opened {found.breaker_trips} times"
    )
    return 0 if batch < 1.5 and found.noisy <= 2 * found.quiet and found.lost == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
