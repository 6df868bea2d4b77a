"""An engine is found by what it left behind, and no other process is ever ended for it."""

import json
import os
import queue
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra.local import engine
from infra.local.quick_engine import UnpackedOnce, read_once, said


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


def workers_folder(folder: Path, bundle: dict[str, str]) -> Path:
    """What the engine makes for a worker that it starts."""
    code = folder / "code"
    code.mkdir(parents=True)
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        for name, text in bundle.items():
            archive.writestr(name, text)
    with UnpackedOnce(folder / "code.zip") as bundled:
        bundled.extractall(code)
    return code


def test_a_bundle_is_unpacked_once_for_all_its_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bundle = {"functions/sweep/handler.py": "SWEPT = 1", "six.pyc": ""}
    first, second = (workers_folder(tmp_path / name, bundle) for name in ("first", "second"))
    changed = workers_folder(tmp_path / "changed", bundle | {"functions/sweep/handler.py": "SWEPT = 2"})

    for code, text in ((first, "SWEPT = 1"), (second, "SWEPT = 1"), (changed, "SWEPT = 2")):
        assert sorted(own.name for own in code.iterdir()) == ["functions", "six.pyc"]
        assert (code / "functions/sweep/handler.py").read_text() == text
    handler = "functions/sweep/handler.py"
    assert (first / handler).samefile(second / handler)
    assert not (first / handler).samefile(changed / handler)


def test_what_cannot_be_unpacked_is_tried_again_by_the_next_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as full:
        full.setattr(zipfile.ZipFile, "extractall", lambda *_: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(OSError, match="no space"):
            workers_folder(tmp_path / "first", {"six.pyc": ""})
    assert list((tmp_path / "bundles").iterdir()) == []

    assert (workers_folder(tmp_path / "second", {"six.pyc": ""}) / "six.pyc").exists()


def test_what_a_worker_has_written_is_told_in_its_order_and_not_waited_for_longer_than_the_engine_would() -> None:
    worker = SimpleNamespace(_stderr_queue=queue.Queue())
    assert said(worker) == ""
    for line in ("START", "told", "END"):
        worker._stderr_queue.put(line)

    assert said(worker, hard_cap=0) == ""
    assert said(worker) == "START\ntold\nEND"
    assert said(worker) == ""


def test_an_expression_is_taken_apart_once_and_whoever_asks_may_change_what_it_gets() -> None:
    asked: list[str] = []

    def words(expression: str) -> list[str]:
        asked.append(expression)
        return expression.split()

    kept = read_once(words)
    kept("pk = :pk").clear()

    assert kept("pk = :pk") == ["pk", "=", ":pk"]
    assert kept("sk = :pk") == ["sk", "=", ":pk"]
    assert asked == ["pk = :pk", "sk = :pk"]
