"""Copies of one snapshot share neither chance nor connections."""

import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from infra.functions import FUNCTIONS
from infra.local.engine import PROJECT
from shared.aws import clients
from shared.aws.snapshot import renew_after_restore
from tests.fresh_imports import FreshImports

ASKED = sorted(name for name, spec in FUNCTIONS.items() if spec.asked)
LOOK = """
import importlib, json, os, threading
importlib.import_module("functions.{name}.handler")
from shared.aws import clients
made = [own.__name__ for own in vars(clients).values() if hasattr(own, "cache_info") and own.cache_info().currsize]
fds = [f"/proc/self/fd/{{own}}" for own in os.listdir("/proc/self/fd")]
links = (os.readlink(own) for own in fds if os.path.exists(own))
print(json.dumps({{"clients": made, "sockets": [own for own in links if own.startswith("socket:")],
                  "threads": threading.active_count() - 1}}))
"""


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """As the runtime does it: what was registered is called after each restore."""
    hooks: list[Callable[[], object]] = []
    runtime = ModuleType("snapshot_restore_py")
    runtime.__spec__ = ModuleSpec("snapshot_restore_py", None)
    runtime.register_after_restore = hooks.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", runtime)
    renew_after_restore()
    assert hooks

    def restore() -> None:
        for hook in hooks:
            hook()

    return restore


def test_every_copy_of_a_snapshot_draws_waits_of_its_own(restored: Callable[[], None]) -> None:
    snapshot = random.getstate()
    drawn = set()

    for _ in range(3):
        random.setstate(snapshot)
        restored()
        drawn.add(random.random())

    assert len(drawn) == 3


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Who connected to DynamoDB, once for each connection."""
    found: list[object] = []

    class DynamoDb(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            found.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/x-amz-json-1.0")
            self.send_header("content-length", "17")
            self.end_headers()
            self.wfile.write(b'{"TableNames":[]}')

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), DynamoDb)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "ap-south-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    clients.dynamodb.cache_clear()
    yield found
    clients.dynamodb.cache_clear()
    server.shutdown()
    server.server_close()


def test_no_copy_goes_on_with_a_connection_of_the_snapshots(
    restored: Callable[[], None], connections: list[object]
) -> None:
    """Who holds a client already goes on with it, by a connection of its own."""
    held = clients.dynamodb()
    for _ in range(2):
        held.list_tables()
    assert len(connections) == 1

    restored()
    assert held.list_tables()["TableNames"] == []
    assert len(connections) == 2


@pytest.mark.parametrize("name", ASKED)
def test_at_import_nothing_is_made_that_copies_would_share(fresh: FreshImports, name: str) -> None:
    environment = json.loads((PROJECT / "tests/unit/infra/function_environment.json").read_text())
    environment |= {"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": "ap-south-1"}

    printed = fresh.printed(LOOK.format(name=name), environment)

    assert json.loads(printed.splitlines()[-1]) == {"clients": [], "sockets": [], "threads": 0}


def test_where_there_are_no_snapshots_nothing_happens() -> None:
    assert "snapshot_restore_py" not in sys.modules
    renew_after_restore()
