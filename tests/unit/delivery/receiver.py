"""A receiver on loopback with real sockets and TLS, and a way to it that looks like the public internet."""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import override

import httpcore
import trustme

from tests.patience import PATIENCE

PUBLIC_ADDRESS = "93.184.215.14"


@dataclass(frozen=True)
class Received:
    """One request as it came in; ``connection`` counts the accepted connections from 1."""

    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    server_name: str | None


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """A hand-written HTTP/1.1 server: every path may misbehave in its own way; the others answer 200."""

    certificate: trustme.LeafCert | None
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def on(self, path: str, behaviour: Behaviour) -> None:
        self.behaviours[path] = behaviour

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(PATIENCE)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _listen(self) -> None:
        context = None
        if self.certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.certificate.configure_cert(context)
            context.sni_callback = self._note_name
        self._names: list[str | None] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def _note_name(self, _socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self._names.append(name)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        try:
            await self._serve(self.connections, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _serve(self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            request_line, *lines = head.rstrip().split("\r\n")
            method, path, _ = request_line.split(" ")
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            name = self._names[-1] if self._names else None
            self.requests.append(Received(connection, method, path, headers, body, name))
            behaviour = self.behaviours.get(path)
            if behaviour is None:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                await writer.drain()
            else:
                await behaviour(reader, writer)


class Detour(httpcore.AsyncNetworkBackend):
    """Notes which address it was told to dial and leads every connection to the receiver instead."""

    def __init__(self, port: int) -> None:
        self.dialled: list[tuple[str, int]] = []
        self.unreachable: set[str] = set()
        self._port = port
        self._real = httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        if host in self.unreachable:
            await asyncio.sleep(timeout or 0)
            raise httpcore.ConnectTimeout
        return await self._real.connect_tcp("127.0.0.1", self._port, timeout=timeout)


@dataclass
class Names:
    """A resolver that answers from a table, each look-up with the next list; the last one stays."""

    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self.answers.get(host, [[PUBLIC_ADDRESS]])
        return answers.pop(0) if len(answers) > 1 else answers[0]
