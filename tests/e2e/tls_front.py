"""A host with TLS before the deployed stack: clients that know nothing but ``https://host`` reach it by that.

The local engine answers over plain HTTP and under a path of its own. A stage with a domain name needs none of this.
"""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import override

import httpx
import trustme

_HANDED_ON = ("content-type", "authorization", "x-shopify-access-token", "accept")


@contextlib.contextmanager
def tls_front(api_url: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """The port on 127.0.0.1, and the file of the authority that proves it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    trusted = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with httpx.Client(timeout=30) as behind:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _hand_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name: self.headers[name] for name in _HANDED_ON if name in self.headers}
                answer = behind.request(self.command, api_url + self.path, content=body, headers=headers)
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in {"content-length", "content-encoding", "transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_DELETE = _hand_on  # noqa: N815 - the library's names

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Nothing: requests carry tokens."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port, trusted
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
