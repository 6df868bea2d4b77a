"""What chaos reads off the engine's log, and how it puts the deployed bundles back."""

import io
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.engine_log import EngineLog
from tests.chaos.unpacked import Unpacked
from tests.patience import PATIENCE

FAILED = (
    "2026-11-27 13:14:02 WARNING [lambda] ESM: Lambda {} failed processing {} batch from somewhere"
    " (errorType=Runtime.HandlerError errorMessage={})\n"
)


def test_workers_that_died_at_their_work_are_counted_and_a_stream_whose_reader_failed_is_relieved(
    tmp_path: Path,
) -> None:
    log, relieved = tmp_path / "engine.log", threading.Event()
    told: list[str] = []
    log.write_text(FAILED.format("Deliver", "SQS", "Worker process died"))

    def relieve(function: str) -> None:
        told.append(function)
        relieved.set()

    with EngineLog(log, relieve) as watched:
        with log.open("a") as end:
            end.write(FAILED.format("Deliver", "SQS", "Worker process died"))
            end.write(FAILED.format("Deliver", "SQS", "An error occurred"))
            end.write(FAILED.format("Dispatch", "DynamoDB stream", "1 records failed for now"))
        assert relieved.wait(PATIENCE)
        assert watched.died_at_work() == {"Deliver": 1}
    assert told == ["Dispatch"]


class Lambda:
    """One function's code."""

    def __init__(self, place: Path, code: bytes) -> None:
        self._place = place
        self.update_function_code("Deliver", code)

    def get_function(self, **_: str) -> dict[str, Any]:
        return {"Code": {"Location": self._place.as_uri()}}

    def update_function_code(self, FunctionName: str, ZipFile: bytes) -> None:  # noqa: N803
        assert FunctionName == "Deliver"
        self._place.write_bytes(ZipFile)
        self.names = zipfile.ZipFile(io.BytesIO(ZipFile)).namelist()


@pytest.mark.parametrize("killed", [False, True])
def test_a_bundle_is_unpacked_once_and_deployed_again_after_a_run_that_was_killed_too(
    tmp_path: Path, *, killed: bool
) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as bundle:
        bundle.writestr("functions/deliver/handler.py", "handler = None")
    client = Lambda(tmp_path / "code.zip", made.getvalue())
    unpacked = Unpacked(client, {"deliver": "Deliver"}, tmp_path / "unpacked")

    if killed:
        unpacked.__enter__()
    with unpacked:
        assert (unpacked.path_of("deliver") / "functions/deliver/handler.py").exists()
        assert client.names == ["README"]

    assert client.names == ["functions/deliver/handler.py"]
    assert not (tmp_path / "unpacked").exists()
