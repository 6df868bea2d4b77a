"""Connecting to a customer's host: **the address that was vetted is the address that is dialled**.

The name is resolved once, inside the step that connects, and the connection is made to one of the addresses just
checked. TLS and ``Host`` keep the name.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from socket import gaierror
from typing import Any, override

import httpcore

from shared.delivery.exchange import (
    DeliveryError,
    DestinationTimeout,
    DestinationUnreachable,
    ForbiddenAddress,
    RefusedDestination,
)
from shared.delivery.name_lookup import NameLookups
from shared.delivery.target import is_loopback, is_public

CONNECT_TIMEOUT_SECONDS = 3.0
MAX_ADDRESSES_TRIED = 4

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, as text; raises OSError when there are none."""


resolve: Resolver = NameLookups()
"""What the system's resolver knows; one for the whole process."""


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
