"""Whose call it was: the function's whose handler is at work, also in its threads; never what a test does meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.aws.dry_calls import NO_TABLE
from shared.store.table import Table
from tests.permissions.needs import Need, arn
from tests.permissions.recording import Recorded, Recording, recorded

TABLE = arn("dynamodb", "table/TABLE_NAME")
READ = Recorded("sweep", Need("dynamodb:GetItem", TABLE))


class Client:
    """A client whose every call is answered with nothing."""

    meta = SimpleNamespace(service_model=SimpleNamespace(service_name="dynamodb"))

    def _make_api_call(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {}

    def get_item(self, **arguments: Any) -> dict[str, Any]:
        return self._make_api_call("GetItem", arguments)


class Signer:
    """Signs nothing."""

    def add_auth(self, request: Any) -> None: ...


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    monkeypatch.setenv("TABLE_NAME", "checkback-1")
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    own = Recording(tmp_path)
    own.follow_threads()
    return own


@pytest.fixture
def read(recording: Recording) -> Callable[[], object]:
    """One call by our own code."""
    listened = type("Listened", (Client,), {})
    recording.listen(listened, type("Listening", (Signer,), {}))
    table = Table(listened(), "checkback-1")
    return partial(table.get, ("pk", "sk"))


def test_a_call_under_a_handler_is_its_functions(
    tmp_path: Path, recording: Recording, read: Callable[[], object]
) -> None:
    recording.by_handler("sweep", read)()

    assert list(recorded(tmp_path)) == [READ]
    assert "test_a_call_under_a_handler" in recorded(tmp_path)[READ]


def test_what_is_kept_back_needs_nothing(tmp_path: Path, recording: Recording) -> None:
    listened = type("Listened", (Client,), {})
    recording.listen(listened, type("Listening", (Signer,), {}))

    recording.by_handler("ingest", partial(Table(listened(), NO_TABLE).get, ("pk", "sk")))()

    assert recorded(tmp_path) == {}


def test_a_call_of_a_test_is_nobodys(tmp_path: Path, read: Callable[[], object]) -> None:
    read()

    assert recorded(tmp_path) == {}


def test_threads_of_a_handler_work_for_its_function(
    tmp_path: Path, recording: Recording, read: Callable[[], object]
) -> None:
    def handler() -> None:
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()

    recording.by_handler("sweep", handler)()
    assert list(recorded(tmp_path)) == [READ]


def test_a_pool_that_outlives_its_handler_works_for_whoever_asks(
    tmp_path: Path, recording: Recording, read: Callable[[], object]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        recording.by_handler("sweep", lambda: pool.submit(read).result())()
        recording.by_handler("deliver", lambda: pool.submit(read).result())()
        pool.submit(read).result()

    assert {own.function for own in recorded(tmp_path)} == {"sweep", "deliver"}


def test_what_a_test_does_while_a_handler_waits_for_it_is_the_tests_doing(
    tmp_path: Path, recording: Recording, read: Callable[[], object]
) -> None:
    def clock() -> float:
        read()
        return 0.0

    client: Any = None
    interrupted = Table(client, "checkback-1", clock=clock)
    recording.by_handler("sweep", partial(interrupted.expired, {"pk": "pk", "sk": "sk"}))()

    assert recorded(tmp_path) == {}


def test_each_need_is_written_once(tmp_path: Path, recording: Recording, read: Callable[[], object]) -> None:
    for _ in range(3):
        recording.by_handler("sweep", read)()

    (written,) = tmp_path.glob("*.jsonl")
    assert len(written.read_text().splitlines()) == 1
