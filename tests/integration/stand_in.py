"""A provider's API on loopback, over real HTTP: answers what a test has told it, per path, and may misbehave."""

import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; ``drops`` closes the connection instead, ``hangs`` keeps it silent until the test ends."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drops: bool = False
    hangs: bool = False

    @property
    def raw(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class StandIn:
    """An HTTP server on loopback; a context manager. The last reply of a path is repeated; unknown paths are 404."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._replies: dict[str, list[Reply]] = defaultdict(list)
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def on(self, path: str, *replies: Reply) -> None:
        """Answer the path so, one after the other."""
        self._replies[path] = list(replies)

    def asked_at(self, path: str) -> list[Asked]:
        """The requests of a path."""
        return [own for own in self.asked if own.path == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _reply(self, path: str) -> Reply:
        replies = self._replies[path]
        if not replies:
            return Reply({"title": "no such path"}, 404)
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def _handler(stand_in: "StandIn") -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self is inside
        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True  # of head and body the second would wait 40 ms for an acknowledgement
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                stand_in.asked.append(Asked(self.command, url.path, parse_qs(url.query), headers, body))
                reply = stand_in._reply(url.path)
                if reply.hangs:
                    stand_in._ended.wait(60)
                if reply.drops or reply.hangs:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.raw)))
                self.end_headers()
                self.wfile.write(reply.raw)

            do_GET = do_POST  # noqa: N815 - the server's name for it

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
                """Nothing."""

        return Handler
