"""The guarded HTTP client: the only way out of Checkback.

A destination's URL is chosen by a customer. So: https only, no redirects, no proxy, cookie or ``.netrc``
(none of that code is reached), and connections are made by ``shared.delivery.vetted_dialling`` alone.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from datetime import UTC, datetime
from functools import cache
from traceback import format_tb
from typing import Any, cast, override

import httpcore
import httpx

from shared.delivery.exchange import (
    Answer,
    BrokenExchange,
    DeliveryError,
    DestinationTimeout,
    DestinationUnreachable,
    InvalidRequest,
    OutboundRequest,
    RefusedDestination,
    SendResult,
    UnexpectedFailure,
)
from shared.delivery.own_address import HOP_HEADER, OwnAddress
from shared.delivery.target import HTTPS_PORTS, Target, parse_target
from shared.delivery.vetted_dialling import CONNECT_TIMEOUT_SECONDS, Resolver, VettingBackend, resolve

logger = logging.getLogger(__name__)

IDLE_SECONDS = 15.0
MAX_IDLE_CONNECTIONS = 64

# What frames or routes the message is ours alone; a second spelling of it is how requests are smuggled.
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        HOP_HEADER,
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
        own: OwnAddress | None = None,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        dialler: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._ports = ports
        self._own = own
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
        target = parse_target(str(request.url), allow_loopback=self._allow_loopback, ports=self._ports, own=self._own)
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
            headers={"accept": "*/*", "accept-encoding": "identity", HOP_HEADER: "1", **request.headers},
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
