"""Sending batches from synchronous code: ``SendPool.send_all`` is the entry for a Lambda handler.

It sends a batch concurrently and keeps connections between invocations.
"""

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import httpcore

from shared.delivery.exchange import OutboundRequest, SendResult
from shared.delivery.guarded_http import IDLE_SECONDS, GuardedClient, GuardedTransport
from shared.delivery.own_address import OwnAddress
from shared.delivery.vetted_dialling import Resolver, resolve

CONCURRENCY = 32
_GRACE_SECONDS = 5.0


class SendPool:
    """Sends batches from synchronous code; one per process, made when the function is loaded.

    One event loop in one thread lives as long as the process, so that connections survive from batch to
    batch. At most ``concurrency`` requests run at once; each has its own deadline, which begins when it is
    started.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        own: OwnAddress | None = None,
        concurrency: int = CONCURRENCY,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        dialler: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._make_transport = lambda: GuardedTransport(
            allow_loopback=allow_loopback, own=own, ssl_context=ssl_context, resolver=resolver, dialler=dialler
        )
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._worker: _Worker | None = None

    def send_all(
        self, requests: Sequence[OutboundRequest], answered: Callable[[int], None] | None = None
    ) -> list[SendResult]:
        """Send every request concurrently; results in the order of the requests, failures included as
        results.

        ``answered`` is called with the position of each request that has ended, in the sending thread: it must
        not block.

        Raises:
            TimeoutError: the sending thread itself is stuck: a defect here, never the doing of a destination.
        """
        if not requests:
            return []
        rounds = -(-len(requests) // self._concurrency)
        longest = max(request.timeout for request in requests).total_seconds()
        worker = self._running_worker()
        future = asyncio.run_coroutine_threadsafe(worker.send_all(requests, answered), worker.loop)
        try:
            return future.result(timeout=rounds * longest + _GRACE_SECONDS)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """Close the connections and end the thread; a later ``send_all`` starts afresh."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and worker.pid == os.getpid():
            worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running_worker(self) -> "_Worker":
        with self._lock:
            # A forked child has the object but not the thread.
            if self._worker is None or self._worker.pid != os.getpid():
                self._worker = _Worker(self._make_transport, self._concurrency)
            return self._worker


class _Worker:
    """The loop, its thread, and the client that lives on it."""

    def __init__(self, make_transport: Callable[[], GuardedTransport], concurrency: int) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._make_transport = make_transport
        self._client: GuardedClient | None = None
        self._slots = asyncio.Semaphore(concurrency)
        self._batches = 0
        self._idle_since = time.time()
        self._thread = threading.Thread(target=self.loop.run_forever, name="send-pool", daemon=True)
        self._thread.start()

    async def send_all(
        self, requests: Sequence[OutboundRequest], answered: Callable[[int], None] | None
    ) -> list[SendResult]:
        client = await self._fresh_client()
        self._batches += 1

        async def send(position: int, request: OutboundRequest) -> SendResult:
            result = await self._send(client, request)
            if answered is not None:
                answered(position)
            return result

        try:
            return await asyncio.gather(*(send(position, own) for position, own in enumerate(requests)))
        finally:
            self._batches -= 1
            self._idle_since = time.time()

    def stop(self) -> None:
        for last in (self._close_client(), self.loop.shutdown_asyncgens()):
            asyncio.run_coroutine_threadsafe(last, self.loop).result(timeout=_GRACE_SECONDS)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=_GRACE_SECONDS)
        self.loop.close()

    async def _send(self, client: GuardedClient, request: OutboundRequest) -> SendResult:
        async with self._slots:
            return await client.send(request)

    async def _fresh_client(self) -> GuardedClient:
        # A frozen Lambda's monotonic clock may stand still while the other side closes its end; by the wall
        # clock a connection idle for too long is dropped here, before a request is lost on it with its
        # outcome unknown.
        if self._batches == 0 and abs(time.time() - self._idle_since) > IDLE_SECONDS:
            await self._close_client()
        if self._client is None:
            self._client = GuardedClient(self._make_transport())
        return self._client

    async def _close_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
