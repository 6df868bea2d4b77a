"""The API over real HTTP on loopback, for clients that know nothing of its handler."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.integration.api.conftest import Api


@contextmanager
def over_http(api: Api) -> Iterator[str]:
    """Where the API answers; the credential is the client's own."""
    nobody = api.as_(None)

    class Handler(BaseHTTPRequestHandler):
        """One request, as API Gateway would hand it over."""

        def _answer(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = dict(parse_qsl(address.query))
            answer = nobody(self.command, address.path, query=query, headers=headers, raw=body or None)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            sent = answer.text.encode()
            self.send_header("content-length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
