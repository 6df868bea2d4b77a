"""The guarded HTTP client: the only way out of Checkback.

A destination's URL is chosen by a customer. So: https only, no redirects, no proxy, cookie or ``.netrc``
(none of that code is reached), and **the address that was vetted is the address that is dialled**: the name
is resolved once, inside the step that connects, and the connection is made to one of the addresses just
checked. TLS and ``Host`` keep the name.

``SendPool.send_all`` is the entry for a synchronous Lambda handler: it sends a batch concurrently and keeps
connections between invocations.
"""

import asyncio
import logging
import os
import re
import ssl
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from datetime import UTC, datetime
from functools import cache
from socket import SOCK_STREAM, gaierror
from traceback import format_tb
from types import TracebackType
from typing import Any, Self, cast, override

import httpcore
import httpx

from shared.delivery.exchange import (
    Answer,
    BrokenExchange,
    DeliveryError,
    DestinationTimeout,
    DestinationUnreachable,
    ForbiddenAddress,
    InvalidRequest,
    OutboundRequest,
    RefusedDestination,
    SendResult,
    UnexpectedFailure,
)
from shared.delivery.target import HTTPS_PORTS, Target, is_loopback, is_public, parse_target

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 3.0
IDLE_SECONDS = 15.0
MAX_IDLE_CONNECTIONS = 64
MAX_ADDRESSES_TRIED = 4
CONCURRENCY = 32
_GRACE_SECONDS = 5.0

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, as text; raises OSError when there are none."""

# What frames or routes the message is ours alone; a second spelling of it is how requests are smuggled.
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_METHOD = re.compile(r"[A-Z]{1,16}")


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address the system's resolver knows for ``host``."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return [str(sockaddr[0]) for _, _, _, _, sockaddr in found]


class VettingBackend(httpcore.AsyncNetworkBackend):
    """Resolves, vets and dials in one step, so that no second look-up can differ from the vetted one.

    Args:
        allow_loopback: the local stage: loopback hosts may be dialled (and only at loopback addresses).
        resolver: looks up a host, for tests.
        dialler: connects to the address it is given, for tests.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        resolver: Resolver = resolve,
        dialler: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._resolver = resolver
        self._dialler = dialler or httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to a vetted address of ``host`` within ``timeout`` seconds, name resolution included.

        Raises:
            ForbiddenAddress: at least one address is not allowed: such a name is refused as a whole.
            DestinationUnreachable, DestinationTimeout: no connection.
        """
        deadline = time.monotonic() + (CONNECT_TIMEOUT_SECONDS if timeout is None else timeout)
        addresses = await self._vetted_addresses(host, port, deadline)
        for index, address in enumerate(addresses):
            share = (deadline - time.monotonic()) / (len(addresses) - index)
            try:
                stream = await self._dialler.connect_tcp(
                    address,
                    port,
                    timeout=max(share, 0.0),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except httpcore.ConnectTimeout as error:
                failure: DeliveryError = DestinationTimeout("connecting took too long")
                failure.__cause__ = error
            except (httpcore.ConnectError, OSError) as error:
                failure = DestinationUnreachable("the connection was refused or is not possible")
                failure.__cause__ = error
            else:
                return _DialledStream(stream)
            if index == len(addresses) - 1:
                raise failure
        raise DestinationUnreachable("the host name has no address")

    @override
    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: a destination is not a file."""
        raise RefusedDestination("unix sockets are not a destination")

    @override
    async def sleep(self, seconds: float) -> None:
        """Wait; the pool asks for it between its own connection retries, which are off."""
        await asyncio.sleep(seconds)

    async def _vetted_addresses(self, host: str, port: int, deadline: float) -> list[str]:
        try:
            async with asyncio.timeout(max(deadline - time.monotonic(), 0.0)):
                found = list(dict.fromkeys(await self._resolver(host, port)))
        except TimeoutError as error:
            raise DestinationTimeout("the host name could not be resolved in time") from error
        except (gaierror, OSError, UnicodeError) as error:
            raise DestinationUnreachable("the host name does not resolve") from error
        loopback = self._allow_loopback and (host == "localhost" or is_loopback(host))
        allowed = is_loopback if loopback else is_public
        if not all(allowed(address) for address in found):
            # Which address it was is not told: it would show the merchant our resolver's private answers.
            raise ForbiddenAddress("the host does not resolve to public addresses only")
        # IPv4 first: a function without IPv6 egress would spend its time on addresses it cannot reach.
        return sorted(found, key=lambda address: ":" in address)[:MAX_ADDRESSES_TRIED]


class _DialledStream(httpcore.AsyncNetworkStream):
    """A connection that is closed when the deadline cancels its TLS handshake; httpcore leaves it open."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    @override
    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException:
            await self._stream.aclose()
            raise

    @override
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    @override
    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()

    @override
    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AnswerStream(httpx.AsyncByteStream):
    """The body of an answer; gives its connection back, or ends it, when closed."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async with aclosing(cast("AsyncGenerator[bytes]", self._answer.aiter_stream())) as chunks:
                async for chunk in chunks:
                    yield chunk
        except (httpcore.NetworkError, ssl.SSLError) as error:
            raise BrokenExchange("the connection broke within the answer") from error
        except httpcore.ProtocolError as error:
            raise BrokenExchange("the answer is not valid HTTP") from error
        except httpcore.TimeoutException as error:
            raise DestinationTimeout("the answer took too long") from error

    @override
    async def aclose(self) -> None:
        await self._answer.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """An httpx transport that connects to permitted destinations only.

    Behind it is an httpcore pool (HTTP/1.1, keep-alive); answer heads are bounded by h11. A client built upon
    it must leave redirects off. Raises the errors of ``shared.delivery.exchange``.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        ports: Collection[int] = HTTPS_PORTS,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        dialler: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._ports = ports
        # The caller bounds how many requests run; a second bound here would let a hung one hold up its
        # neighbours.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or default_ssl_context(),
            max_connections=None,
            max_keepalive_connections=MAX_IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=VettingBackend(allow_loopback=allow_loopback, resolver=resolver, dialler=dialler),
        )

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` if its URL and headers are permitted; the answer's body is not read yet."""
        target = parse_target(str(request.url), allow_loopback=self._allow_loopback, ports=self._ports)
        # Written from the checked URL, whatever the caller or a second reading of the URL would put there.
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        core_request = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=target.scheme.encode(),
                host=target.host.encode(),
                port=target.port,
                target=request.url.raw_path,
            ),
            headers=[(b"Host", _host_header(target).encode()), *headers],
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer = await self._pool.handle_async_request(core_request)
        except httpcore.ConnectTimeout as error:
            raise DestinationTimeout("connecting took too long") from error
        except httpcore.TimeoutException as error:
            raise DestinationTimeout("no answer in time") from error
        except httpcore.ConnectError as error:
            tls = isinstance(error.__cause__ or error.__context__, ssl.SSLError)
            raise DestinationUnreachable("TLS failed" if tls else "the connection failed") from error
        except (httpcore.NetworkError, ssl.SSLError) as error:
            # A TLS 1.3 server refuses a client after the handshake: that alert arrives as a bare SSLError.
            raise BrokenExchange("the connection broke before an answer") from error
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:
            raise InvalidRequest("the request is not valid HTTP") from error
        except httpcore.ProtocolError as error:
            raise BrokenExchange("the answer is not valid HTTP, or there was none") from error
        return httpx.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_AnswerStream(answer),
            extensions=answer.extensions,
            request=request,
        )

    @override
    async def aclose(self) -> None:
        await self._pool.aclose()


class GuardedClient:
    """Sends ``OutboundRequest``s and always comes back with a ``SendResult``; belongs to one event loop."""

    def __init__(self, transport: GuardedTransport, *, clock: Callable[[], datetime] | None = None) -> None:
        self._transport = transport
        self._clock = clock or (lambda: datetime.now(UTC))

    async def send(self, request: OutboundRequest) -> SendResult:
        """One attempt, over within ``request.timeout`` whatever the other side does."""
        started_at, started = self._clock(), time.monotonic()
        progress = _Progress()
        answer: Answer | None = None
        error: DeliveryError | None = None
        try:
            answer = await self._exchange(request, progress)
        except DeliveryError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001  one defect must not lose the batch's results
            # The message is left out: it may quote a header or the URL.
            stack = "".join(format_tb(failure.__traceback__))
            logger.error("unexpected %s while sending\n%s", type(failure).__name__, stack)
            error = UnexpectedFailure(f"unexpected {type(failure).__name__}")
            error.__cause__ = failure
        return SendResult(
            started_at=started_at,
            finished_at=self._clock(),
            latency_ms=round((time.monotonic() - started) * 1000),
            sent=progress.sent,
            answer=answer,
            error=error,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _exchange(self, request: OutboundRequest, progress: "_Progress") -> Answer:
        http_request = _http_request(request, progress)
        body = bytearray()
        response: httpx.Response | None = None
        complete = False
        try:
            async with asyncio.timeout(request.timeout.total_seconds()):
                response = await self._transport.handle_async_request(http_request)
                async with aclosing(cast("AsyncGenerator[bytes]", response.aiter_raw())) as chunks:
                    async for chunk in chunks:
                        body += chunk
                        if len(body) > request.max_answer_bytes:
                            break
                    else:
                        complete = True
        except TimeoutError as error:
            if response is None:
                raise DestinationTimeout(
                    "no answer in time" if progress.sent else "connecting took too long"
                ) from error
        except (BrokenExchange, DestinationTimeout):
            # With the status line in hand the other side has spoken; what it failed to add does not unsay it.
            if response is None:
                raise
        finally:
            if response is not None:
                await response.aclose()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body[: request.max_answer_bytes]), complete)


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
        concurrency: int = CONCURRENCY,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        dialler: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._make_transport = lambda: GuardedTransport(
            allow_loopback=allow_loopback, ssl_context=ssl_context, resolver=resolver, dialler=dialler
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
        # Name resolution blocks a thread each; asyncio's default of a few would make hung names hold up the
        # others.
        self._threads = ThreadPoolExecutor(2 * concurrency, thread_name_prefix="resolve")
        self.loop.set_default_executor(self._threads)
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
        self._threads.shutdown(wait=False, cancel_futures=True)
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


class _Progress:
    """Learns from httpcore's trace whether the request began to leave the machine."""

    def __init__(self) -> None:
        self.sent = False

    async def trace(self, event: str, _info: dict[str, Any]) -> None:
        if event.endswith("send_request_headers.started"):
            self.sent = True


@cache
def default_ssl_context() -> ssl.SSLContext:
    """Verifies against the bundled Mozilla roots, whatever the environment says; TLS 1.2 or newer."""
    import certifi

    context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _http_request(request: OutboundRequest, progress: _Progress) -> httpx.Request:
    """Raises InvalidRequest when the request cannot be written down."""
    own = _OWN_HEADERS.intersection(name.lower() for name in request.headers)
    if own:
        raise InvalidRequest(f"the header {min(own)} is not the caller's to set")
    if not _METHOD.fullmatch(request.method):
        raise InvalidRequest("the method is not valid")
    total = request.timeout.total_seconds()
    timeouts = {"connect": min(CONNECT_TIMEOUT_SECONDS, total), "read": total, "write": total, "pool": total}
    try:
        return httpx.Request(
            request.method,
            request.url,
            headers={"accept": "*/*", "accept-encoding": "identity", **request.headers},
            content=request.body,
            extensions={"timeout": timeouts, "trace": progress.trace},
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise RefusedDestination("the URL cannot be parsed") from error
    except (UnicodeError, ValueError, TypeError) as error:
        raise InvalidRequest("a header cannot be sent") from error


def _host_header(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = 443 if target.scheme == "https" else 80
    return host if target.port == default else f"{host}:{target.port}"
