"""A merchant's endpoint for trials: receives webhooks over real HTTP and verifies them as any receiver would."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook as it came in; ``verified`` by the PyPI package ``standardwebhooks``."""

    at: float
    path: str
    headers: dict[str, str]
    body: bytes
    verified: bool

    @property
    def event(self) -> dict[str, Any]:
        """The event inside."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


class Receiver:
    """An HTTP server on loopback that keeps what it receives; a context manager.

    ``answer`` decides the status by path and count so far (default: always 200).
    """

    def __init__(self, answer: Callable[[str, int], int] | None = None) -> None:
        self.secret: str | None = None
        self.received: list[Received] = []
        self._answer = answer or (lambda _path, _count: 200)
        self._condition = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def events(self, event_type: str | None = None, checkout_id: str | None = None) -> list[Received]:
        """What was received, in order, by type and checkout."""
        with self._condition:
            found = list(self.received)
        if event_type is not None:
            found = [own for own in found if own.event["type"] == event_type]
        if checkout_id is not None:
            found = [own for own in found if own.event["data"].get("checkout", {}).get("id") == checkout_id]
        return found

    def wait_for(self, event_type: str, checkout_id: str, timeout: float = 30) -> Received | None:
        """The first such event, or None when it has not come within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            found = self.events(event_type, checkout_id)
            if found:
                return found[0]
            with self._condition:
                if not self._condition.wait(min(1.0, max(deadline - time.monotonic(), 0))):
                    pass
            if time.monotonic() > deadline:
                return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _keep(self, path: str, headers: dict[str, str], body: bytes) -> int:
        verified = False
        if self.secret is not None:
            try:
                Webhook(self.secret).verify(body, headers)
                verified = True
            except (WebhookVerificationError, ValueError):  # the package lets ValueErrors escape, too
                verified = False
        with self._condition:
            count = sum(own.path == path for own in self.received)
            self.received.append(Received(time.time(), path, headers, body, verified))
            self._condition.notify_all()
        return self._answer(path, count)

    def _handler(receiver: "Receiver") -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self is inside
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = receiver._keep(self.path, headers, body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
                """Nothing: the demo prints its own lines."""

        return Handler
