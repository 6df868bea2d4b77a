"""Templates are kept from run to run under a digest of what they are made of: nothing may be missing in it."""

import json
import subprocess
import sys
from typing import Any

import pytest

from infra.local.engine import PROJECT
from tests.patience import PATIENCE
from tests.selection.importing import Project
from tests.unit.infra import conftest

SYNTHESISED = """
import json, sys, tempfile
from pathlib import Path

opened = set()
sys.addaudithook(lambda event, told: opened.add(str(told[0])) if event == "open" else None)
from aws_cdk import App
from infra.app import build
from infra.stages import UnusableStageError
from tests.unit.infra.conftest import WITH_EVERYTHING, _synthesise

with tempfile.TemporaryDirectory() as folder:
    _synthesise("production", WITH_EVERYTHING, Path(folder))
    try:
        refused = build(App(context={"stage": "dev", "stages": {"dev": {"due_shard": 4}}}, outdir=folder))
    except UnusableStageError as refusal:
        refused = refusal
loaded = {getattr(own, "__file__", None) or "" for own in list(sys.modules.values())}
print("\\n" + json.dumps({"seen": sorted(opened | loaded), "refused": str(refused)}))
"""


@pytest.fixture(scope="module")
def synthesised() -> dict[str, Any]:
    """What a process of its own ``seen`` as it synthesised a stage, and how it ``refused`` another."""
    run = subprocess.run(
        [sys.executable, "-c", SYNTHESISED], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told


def test_templates_are_made_of_the_stacks_and_of_no_function() -> None:
    made_of = Project.at(PROJECT).made_of("tests/unit/infra/conftest.py")
    assert {"infra/app.py", "infra/stacks/service.py", "infra/constructs/alarms.py", "shared/store/keys.py"} <= made_of
    assert not {own for own in made_of if own.startswith(("functions/i", "shared/providers", "tests/integration"))}


def test_another_setting_or_another_line_of_code_is_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = conftest._made_of()
    assert conftest._made_of() == before
    monkeypatch.setattr(Project, "made_of", lambda *_: {"infra/app.py"})
    less = conftest._made_of()
    monkeypatch.setattr(Project, "made_of", lambda *_: {"infra/app.py", "infra/stages.py"})
    assert len({before, less, conftest._made_of()}) == 3
    monkeypatch.setattr(conftest, "version", lambda package: f"{package} 0")
    assert conftest._made_of() not in {before, less}


@pytest.mark.long
def test_what_a_synthesis_loads_and_reads_is_in_the_digest(synthesised: dict[str, Any]) -> None:
    prefix = f"{PROJECT}/"
    ours = {own.removeprefix(prefix) for own in synthesised["seen"] if own.startswith(prefix)}
    read = {own for own in ours if not own.startswith(".venv/") and "__pycache__" not in own}
    assert {"cdk.json", "infra/app.py", "infra/stacks/front.py"} <= read
    assert read <= Project.at(PROJECT).made_of("tests/unit/infra/conftest.py") | {"cdk.json"}


@pytest.mark.long
def test_the_app_refuses_a_setting_that_does_not_exist(synthesised: dict[str, Any]) -> None:
    assert synthesised["refused"].startswith("stage 'dev': unknown setting due_shard; known are ")
