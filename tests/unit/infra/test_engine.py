"""An engine is found by what it left behind, and no other process is ever ended for it."""

import json
import os
from pathlib import Path

import pytest

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


def test_workers_are_unpacked_in_memory_where_there_is_plenty_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, folder = tmp_path / "memory", tmp_path / "local"
    memory.mkdir()
    monkeypatch.setattr(engine, "_MEMORY", memory)
    monkeypatch.setattr(engine, "_ROOM_IN_MEMORY", 0)

    (engine._scratch(folder) / "worker").mkdir()
    (engine._scratch(folder) / "worker").mkdir()

    assert [own.name for left in memory.iterdir() for own in left.iterdir()] == ["worker"]
    engine.stop(folder)
    assert not list(memory.iterdir())
    assert not list(folder.iterdir())


@pytest.mark.parametrize("memory", ["too small", "missing"])
def test_else_they_are_unpacked_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    monkeypatch.setattr(engine, "_MEMORY", tmp_path if memory == "too small" else tmp_path / "none")
    monkeypatch.setattr(engine, "_ROOM_IN_MEMORY", 2**60)

    scratch = engine._scratch(tmp_path / "local")

    assert scratch.is_dir()
    assert not scratch.is_symlink()
    engine.stop(tmp_path / "local")
    assert not scratch.exists()
