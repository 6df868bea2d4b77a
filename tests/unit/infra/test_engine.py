"""An engine is found by what it left behind, and no other process is ever ended for it."""

import json
import os
from pathlib import Path

from infra.local import engine


def recorded(folder: Path, pid: int) -> None:
    (folder / "engine.json").write_text(json.dumps({"pid": pid, "port": 9, "region": "ap-south-1"}))


def test_without_a_record_there_is_no_engine(tmp_path: Path) -> None:
    assert engine.find(tmp_path) is None
    assert engine.stop(tmp_path) is False


def test_a_number_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    recorded(tmp_path, os.getpid())

    assert engine.find(tmp_path) is None
    assert engine.stop(tmp_path) is False
    assert not (tmp_path / "engine.json").exists()
