"""The wrong clock of chaos is the product's whole clock: a lease ends by the one that is put forward."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from infra.local.engine import PROJECT
from tests.chaos.stage import CLOCK

READ = """
import datetime, json, time
from shared.store.table import Table
now = datetime.datetime.now(datetime.UTC).timestamp()
print(json.dumps({"now": now, "rows end by": Table(None, "a-table")._now(), "an invocation": time.time()}))
"""


def read(folder: Path, offsets: dict[str, float], function: str) -> dict[str, float]:
    """What a worker of the function takes for the time, in seconds from the right one."""
    (folder / "clock.json").write_text(json.dumps(offsets))
    run = subprocess.run(
        [sys.executable, "-c", READ],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{CLOCK}:{PROJECT}",
            "CHAOS_CLOCK": str(folder / "clock.json"),
            "CHAOS_CLOCK_OF": function,
        },
    )
    told: dict[str, float] = json.loads(run.stdout)
    return {name: at - time.time() for name, at in told.items()}


def test_leases_end_by_the_clock_that_is_put_forward_and_an_invocation_does_not(tmp_path: Path) -> None:
    off = read(tmp_path, {"*": 1000, "ingest": 500}, "sweep")
    assert 900 < off["now"] <= 1000
    assert 900 < off["rows end by"] <= 1000
    assert -100 < off["an invocation"] <= 0


def test_each_functions_clock_is_wrong_in_its_own_way(tmp_path: Path) -> None:
    off = read(tmp_path, {"*": 1000, "ingest": 500}, "ingest")
    assert 1400 < off["now"] <= 1500
    assert 1400 < off["rows end by"] <= 1500
