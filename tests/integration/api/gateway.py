"""The merchant API over real HTTP on loopback: every request becomes the event that API Gateway would make of it."""

import base64
import contextlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, override
from urllib.parse import parse_qsl, urlsplit

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "CONNECT")


@dataclass(frozen=True)
class Exchange:
    """One request and what became of it."""

    method: str
    path: str
    status: int


@dataclass
class Served:
    """An API that listens; ``exchanges`` are all that it answered."""

    url: str
    exchanges: list[Exchange] = field(default_factory=list)


@contextlib.contextmanager
def served() -> Iterator[Served]:
    """The handler of this process on a port of its own, one request at a time."""
    answer = importlib.import_module("functions.merchant_api.handler").handler
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        """Head and body are one write: of two the second would wait 40 ms for the client's acknowledgement."""

        def _hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            with one_at_a_time:
                given = answer(self._event(body), None)
                found.exchanges.append(Exchange(self.command, self.path, given["statusCode"]))
            raw = given["body"].encode()
            self.send_response_only(given["statusCode"])
            for name, value in given["headers"].items():
                self.send_header(name, value)
            if given["statusCode"] != 204:
                self.send_header("content-length", str(len(raw)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(raw)

        def _event(self, body: bytes) -> dict[str, Any]:
            url = urlsplit(self.path)
            headers: dict[str, str] = {}
            for name, value in self.headers.items():
                headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
            query: dict[str, str] = {}
            for name, value in parse_qsl(url.query, keep_blank_values=True):
                query[name] = f"{query[name]},{value}" if name in query else value
            event: dict[str, Any] = {
                "version": "2.0",
                "rawPath": url.path,
                "rawQueryString": url.query,
                "headers": headers,
                "requestContext": {
                    "http": {"method": self.command, "path": url.path, "sourceIp": "192.0.2.1"},
                    "requestId": "request-1",
                    "stage": "$default",
                },
                "isBase64Encoded": bool(body),
            }
            if query:
                event["queryStringParameters"] = query
            if body:
                event["body"] = base64.b64encode(body).decode()
            return event

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Nothing: requests carry tokens."""

    for method in METHODS:
        setattr(Handler, f"do_{method}", Handler._hand_on)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Served(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
